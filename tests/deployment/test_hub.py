"""A version is published on a Hub on loopback, through huggingface_hub's own calls: whole, private, and without secrets."""

import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import small_gguf
import yaml
from gguf import GGUFWriter
from published_task import add_gguf, add_version, make_published_task, resign, weights

from hub_repositories import SIGNATURE, TOKEN, HubRepositories
from hub_server import Dataset, Files
from nlp_skills.deployment.deploy import deploy_version
from nlp_skills.deployment.hub import upload_model
from nlp_skills.errors import NotReady, NotValid, RunFailed
from nlp_skills.records import sha256_file, sha256_tree
from nlp_skills.task.registry import read_registry
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (uv sync --extra hub)")

from huggingface_hub import ModelCard
from huggingface_hub.utils import http_backoff

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(scope="module", autouse=True)
def xet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """hf_xet reads its settings once for each process. Its folder, where it also logs."""
    folder = tmp_path_factory.mktemp("xet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_XET_CACHE", str(folder))
        patch.setenv("HF_XET_XORB_COMPRESSION_POLICY", "none")  # the store here does not unpack
        patch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
        patch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
        yield folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubRepositories]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the Hub here is on this machine
    monkeypatch.setattr("nlp_skills.deployment.publishing.repository.PAUSES", (0, 0))
    with HubRepositories() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        # What a card's own validation asks.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        server.models["HuggingFaceTB/SmolLM2-135M-Instruct"] = public({"license": "apache-2.0"})
        server.datasets["PolyAI/banking77"] = public({"license": "cc-by-4.0"}, "b1")
        yield server


def public(card: dict[str, Any], branch: str = "main") -> Dataset:
    repository = Dataset(card=card)
    repository.commit({"README.md": b"# it"}, branch)
    return repository


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_published_task(tmp_path / "tasks")


def published(hub: HubRepositories, repo_id: str = "ann/news") -> Files:
    repository = hub.models[repo_id]
    return repository.commits[repository.branches["main"]]


def metadata(card: bytes) -> dict[str, Any]:
    return yaml.safe_load(card.decode().split("---\n")[1])


NAMES = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "versions/v1/config.yaml",
    "versions/v1/lineage.yaml",
    "versions/v1/results.json",
]


def test_without_confirm_it_is_shown_and_the_hub_keeps_nothing(hub: HubRepositories, task: Path) -> None:
    shown = upload_model(task, repo_id="ann/news")
    assert [file.name for file in shown.files] == NAMES
    assert shown.model_dump(exclude={"files", "notes"}) == {
        "task": "news",
        "version": "v1",
        "what": "adapter",
        "repo_id": "ann/news",
        "visibility": "private",
        "user": "ann",
        "repository": "new",
        "license": "apache-2.0",
        "removed": [],
        "blocked": [],
        "uploaded": False,
        "commit": None,
        "url": None,
        "next": "Nothing was uploaded. To upload it: nlp-skills upload-model news --repo-id ann/news --confirm",
    }
    assert {method for method, _ in hub.asked} == {"GET"}
    assert read_registry(task).deployments == []


def test_it_arrives_in_one_commit_of_a_private_repository(hub: HubRepositories, task: Path) -> None:
    done = upload_model(task, repo_id="ann/news", confirm=True)
    files = published(hub)
    commit = hub.models["ann/news"].branches["main"]
    assert (done.uploaded, done.commit, done.url) == (True, commit, f"{hub.url}/ann/news/commit/{commit}")
    assert (hub.visibility, hub.messages) == ({"ann/news": "private"}, ["news v1: adapter"])
    assert sorted(files) == [".gitattributes", *NAMES]
    assert files["adapter_model.safetensors"] == weights(1)
    assert json.loads(files["adapter_config.json"]) == {
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": 8,
    }
    (kept,) = read_registry(task).deployments
    assert kept.model_dump(exclude={"created"}) == {
        "version": "v1",
        "artefact": "adapter",
        "target": "hub",
        "name": "ann/news",
        "by": "ann",
        "sha256": sha256_tree(task / "models" / "v1" / "adapter"),
        "commit": commit,
        "alias": None,
        "parity": None,
        "accepted": None,
        "host": None,
        "under_way": False,
        "removed": None,
    }


