"""What is wrong with the machine is said before a run: versions, arguments that an installed library does not know."""

from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from nlp_skills.base_model import local_config
from nlp_skills.errors import NotReady
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.preflight.machine_faults import hub_findings, unknown_arguments, wrong_versions

ASKED = (
    "pydantic>=2",
    "trl<2,>=1.16; extra == 'train'",
    "peft>=0.21; extra == 'train'",
    "mlflow>=3; extra == 'track'",
    "bitsandbytes>=0.50; sys_platform == 'none' and extra == 'train'",
)


def test_versions_that_do_not_fit_are_told_with_the_command():
    installed = {"trl": "0.24.0", "peft": "0.21.2", "mlflow": "1.0", "pydantic": "1.0", "bitsandbytes": "0.1"}
    found = list(wrong_versions(ASKED, installed.get))
    assert [(f.check, f.level, f.message) for f in found] == [
        ("ENV-DOCTOR", "warning", "trl 0.24.0 is installed; this library is made for trl<2,>=1.16.")
    ]
    assert found[0].fix == "Install it with: uv pip install 'trl<2,>=1.16'"


def test_a_package_that_is_not_installed_is_no_wrong_version():
    assert list(wrong_versions(ASKED, {}.get)) == []


@dataclass
class OldConfig:
    """Of a library from before max_seq_length was renamed."""

    learning_rate: float = 1e-4
    max_seq_length: int = 1024


def test_arguments_that_are_not_known_are_named():
    found = list(unknown_arguments({"learning_rate", "max_length", "beta"}, OldConfig, "pytest"))
    assert [(f.check, f.level) for f in found] == [("ENV-API", "error")]
    assert found[0].message.startswith("OldConfig of pytest ")
    assert found[0].message.endswith(" has no beta, max_length.")
    assert list(unknown_arguments({"learning_rate"}, OldConfig, "pytest")) == []


class Asked(BaseHTTPRequestHandler):
    """A Hub that has nothing and remembers what it was asked for."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(401)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What it was asked for."""
    Asked.paths.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield Asked.paths
        server.shutdown()


def test_the_hub_is_asked_for_its_models_and_not_for_what_lies_here(tmp_path: Path, hub: list[str]) -> None:
    for name in ("smollm2-135m-instruct", str(tmp_path), "model.gguf"):
        assert list(hub_findings(TrainConfig(base_model=name), False)) == []
    assert list(hub_findings(TrainConfig(base_model="v1"), True)) == []
    assert hub == []
    (found,) = hub_findings(TrainConfig(base_model="acme/none"), False)
    assert (found.check, found.level) == ("HUB-ACCESS", "error")
    assert found.message == "The Hub has no base model acme/none, or does not show it to you."
    assert [path for path in hub if "/models/" in path] == ["/api/models/acme/none/auth-check"]


def test_a_hub_that_cannot_be_reached_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    (found,) = hub_findings(TrainConfig(base_model="acme/none", base_revision="v2"), False)
    assert (found.check, found.level) == ("HUB-ACCESS", "error")
    assert found.message.startswith(
        "The base model acme/none is not on this machine, and the Hub cannot be reached (ConnectError: "
    )
    assert "hf download acme/none --revision v2" in found.fix
    assert "Retrying" not in caplog.text
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (found,) = hub_findings(TrainConfig(base_model="acme/none"), False)
    assert "the Hub cannot be reached (HF_HUB_OFFLINE is set)" in found.message


def test_a_config_that_cannot_be_fetched_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(
        NotReady, match=r"config\.json of acme/none is not on this machine and could not be fetched"
    ):
        local_config("acme/none")
    assert "Retrying" not in caplog.text
