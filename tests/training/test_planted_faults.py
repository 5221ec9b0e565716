"""Faults that are planted into a run end it before or while it runs, each with its check's id and what to do.

Every test goes through the real process of a run, with a model of random weights.
"""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec import structs
from small_task import make_small_task

from nlp_skills.data.example import Example, read_examples, write_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import RunFailed
from nlp_skills.records import sha256_file
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import read_job
from nlp_skills.training.preflight.check import PreflightReport
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.status import training_status
from nlp_skills.training.train import train_model
from small_model import small_tokenizer


def fails(task: Path) -> str:
    """The error of a run that has to fail, as job.json keeps it."""
    with pytest.raises(RunFailed):
        train_model(task)
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert (job.status, job.exit_code) == ("failed", 1)
    assert not (task / "versions" / "v1" / "model_info.json").exists()
    return job.error or ""


def change_rows(task: Path, change: Callable[[Example], Example]) -> None:
    """Other training rows, as if the version had been made for them."""
    file, record = task / "data" / "train.jsonl", task / "versions" / "v1" / "data_snapshot.json"
    write_examples(file, [change(example) for example in read_examples(file)])
    snapshot = DataSnapshot.load(record).model_dump(mode="json")
    snapshot["splits"]["train"]["sha256"] = sha256_file(file)
    DataSnapshot.parse(snapshot, record).save(record)


def change_config(task: Path, **changes: Any) -> None:
    file = task / "versions" / "v1" / "config.yaml"
    TrainConfig.load(file).with_changes(**changes).save(file)


def change_tokenizer(task: Path, **settings: Any) -> None:
    """The small model's tokenizer with other settings."""
    folder = task.parent.parent / "small-model"
    made = type(small_tokenizer()).from_pretrained(folder)
    for name, value in settings.items():
        setattr(made, name, value)
    made.save_pretrained(folder)


