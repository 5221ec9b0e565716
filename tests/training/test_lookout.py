"""What a run sees while its workers work, and what it leaves behind when somebody ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlp_skills.records import now, read_mapping, to_json
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job, Prediction
from nlp_skills.training.preflight.out_of_memory import KernelKills, kernel_kills
from nlp_skills.training.run.lookout import KillNote, Lookout
from nlp_skills.training.run.metrics_log import append_line, read_metrics
from nlp_skills.training.run.watch import LOADING_SECONDS


@pytest.fixture
def kills() -> KernelKills:
    found = kernel_kills()
    if found is None:
        pytest.skip("this kernel does not say how many processes it has killed for memory")
    return found


def test_only_a_kill_since_the_last_look_of_this_very_run_counts(tmp_path: Path, kills: KernelKills) -> None:
    note = KillNote(tmp_path / "note.json")
    assert not note.tells_of_a_kill(), "there is none"
    for place, count, told in (
        (kills.place, -1, True),
        (kills.place, kills.kills, False),
        ("another start of the machine /proc/vmstat", -1, False),
    ):
        note.path.write_bytes(to_json({"place": place, "kills": count}))
        assert note.tells_of_a_kill() is told, place
        assert not note.path.exists(), "it is asked once"
    note.path.write_text("3", encoding="utf-8")  # of a release before this one
    assert not note.tells_of_a_kill()


def test_the_note_is_there_while_workers_work(tmp_path: Path, kills: KernelKills) -> None:
    note = KillNote(tmp_path / "note.json")
    for _ in range(2):
        with note.kept():
            assert read_mapping(note.path) == {"place": kills.place, "kills": kills.kills}
        assert not note.path.exists()


STOPPED = """
import sys, time
from pathlib import Path
from nlp_skills.training.run.lookout import KillNote
with KillNote(Path(sys.argv[1])).kept():
    print("works", flush=True)
    while True:
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_who_stops_a_run_takes_the_note_away(tmp_path: Path, kills: KernelKills) -> None:
    note = tmp_path / "note.json"
    command = [sys.executable, "-c", STOPPED, str(note)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "works\n"
        assert note.exists()
        run.send_signal(signal.SIGTERM)
    assert run.returncode == -signal.SIGTERM
    assert not note.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    predicted = Prediction(seconds=600.0)
    job = Job(id="a", status="running", started=now(), log="train.log", total_steps=100, predicted=predicted)
    job.save(tmp_path / "job.json")
    return tmp_path


def warnings(folder: Path, began: float) -> list[str]:
    """What is told of a run whose workers began so many seconds ago."""
    lookout = Lookout(folder, KillNote(folder / "note.json"), TrainConfig(logging_steps=5))
    lookout.began = time.time() - began
    lookout.look()
    lookout.look()
    return Job.load(folder / "job.json").warnings


def test_a_run_that_never_comes_to_its_first_step_is_told_of_once(folder: Path) -> None:
    assert warnings(folder, LOADING_SECONDS + 290) == [], (
        "ten times what five steps are to take is left to it"
    )
    (told,) = warnings(folder, LOADING_SECONDS + 310)
    assert told.startswith("RUN-STALL: no step in the first 35 minutes. ")
    assert [row["warning"] for row in read_metrics(folder / "metrics.jsonl")] == ["RUN-STALL"]


def test_lines_of_an_earlier_part_of_the_run_say_nothing_of_this_one(folder: Path) -> None:
    metrics = folder / "metrics.jsonl"
    append_line(metrics, {"step": 1, "loss": 1.0, "seconds": 3.0})
    yesterday = time.time() - 86_400
    os.utime(metrics, (yesterday, yesterday))
    assert warnings(folder, 20.0) == []
    (told,) = warnings(folder, 2 * 86_400)
    assert told.startswith("RUN-STALL: no step for 1440 minutes")
