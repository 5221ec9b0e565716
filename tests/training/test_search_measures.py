"""What a search can compare trials by is what the methods really log, and the better value wins whichever way that is."""

from pathlib import Path
from typing import Any

import pytest
from test_grpo import GRPO, ask
from test_preference_methods import marked, pair, trained

from nlp_skills.errors import NotValid
from nlp_skills.evaluation.search.measures import MEASURES, lower_is_better, measures_of, require_measured
from nlp_skills.evaluation.search.record import SearchDefinition
from nlp_skills.evaluation.search.study import open_study
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.search_space import Choices


@pytest.mark.parametrize(
    ("method", "row", "settings"),
    [
        ("sft", ask, {}),
        ("dpo", pair, {}),
        ("orpo", pair, {}),
        ("kto", marked, {}),
        ("grpo", ask, {**GRPO, "rewards": ["length_limit"]}),
    ],
)
def test_every_figure_that_can_be_searched_by_is_in_the_log_of_the_method(
    tmp_path: Path, method: str, row: Any, settings: dict[str, Any]
) -> None:
    short = {"epochs": 1, "lora_r": 2, **settings}
    _, metrics = trained(tmp_path, method, [row(n) for n in range(16)], **short)
    logged = {name for line in read_metrics(metrics) for name in line if name.startswith("eval_")}
    config = TrainConfig.parse({"method": method, "rewards": settings.get("rewards", [])}, "config")
    assert set(measures_of(config)) <= logged
    unnamed = logged - set(measures_of(config))
    assert not {name for name in unnamed if "loss" in name} - {"eval_loss_se", "eval_loss"}


def definition(metric: str) -> SearchDefinition:
    return SearchDefinition(
        space={"lora_r": Choices(choices=[2, 4])},
        parent="v1",
        metric=metric,
        prune=False,
        seed=1,
        source_hash="0" * 64,
    )


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("eval_loss", True),
        ("eval_kl", True),
        ("eval_nll_loss", True),
        ("eval_rewards/rejected", True),
        ("eval_rewards/chosen", False),
        ("eval_rewards/accuracies", False),
        ("eval_reward", False),
        ("eval_rewards/polite/mean", False),
        ("macro_f1", False),
    ],
)
def test_the_better_value_is_the_lower_one_of_losses_and_the_higher_one_of_gains(
    tmp_path: Path, metric: str, lower: bool
) -> None:
    found = definition(metric)
    assert found.lower_is_better is lower
    assert found.better(0.1, 0.2) is lower
    assert open_study(tmp_path, found, 1.0).direction.name == ("MINIMIZE" if lower else "MAXIMIZE")


def test_losses_and_only_those_are_better_when_they_are_lower() -> None:
    assert [name for name in MEASURES if lower_is_better(name)] == [
        "eval_loss",
        "eval_rewards/rejected",
        "eval_nll_loss",
        "eval_kl",
        "eval_frac_reward_zero_std",
    ]


def test_a_judge_is_not_asked_about_trials() -> None:
    config, of_the_task = TrainConfig(), ("token_f1", "judge_score")
    require_measured("token_f1", config, of_the_task)
    with pytest.raises(NotValid, match=r"there is no 'judge_score'.*token_f1\."):
        require_measured("judge_score", config, of_the_task)
