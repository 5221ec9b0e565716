"""Several runs at once: each waits its turn, the table is the files, and lineage is recorded once."""

import os
import re
import signal
from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.errors import NotValid
from nlp_skills.hooks.tracking import tracking_note
from nlp_skills.records import now, silent
from nlp_skills.task.version import Version, record_lineage
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.folds import train_part
from nlp_skills.training.job import Job, holding, is_running, read_job
from nlp_skills.training.job_table import JobLine, list_jobs
from nlp_skills.training.new_version import create_version
from nlp_skills.training.preflight.out_of_memory import kernel_kills
from nlp_skills.training.present_job import KILLED
from nlp_skills.training.queue import Waiting, in_queue
from nlp_skills.training.run.run import KILLS
from nlp_skills.training.status import TrainingStatus, training_status
from nlp_skills.training.targets.local import start_run
from nlp_skills.training.train import StartingPlan, start_training, stop_training, train_model
from nlp_skills.training.train_log import training_log


@pytest.fixture(autouse=True)
def one_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLP_SKILLS_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_runs_wait_in_order_while_the_device_is_taken_and_a_kill_of_everything_leaves_the_table(
    tmp_path: Path,
) -> None:
    home = tmp_path / "tasks"
    first, second = make_small_task(home, "first"), make_small_task(home, "second")
    processes = []
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "task.yaml").touch()
    with in_queue(tmp_path / "elsewhere" / "benchmarks" / "folds-1" / "fold-2", "v1", 1) as holder:
        holder.wait()
        processes = [start_run(task, task / "versions" / "v1") for task in (first, second)]
        assert (training_status(first).status, training_status(second).waiting) == (
            "queued",
            Waiting(place=2, behind=["elsewhere folds-1/fold-2"]),
        )
        with pytest.raises(
            NotValid, match=r"first v1 is being trained already.*training-status first .*stop-training first "
        ):
            start_training(first, confirm=True)
        assert [(job.task, job.status, job.place) for job in list_jobs(home).jobs] == [
            ("first", "queued", 1),
            ("second", "queued", 2),
        ]
        create_version(first)
        assert training_status(first).version == "v1", "it waits, and v2 does not"
        assert training_log(first).version == "v1"
        processes.append(start_run(first, first / "versions" / "v2"))
        with pytest.raises(NotValid, match=r"first: v1, v2 are being trained\. Say which: --version v2"):
            stop_training(first)
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert [(job.status, job.error) for job in list_jobs(home).jobs] == [("failed", KILLED)] * 3
    create_version(first)
    assert training_status(first).version == "v2", "none runs, and v3 has no run"
    assert training_status(first).waiting is None


