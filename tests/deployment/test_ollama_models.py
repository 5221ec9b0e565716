"""Ollama's models through its official client: listed, shown, pulled, copied, removed; and its errors in words."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ollama_stand_in import OllamaStandIn
from ollama_store import Stored

from loopback import LoopbackHandler, listening
from nlp_skills.data.sources.generation.ollama_server import ollama_url
from nlp_skills.data.sources.generation.providers import connect
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.deployment.ollama.connection import connected, is_this_machine
from nlp_skills.deployment.ollama.models import (
    ollama_copy,
    ollama_list_models,
    ollama_show,
    told_settings,
)
from nlp_skills.deployment.ollama.names import full_name, version_name, with_tag
from nlp_skills.deployment.ollama.pulling import ollama_pull
from nlp_skills.deployment.ollama.removing import ollama_remove
from nlp_skills.deployment.ollama.rendering import render_chat
from nlp_skills.deployment.ollama.status import ollama_status, ollama_version
from nlp_skills.deployment.ollama.uploading import upload
from nlp_skills.errors import AlreadyExists, NotFound, NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors.ollama import OllamaPredictor
from nlp_skills.records import silent


@pytest.fixture
def smol(ollama: OllamaStandIn, packaged_gguf: Path) -> str:
    """A model that is there under a name."""
    digest = ollama.store.keep(packaged_gguf)
    settings = {"temperature": 0, "stop": ["<|im_end|>", "\n\n"]}
    ollama.store.put("smollm2:135m", Stored(digest, system='Be "brief".\nBe kind.', parameters=settings))
    return "smollm2:135m"


def test_models_are_listed_with_their_size_and_whether_they_are_loaded(
    ollama: OllamaStandIn, smol: str, packaged_gguf: Path
) -> None:
    ollama.store.put("other", Stored(ollama.store.keep(packaged_gguf)))
    ollama.loaded.append(smol)
    found = ollama_list_models()
    assert found.host == ollama.url
    other, model = found.models
    assert (other.name, other.loaded) == ("other:latest", False)
    assert model.model_dump(exclude={"modified"}) == {
        "name": "smollm2:135m",
        "size_bytes": packaged_gguf.stat().st_size,
        "manifest": ollama.store.models[smol].digest,
        "family": "llama",
        "parameters": "134.52M",
        "quantization": "Q4_1",
        "loaded": True,
    }


def test_a_model_is_shown_with_what_it_can_do_and_how_it_is_asked(smol: str) -> None:
    shown = ollama_show("SmolLM2:135m")
    assert shown.model.name == smol
    assert (shown.capabilities, shown.context_length) == (["completion"], 8192)
    assert shown.system == 'Be "brief".\nBe kind.'
    assert shown.settings == {"temperature": ["0"], "stop": ["<|im_end|>", "\n\n"]}
    assert shown.template is not None
    assert shown.template.startswith("{% for message in messages %}")


def test_what_ollama_shows_of_its_parameters_is_read_as_it_was_meant() -> None:
    lines = 'temperature                    0.7\nstop                           "a \\"b\\"\\n"\nseed   7\nstop  "\\a"'
    assert told_settings(lines) == {"temperature": ["0.7"], "stop": ['a "b"\n', "\\a"], "seed": ["7"]}


def test_a_model_that_is_not_there_is_named_with_its_nearest_neighbour(smol: str) -> None:
    with pytest.raises(NotFound) as raised:
        ollama_show("smollm2:13b")
    assert str(raised.value) == (
        'Ollama has no model smollm2:13b (did you mean "smollm2:135m"?). See what it has with: nlp-skills'
        " ollama-list-models; fetch one from its library with: nlp-skills ollama-pull smollm2:13b"
    )


def test_a_model_is_pulled_with_progress_in_bytes(ollama: OllamaStandIn, packaged_gguf: Path) -> None:
    ollama.library["smollm2:135m"] = packaged_gguf
    size = packaged_gguf.stat().st_size
    heard: list[tuple[str, float, float | None]] = []
    model = ollama_pull("smollm2:135m", progress=lambda *said: heard.append(said))
    assert (model.name, model.size_bytes) == ("smollm2:135m", size)
    digest = ollama.store.models[model.name].weights.removeprefix("sha256:")[:12]
    assert heard == [
        ("smollm2:135m: pulling manifest", 0, None),
        *((f"smollm2:135m: pulling {digest}", size * quarter // 4, size) for quarter in range(5)),
        ("smollm2:135m: verifying sha256 digest", 0, None),
        ("smollm2:135m: writing manifest", 0, None),
        ("smollm2:135m: success", 0, None),
    ]


def test_a_name_that_the_library_does_not_have_says_where_to_look(ollama: OllamaStandIn) -> None:
    with pytest.raises(
        NotFound, match=r"^Pulling nobody/nothing:latest: .* Look it up at https://ollama\.com/search$"
    ):
        ollama_pull("nobody/nothing")
    assert ollama.store.models == {}


@pytest.mark.parametrize("cleanly", [False, True])
def test_a_pull_that_breaks_off_is_no_success_and_goes_on_with_the_same_command(
    ollama: OllamaStandIn, packaged_gguf: Path, cleanly: bool
) -> None:
    ollama.library["smollm2:135m"] = packaged_gguf
    if cleanly:
        ollama.stops_short.add("/api/pull")
    else:
        ollama.breaks["/api/pull"] = 3
    with pytest.raises(
        RunFailed, match="ended without Ollama saying that it is whole" if cleanly else "broke off"
    ):
        ollama_pull("smollm2:135m")
    ollama.stops_short.clear()
    assert ollama_pull("smollm2:135m").size_bytes == packaged_gguf.stat().st_size


def test_a_copy_is_the_same_model_and_replaces_another_one_only_when_told_to(
    ollama: OllamaStandIn, smol: str, packaged_gguf: Path
) -> None:
    copied = ollama_copy(smol, "smollm2:prod")
    assert (copied.name, copied.manifest) == ("smollm2:prod", ollama.store.models[smol].digest)
    assert ollama_copy(smol, "smollm2:prod").manifest == copied.manifest
    ollama.store.put("smollm2:v2", Stored(ollama.store.keep(packaged_gguf), system="another one"))
    with pytest.raises(AlreadyExists, match=r"--replace$"):
        ollama_copy("smollm2:v2", "smollm2:prod")
    moved = ollama_copy("smollm2:v2", "smollm2:prod", replace=True)
    assert moved.manifest == ollama.store.models["smollm2:v2"].digest


def test_a_model_is_removed_when_it_is_confirmed_and_says_what_becomes_free(
    ollama: OllamaStandIn, smol: str
) -> None:
    size = ollama.store.size(ollama.store.models[smol])
    ollama_copy(smol, "smollm2:prod")
    asked = ollama_remove(smol)
    assert (asked.removed, asked.size_bytes, asked.same_model) == (False, 0, ["smollm2:prod"])
    assert asked.note == (
        "smollm2:135m would be removed (its files stay: the same model as smollm2:prod). Do it with:"
        " nlp-skills ollama-remove smollm2:135m --confirm"
    )
    assert ollama_remove(smol, confirm=True).removed
    assert list(ollama.store.models) == ["smollm2:prod"]
    last = ollama_remove("smollm2:prod", confirm=True)
    assert (last.size_bytes, last.same_model, last.note) == (size, [], "smollm2:prod is removed.")
    assert ollama_list_models().models == []


def test_the_status_says_what_is_loaded_where(ollama: OllamaStandIn, smol: str) -> None:
    idle = ollama_status()
    assert (idle.host, idle.version, idle.loaded) == (ollama.url, "0.33.0", [])
    assert idle.note.startswith("No model is loaded")
    assert idle.machine is not None
    assert idle.machine.memory_gb > idle.machine.free_gb > 0
    ollama.loaded.append(smol)
    busy = ollama_status()
    assert [(m.name, m.gpu_share, m.context_length) for m in busy.loaded] == [(smol, 0.0, 4096)]
    assert busy.note == "smollm2:135m: answered by the processor, wholly or in part."


@pytest.fixture
def free_port() -> int:
    """Where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_where_no_ollama_runs_it_is_said_how_to_start_it(
    free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port}")
    for ask in (ollama_list_models, ollama_version):
        with pytest.raises(
            NotReady, match=rf"cannot be reached at http://127\.0\.0\.1:{free_port}\. Start it \(ollama serve"
        ):
            ask()


