"""A run that does not fit makes itself smaller, says so, and leaves config.yaml as it was."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from small_task import make_small_task

from nlp_skills.data.example import Example, read_examples, write_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.records import sha256_file, to_json
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import read_job
from nlp_skills.training.preflight.out_of_memory import kernel_kills
from nlp_skills.training.run.run import KILLS
from nlp_skills.training.targets.local import start_run
from nlp_skills.training.train import train_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/status").is_file(), reason="the limit is on address space, as Linux counts it"
    ),
]

MEASURE = """
import sys
from pathlib import Path
from typing import Any
from nlp_skills.training.preflight.check import check_training
report = check_training(Path(sys.argv[1]))
assert report.passed, report.findings
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmPeak")))
"""
ROOM = 250 << 20
"""A row more takes some 450 MB here, and the end of a run some 50."""


@contextmanager
def address_space_of(size: int) -> Iterator[None]:
    """The processes that are started meanwhile may have no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def wide_model(folder: Path) -> None:
    """Few weights, and much to remember for each token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig(**{**settings, "intermediate_size": 16384})).save_pretrained(folder)


def longer_rows(task: Path) -> None:
    record = task / "versions" / "v1" / "data_snapshot.json"
    snapshot = DataSnapshot.load(record).model_dump(mode="json")
    for split in ("train", "valid"):
        file = task / "data" / f"{split}.jsonl"
        write_examples(file, [longer(example) for example in read_examples(file)])
        snapshot["splits"][split]["sha256"] = sha256_file(file)
    DataSnapshot.parse(snapshot, record).save(record)


def longer(example: Example) -> Example:
    first, *others = example.messages or []
    return structs.replace(example, messages=[structs.replace(first, content="Sort it. " * 80), *others])


def test_a_run_with_too_little_memory_takes_smaller_batches(tmp_path: Path) -> None:
    size: dict[str, Any] = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2}
    task = make_small_task(tmp_path / "tasks", rows=8, dtype="float32", **size)
    folder = task / "versions" / "v1"
    wide_model(tmp_path / "small-model")
    longer_rows(task)
    written = (folder / "config.yaml").read_bytes()
    config = TrainConfig.load(folder / "config.yaml")
    halved = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 1,
    }
    config.with_changes(**halved).save(folder / "config.yaml")
    peak = subprocess.run(
        [sys.executable, "-c", MEASURE, str(task)], capture_output=True, text=True, check=True
    )
    (folder / "config.yaml").write_bytes(written)
    with address_space_of(int(peak.stdout.split()[-1]) * 1024 + ROOM):
        version = train_model(task)
    job = read_job(folder)
    assert job is not None
    assert (job.status, job.adjusted, job.total_steps) == ("succeeded", halved, 4)
    assert len(job.adjustments) == 1
    assert job.adjustments[0].startswith(
        "per_device_train_batch_size 2 → 1, gradient_accumulation_steps 1 → 2, per_device_eval_batch_size 2 → 1: the"
        " memory did not suffice"
    )
    assert (folder / "config.yaml").read_bytes() == written
    assert {key: version.config[key] for key in halved} == halved


def test_a_worker_that_somebody_has_killed_ends_the_run_and_the_next_goes_on(tmp_path: Path) -> None:
    import psutil

    task = make_small_task(tmp_path / "tasks", epochs=25, save_steps=2)
    folder = task / "versions" / "v1"
    process = start_run(task, folder)
    while not checkpoints(task / "models" / "v1" / "checkpoints"):
        assert process.poll() is None
    (worker,) = psutil.Process(process.pid).children()
    worker.kill()
    assert process.wait() == 1
    job = read_job(folder)
    assert job is not None
    assert (job.status, job.adjusted) == ("failed", {})
    assert job.error == (
        "The process that trained was killed (signal 9). Its checkpoints are whole: start the training again to go on."
    )
    train_model(task)
    job = read_job(folder)
    assert job is not None
    assert (job.status, job.resumed) == ("succeeded", 1)


def test_a_run_that_the_kernel_has_killed_for_memory_begins_smaller_the_next_time(tmp_path: Path) -> None:
    found = kernel_kills()
    if found is None:
        pytest.skip("this kernel does not say how many processes it has killed for memory")
    task = make_small_task(tmp_path / "tasks")
    place = task / "models" / "v1"
    place.mkdir(parents=True)
    (place / KILLS).write_bytes(to_json({"place": found.place, "kills": found.kills - 1}))
    train_model(task)
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert job.adjusted == {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 8,
    }
    assert job.adjustments[0].endswith(
        "the kernel ended the process, because the machine's memory was full when the run was last at work"
    )
    assert sorted(path.name for path in place.iterdir()) == ["adapter"]