def test_uploading_the_same_again_commits_nothing_and_is_recorded_once(
    hub: HubRepositories, task: Path
) -> None:
    first = upload_model(task, repo_id="ann/news", confirm=True)
    again = upload_model(task, repo_id="ann/news", confirm=True)
    assert (again.commit, len(hub.messages), len(read_registry(task).deployments)) == (first.commit, 1, 1)


def test_a_public_repository_gets_nothing_unless_public_is_asked_for(
    hub: HubRepositories, task: Path
) -> None:
    hub.models["ann/news"] = public({})
    shown = upload_model(task, repo_id="ann/news")
    told = "ann/news is there already and is public. Add --public if everyone may see the model, or take another name."
    assert (shown.repository, shown.blocked, shown.passed) == ("public", [told], False)
    with pytest.raises(NotValid, match="is public") as refused:
        upload_model(task, repo_id="ann/news", confirm=True)
    assert (str(refused.value), sorted(published(hub))) == (told, ["README.md"])
    done = upload_model(task, repo_id="ann/news", public=True, confirm=True)
    assert (done.visibility, sorted(published(hub))) == ("public", NAMES)


def test_a_private_repository_stays_private(hub: HubRepositories, task: Path) -> None:
    upload_model(task, repo_id="ann/news", confirm=True)
    shown = upload_model(task, repo_id="ann/news", public=True)
    assert shown.visibility == "private"
    assert "ann/news is there already and is private; it stays so." in shown.notes[0]


OF_THE_LIBRARY = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
"""huggingface_hub 2.4 sends the parts of a large file as httpx2 no longer wants it."""


@pytest.mark.filterwarnings(OF_THE_LIBRARY)
@pytest.mark.parametrize("through", ["xet", "lfs"])
def test_after_a_broken_connection_only_what_is_missing_is_sent(
    hub: HubRepositories, task: Path, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", through == "lfs")
    # The library's own attempts at one request wait for seconds.
    monkeypatch.setattr("huggingface_hub.lfs.http_backoff", partial(http_backoff, max_retries=0))
    (task / "models" / "v1" / "adapter" / "z.safetensors").write_bytes(weights(2))
    resign(task)
    sent: list[str] = []

    def after_the_first_file(method: str, path: str) -> bool:
        file = path.split("/")[2 if method == "PUT" else -1]
        is_large = method == "PUT" or path.startswith("/v1/xorbs/")
        sent.extend([file] * is_large)
        return is_large and file != sent[0]

    hub.breaks = after_the_first_file
    with pytest.raises(RunFailed, match="What has arrived there stays: the same command goes on") as failed:
        upload_model(task, repo_id="ann/news", confirm=True)
    assert (sorted(published(hub)), hub.messages) == ([".gitattributes"], [])
    assert not [secret for secret in (TOKEN, SIGNATURE) if secret in str(failed.value)]
    first, last = sent[0], sent[-1]
    sent[:] = [first]
    hub.breaks = lambda method, path: after_the_first_file(method, path) and False
    upload_model(task, repo_id="ann/news", confirm=True)
    assert set(sent[1:]) == {last}
    files = published(hub)
    assert (files["adapter_model.safetensors"], files["z.safetensors"]) == (weights(1), weights(2))


def test_a_commit_whose_answer_is_lost_is_found_and_not_made_twice(hub: HubRepositories, task: Path) -> None:
    lost: list[str] = []

    def once(_method: str, path: str) -> bool:
        lost.extend([path] * ("/commit/" in path))
        return lost == [path]

    hub.loses = once
    done = upload_model(task, repo_id="ann/news", confirm=True)
    assert (len(lost), hub.messages) == (1, ["news v1: adapter"])
    assert done.commit == hub.models["ann/news"].branches["main"]


def test_a_commit_that_came_between_is_kept(hub: HubRepositories, task: Path) -> None:
    upload_model(task, repo_id="ann/news", confirm=True)
    add_version(task, "v2", BASE, seed=2)
    between: list[str] = []

    def somebody_commits(_method: str, path: str) -> bool:
        if "/preupload/" in path and not between:
            between.append(hub.models["ann/news"].commit({**published(hub), "logo.txt": b"logo"}))
        return False

    hub.breaks = somebody_commits
    upload_model(task, repo_id="ann/news", confirm=True)
    files = published(hub)
    assert (files["logo.txt"], files["adapter_model.safetensors"]) == (b"logo", weights(2))


def test_weights_of_an_earlier_upload_that_would_be_loaded_beside_the_new_ones_go(
    hub: HubRepositories, task: Path
) -> None:
    upload_model(task, repo_id="ann/news", confirm=True)
    folder = add_version(task, "v2", BASE, seed=2, peft="none")
    model = task / "models" / "v2" / "adapter"
    (model / "adapter_model.safetensors").rename(model / "model.safetensors")
    (model / "adapter_config.json").rename(model / "config.json")
    resign(task, "v2", format="merged")
    shown = upload_model(task, repo_id="ann/news")
    assert shown.removed == ["adapter_config.json", "adapter_model.safetensors"]
    assert upload_model(task, repo_id="ann/news", confirm=True).uploaded
    assert "adapter_model.safetensors" not in published(hub)
    assert published(hub)["model.safetensors"] == weights(2)
    assert folder.name == "v2"


def test_a_gguf_file_is_named_as_llama_cpp_and_ollama_look_for_it(hub: HubRepositories, task: Path) -> None:
    content = add_gguf(task, "v1", "q8_0").read_bytes()
    upload_model(task, repo_id="ann/news", what="q8_0", confirm=True)
    done = upload_model(task, repo_id="ann/news", what="q8_0", confirm=True)
    card = published(hub)["README.md"].decode()
    assert published(hub)["news-Q8_0.gguf"] == content
    assert done.next == "Run it with: ollama run hf.co/ann/news:Q8_0"
    assert "ollama run hf.co/ann/news:Q8_0" in card
    assert "model-index" not in metadata(card.encode()), "the file itself was not measured"
    assert "Not measured: these weights have no results" in card


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "training_args.bin",
            b"\x80\x04pickle",
            "Other weights are pickles, which run code when they are loaded",
        ),
        ("modeling_news.py", b"import os", "only safetensors and GGUF weights"),
        ("more.safetensors", b"PK\x03\x04 a pickle in a zip", "it is no safetensors file"),
    ],
)
def test_what_is_not_safe_to_load_is_not_published(
    hub: HubRepositories, task: Path, name: str, content: bytes, told: str
) -> None:
    (task / "models" / "v1" / "adapter" / name).write_bytes(content)
    resign(task)
    with pytest.raises(NotValid, match=told):
        upload_model(task, repo_id="ann/news", confirm=True)
    assert "ann/news" not in hub.models


