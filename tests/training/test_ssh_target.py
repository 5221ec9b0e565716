"""A task is trained on another machine over a real SSH server, and comes back as if it had been trained here.

NLP_SKILLS_KILLS sets how often one of the two sides is killed (2 by default; 10 for the figure in docs/benchmarks.md).
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.records import sha256_tree, to_yaml
from nlp_skills.task.version import Version, derive_lineage
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.job_table import list_jobs
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.queue import Waiting
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.status import TrainingStatus, training_status
from nlp_skills.training.targets.connection import Unreachable
from nlp_skills.training.train import start_training, stop_training, train_model
from nlp_skills.training.train_log import training_log
from sshd import SSHMachine, ssh_machine

__all__ = ["ssh_machine"]

KILLS = int(os.environ.get("NLP_SKILLS_KILLS", "2"))
STEPS = 480


def declare(task: Path, machine: SSHMachine, **changes: object) -> None:
    """configs/targets.yaml of a task."""
    target = machine.target.with_changes(**changes)
    (task / "configs").mkdir(exist_ok=True)
    plain = target.model_dump(mode="json", exclude_defaults=True) | {"type": "ssh"}
    (task / "configs" / "targets.yaml").write_bytes(to_yaml({"targets": [plain]}))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home") / "tasks"
    return make_small_task(home, rows=48, epochs=40, per_device_train_batch_size=4, save_steps=20)


@pytest.fixture(scope="module")
def undisturbed(untrained: Path) -> Path:
    """The same task, trained here."""
    task = copy(untrained, "undisturbed")
    train_model(task)
    return task


def copy(task: Path, name: str) -> Path:
    return Path(shutil.copytree(task, task.parent.parent / name / task.name))


def job_of(task: Path) -> Job:
    job = read_job(task / "versions" / "v1")
    assert job is not None
    return job


def until(task: Path, step: int) -> TrainingStatus:
    """Ask until the run has got so far, or has ended."""
    while True:
        status = training_status(task)
        if status.step >= step or status.status not in ("queued", "running"):
            return status
        threading.Event().wait(0.3)  # every look takes time from the run


def values(task: Path) -> list[dict]:
    rows = read_metrics(task / "versions" / "v1" / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def assert_as_trained_here(task: Path, undisturbed: Path) -> None:
    """Adapter, records and metrics are those of a run on this machine; nothing lies about."""
    folder = task / "versions" / "v1"
    adapters = [t / "models" / "v1" / "adapter" for t in (task, undisturbed)]
    assert sha256_tree(adapters[0]) == sha256_tree(adapters[1])
    infos = [ModelInfo.load(t / "versions" / "v1" / "model_info.json") for t in (task, undisturbed)]
    assert infos[0] == infos[1]
    assert values(task) == values(undisturbed)
    lineage = Version.load(folder / "lineage.yaml")
    assert lineage == derive_lineage(folder, "v1", lineage.created, None, lineage.changes)
    assert lineage.environment["python"]
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.slow
def test_run_survives_a_cut_connection_a_stop_and_a_resume_and_comes_back_whole(
    untrained: Path, undisturbed: Path, ssh_machine: SSHMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = copy(untrained, "sent")
    monkeypatch.setenv("BOX_TOKEN", "correct-horse-battery-staple-77")
    declare(task, ssh_machine, environment={"BOX_TOKEN": "${BOX_TOKEN}"}, usd_per_hour=3.6)
    started = start_training(task, target="box", confirm=True)
    assert isinstance(started, TrainingStatus)
    assert (started.target, started.status in ("queued", "running")) == ("box", True)
    cut_connections(ssh_machine)
    assert until(task, 5).status == "running"
    with pytest.raises(NotValid, match="is being trained already"):
        start_training(task, target="box", confirm=True)
    assert [(job.target, job.status) for job in list_jobs(task.parent).jobs] == [("box", "running")]
    other = copy(untrained, "behind")
    declare(other, ssh_machine)
    start_training(other, target="box", confirm=True)
    assert training_status(other).waiting == Waiting(place=1, behind=["support v1"])
    assert [(job.status, job.place) for job in list_jobs(other.parent).jobs] == [("queued", 1)]
    assert (stop_training(other).status, training_status(other).waiting) == ("cancelled", None)
    stopped = stop_training(task)
    assert stopped.status == "cancelled"
    assert "--target box" in stopped.next
    assert any("are trained" in line for line in training_log(task, lines=1000).lines)
    assert not (task / "models" / "v1").exists()

    start_training(task, target="box", confirm=True)
    assert until(task, 10**9).status == "succeeded"
    assert_as_trained_here(task, undisturbed)
    job = job_of(task)
    assert (job.resumed, job.target, job.remote["target"]) == (1, "ssh", "box")
    assert job.cost is not None
    assert job.predicted is not None, "for the machine there, beside what it took"
    assert job.cost.usd == round(job.cost.seconds / 1000, 4)
    jobs = Path(ssh_machine.target.folder) / "jobs"
    # What was sent is removed when the results are here; what was stopped may go on from there.
    assert [folder.name for folder in jobs.glob("*")] == [job_of(other).id]
    written = [path for path in (*task.rglob("*"), *ssh_machine.folder.rglob("*")) if path.is_file()]
    assert not [path for path in written if b"correct-horse-battery" in path.read_bytes()]


def cut_connections(machine: SSHMachine) -> None:
    """End every session of the server, as a lost network does; what it has started lives on."""
    machine.as_user("pkill", "-KILL", "-f", "^sshd: .*@notty")


@pytest.mark.slow
def test_kills_of_either_side_at_random_moments_end_as_an_undisturbed_run(
    untrained: Path, undisturbed: Path, ssh_machine: SSHMachine
) -> None:
    task = copy(untrained, "killed")
    declare(task, ssh_machine)
    chance = random.Random(11)
    steps = sorted(chance.sample(range(2, STEPS - 10), KILLS))
    for kill, step in enumerate(steps):
        begin = subprocess.Popen([sys.executable, "-c", START, str(task)], stderr=subprocess.PIPE)
        if kill % 2:  # this side, while it sends, starts or has started
            try:
                begin.wait(timeout=chance.random() * 4)
            except subprocess.TimeoutExpired:
                begin.send_signal(signal.SIGKILL)
            begin.communicate()
        else:  # the run, each time later than before
            said = begin.communicate()[1].decode()
            assert begin.returncode == 0, said
            until_there(task, step)
            ssh_machine.as_user("pkill", "-KILL", "-f", f"nlp_skills.training.run.run .*{job_of(task).id}")
        finished = newest_checkpoint(task)
        status = training_status(task)
        if status.status == "succeeded":  # it was faster than who looks
            break
        assert newest_checkpoint(task) >= finished
    if read_job(task / "versions" / "v1") is None or training_status(task).status in ("failed", "cancelled"):
        start_training(task, target="box", confirm=True)
    assert until(task, 10**9).status == "succeeded"
    assert_as_trained_here(task, undisturbed)
    assert job_of(task).resumed > 0


def until_there(task: Path, step: int) -> None:
    """Wait until the run has logged a step, looking at its file: here both machines are one."""
    metrics = Path(job_of(task).remote["folder"]) / "versions" / "v1" / "metrics.jsonl"
    while not (rows := read_metrics(metrics)) or rows[-1]["step"] < step:
        threading.Event().wait(0.02)


START = """
import sys
import threading
from pathlib import Path
from nlp_skills.errors import NotValid
from nlp_skills.training.train import start_training
try:
    start_training(Path(sys.argv[1]), target="box", confirm=True)
