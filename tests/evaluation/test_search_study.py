"""What Optuna is asked for: equal draws whether it was cut off or not, what mattered, and which trials are behind."""

from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from nlp_skills.evaluation.search.record import SearchDefinition
from nlp_skills.evaluation.search.study import cut_off_trial, importance, next_trial, open_study, read_trials
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.search_space import Choices, Range, as_parameters, settings_of, suggest

DEFINITION = SearchDefinition(
    space={
        "learning_rate": Range(low=1e-5, high=1e-3, log=True),
        "lora_r": Range(low=2, high=32),
        "target_modules": Choices(choices=["all-linear", ["q_proj", "v_proj"]]),
    },
    parent="v1",
    metric="eval_loss",
    prune=True,
    seed=13,
    source_hash="0" * 64,
)


def drawn(folder: Path, count: int, *, reopened: bool) -> list[dict[str, Any]]:
    """Settings of so many trials; `reopened`: as if the process were killed in the middle of each."""
    folder.mkdir()
    study = open_study(folder, DEFINITION, 1.0)
    found = []
    for _ in range(count):
        trial = next_trial(study, DEFINITION)
        if reopened:
            trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True)
            study = open_study(folder, DEFINITION, 1.0)
            trial = cut_off_trial(study, trial.number)
        found.append(suggest(trial, DEFINITION.space))
        study.tell(trial, found[-1]["learning_rate"] + 1e-6 * found[-1]["lora_r"])
    assert [t.settings for t in read_trials(study, DEFINITION)] == found
    return found


def test_search_that_was_cut_off_draws_what_an_undisturbed_one_draws(tmp_path: Path) -> None:
    # Twelve: beyond ten it is TPE that draws, from the values before.
    found = drawn(tmp_path / "a", 12, reopened=False)
    assert found == drawn(tmp_path / "b", 12, reopened=True)
    assert len({repr(settings) for settings in found}) == 12


def test_what_mattered_is_told_of_enough_trials(tmp_path: Path) -> None:
    study = open_study(tmp_path, DEFINITION, 1.0)
    for number in range(16):
        trial = next_trial(study, DEFINITION)
        study.tell(trial, suggest(trial, DEFINITION.space)["lora_r"])
        assert bool(importance(study, DEFINITION)) == (number >= 7)
    found = importance(study, DEFINITION)
    assert next(iter(found)) == "lora_r"
    assert found["lora_r"] > 0.8
    assert set(found) == set(DEFINITION.space)


def test_trial_that_is_behind_at_a_rung_is_ended_and_the_leader_goes_on(tmp_path: Path) -> None:
    study = open_study(tmp_path, DEFINITION, 1.0)
    leader, behind = (next_trial(study, DEFINITION) for _ in range(2))
    asked = []
    for trial, losses in ((leader, (0.5, 0.4, 0.3)), (behind, (0.6,))):
        suggest(trial, DEFINITION.space)
        for epoch, loss in enumerate(losses, start=1):
            trial.report(loss, 100 * epoch)
            asked.append(trial.should_prune())
    assert asked == [False, False, False, True]
    study.tell(leader, 0.3)
    study.tell(behind, state=TrialState.PRUNED)
    assert [(t.state, t.value, t.epochs) for t in read_trials(study, DEFINITION)] == [
        ("complete", 0.3, None),
        ("pruned", 0.6, 1.0),
    ]


def test_settings_survive_the_way_through_optuna() -> None:
    config = TrainConfig(learning_rate=2e-4, lora_r=16, target_modules=["q_proj", "v_proj"])
    found = as_parameters(config, DEFINITION.space)
    assert found is not None
    assert settings_of(found, DEFINITION.space) == {
        "learning_rate": 2e-4,
        "lora_r": 16,
        "target_modules": ["q_proj", "v_proj"],
    }
    assert as_parameters(config.with_changes(lora_r=64), DEFINITION.space) is None
