"""Searching for better settings: what it would cost, starting it, looking at it, stopping it."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_skills.base_model import require_training
from nlp_skills.confirmation import call_again
from nlp_skills.data.present import describe_data, hash_files
from nlp_skills.data.replacement import settle_data
from nlp_skills.errors import MissingExtra, NlpSkillsError, NotReady, NotValid, RunFailed
from nlp_skills.evaluation.search.measures import SAME_UNIT, require_measured
from nlp_skills.evaluation.search.record import (
    SearchDefinition,
    SearchReport,
    cost_words,
    is_searching,
    read_report,
)
from nlp_skills.records import Progress, silent, to_yaml, write_atomic
from nlp_skills.task.task import METRICS, Task
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.planning.forecast import forecast_version
from nlp_skills.training.search_space import FILE, mean_epochs, read_space, require_searchable
from nlp_skills.training.targets.local import KILL, STOPPING_SECONDS, start_detached, stop_run
from nlp_skills.training.train_log import last_lines

SETTINGS_EXAMPLES = {None: "'lora_r={choices: [8, 16]}'"}


def search_settings(
    task: Path,
    *,
    settings: dict[str, Any] | None = None,
    trials: int = 20,
    jobs: int = 1,
    parent: str | None = None,
    metric: str = "eval_loss",
    prune: bool = True,
    seed: int = 13,
    confirm: bool = False,
    wait: bool = False,
    progress: Progress = silent,
) -> SearchReport:
    """Search for better settings: each trial is a version, trained like any other, compared on the validation rows.

    `settings` says what to try, {field: {low, high, log}} or {field: {choices}}, and is kept in configs/search.yaml,
    which is read when it is left out. Without `confirm` it says what it would cost, or how far the search is. With
    it the search starts or goes on in the background, `jobs` runs at a time where there are devices for them; `wait`
    stays until it ends. The first trial has the parent's own settings. A trial that is behind is ended early and
    its weights are deleted; its records stay. More `trials` go on with the same search; another space, parent, metric,
    seed or other data are another one.

    Raises NotReady without a version to start from or a space, NotValid for a space that makes no sense, MissingExtra.
    """
    require_training()
    if find_spec("optuna") is None:
        raise MissingExtra("Searching", "tune")
    if trials < 1 or jobs < 1:
        raise NotValid("trials and jobs have to be at least 1.")
    definition = _define(task, settings, parent, metric, seed=seed, prune=prune)
    folder = definition.folder(task)
    found = read_report(folder)
    if found is not None and found.state == "running":
        return _wait(folder, progress) if confirm and wait else found
    if not confirm:
        return _plan(task, definition, found, trials, jobs)
    if found is not None and found.state == "complete" and len(found.trials) >= trials:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    if settings is not None:
        plain = {
            field: values.model_dump(mode="json", exclude_defaults=True)
            for field, values in definition.space.items()
        }
        write_atomic(task / FILE, to_yaml(plain))
    definition.save(folder / "search.yaml")
    _start(task, folder, _planned(task, definition, found, trials, jobs))
    return _wait(folder, progress) if wait else _report(folder)


def stop_search(task: Path) -> SearchReport:
    """Stop the task's search and its runs; their checkpoints stay, and the search can go on.

    Raises NotValid when none runs.
    """
    for folder in sorted((task / "benchmarks").glob("search-*")):
        if is_searching(folder):
            return _stop(task, folder)
    raise NotValid(f"{task.name}: no search runs at the moment.")


def _define(
    task: Path, settings: dict[str, Any] | None, parent: str | None, metric: str, *, seed: int, prune: bool
) -> SearchDefinition:
    """The search that is meant. Raises NotReady, NotValid."""
    settle_data(task)
    snapshot = describe_data(task / "data", hash_files(task / "data"))
    if snapshot is None or "train" not in snapshot.splits:
        raise NotReady(f"{task.name} has no data yet. Make it with: nlp-skills regenerate-data {task.name}")
    valid = snapshot.splits.get("valid")
    if valid is None or not valid.count:
        raise NotReady(
            f"{task.name}: trials are compared on validation rows, and there are none. Set split.valid in"
            f" data_source.yaml, then: nlp-skills convert-data {task.name}"
        )
    folder = version_folder(task, parent)
    before = TrainConfig.load(folder / "config.yaml")
    require_measured(metric, before, METRICS[Task.load(task / "task.yaml").type])
    space = read_space(task, settings)
    by_loss = metric.startswith("eval_") and metric not in SAME_UNIT
    require_searchable(space, before, snapshot.splits["train"].count, by_loss=by_loss)
    return SearchDefinition(
        space=space,
        parent=folder.name,
        metric=metric,
        prune=prune and metric == "eval_loss",
        seed=seed,
        source_hash=snapshot.source_hash,
    )


def _planned(
    task: Path, definition: SearchDefinition, found: SearchReport | None, trials: int, jobs: int
) -> SearchReport:
    """The report as it is before the search goes on."""
    report = found or SearchReport(
        task=task.name,
        key=definition.key,
        state="planned",
        metric=definition.metric,
        parent=definition.parent,
        trials_wanted=trials,
        jobs=jobs,
    )
    return report.with_changes(trials_wanted=trials, jobs=jobs, pid=None, error=None)


def _plan(
    task: Path, definition: SearchDefinition, found: SearchReport | None, trials: int, jobs: int
) -> SearchReport:
    report = _planned(task, definition, found, trials, jobs)
    left = trials - sum(t.state != "running" for t in report.trials)
    if left <= 0:
        return report.with_changes(message=report.told())
    seconds, usd = _predict(task, definition, left)
    cost = cost_words(seconds, usd, left, jobs, prune=definition.prune)
    fields = ", ".join(definition.space)
    what = f"Would {'go on' if report.trials else 'search'} from {definition.parent} over {fields}: {cost}."
    so_far = f" So far: {report.told()}" if report.trials else ""
    return report.with_changes(seconds=seconds, usd=usd, message=f"{what}{so_far} {call_again()}")


def _predict(task: Path, definition: SearchDefinition, trials: int) -> tuple[float | None, float | None]:
    """Seconds and money of so many trials one after the other; None where one run cannot be predicted."""
    try:
        said = forecast_version(task, definition.parent)
    except NlpSkillsError:
        return None, None
    if said.seconds is None:
        return None, None
    config = TrainConfig.load(task / "versions" / definition.parent / "config.yaml")
    times = trials * mean_epochs(definition.space, config) / config.epochs
    return round(said.seconds * times, 1), None if said.usd is None else round(said.usd * times, 2)


def _start(task: Path, folder: Path, report: SearchReport) -> None:
    """Start the search's process and leave it to itself. Raises RunFailed when it ends before it has begun."""
    report.with_changes(state="stopped").save(folder / "search.json")
    key = folder.name.removeprefix("search-")
    words = ("nlp_skills.evaluation.search.loop", str(task.resolve()), key)
    process = start_detached(*words, log=folder / "search.log")
    while process.poll() is None and _report(folder).state != "running":
        time.sleep(0.1)
    if process.poll():
        said = " ".join(last_lines(folder / "search.log", 1))
        raise RunFailed(f"{task.name}: the search did not begin. {said} See {folder / 'search.log'}")
    threading.Thread(target=process.wait, daemon=True).start()