def test_queued_run_can_be_stopped_and_is_trained_later(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    with in_queue(tmp_path / "elsewhere", "v1", 1) as holder:
        holder.wait()
        started = start_training(task, confirm=True)
        assert isinstance(started, TrainingStatus)
        assert started.status == "queued"
        assert stop_training(task).status == "cancelled"
        with pytest.raises(NotValid, match="not being trained at the moment"):
            stop_training(task)
    assert train_model(task).cost["seconds"] > 0
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert (job.devices, job.status) == (["cpu"], "succeeded")
    assert any("trainable" in line or "are trained" in line for line in training_log(task).lines)
    listed = list_jobs(tmp_path / "tasks").jobs
    assert listed == [
        JobLine(
            task="support",
            version="v1",
            status="succeeded",
            target="local",
            step=job.total_steps or 0,
            total_steps=job.total_steps,
            started=job.started,
            ended=job.ended,
        )
    ]


def test_a_run_that_was_stopped_goes_on_as_it_was_although_the_kernel_has_killed_others(
    tmp_path: Path,
) -> None:
    task = make_small_task(tmp_path / "tasks", epochs=25, save_steps=2)
    place = task / "models" / "v1"
    process = start_run(task, task / "versions" / "v1")
    while not checkpoints(place / "checkpoints"):
        assert process.poll() is None
    assert (place / KILLS).exists() == (kernel_kills() is not None)
    assert stop_training(task).status == "cancelled"
    process.wait()
    assert not (place / KILLS).exists(), "what the kernel kills from now on is no matter of this run"
    train_model(task)
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert (job.status, job.resumed, job.adjusted) == ("succeeded", 1, {})


def test_nothing_is_started_before_it_is_confirmed(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    plan = start_training(task)
    assert isinstance(plan, StartingPlan)
    assert (plan.confirmed, plan.target, plan.rows) == (False, "local", 32)
    assert read_job(task / "versions" / "v1") is None


def test_hook_and_run_record_the_same_lineage_and_only_the_first_of_them_writes(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    lineage = task / "versions" / "v1" / "lineage.yaml"
    before = lineage.read_bytes()
    train_model(task)
    by_the_run, written = lineage.read_bytes(), lineage.stat().st_mtime_ns
    assert by_the_run != before
    event = {"tool_name": "Bash", "tool_input": {}}
    assert tracking_note(event, tmp_path / "tasks", None) is None, "the run has done it"
    record_lineage(task)
    assert lineage.stat().st_mtime_ns == written
    lineage.write_bytes(before)  # as if the run had been killed between job.json and this
    note = tracking_note(event, tmp_path / "tasks", None)
    assert note is not None
    assert "its lineage was recorded now" in note
    assert lineage.read_bytes() == by_the_run
    assert Version.load(lineage).cost["seconds"] > 0


def test_broken_job_is_named_and_hides_no_other(tmp_path: Path) -> None:
    home = tmp_path / "tasks"
    whole, broken = make_small_task(home, "whole"), make_small_task(home, "broken")
    ended = Job(
        id="a", status="failed", started=now(), ended=now(), log="versions/v1/train.log", error="no disk"
    )
    ended.save(whole / "versions" / "v1" / "job.json")
    (broken / "versions" / "v1" / "job.json").write_text("{", encoding="utf-8")
    found = list_jobs(home)
    assert [(job.task, job.error) for job in found.jobs] == [("whole", "no disk")]
    assert list(found.unreadable) == ["broken/v1"]
    assert list_jobs(home, limit=0).more == 1
    for place in ("folds-1a2b3c4d/fold-2", "reproduced-v1"):
        folder = whole / "benchmarks" / place / "versions" / "v1"
        folder.mkdir(parents=True)
        ended.save(folder / "job.json")
    listed = [(job.task, job.version) for job in list_jobs(home).jobs]
    assert listed == [("whole", name) for name in ("v1", "folds-1a2b3c4d/fold-2", "reproduced-v1")]
    with (
        holding(folder),
        pytest.raises(NotValid, match=r"another process trains whole reproduced-v1 .*nlp-skills list-jobs\."),
    ):
        train_part(folder.parent.parent, "It was not made again", silent)


def test_run_outlives_the_process_that_started_it_and_its_pid_is_its_own(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    folder = task / "versions" / "v1"
    with in_queue(tmp_path / "elsewhere", "v1", 1) as holder:
        holder.wait()
        process = start_run(task, folder)
        job = read_job(folder)
        assert job is not None
        assert (job.pid, is_running(folder)) == (process.pid, True)
        if hasattr(os, "getsid"):
            assert os.getsid(process.pid) == process.pid
    assert process.wait() == 0
    assert training_status(task).status == "succeeded"
    lines = training_log(task, lines=100).lines
    assert any(line.endswith("parameters are trained") for line in lines)
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT[\d:]{8}Z (INFO|WARNING) ", line)] == []


@pytest.mark.skipif(os.name == "nt", reason="the interpreter is a shell script here")
def test_process_that_ends_before_it_has_begun_is_told_with_its_words_and_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_small_task(tmp_path / "tasks")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named nlp_skills' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    start_training(task, confirm=True)
    status = training_status(task)
    assert (status.status, status.error) == (
        "failed",
        "The process ended with exit status 3 before it began: No module named nlp_skills. Read versions/v1/train.log:"
        " nlp-skills training-log support --version v1",
    )
