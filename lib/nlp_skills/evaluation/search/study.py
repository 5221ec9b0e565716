"""The search as Optuna keeps it: its storage, what it proposes next, what it ends early, and what mattered.

TPE: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization". ASHA: Li et al. 2020, arXiv:1810.05934.
fANOVA: Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xxhash

from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.evaluation.search.record import SearchDefinition, Trial
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.arguments import steps_per_epoch
from nlp_skills.training.search_space import settings_of, suggest

REDUCTION = 3
"""ASHA: of the trials that reach a rung, a third goes on to the next, which is three times as far."""
ENOUGH_TO_TELL = 8
"""Complete trials below which it is not said which setting mattered."""
STATES = {"RUNNING": "running", "COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def open_study(folder: Path, definition: SearchDefinition, first_rung: float) -> Any:
    """The study in trials.db, made if it is not there; `first_rung` in epochs."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = (
        optuna.pruners.SuccessiveHalvingPruner(
            min_resource=max(1, round(100 * first_rung)), reduction_factor=REDUCTION
        )
        if definition.prune
        else optuna.pruners.NopPruner()
    )
    return optuna.create_study(
        storage=f"sqlite:///{(folder / 'trials.db').as_posix()}",
        study_name=definition.key,
        direction="minimize" if definition.lower_is_better else "maximize",
        pruner=pruner,
        load_if_exists=True,
    )


def first_rung(task: Path, parent: TrainConfig) -> float:
    """The epoch of the parent's first evaluation, where trials are compared first."""
    if parent.eval_steps is None:
        return 1.0
    rows = DataSnapshot.load(task / "data" / "data_snapshot.json").splits["train"].count
    return parent.eval_steps / steps_per_epoch(parent, rows)


def next_trial(study: Any, definition: SearchDefinition) -> Any:
    """A new trial of Optuna's, with all that it tries decided."""
    if not any(t.state.name == "WAITING" for t in study.trials):
        study.enqueue_trial(_draw(study, definition))  # in one step: half a trial could not be drawn on
    return study.ask()


def cut_off_trial(study: Any, number: int) -> Any:
    """A trial whose process was killed, to go on with."""
    import optuna

    return optuna.trial.Trial(study, study.trials[number]._trial_id)


def _draw(study: Any, definition: SearchDefinition) -> dict[str, Any]:
    """What the next trial tries; drawn with a seed of its own, so that a search that was cut off draws the same."""
    import optuna

    seed = xxhash.xxh32_intdigest(f"{definition.seed} {len(study.trials)}".encode())
    draft = optuna.create_study(
        direction=study.direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.NopPruner(),
    )
    draft.add_trials(study.trials)
    trial = draft.ask()
    suggest(trial, definition.space)
    return trial.params


def same_as_before(study: Any, number: int) -> Any | None:
    """The trial that has tried the same settings before."""
    mine = study.trials[number].params
    ended = [t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")]
    return next((t for t in ended if t.params == mine), None)


def read_trials(study: Any, definition: SearchDefinition) -> list[Trial]:
    """The trials that have begun."""
    return [_trial(t, definition) for t in study.trials if t.state.name in STATES]


def _trial(found: Any, definition: SearchDefinition) -> Trial:
    pruned = found.state.name == "PRUNED"
    return Trial.parse(
        {
            "number": found.number,
            "version": found.user_attrs.get("version"),
            "state": STATES[found.state.name],
            "settings": settings_of(found.params, definition.space),
            "value": found.value if found.state.is_finished() else None,
            "epochs": found.last_step / 100 if pruned and found.last_step is not None else None,
            "note": found.user_attrs.get("note"),
        },
        f"trial {found.number} of search {definition.key}",
    )


def importance(study: Any, definition: SearchDefinition) -> dict[str, float]:
    """Which share of the variance of complete trials' values each field explains; empty where they are too few to tell."""
    import optuna

    values = [t.value for t in study.trials if t.state.name == "COMPLETE"]
    if len(values) < ENOUGH_TO_TELL or len(set(values)) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=definition.seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {field: round(float(share), 4) for field, share in found.items()}