@pytest.mark.parametrize(
    ("secret", "kind"),
    [("AKIA" + "J7Q2W5ZX4RTN6MBV", "AWS access key"), (TOKEN, "the token that it is uploaded with")],
)
def test_a_secret_in_a_record_is_not_published(
    hub: HubRepositories, task: Path, secret: str, kind: str
) -> None:
    lineage = task / "versions" / "v1" / "lineage.yaml"
    Version.load(lineage).with_changes(changes=[f"logged in with {secret}"]).save(lineage)
    with pytest.raises(
        NotValid, match=rf"lineage\.yaml is not published: it holds a secret \({kind}\)"
    ) as refused:
        upload_model(task, repo_id="ann/news", confirm=True)
    assert ("ann/news" in hub.models, secret in str(refused.value)) == (False, False)


def test_no_path_of_this_machine_is_published(hub: HubRepositories, tmp_path: Path) -> None:
    base = tmp_path / "models of ann" / "small"
    base.mkdir(parents=True)
    task = make_published_task(tmp_path / "tasks", str(base))
    shown = upload_model(task, repo_id="ann/news", confirm=True)
    assert [name for name, data in published(hub).items() if str(tmp_path).encode() in data] == []
    assert yaml.safe_load(published(hub)["versions/v1/config.yaml"])["base_model"] == "small"
    assert "The base model small has no Hub id: others cannot load the adapter." in " ".join(shown.notes)


def test_what_people_wrote_is_told_without_personal_data_paths_and_secrets(
    hub: HubRepositories, task: Path
) -> None:
    file = task / "task.yaml"
    goal = "Sort what wei.chen@acme-news.tw sends. It lies in /home/wei/inbox and in C:\\Users\\wei\\inbox."
    prompt = f"Sort news. Ask 0988-264-173. See {task}/docs."
    Task.load(file).with_changes(goal=goal, instruction=prompt).save(file)
    done = upload_model(task, repo_id="ann/news", confirm=True)
    card = published(hub)["README.md"].decode()
    assert (
        "Sort what [email address] sends. It lies in [path of a machine] and in [path of a machine]" in card
    )
    assert "Sort news. Ask [phone number]. See [path of a machine]" in card
    assert done.notes[:2] == [
        "task.yaml: goal: the card masks what others should not read (email address, path of a machine).",
        "The system prompt: the card masks what others should not read (phone number, path of a machine).",
    ]
    secret = "AKIA" + "J7Q2W5ZX4RTN6MBV"
    Task.load(file).with_changes(goal=f"Log in with {secret}").save(file)
    shown = upload_model(task, repo_id="ann/news")
    assert shown.blocked[0].startswith("task.yaml: goal holds a secret (AWS access key), and the card would")
    assert secret not in str(shown)


