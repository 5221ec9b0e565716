"""The search itself: a process of its own, started as `python -m nlp_skills.evaluation.search.loop TASK KEY`.

    ask Optuna ──▶ version ──▶ run, as any run is trained ──▶ tell Optuna
         ▲                     every validation loss ──▶ ASHA ──▶ ended early where it is behind
         └──────────────── until there are enough trials

One process asks and tells; the runs are processes of their own, which wait in the machine's queue. Killed at any
moment, it goes on: Optuna's storage knows the trials, their versions know their checkpoints.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, RunFailed, counted
from nlp_skills.evaluation.search.page import write_search_page
from nlp_skills.evaluation.search.record import SearchDefinition, SearchReport
from nlp_skills.evaluation.search.study import (
    cut_off_trial,
    first_rung,
    importance,
    next_trial,
    open_study,
    read_trials,
    same_as_before,
)
from nlp_skills.evaluation.search.trial import Attempt, end_early, trial_version
from nlp_skills.locks import locked
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.search_space import as_parameters, suggest

LOOKS_EVERY = 0.2
"""Seconds."""
HOPELESS = 3
"""Trials that fail before one succeeds: the cause is not in the settings."""


class Search:
    """A search that goes on."""

    def __init__(self, task: Path, folder: Path) -> None:
        self.task = task
        self.folder = folder
        self.definition = SearchDefinition.load(folder / "search.yaml")
        self.report = SearchReport.load(folder / "search.json")
        self.parent = TrainConfig.load(task / "versions" / self.definition.parent / "config.yaml")
        self.study = open_study(folder, self.definition, first_rung(task, self.parent))
        self.active: dict[int, tuple[Any, Attempt]] = {}

    def run(self) -> SearchReport:
        """Until there are enough trials."""
        self.save("running")
        self._take_up()
        while True:
            for number in list(self.active):
                self._follow(number)
            if len(self.report.trials) < self.report.trials_wanted and len(self.active) < self.report.jobs:
                self._require_hope()
                self._begin(next_trial(self.study, self.definition))
            elif not self.active:
                return self.save("complete")
            else:
                time.sleep(LOOKS_EVERY)

    def _take_up(self) -> None:
        """The parent's own settings come first: they have to be beaten. What was cut off goes on."""
        first = as_parameters(self.parent, self.definition.space)
        if not self.study.trials and first is not None:
            self.study.enqueue_trial(first)
        for trial in self.report.trials:
            if trial.state == "pruned" and trial.version and trial.note:
                end_early(self.task, trial.version, self._reason(trial.note))
            elif trial.state == "running":
                self._begin(cut_off_trial(self.study, trial.number))

    def _begin(self, trial: Any) -> None:
        """Start a trial, or go on with it."""
        from optuna.trial import TrialState

        settings = suggest(trial, self.definition.space)
        if self._repeats(trial):
            return
        try:
            version = trial_version(self.task, self.definition, trial.number, settings)
        except (NotValid, NotReady) as error:
            self._end(trial, TrialState.FAIL, str(error))
            return
        trial.set_user_attr("version", version)
        self.save("running")
        self.active[trial.number] = trial, Attempt(self.task, version)

    def _repeats(self, trial: Any) -> bool:
        """Whether the same settings were tried before: a run would give the same figures again."""
        same = same_as_before(self.study, trial.number)
        if same is None:
            return False
        trial.set_user_attr("version", same.user_attrs["version"])
        for step, value in same.intermediate_values.items():
            trial.report(value, step)
        value = same.value if same.state.name == "COMPLETE" else None
        self._end(trial, same.state, f"The same settings as trial {same.number}.", value)
        return True

    def _follow(self, number: int) -> None:
        """Hand on what a run has measured, and see whether it has ended or should."""
        from optuna.trial import TrialState

        trial, attempt = self.active[number]
        ended = attempt.ended()  # asked first: then all that it has measured is there
        known = self.study.trials[number].intermediate_values
        for look in attempt.looks() if self.definition.by_loss else []:
            if look.hundredths in known:
                continue
            trial.report(look.loss, look.hundredths)
            if trial.should_prune() and attempt.version != self.definition.parent:
                told = f"Behind after {counted(look.hundredths / 100, 'epoch')} (validation loss {look.loss:.4f})."
                self._end(trial, TrialState.PRUNED, told)
                end_early(self.task, attempt.version, self._reason(told))
                return
        if not ended:
            return
        error = attempt.error()
        if error is not None:
            self._end(trial, TrialState.FAIL, error)
            return
        try:
            value = attempt.value(self.definition.metric)
        except NlpSkillsError as failed:
            self._end(trial, TrialState.FAIL, str(failed))
            return
        self._end(trial, TrialState.COMPLETE, None, value)

    def _reason(self, told: str) -> str:
        return f"Ended early by search {self.definition.key}. {told}"

    def _end(self, trial: Any, state: Any, note: str | None, value: float | None = None) -> None:
        if note is not None:
            trial.set_user_attr("note", note)
        self.study.tell(trial, value, state=state)
        self.active.pop(trial.number, None)
        self.save("running")

    def _require_hope(self) -> None:
        """Raises RunFailed where nothing but failures came."""
        ended = [t for t in self.report.trials if t.state != "running"]
        if len(ended) >= HOPELESS and all(t.state == "failed" for t in ended):
            raise RunFailed(
                f"The first {counted(len(ended), 'trial')} failed. The last one: {ended[-1].note}"
            )

    def save(self, state: str, error: str | None = None) -> SearchReport:
        """Write search.json and the page from what Optuna knows."""
        trials = read_trials(self.study, self.definition)
        best = None
        for trial in trials:
            if trial.state != "complete" or trial.value is None:
                continue
            if best is None or best.value is None or self.definition.better(trial.value, best.value):
                best = trial
        self.report = self.report.with_changes(
            state=state,
            pid=os.getpid(),
            trials=[t.model_dump(mode="json") for t in trials],
            best=best.version if best else None,
            best_value=best.value if best else None,
            importance=importance(self.study, self.definition),
            error=error,
            page=(self.folder / "search.html").relative_to(self.task).as_posix(),
        )
        self.report.save(self.folder / "search.json")
        write_search_page(self.folder / "search.html", self.definition, self.report)
        return self.report


def run_search(task: Path, folder: Path) -> SearchReport:
    """Search, or go on with it; holds the search's lock. When it raises, search.json says why."""
    with locked(folder / ".lock", f"goes on with this search of {task.name}", patience=5):
        search = Search(task, folder)
        try:
            return search.run()
        except NlpSkillsError as error:
            search.save("failed", str(error))
            raise


if __name__ == "__main__":
    place = Path(sys.argv[1])
    try:
        run_search(place, place / "benchmarks" / f"search-{sys.argv[2]}")
    except NlpSkillsError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(1)