def test_all_labels_masked(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")

    def unlearned(example: Example) -> Example:
        *turns, answer = example.messages or []
        return structs.replace(example, messages=[*turns, structs.replace(answer, weight=0)])

    change_rows(task, unlearned)
    error = fails(task)
    assert error.startswith("MASK-EMPTY: Row ")
    assert "has no answer to learn from. Add an assistant message." in error


def test_a_template_that_leaves_the_answers_out(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    template = small_tokenizer().chat_template.replace(
        "{{ m.content }}", "{% if m.role != 'assistant' %}{{ m.content }}{% endif %}"
    )
    change_tokenizer(task, chat_template=template)
    assert (
        "MASK-EMPTY: All labels are masked, or nothing but the end of the answer is trained: 40 rows."
        in fails(task)
    )


def test_the_prompt_labelled(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    change_tokenizer(
        task, chat_template=small_tokenizer().chat_template.partition("{% if add_generation_prompt")[0]
    )
    error = fails(task)
    assert error.startswith("MASK-RATIO: The chat template has no generation prompt")
    assert "Set base_model in task.yaml to an instruct model" in error
    report = PreflightReport.load(task / "versions" / "v1" / "preflight.json")
    finding = next(f for f in report.findings if f.check == "MASK-RATIO")
    assert (report.passed, finding.count) == (False, 40)
    assert [(row.file, row.line) for row in finding.rows[:2]] == [
        ("data/train.jsonl", 1),
        ("data/train.jsonl", 2),
    ]


def test_answers_truncated(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", max_length=64)
    error = fails(task)
    assert error.startswith("LEN-CUT: More tokens than max_length 64: 32 rows of data/train.jsonl")
    assert "Make a version that takes them: nlp-skills create-version support --max-length 206, or" in error
    # config.yaml is written once: the same version would be cut off again.
    assert training_status(task).next.startswith("It would end so again: make a version")


def test_a_learning_rate_far_above_the_usual_is_told_by_whatever_trains(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", learning_rate=0.02)
    told: list[str] = []
    train_model(task, tell=told.append)
    warning = (
        "RUN-DIVERGE: learning_rate 0.02 is 100 times what sft with lora usually takes (0.0002), and may destroy the model."
        " Make a version with a smaller --learning-rate."
    )
    assert warning in told
    report = PreflightReport.load(task / "versions" / "v1" / "preflight.json")
    assert (report.passed, [f.level for f in report.findings if f.check == "RUN-DIVERGE"]) == (
        True,
        ["warning"],
    )


def test_pad_is_eos_and_the_ends_are_trained_all_the_same(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    change_tokenizer(task, pad_token="<|im_end|>")
    train_model(task)
    report = PreflightReport.load(task / "versions" / "v1" / "preflight.json")
    assert [(f.check, f.level) for f in report.findings] == [("TOK-EOS", "info")]
    assert report.rows is not None
    assert (report.rows.answers, report.rows.ended) == (32, 32)


def test_nan_in_a_weight_of_the_base_model(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    task = make_small_task(tmp_path / "tasks")
    file = tmp_path / "small-model" / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.down_proj.weight"][0, 0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    error = fails(task)
    assert error.startswith("RUN-NAN: the base model's weight ")
    assert "layers.1.mlp.down_proj" in error
    assert "Fetch or make the base model again" in error


def test_losses_that_are_no_numbers_end_the_run_and_going_on_is_not_advised(tmp_path: Path) -> None:
    settings = {"lora_alpha": 10**18, "learning_rate": 0.9, "save_steps": 1, "warmup_steps": 0}
    task = make_small_task(tmp_path / "tasks", **settings)
    error = fails(task)
    assert error.startswith("RUN-NAN: ")
    assert "is nan at step 2. Make a version with half the learning_rate or less" in error
    assert checkpoints(task / "models" / "v1" / "checkpoints"), "from which a run could go on"
    status = training_status(task)
    assert (status.step, status.next) == (
        2,
        "It would end so again: make a version that does what the error says: nlp-skills create-version support",
    )


def test_full_fine_tuning_that_changes_nothing(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", peft="none", learning_rate=1e-46, rows=8)
    assert fails(task).startswith("RUN-DELTA: nothing was learned: all ")


def test_an_adapter_that_does_not_learn(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", learning_rate=1e-46)
    error = fails(task)
    assert error.startswith("RUN-DELTA: nothing was learned")
    assert "check target_modules" in error


def test_target_modules_that_are_not_there(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    change_config(task, target_modules=["q_project"])
    error = fails(task)
    assert error.startswith("TARGET-MODULES: ")
    assert "has no linear module 'q_project' (did you mean \"q_proj\"?)" in error


def test_rewards_that_are_all_the_same(tmp_path: Path) -> None:
    answers = {"rewards": ["label"], "num_generations": 4, "max_completion_length": 4}
    task = make_small_task(tmp_path / "tasks", method="grpo", **answers)
    error = fails(task)
    assert error.startswith(
        "RL-FLAT: all answers to a prompt have earned the same in each of 10 logged steps (mean 0)"
    )
    assert "Begin with a short sft version and name it as base_model" in error
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert f"{job.warnings[-1]}." == error
    last = read_metrics(task / "versions" / "v1" / "metrics.jsonl")[-1]
    assert (last["step"], last["warning"]) == (10, "RL-FLAT")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The processes that are started meanwhile may write no larger ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", lora_r=256)
    with files_of_at_most(1 << 20):
        error = fails(task)
    assert error.startswith("ENV-DISK: The run writes about ")
    assert (
        "the largest file 2.0 MiB, and the system says: File too large. Delete what is not needed there"
        in error
    )


class Refusing(BaseHTTPRequestHandler):
    """A Hub that shows nobody anything."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access to model acme/secret-1b is restricted.")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_no_access_to_a_gated_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as hub:
        Thread(target=hub.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{hub.server_port}"
        for name, value in (
            ("HF_ENDPOINT", address),
            ("HF_HUB_OFFLINE", "0"),
            ("HF_HOME", str(tmp_path / "hf")),
            ("HF_TOKEN", "hf_not_shown"),
        ):
            monkeypatch.setenv(name, value)
        task = make_small_task(tmp_path / "tasks")
        change_config(task, base_model="acme/secret-1b")
        error = fails(task)
        hub.shutdown()
    assert error == (
        f"HUB-ACCESS: The base model acme/secret-1b is gated. Accept its terms at {address}/acme/secret-1b, and log in with:"
        " hf auth login (or set HF_TOKEN), then run the same command again."
    )
    written = [path for path in (task / "versions" / "v1").iterdir() if path.is_file()]
    assert not [path for path in written if b"hf_not_shown" in path.read_bytes()]
