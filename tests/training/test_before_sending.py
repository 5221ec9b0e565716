"""Before a machine is rented or a job is ordered, everything that needs no weights has been looked at here."""

from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.errors import NlpSkillsError
from nlp_skills.records import to_yaml
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import read_job
from nlp_skills.training.train import start_training

TARGETS = [
    {"name": "box", "type": "ssh", "host": "nowhere.invalid"},
    {"name": "hub", "type": "hf_jobs"},
    {"name": "cloud", "type": "skypilot", "infra": "aws"},
]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    made = make_small_task(tmp_path / "tasks", rows=16)
    (made / "configs").mkdir(exist_ok=True)
    (made / "configs" / "targets.yaml").write_bytes(to_yaml({"targets": TARGETS}))
    return made


def write_config(task: Path, **changes: object) -> None:
    """Into config.yaml, past the checks of create_version."""
    file = task / "versions" / "v1" / "config.yaml"
    TrainConfig.load(file).with_changes(**changes).save(file)


def edit_rows(task: Path) -> None:
    with (task / "data" / "valid.jsonl").open("ab") as file:
        file.write(b"\n")


FAULTS = {
    "unknown module": lambda task: write_config(task, target_modules=["q_proj", "qproj"]),
    "rows too long": lambda task: write_config(task, max_length=16),
    "rows edited": edit_rows,
}
SAID = {
    "unknown module": r"TARGET-MODULES: .*no linear module 'qproj' \(did you mean \"q_proj\"\?\)",
    "rows too long": "LEN-CUT",
    "rows edited": "data/valid.jsonl is not the file that v1 was made for",
}


@pytest.mark.parametrize("target", [target["name"] for target in TARGETS])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_that_is_seen_without_weights_is_told_before_anything_is_spent(
    task: Path, target: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # neither ssh nor uvx is there to be called
    FAULTS[fault](task)
    with pytest.raises(NlpSkillsError, match=SAID[fault]):
        start_training(task, target=target, confirm=True)
    assert read_job(task / "versions" / "v1") is None


@pytest.mark.parametrize(
    ("target", "said"), [("box", "no ssh program"), ("hub", "Log in with: hf auth login"), ("cloud", "uvx")]
)
def test_version_without_a_fault_gets_as_far_as_the_target(
    task: Path, target: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(task / "no-token"))
    with pytest.raises(NlpSkillsError, match=said):
        start_training(task, target=target, confirm=True)
