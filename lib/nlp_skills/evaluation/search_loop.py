"""The search itself: a process of its own, started as `python -m nlp_skills.evaluation.search_loop TASK KEY`.

    ask Optuna ──▶ version ──▶ run, as any run is trained ──▶ tell Optuna
         ▲                     every validation loss ──▶ ASHA ──▶ ended early where it is behind
         └──────────────── until there are enough trials

One process asks and tells; the runs are processes of their own, which wait in the machine's queue. Killed at any
moment, it goes on: Optuna's storage knows the trials, their versions know their checkpoints.

TPE: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization". ASHA: Li et al. 2020, arXiv:1810.05934.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import xxhash

from nlp_skills.errors import NlpSkillsError, NotReady, NotValid
from nlp_skills.evaluation.search_page import write_search_page
from nlp_skills.evaluation.search_record import SearchDefinition, SearchReport, Trial, lock_of
from nlp_skills.evaluation.search_trial import Attempt, end_early, trial_version
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.arguments import steps_per_epoch
from nlp_skills.training.search_space import as_parameters, settings_of, suggest

REDUCTION = 3
"""ASHA: of the trials that reach a rung, a third goes on to the next, which is three times as far."""
LOOKS_EVERY = 0.2
"""Seconds."""
ENOUGH_TO_TELL = 8
"""Complete trials below which it is not said which setting mattered."""
HOPELESS = 3
"""Trials that fail before one succeeds: the cause is not in the settings."""


class Search:
    """A search that goes on."""

    def __init__(self, task: Path, folder: Path) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.task = task
        self.folder = folder
        self.definition = SearchDefinition.load(folder / "search.yaml")
        self.report = SearchReport.load(folder / "search.json")
        self.parent = TrainConfig.load(task / "versions" / self.definition.parent / "config.yaml")
        self.study = optuna.create_study(
            storage=f"sqlite:///{(folder / 'trials.db').as_posix()}",
            study_name=self.definition.key,
            direction="minimize" if self.definition.by_loss else "maximize",
            pruner=self._pruner(),
            load_if_exists=True,
        )
        self.active: dict[int, tuple[Any, Attempt]] = {}

    def _pruner(self) -> Any:
        import optuna

        if not self.definition.prune:
            return optuna.pruners.NopPruner()
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=max(1, round(100 * self._first_look())), reduction_factor=REDUCTION
        )

    def _first_look(self) -> float:
        """The epoch of the parent's first evaluation, which is the first rung."""
        if self.parent.eval_steps is None:
            return 1.0
        from nlp_skills.data.snapshot import DataSnapshot

        rows = DataSnapshot.load(self.task / "data" / "data_snapshot.json").splits["train"].count
        return self.parent.eval_steps / steps_per_epoch(self.parent, rows)

    def run(self) -> SearchReport:
        """Until there are enough trials."""
        from optuna.trial import TrialState

        self._save("running")
        first = as_parameters(self.parent, self.definition.space)
        if not self.study.trials and first is not None:
            self.study.enqueue_trial(first)  # what is there already is what has to be beaten
        for behind in self.study.get_trials(states=(TrialState.PRUNED,)):
            end_early(self.task, behind.user_attrs["version"], self._reason(behind.user_attrs["note"]))
        for cut_off in self.study.get_trials(states=(TrialState.RUNNING,)):
            self._begin(cut_off.number)
        while True:
            for number in list(self.active):
                self._follow(number)
            begun = [t for t in self.study.trials if t.state is not TrialState.WAITING]
            if len(begun) < self.report.trials_wanted and len(self.active) < self.report.jobs:
                self._require_hope()
                self._begin(None)
            elif not self.active:
                return self._save("complete")
            else:
                time.sleep(LOOKS_EVERY)

    def _begin(self, number: int | None) -> None:
        """Start the next trial, or go on with one that was cut off."""
        import optuna

        new = len([t for t in self.study.trials if t.state is not optuna.trial.TrialState.WAITING])
        # Of its own for each trial: a search that was cut off draws what an undisturbed one draws.
        seed = xxhash.xxh32_intdigest(f"{self.definition.seed} {new if number is None else number}".encode())
        self.study.sampler = optuna.samplers.TPESampler(seed=seed)
        if number is None:
            trial = self.study.ask()
        else:
            trial = optuna.trial.Trial(self.study, self.study.trials[number]._trial_id)
        settings = suggest(trial, self.definition.space)
        if self._repeats(trial):
            return
        try:
            version = trial_version(self.task, self.definition, trial.number, settings)
        except (NotValid, NotReady) as error:
            self._end(trial, optuna.trial.TrialState.FAIL, str(error))
            return
        trial.set_user_attr("version", version)
        self._save("running")
        self.active[trial.number] = trial, Attempt(self.task, version)

    def _repeats(self, trial: Any) -> bool:
        """Whether the same settings were tried before: a run would give the same figures again."""
        import optuna

        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        mine = self.study.trials[trial.number].params
        same = next((t for t in self.study.get_trials(states=states) if t.params == mine), None)
        if same is None:
            return False
        trial.set_user_attr("version", same.user_attrs["version"])
        for step, value in same.intermediate_values.items():
            trial.report(value, step)
        note = f"The same settings as trial {same.number}."
        if same.state is optuna.trial.TrialState.COMPLETE:
            self._end(trial, same.state, note, same.value)
        else:
            self._end(trial, same.state, note)
        return True

    def _follow(self, number: int) -> None:
        """Hand on what a run has measured, and see whether it has ended or should."""
        import optuna

        trial, attempt = self.active[number]
        ended = attempt.ended()  # asked first: then all that it has measured is there
        known = self.study.trials[number].intermediate_values
        for look in attempt.looks() if self.definition.by_loss else []:
            if look.hundredths in known:
                continue
            trial.report(look.loss, look.hundredths)
            if trial.should_prune() and attempt.version != self.definition.parent:
                told = f"Behind after {look.hundredths / 100:g} epochs (validation loss {look.loss:.4f})."
                self._end(trial, optuna.trial.TrialState.PRUNED, told)
                end_early(self.task, attempt.version, self._reason(told))
                return
        if not ended:
            return
        error = attempt.error()
        if error is not None:
            self._end(trial, optuna.trial.TrialState.FAIL, error)
            return
        try:
            value = attempt.value(self.definition.metric)
        except NlpSkillsError as failed:
            self._end(trial, optuna.trial.TrialState.FAIL, str(failed))
            return
        self._end(trial, optuna.trial.TrialState.COMPLETE, None, value)

    def _reason(self, told: str) -> str:
        return f"Ended early by search {self.definition.key}. {told}"

    def _end(self, trial: Any, state: Any, note: str | None, value: float | None = None) -> None:
        if note is not None:
            trial.set_user_attr("note", note)
        self.study.tell(trial, value, state=state)
        self.active.pop(trial.number, None)
        self._save("running")

    def _require_hope(self) -> None:
        """Raises NotValid where nothing but failures came."""
        from optuna.trial import TrialState

        ended = [t for t in self.study.trials if t.state.is_finished()]
        if len(ended) >= HOPELESS and all(t.state is TrialState.FAIL for t in ended):
            raise NotValid(
                f"The first {len(ended)} trials failed. The last one: {ended[-1].user_attrs.get('note')}"
            )

    def _save(self, state: str, error: str | None = None) -> SearchReport:
        trials = [self._trial(t) for t in self.study.trials if t.state.name != "WAITING"]
        complete = [t for t in trials if t.state == "complete" and t.value is not None]
        best = None
        for trial in complete:
            if best is None or self.definition.better(trial.value or 0.0, best.value or 0.0):
                best = trial
        report = self.report.with_changes(
            state=state,
            pid=os.getpid(),
            trials=[t.model_dump(mode="json") for t in trials],
            best=best.version if best else None,
            best_value=best.value if best else None,
            importance=self._importance() if len(complete) >= ENOUGH_TO_TELL else {},
            error=error,
            page=(self.folder / "search.html").relative_to(self.task).as_posix(),
        )
        self.report = report.save(self.folder / "search.json")
        write_search_page(self.folder / "search.html", self.definition, self.report)
        return self.report

    def _trial(self, found: Any) -> Trial:
        names = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
        pruned = found.state.name == "PRUNED"
        return Trial.parse(
            {
                "number": found.number,
                "version": found.user_attrs.get("version"),
                "state": names[found.state.name],
                "settings": settings_of(found.params, self.definition.space),
                "value": found.value if found.state.is_finished() else None,
                "epochs": found.last_step / 100 if pruned and found.last_step is not None else None,
                "note": found.user_attrs.get("note"),
            },
            self.folder,
        )

    def _importance(self) -> dict[str, float]:
        """fANOVA over the complete trials: which share of the values' variance each field explains."""
        import optuna

        values = {t.value for t in self.study.trials if t.state.name == "COMPLETE"}
        if len(values) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.definition.seed)
        found = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {field: round(float(share), 4) for field, share in found.items()}


def run_search(task: Path, folder: Path) -> SearchReport:
    """Search, or go on with it; holds the search's lock. When it raises, search.json says why."""
    with lock_of(folder).acquire(timeout=5):
        search = Search(task, folder)
        try:
            return search.run()
        except NlpSkillsError as error:
            search._save("failed", str(error))
            raise


if __name__ == "__main__":
    place = Path(sys.argv[1])
    try:
        run_search(place, place / "benchmarks" / f"search-{sys.argv[2]}")
    except NlpSkillsError as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(1)
