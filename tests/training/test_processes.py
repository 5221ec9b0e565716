"""One run in several processes: the same rows as in one, and the first alone writes."""

import signal
from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.base_model import own_device
from nlp_skills.errors import NotReady
from nlp_skills.records import read_mapping
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.run.processes import launch_command
from nlp_skills.training.status import training_status
from nlp_skills.training.targets.local import start_run
from nlp_skills.training.train import train_model


def losses(task: Path) -> list[tuple[int, str, float]]:
    rows = read_metrics(task / "versions" / "v1" / "metrics.jsonl")
    return [(row["step"], name, row[name]) for row in rows for name in ("loss", "eval_loss") if name in row]


@pytest.mark.slow
def test_two_processes_see_the_rows_of_one_and_the_first_alone_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    home, same = tmp_path / "tasks", {"rows": 32, "epochs": 2, "save_steps": 2, "dtype": "float32"}
    one = make_small_task(home, "one", per_device_train_batch_size=2, gradient_accumulation_steps=2, **same)
    two = make_small_task(home, "two", per_device_train_batch_size=2, num_processes=2, **same)
    train_model(one)
    folder = two / "versions" / "v1"
    process = start_run(two, folder)
    while process.poll() is None and not checkpoints(two / "models" / "v1" / "checkpoints"):
        assert training_status(two).status in ("queued", "running")
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    train_model(two)
    job = read_job(folder)
    assert job is not None
    assert (job.status, job.devices, job.resumed, job.total_steps) == ("succeeded", ["cpu"], 1, 16)
    # The order of the batches is the same; each step's rows are two batches of two, here one after the other, there side by side.
    steps = [(step, name) for step, name, _ in losses(two)]
    assert steps == [(step, name) for step, name, _ in losses(one)]
    assert [value for *_, value in losses(two)] == pytest.approx(
        [value for *_, value in losses(one)], rel=0.02
    )
    assert not is_running(folder)
    assert sorted(path.name for path in (two / "models" / "v1").iterdir()) == ["adapter"]


def test_launcher_gets_what_accelerate_reads(tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    file = tmp_path / "accelerate.yaml"
    for kind, expected in (("ddp", "MULTI_GPU"), ("fsdp", "FSDP")):
        config = TrainConfig.parse({"num_processes": 2, "distributed": kind}, "here")
        command = launch_command(config, ["0", "1"], file)
        assert command[3:] == ["accelerate.commands.launch", "--config_file", str(file)]
        read = load_config_from_file(str(file))
        assert (read.distributed_type, read.num_processes, read.main_process_port) == (expected, 2, 0)
    assert read_mapping(file)["fsdp_config"]["fsdp_version"] == 2


def test_what_this_machine_cannot_do_is_refused_with_the_cure(tmp_path: Path) -> None:
    config = TrainConfig.parse({"num_processes": 2, "distributed": "fsdp"}, "here")
    with pytest.raises(NotReady, match="distributed: fsdp needs GPUs; on a processor it is ddp"):
        launch_command(config, ["cpu"], tmp_path / "accelerate.yaml")
    assert list(tmp_path.iterdir()) == []


def test_each_process_of_a_machine_has_a_gpu_of_its_own() -> None:
    assert own_device("cuda", None) == "cuda"
    assert [own_device("cuda", rank) for rank in ("0", "3")] == ["cuda:0", "cuda:3"]
    assert own_device("cpu", "1") == "cpu"
