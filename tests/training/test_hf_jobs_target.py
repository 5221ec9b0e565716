"""A task is trained as a job of the Hub, through huggingface_hub's own calls against a Hub on loopback."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_task import make_small_task

from hub_jobs_server import HubJobsServer
from hub_repositories import TOKEN, refused
from nlp_skills.errors import NotReady, NotValid, RunFailed
from nlp_skills.records import sha256_tree, to_yaml
from nlp_skills.training.job import read_job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.status import TrainingStatus, training_status
from nlp_skills.training.train import StartingPlan, start_training, stop_training
from nlp_skills.training.train_log import training_log


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubJobsServer]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the Hub here is on this machine
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # and processes that a test starts may ask it too
    with HubJobsServer(tmp_path / "containers") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def task(tmp_path: Path) -> Path:
    made = make_small_task(tmp_path / "tasks", rows=16, epochs=3, per_device_train_batch_size=2, save_steps=4)
    declare(made)
    return made


def declare(task: Path, **changes: object) -> None:
    target = {"name": "hub", "type": "hf_jobs", "environment": {"WANDB_API_KEY": "${BOX_SECRET}"}, **changes}
    (task / "configs").mkdir(exist_ok=True)
    (task / "configs" / "targets.yaml").write_bytes(to_yaml({"targets": [target]}))


def until(task: Path, step: int) -> TrainingStatus:
    while True:
        status = training_status(task)
        if status.step >= step or status.status not in ("queued", "running"):
            return status
        threading.Event().wait(0.3)  # every look takes time from the run


@pytest.mark.slow
def test_job_is_started_stopped_resumed_and_its_model_comes_home(
    hub: HubJobsServer, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOX_SECRET", "correct-horse-battery-staple-78")
    plan = start_training(task, target="hub")
    assert isinstance(plan, StartingPlan)
    assert (plan.usd_per_hour, hub.ordered.jobs) == (0.75, {})
    assert "0.75 USD an hour" in plan.message

    started = start_training(task, target="hub", confirm=True)
    assert isinstance(started, TrainingStatus)
    assert (started.status, started.target) == ("queued", "hub")
    (ordered,) = hub.ordered.jobs.values()
    assert ordered.spec["command"][:6] == ["uv", "run", "--with", "huggingface_hub>=2", "python", "-c"]
    assert ordered.spec["secrets"] == {"HF_TOKEN": TOKEN, "WANDB_API_KEY": "correct-horse-battery-staple-78"}
    assert (ordered.spec["flavor"], ordered.spec["timeoutSeconds"]) == ("a10g-small", 4 * 3600)
    assert list(hub.visibility.values()) == ["private"]

    assert until(task, 4).status == "running"
    (repository,) = hub.datasets
    stopped = stop_training(task)
    assert stopped.status == "cancelled"
    assert any("are trained" in line for line in training_log(task).lines)
    files = hub.datasets[repository].commits[hub.datasets[repository].branches["main"]]
    assert not [name for name, data in files.items() if b"correct-horse" in data or TOKEN.encode() in data]

    start_training(task, target="hub", confirm=True)
    ended = until(task, 10**9)
    assert ended.status == "succeeded", ended
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert job.cost is not None
    assert job.cost.usd == pytest.approx(0.75 * job.cost.seconds / 3600, abs=1e-4)
    info = ModelInfo.load(task / "versions" / "v1" / "model_info.json")
    assert info.sha256 == sha256_tree(task / info.path)
    assert hub.datasets == {}, "what was sent is removed when the results are here"


def test_what_the_hub_refuses_is_a_sentence_and_nothing_is_spent(
    hub: HubJobsServer, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReady, match="BOX_SECRET is not set, and the target hub"):
        start_training(task, target="hub", confirm=True)
    declare(task, flavor="a100-giant")
    with pytest.raises(NotValid, match=r"no hardware 'a100-giant' .*There are: cpu-basic, a10g-small\."):
        start_training(task, target="hub")
    monkeypatch.setenv("BOX_SECRET", "x" * 20)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "nobodys7Token9Of11This13Hub")
    with pytest.raises(RunFailed, match=r"hub: the Hub refuses: Invalid user token"):
        start_training(task, target="hub", confirm=True)
    assert (hub.ordered.jobs, read_job(task / "versions" / "v1")) == ({}, None)


def test_job_that_ended_without_results_has_failed_and_its_log_says_why(
    hub: HubJobsServer, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOX_SECRET", "x" * 20)
    monkeypatch.setenv("NLP_SKILLS_REPORTS_EVERY", "not a number")
    start_training(task, target="hub", confirm=True)
    (ordered,) = hub.ordered.jobs.values()
    ordered.process.kill()
    ordered.process.wait()
    ended = training_status(task)
    assert (ended.status, ended.error) == ("failed", "The Hub's job has ended (ERROR) without results.")
    with ordered.log.open("a", encoding="utf-8") as log:
        log.write("no space left on device\n")
    assert training_log(task).lines[-1] == "no space left on device"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOX_SECRET", "x" * 20)


def test_order_that_is_refused_leaves_no_repository_behind(
    hub: HubJobsServer, task: Path, secret: None
) -> None:
    hub.ordered.refusal = refused(402, "Payment required: no credit is left.")
    for _ in range(2):
        with pytest.raises(RunFailed, match=r"hub: the Hub refuses: .*402"):
            start_training(task, target="hub", confirm=True)
        assert hub.datasets == {}
    status = training_status(task)
    assert (status.status, hub.ordered.jobs) == ("failed", {})
    assert str(status.error).startswith("It was not started: Client error '402 Payment Required'")
    assert "--target hub --confirm" in status.next


def test_token_that_may_only_read_is_refused_before_anything_is_sent(
    hub: HubJobsServer, task: Path, secret: None
) -> None:
    hub.role = "read"
    with pytest.raises(
        NotReady, match=r"HUB-ACCESS: .* \(hub\), and the token may only read\. .* hf auth login"
    ):
        start_training(task, target="hub", confirm=True)
    assert (hub.datasets, hub.ordered.jobs, read_job(task / "versions" / "v1")) == ({}, {}, None)


@pytest.mark.slow
def test_start_that_is_killed_after_its_order_is_taken_up_and_not_ordered_twice(
    hub: HubJobsServer, task: Path, secret: None
) -> None:
    killed: list[subprocess.Popen[bytes]] = []
    hub.ordered.after = lambda: killed[0].kill()  # noqa: PLW0108 (there is none yet)
    killed.append(subprocess.Popen([sys.executable, "-c", START, str(task)]))
    assert killed[0].wait() != 0
    hub.ordered.after = lambda: None
    (number,) = hub.ordered.jobs
    left = read_job(task / "versions" / "v1")
    assert left is not None
    assert (left.status, left.target, "job" in left.remote) == ("queued", "hf_jobs", False)

    with pytest.raises(NotValid, match="is being trained already"):
        start_training(task, target="hub", confirm=True)
    found = read_job(task / "versions" / "v1")
    assert found is not None
    assert (found.remote["job"], list(hub.ordered.jobs)) == (number, [number])
    assert stop_training(task).status == "cancelled"
    assert hub.ordered.jobs[number].stage == "CANCELED"


def test_start_that_is_cut_off_before_its_order_has_failed_and_leaves_nothing(
    hub: HubJobsServer, task: Path, secret: None
) -> None:
    hub.ordered.refusal = refused(503, "Service Unavailable")
    with pytest.raises(RunFailed, match="503"):
        start_training(task, target="hub", confirm=True)
    status = training_status(task)
    assert (status.status, hub.datasets) == ("failed", {})
    assert status.error == "It was cut off before anything was ordered. Start it again."


START = """
import subprocess
import sys
from pathlib import Path
from nlp_skills.training.train import start_training
start_training(Path(sys.argv[1]), target="hub", confirm=True)
"""