def test_model_that_was_changed_after_training_is_not_published(hub: HubRepositories, task: Path) -> None:
    (task / "models" / "v1" / "adapter" / "tokenizer.json").write_text("[]", encoding="utf-8")
    with pytest.raises(NotReady, match="is not what was made of v1"):
        upload_model(task, repo_id="ann/news", confirm=True)
    assert "ann/news" not in hub.models


def test_adapter_on_another_version_is_published_whole_only(hub: HubRepositories, task: Path) -> None:
    add_version(task, "v2", "v1", seed=2)
    with pytest.raises(NotValid, match="belongs on the merged weights of v1, which nobody else has"):
        upload_model(task, repo_id="ann/news", confirm=True)


# The token -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "scoped", "told"),
    [
        ("read", [], "ann/news cannot be written: the token may only read."),
        (
            "fineGrained",
            [{"entity": {"type": "user", "name": "ann"}, "permissions": ["repo.content.read"]}],
            "ann/news cannot be written: the token lacks repo.write for ann.",
        ),
        (
            "fineGrained",
            [{"entity": {"type": "model", "name": "ann/news"}, "permissions": ["repo.write"]}],
            None,
        ),
    ],
)
def test_what_the_token_may_do_is_told_before_anything_is_trained(
    hub: HubRepositories, task: Path, role: str, scoped: list[dict[str, Any]], told: str | None
) -> None:
    hub.role, hub.scoped = role, scoped
    (task / "versions" / "v1" / "model_info.json").unlink()
    shown = upload_model(task, repo_id="ann/news")
    *access, untrained = shown.blocked
    assert [reason.split(" Make a token")[0] for reason in access] == ([told] if told else [])
    assert untrained.startswith("news v1 has no trained model.")


def test_a_deployment_asks_the_hub_before_anything_is_made_and_is_recorded_once(
    hub: HubRepositories, tmp_path: Path
) -> None:
    task = small_gguf.make_task(tmp_path / "small")
    asked: dict[str, Any] = {"to": "hub", "quantization": "f32", "name": "ann/small", "confirm": True}
    hub.role = "read"
    with pytest.raises(NotReady, match="the token may only read"):
        deploy_version(task, **asked)
    assert not (task / "models" / "v1" / "f32.gguf").exists()
    hub.role = "write"
    small_gguf.write_gguf(task)
    done = deploy_version(task, **asked, by="mei").deployment
    assert done is not None
    assert read_registry(task).deployments == [done]
    assert (done.target, done.name, done.by, done.parity) == (
        "hub",
        "ann/small",
        "mei",
        "models/v1/f32.parity.json",
    )
    assert (done.commit, hub.visibility) == (
        hub.models["ann/small"].branches["main"],
        {"ann/small": "private"},
    )


def test_a_token_that_may_not_write_uploads_nothing(hub: HubRepositories, task: Path) -> None:
    hub.role = "read"
    with pytest.raises(NotReady, match=r"the token may only read\. Make a token with the role write"):
        upload_model(task, repo_id="ann/news", confirm=True)
    assert hub.visibility == {}


def test_without_a_token_or_with_a_wrong_one_the_cure_is_told(
    hub: HubRepositories, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "hf_" + "nobodys7Token9Of11This13Hub4You"
    monkeypatch.setenv("HF_TOKEN", wrong)
    shown = upload_model(task, repo_id="ann/news")
    (told,) = shown.blocked
    assert "Invalid user token" in told
    assert told.endswith("log in with it: hf auth login")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(task / "none"))
    (told,) = upload_model(task, repo_id="ann/news").blocked
    assert told.startswith("There is no token for the Hub. Make a token with the role write")
    assert (shown.user, shown.repository, wrong in str(shown)) == (None, "unknown", False)


