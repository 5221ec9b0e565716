"""The run itself: a process of its own, started as `python -m nlp_skills.training.run.run TASK VERSION`.

run.py     holds the version's lock and its place in the queue, and says how it ended
└─ worker  does the work in a fresh process (worker.py), or several do (processes.py)

A worker that had too little memory, by its own word or killed by the kernel, is followed by one that needs less
(ladder.py). Checkpoints are whole or absent, and a run goes on from the newest one when it is started again,
whatever ended it before.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from nlp_skills.errors import NlpSkillsError, NotValid, RunFailed
from nlp_skills.records import now, read_mapping
from nlp_skills.task.version import record_lineage
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.devices import device_environment
from nlp_skills.training.job import Job, lock_file, update_job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.preflight.check import REPORT, SMALLER
from nlp_skills.training.preflight.ladder import LongestRows, next_rung
from nlp_skills.training.preflight.out_of_memory import kernel_kills, killed_for_memory
from nlp_skills.training.queue import in_queue
from nlp_skills.training.run.log_lines import say
from nlp_skills.training.run.lookout import KillNote, Lookout
from nlp_skills.training.run.processes import failure_of, is_worker, run_workers
from nlp_skills.training.run.verify import check_fresh_load
from nlp_skills.training.run.watch import repeats
from nlp_skills.training.run.worker import NO_MEMORY, NO_MEMORY_TO_EVALUATE, work
from nlp_skills.training.version_model import resolve_model

KILLS = "memory-kills.json"
BY_THE_KERNEL = f"{NO_MEMORY}: the kernel ended the process, because the machine's memory was full"


def run_training(task: Path, version: str) -> Job:
    """Train a version from its records, or go on with it; returns the job as it ended.

    When it raises, job.json says "failed" with the reason; a later call goes on from the newest checkpoint.
    """
    folder = task / "versions" / version
    lock = FileLock(lock_file(folder))
    try:
        lock.acquire(timeout=5)  # somebody may be looking at this moment whether it is held
    except Timeout:
        raise NotValid(f"{task.name} {version} is being trained by another process already.") from None
    try:
        return _run(task, folder)
    finally:
        lock.release()


def _run(task: Path, folder: Path) -> Job:
    try:
        config = TrainConfig.load(folder / "config.yaml")
        with in_queue(task, folder.name, config.num_processes) as place:
            # With this process's id: whoever started it goes its way.
            update_job(folder, pid=os.getpid(), ended=None, error=None, exit_code=None, repeats=False)
            devices = place.wait()
            os.environ.update(device_environment(devices))
            update_job(folder, status="running", devices=devices)
            _train(task, folder, config, devices)
            _check_saved(task, folder)
    except BaseException as error:
        text = str(error) if isinstance(error, NlpSkillsError) else f"{type(error).__name__}: {error}"
        update_job(folder, status="failed", ended=now(), exit_code=1, error=text, repeats=repeats(text))
        raise
    ended = update_job(folder, status="succeeded", ended=now(), exit_code=0)
    record_lineage(task, version=folder.name)
    # Nothing goes on from here; with the optimiser's state they are three times the adapter.
    shutil.rmtree(task / "models" / folder.name / "checkpoints", ignore_errors=True)
    return ended


def _train(task: Path, folder: Path, written: TrainConfig, devices: list[str]) -> None:
    """Start workers until one comes to the end. Raises RunFailed with what the last one has said."""
    note = KillNote(task / "models" / folder.name / KILLS)
    if note.tells_of_a_kill():
        _step_down(task, folder, _adjusted(folder, written), f"{BY_THE_KERNEL} when the run was last at work")
    while True:
        config = _adjusted(folder, written)
        with note.kept():
            look = Lookout(folder, note, config).look
            status = run_workers(task, folder.name, config, devices, look=look)
        if status == 0:
            return
        said = failure_of(task, folder.name)
        if said is None and killed_for_memory(status, note.seen, kernel_kills()):
            said = BY_THE_KERNEL
        if said is None or not said.startswith((NO_MEMORY, NO_MEMORY_TO_EVALUATE)):
            raise RunFailed(said or _without_a_word(status))
        _step_down(task, folder, config, said)


def _adjusted(folder: Path, written: TrainConfig) -> TrainConfig:
    return written.with_changes(**Job.load(folder / "job.json").adjusted)


def _without_a_word(status: int) -> str:
    how = f"was killed (signal {-status})" if status < 0 else f"ended with exit status {status} and no word"
    return f"The process that trained {how}. Its checkpoints are whole: start the training again to go on."


def _step_down(task: Path, folder: Path, config: TrainConfig, said: str) -> None:
    """Record a smaller run in job.json. Raises RunFailed where nothing is left to be made smaller."""
    rung = next_rung(config, _longest(folder), evaluating=said.startswith(NO_MEMORY_TO_EVALUATE))
    if rung is None:
        raise RunFailed(
            f"{said}, and nothing is left to be made smaller. {SMALLER.replace('TASK', task.name)}."
        )
    job = Job.load(folder / "job.json")
    words = f"{rung.words}: {said.removeprefix(f'{NO_MEMORY}: ')}"
    say(f"{said}. Trying again with {rung.words}", "WARNING")
    update_job(
        folder,
        adjusted={**job.adjusted, **rung.changes},
        adjustments=[*job.adjustments, words],
        predicted=None,  # it was of a larger run
    )
    if not rung.keeps_checkpoints:
        shutil.rmtree(task / "models" / folder.name / "checkpoints", ignore_errors=True)


def _longest(folder: Path) -> LongestRows | None:
    """From the preflight's report, if the worker came so far."""
    report = folder / REPORT
    found = read_mapping(report).get("rows") if report.is_file() else None
    return LongestRows.parse(found["longest"], report) if found and found.get("longest") else None


def _check_saved(task: Path, folder: Path) -> None:
    """The model loads where nothing is known of the run; only then the run has succeeded."""
    info = ModelInfo.load(folder / "model_info.json")
    config = TrainConfig.load(folder / "config.yaml")
    files = resolve_model(task, config.base_model, config.base_revision)
    check_fresh_load(task / info.path, files.path)


def main(task: Path, version: str) -> int:
    """The exit status: 0 when the version is trained."""
    try:
        if is_worker():
            work(task, task / "versions" / version)
        else:
            run_training(task, version)
    except NlpSkillsError as failure:
        if not is_worker():  # the run says what its workers say
            say(str(failure), "ERROR")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
