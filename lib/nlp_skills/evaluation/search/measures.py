"""What a search can compare trials by: the figures that each method measures on the validation rows, and which way is better.

Names are those of metrics.jsonl (training/run/metrics_log.py); figures that are neither good nor bad when they are high
(the entropy, the length of answers) are none of them. Metrics of the task say themselves which way is better.
"""

from __future__ import annotations

from typing import NamedTuple

from nlp_skills.errors import NotValid, did_you_mean
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.judge import JUDGE
from nlp_skills.training.config import MethodName, TrainConfig

PAIRS: tuple[MethodName, ...] = ("dpo", "orpo")
MARKS: tuple[MethodName, ...] = (*PAIRS, "kto")


class Measure(NamedTuple):
    """A figure of the validation."""

    methods: tuple[MethodName, ...]
    """Those that measure it."""
    lower_is_better: bool


MEASURES: dict[str, Measure] = {
    "eval_loss": Measure(("sft", "cpt", "dpo", "orpo", "kto"), True),
    "eval_mean_token_accuracy": Measure(("sft", "cpt", "dpo"), False),
    "eval_rewards/accuracies": Measure(PAIRS, False),
    "eval_rewards/margins": Measure(MARKS, False),
    "eval_rewards/chosen": Measure(MARKS, False),
    "eval_rewards/rejected": Measure(MARKS, True),
    "eval_logps/chosen": Measure(MARKS, False),
    "eval_nll_loss": Measure(("orpo",), True),
    "eval_log_odds_ratio": Measure(("orpo",), False),
    "eval_kl": Measure(("kto",), True),
    "eval_reward": Measure(("grpo",), False),
    "eval_frac_reward_zero_std": Measure(("grpo",), True),
}
"""Figure → who measures it, and which way is better."""

SAME_UNIT = ("eval_rewards/accuracies", "eval_reward")
"""Shares and rewards, which stay comparable when beta or the like changes; losses and margins do not."""


def measures_of(config: TrainConfig) -> list[str]:
    """The figures that a run of these settings measures on its validation rows."""
    found = [name for name, measure in MEASURES.items() if config.method in measure.methods]
    return [*found, *(f"eval_rewards/{name.rpartition(':')[2]}/mean" for name in config.rewards)]


def lower_is_better(metric: str) -> bool:
    """Which way a figure is better; a single reward is better when it is higher."""
    if metric in METRICS:
        return not METRICS[metric].higher_is_better
    return metric in MEASURES and MEASURES[metric].lower_is_better


def require_measured(metric: str, config: TrainConfig, of_the_task: tuple[str, ...]) -> None:
    """Raises NotValid for what neither a run measures nor the task is judged by; no judge is asked about trials."""
    known = [*measures_of(config), *(name for name in of_the_task if name not in JUDGE)]
    if metric in known:
        return
    if metric in MEASURES:
        others = ", ".join(MEASURES[metric].methods)
        raise NotValid(
            f"metric: {config.method} does not measure {metric} ({others} does). Choose from: {', '.join(known)}."
        )
    raise NotValid(
        f"metric: there is no {metric!r}{did_you_mean(metric, known)}. Choose from: {', '.join(known)}."
    )