@pytest.mark.filterwarnings(OF_THE_LIBRARY)
def test_no_token_is_in_any_log_file_or_message(
    hub: HubRepositories,
    task: Path,
    tmp_path: Path,
    xet: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    monkeypatch.setattr("huggingface_hub.lfs.http_backoff", partial(http_backoff, max_retries=0))

    def tell(message: str, _done: float, _total: float | None) -> None:
        told.append(message)

    hub.breaks = lambda method, path: method == "PUT" or path.startswith("/v1/xorbs/")
    for disabled in (False, True):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", disabled)
        with pytest.raises(RunFailed) as failed:
            upload_model(task, repo_id="ann/news", confirm=True, progress=tell)
        told.append(str(failed.value))
    hub.breaks = lambda _method, _path: False
    told.append(upload_model(task, repo_id="ann/news", confirm=True, progress=tell).to_bytes().decode())
    output = capfd.readouterr()
    # Libraries log as they like only where somebody asks for it; ours is what is told, kept and printed.
    files = [path for folder in (tmp_path, xet) for path in folder.rglob("*") if path.is_file()]
    kept = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    sent = b"".join(published(hub).values()).decode("utf-8", errors="replace")
    everything = "".join(told) + output.out + output.err + kept + sent + caplog.text
    assert [secret for secret in (TOKEN, f"xet_{SIGNATURE}") if secret in everything] == []
    assert SIGNATURE not in "".join(told) + output.out + output.err + kept + sent
    assert output.out + output.err == "", "no bars of the library's"


# The card ------------------------------------------------------------------------------------------


def test_the_card_passes_the_library_s_own_validation_and_says_what_the_records_say(
    hub: HubRepositories, task: Path
) -> None:
    upload_model(task, repo_id="ann/news", confirm=True)
    content = published(hub)["README.md"]
    card = ModelCard(content.decode())
    card.validate()
    assert str(card).encode() == content
    assert metadata(content) == {
        "base_model": BASE,
        "base_model_relation": "adapter",
        "datasets": ["PolyAI/banking77"],
        "language": "zh",
        "library_name": "peft",
        "license": "apache-2.0",
        "metrics": ["accuracy", "f1"],
        "pipeline_tag": "text-generation",
        "tags": ["nlp-skills", "classification", "sft", "lora"],
        "model-index": [
            {
                "name": "news",
                "results": [
                    {
                        "task": {"type": "text-classification"},
                        "dataset": {"type": "news", "name": "news (test split)", "split": "test"},
                        "metrics": [
                            measured("f1", "Macro F1", 0.9012, 0.85, 0.94),
                            measured("accuracy", "Accuracy", 0.9, 0.84, 0.94),
                        ],
                    }
                ],
            }
        ],
    }
    text = content.decode()
    for line in (
        "It answers with one of: sport, trade.",
        '{"role": "system", "content": "Sort news by section. Classify the text. Answer with exactly one of: sport, trade."}',
        "| this model | 0.901 (0.850 to 0.940) | 0.900 (0.840 to 0.940) |",
        "| [PolyAI/banking77](https://huggingface.co/datasets/PolyAI/banking77) | hub | 900 | cc-by-4.0 |",
        "| inbox | file | 100 | not stated |",
        "Whether it has forgotten general knowledge was not measured.",
    ):
        assert line in text
    assert "inbox/news.csv" not in text


@pytest.mark.parametrize(
    ("prompts", "told"),
    [
        (
            ["Section?", "Section?"],
            "It was trained with this system prompt, and answers as measured only with it:\n\n```text\nSection?\n```",
        ),
        (
            ["Section?", "Which section?"],
            "The rows that it was trained on have no system prompt in common: ask as they do.",
        ),
        (None, "The task's system prompt is:\n\n```text\nSort news by section. Classify the text."),
    ],
)
def test_the_card_names_the_system_prompt_of_the_rows_it_was_trained_on(
    hub: HubRepositories, task: Path, prompts: list[str] | None, told: str
) -> None:
    rows = [
        {
            "meta": {"id": str(number), "source": "inbox"},
            "messages": [
                {"role": "system", "content": prompt},
                {"role": "user", "content": "They won."},
                {"role": "assistant", "content": "sport"},
            ],
        }
        for number, prompt in enumerate(prompts or ["Changed since"])
    ]
    file = task / "data" / "train.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    if prompts is not None:
        snapshot = task / "versions" / "v1" / "data_snapshot.json"
        kept = json.loads(snapshot.read_text(encoding="utf-8"))
        kept["splits"]["train"]["sha256"] = sha256_file(file)
        snapshot.write_text(json.dumps(kept), encoding="utf-8")
    upload_model(task, repo_id="ann/news", confirm=True)
    assert told in published(hub)["README.md"].decode()


def measured(kind: str, name: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": value, "args": {"interval_95": [low, high], "rows": 150}}


def test_a_card_that_the_hub_does_not_take_is_refused_before_anything_is_uploaded(
    hub: HubRepositories, task: Path
) -> None:
    hub.models[BASE].card["license"] = "my-own-words"
    with pytest.raises(NotValid, match='"license" must be one of the list of licences'):
        upload_model(task, repo_id="ann/news", confirm=True)
    assert sorted(published(hub)) == [".gitattributes"]


def test_a_base_model_without_a_known_licence_is_never_called_open(hub: HubRepositories, task: Path) -> None:
    del hub.models[BASE].card["license"]
    done = upload_model(task, repo_id="ann/news", confirm=True)
    data = metadata(published(hub)["README.md"])
    assert (done.license, data["license"]) == ("unknown", "unknown")
    assert "The licence of the base model HuggingFaceTB/SmolLM2-135M-Instruct is not known" in done.notes[0]
    assert "no licence is stated" not in data


def test_the_licence_of_a_gguf_file_is_the_one_it_states(hub: HubRepositories, tmp_path: Path) -> None:
    stated, broken = tmp_path / "stated.gguf", tmp_path / "broken.gguf"
    writer = GGUFWriter(stated, "llama")
    writer.add_license("MIT")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    broken.write_bytes(b"GGUF" + bytes(40))
    found = [
        upload_model(make_published_task(tmp_path / base.stem, str(base)), repo_id="ann/news").license
        for base in (stated, broken)
    ]
    assert found == ["mit", "unknown"]


@pytest.mark.parametrize(
    ("licence", "notice", "asks"),
    [
        ("gemma", "Gemma is provided under and subject to the Gemma Terms of Use", "prohibited use policy"),
        ("llama3.2", "Llama 3.2 is licensed under the Llama 3.2 Community License", "Built with Llama"),
    ],
)
def test_terms_that_are_no_open_licence_are_named_with_what_they_ask_for(
    hub: HubRepositories, task: Path, licence: str, notice: str, asks: str
) -> None:
    hub.models[BASE].card["license"] = licence
    done = upload_model(task, repo_id="ann/news", confirm=True)
    files = published(hub)
    assert metadata(files["README.md"])["license"] == licence
    assert files["NOTICE"].decode().startswith(notice)
    assert asks in files["README.md"].decode()
    assert ("Its name has to begin with Llama: ann/Llama-news" in done.notes) == (licence == "llama3.2")


def test_data_that_ask_for_more_than_the_base_model_are_carried(hub: HubRepositories, task: Path) -> None:
    hub.datasets["PolyAI/banking77"].card["license"] = "cc-by-nc-4.0"
    done = upload_model(task, repo_id="ann/news", confirm=True)
    files = published(hub)
    data = metadata(files["README.md"])
    assert (data["license"], data["license_name"], data["license_link"]) == (
        "other",
        "apache-2.0-and-cc-by-nc-4.0",
        "LICENSE.md",
    )
    assert "- Data set PolyAI/banking77: cc-by-nc-4.0\n" in files["LICENSE.md"].decode()
    assert any("PolyAI/banking77 (cc-by-nc-4.0)" in note for note in done.notes)


# What the Hub says --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["news", "a/b/c", "ann/news--old"])
def test_name_that_is_none_of_the_hub_is_told(hub: HubRepositories, task: Path, name: str) -> None:
    with pytest.raises(NotValid, match=r"^repo_id: "):
        upload_model(task, repo_id=name)
    assert hub.asked == []


def test_offline_is_said(hub: HubRepositories, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shown = upload_model(task, repo_id="ann/news")
    assert shown.blocked == ["HF_HUB_OFFLINE is set, so the Hub cannot be asked. Unset it."]
    assert [file.name for file in shown.files] == NAMES


def test_a_hub_out_of_reach_is_one_sentence(
    hub: HubRepositories, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (told,) = upload_model(task, repo_id="ann/news").blocked
    assert told.startswith("http://127.0.0.1:9 was asked who the token is: ")