@pytest.fixture
def website(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Something else that answers at Ollama's port."""

    class Page(LoopbackHandler):
        def do_GET(self) -> None:
            self.answer(200, b"<html></html>", "text/html")

    with listening(Page) as url:
        monkeypatch.setenv("OLLAMA_HOST", url)
        yield url


def test_what_is_no_ollama_is_called_so(website: str) -> None:
    for ask in (ollama_list_models, ollama_version):
        with pytest.raises(NotReady, match=rf"What answers at {website} is no Ollama"):
            ask()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("gpu-box", "http://gpu-box:11434"),
        ("https://ollama.example/", "https://ollama.example:443"),
        ("http://user:pass@gpu-box:1/api/", "http://gpu-box:1/api"),
    ],
)
def test_the_address_is_read_as_ollamas_own_programs_read_it(
    host: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert ollama_url() == url


@pytest.mark.parametrize(
    "host", ["gpu-box:port", "ftp://gpu-box", "gpu-box:99999", "mei:s3cret@gpu-box:port"]
)
def test_what_is_no_address_is_refused_by_all_that_ask_ollama(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    monkeypatch.delitem(
        sys.modules, "ollama", raising=False
    )  # as in a fresh process, where its import would fail
    source = GeneratedSource(name="made", model="tiny", provider="ollama", prompt_template="{count}", count=1)
    asking = (
        ollama_list_models,
        ollama_version,
        lambda: OllamaPredictor("tiny"),
        lambda: connect(source, {}).__enter__(),
    )
    for ask in asking:
        with pytest.raises(
            NotValid, match=r"^OLLAMA_HOST is '.*', which is no address\. Write it as"
        ) as refused:
            ask()
        assert "s3cret" not in str(refused.value)
    assert "ollama" not in sys.modules


def test_whose_machine_it_is_is_told_by_the_address() -> None:
    urls = (
        "http://localhost:1",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://gpu-box:1",
        "http://10.0.0.7:1",
    )
    assert [is_this_machine(url) for url in urls] == [True, True, True, False, False]


def test_the_key_goes_along_with_every_request(
    ollama: OllamaStandIn, smol: str, packaged_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-very-secret-0123456789")
    ollama_status()
    render_chat(smol, [{"role": "user", "content": "Hello"}])
    with connected("Sending") as client:
        upload(client, {"model.gguf": packaged_gguf}, silent)
    predictor = OllamaPredictor(smol)
    assert smol in predictor.identity
    predictor.close()
    assert len(ollama.keys) == 5
    assert set(ollama.keys) == {"Bearer sk-very-secret-0123456789"}


def test_the_key_is_in_no_message(ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-very-secret-0123456789")
    with pytest.raises(RunFailed) as raised, connected("Copying") as client:
        client.create(
            "a:b", files={"x.gguf": "sha256:" + "0" * 64, "sk-very-secret-0123456789": "sha256:" + "0" * 64}
        )
    assert "no such file" in str(raised.value)
    ollama.library.clear()
    with pytest.raises(NotValid) as refused, connected("Copying sk-very-secret-0123456789") as client:
        client.copy("sk-very-secret-0123456789 ", "b")
    assert str(refused.value).count("${OLLAMA_API_KEY}") == 1


def test_names_are_those_of_ollama() -> None:
    assert full_name("entity-sentiment") == "entity-sentiment:latest"
    assert full_name("hf.co/owner/model:Q4_K_M") == "hf.co/owner/model:Q4_K_M"
    assert version_name("entity-sentiment", "v2", "q8_0", "q8_0") == "entity-sentiment:v2"
    assert version_name("entity-sentiment", "v2", "f16", "q8_0") == "entity-sentiment:v2-f16"
    assert with_tag("owner/entity-sentiment:v2", "prod") == "owner/entity-sentiment:prod"
    for wrong in ("", "a b", "a:b:c", "-a", "../a", "a/b/c/d", "a" * 81):
        with pytest.raises(NotValid, match="is no name of a model in Ollama"):
            full_name(wrong)