def _report(folder: Path) -> SearchReport:
    found = read_report(folder)
    if found is None:
        raise RunFailed(f"{folder / 'search.json'} is gone.")
    return found


def _wait(folder: Path, progress: Progress) -> SearchReport:
    """Follow the search to its end; an interruption stops it."""
    try:
        while (found := _report(folder)).state == "running":
            progress(found.told(), sum(t.state != "running" for t in found.trials), found.trials_wanted)
            time.sleep(0.3)
    except BaseException:
        _stop(folder.parent.parent, folder)
        raise
    if found.state == "failed":
        raise RunFailed(f"{found.task}: the search ended. {found.error}")
    return found


def _stop(task: Path, folder: Path) -> SearchReport:
    pid = _report(folder).pid
    waiting = time.monotonic()
    while pid is not None and is_searching(folder):
        late = time.monotonic() - waiting > STOPPING_SECONDS
        with suppress(ProcessLookupError):
            os.kill(pid, KILL if late else signal.SIGTERM)
        time.sleep(0.1)
    for trial in _report(folder).trials:
        version = task / "versions" / trial.version if trial.version and trial.state == "running" else None
        job = read_job(version) if version else None
        if version is not None and job is not None and job.pid is not None and is_running(version):
            stop_run(version, job.pid)
    return _report(folder)