except NotValid:  # it runs, or has ended
    pass
"""


def newest_checkpoint(task: Path) -> int:
    """The last step that is safe, there or here; a run that has ended has no checkpoints any more."""
    job = read_job(task / "versions" / "v1")
    if job is None or not job.remote:
        return 0
    if job.status == "succeeded":
        return 10**9
    folder = Path(job.remote["folder"]) / "models" / "v1"
    if (folder / "adapter").exists():
        return 10**9
    return max((int(p.name[11:]) for p in folder.glob("checkpoints/checkpoint-*")), default=0)


def test_machine_that_does_not_answer_leaves_the_job_as_it_was(
    untrained: Path, ssh_machine: SSHMachine
) -> None:
    task = copy(untrained, "unreachable")
    declare(task, ssh_machine, port=1)
    with pytest.raises(Unreachable, match=r"box \(127\.0\.0\.1\) cannot be reached: .*ssh -p 1 "):
        start_training(task, target="box", confirm=True)
    assert read_job(task / "versions" / "v1") is None
    running = Job(
        id="a",
        target="ssh",
        remote={"target": "box", "host": "127.0.0.1", "folder": "f", "python": "python3"},
        status="running",
        started="2026-11-21T00:00:00Z",
        log="versions/v1/train.log",
    )
    running.save(task / "versions" / "v1" / "job.json")
    status = training_status(task)
    assert status.status == "running"
    assert status.error is not None
    assert "how it stood before" in status.error
    assert job_of(task) == running


def test_machine_without_room_or_token_is_refused_before_anything_is_sent(
    untrained: Path, ssh_machine: SSHMachine
) -> None:
    task = copy(untrained, "refused")
    declare(task, ssh_machine, min_free_gb=10**6)
    with pytest.raises(NotReady, match=r"box has .* GB of free disk .* min_free_gb is 1e\+06"):
        start_training(task, target="box", confirm=True)
    declare(task, ssh_machine, environment={"HF_TOKEN": "${NLP_SKILLS_NO_SUCH_TOKEN}"})
    with pytest.raises(NotReady, match="NLP_SKILLS_NO_SUCH_TOKEN is not set, and the target box"):
        start_training(task, target="box", confirm=True)
    assert read_job(task / "versions" / "v1") is None
