"""What the curve of a run says while it runs: pure functions over the lines of metrics.jsonl.

    RUN-NAN      a figure is no number                                                    stops
    RUN-DIVERGE  the loss has risen far above where it began and stays there              stops
    RUN-STALL    the loss has not fallen, or nothing was written for long
    RUN-OVERFIT  the validation loss rises while training goes on
    RUN-REPEAT   answers repeat themselves
    RL-FLAT      all answers to a prompt earn the same: nothing to learn from             stops, if it was so from the first
    RL-CHOSEN    the better answers get less likely than they were                        (P25)

Each is said once in a run, as a line {"step": …, "warning": id, "message": …} and in job.json.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, median, stdev
from typing import Any

from nlp_skills.records import Record

Rows = Sequence[dict[str, Any]]


class RunWarning(Record):
    """One thing that is wrong with a run."""

    check: str
    message: str
    """With what to do about it."""
    stops: bool = False
    """Going on would be a waste."""

    @property
    def line(self) -> str:
        """As it stands in job.json."""
        return f"{self.check}: {self.message}"


LOWER_RATE = "Make a version with half the learning_rate or less"

RECENT = 10
"""Logged steps that have to agree before anything is said: a single batch may be hard."""
DIVERGED = 2.0
"""Times the lowest smoothed loss, and at least one nat above the first: fastai's learner gives up at four times the
lowest, alone (fastai/callback/schedule.py, LRFinder), which a loss near zero reaches by noise."""
NATS = 1.0
FAR = 3.0
"""Nats above the first: twenty times as unlikely an answer as before the training, whatever the lowest was."""
BEGINNING = 3
"""Logged steps that tell the first loss."""
STALLED_AFTER = 60
"""Logged steps without progress. LoRA on a few hundred rows has learned most of its task by then (docs/benchmarks.md)."""
LEARNS = 0.6
"""Of pairs of a late and an early loss, those where the late one is lower; without learning half, give or take a tenth."""
OVERFIT = 0.05
"""Above the lowest validation loss: the generalisation loss GL 5 % of Prechelt 1998, "Early Stopping – But When?"."""
FLAT_SHARE = 0.7
"""Of the prompts, whose answers all earn the same: with more, most of a step's work is for nothing (P25)."""
SILENT_SECONDS = 600.0
"""The least time without a line that is worth a word; longer where steps and evaluations take long."""
LOADING_SECONDS = 1800.0
"""For what comes before the first step: 15 GB of weights at 10 MB/s take 25 minutes."""
REPEATING = ("RUN-NAN", "RUN-DIVERGE", "RUN-DELTA", "RL-FLAT", "LEN-CUT", "TARGET-MODULES")
"""What ends a run and would end it again, from its last checkpoint or from the beginning: it takes another version."""


def repeats(error: str) -> bool:
    """Whether a run that ended with this error would end the same way when it went on."""
    return error.partition(":")[0] in REPEATING


def new_warnings(rows: Rows, method: str) -> list[RunWarning]:
    """What is to be said after the newest line that has not been said before; `rows` hold the earlier warnings too."""
    told = {row["warning"] for row in rows if "warning" in row}
    found = (rule(rows) for rule in RULES if method in APPLIES.get(rule, (method,)))
    return [warning for warning in found if warning is not None and warning.check not in told]


def not_a_number(rows: Rows) -> RunWarning | None:
    """The newest line holds NaN or an infinity (P07)."""
    for key, value in (rows[-1] if rows else {}).items():
        if isinstance(value, float) and not math.isfinite(value):
            return RunWarning(
                check="RUN-NAN",
                message=f"{key} is {value} at step {rows[-1]['step']}. {LOWER_RATE}, or set dtype: float32",
                stops=True,
            )
    return None


def divergence(rows: Rows) -> RunWarning | None:
    """The loss of all the newest steps is far above where it began, or above twice the lowest since, smoothed by medians.

    It began with the first steps, which the learning rate's warm-up keeps small: an explosion soon after them is no start.
    """
    losses = _values(rows, "loss")
    if len(losses) < 3 * RECENT:
        return None
    first, newest = median(losses[:BEGINNING]), losses[-RECENT:]
    lowest = min(first, *(median(losses[i : i + RECENT]) for i in range(0, len(losses) - RECENT + 1)))
    limit = max(min(DIVERGED * lowest, first + FAR), first + NATS)
    if min(newest) <= limit:
        return None
    return RunWarning(
        check="RUN-DIVERGE",
        message=f"the loss is {median(newest):.3g} after a low of {lowest:.3g} and a start of {first:.3g}. {LOWER_RATE},"
        " or more warmup_steps",
        stops=True,
    )


def stall(rows: Rows) -> RunWarning | None:
    """The newest losses are not lower than the first: a newest is below a first in too few of all pairs of them.

    That share is Mann and Whitney's U over the number of pairs (1947); one hard batch does not move it.
    """
    losses = _values(rows, "loss")
    if len(losses) < STALLED_AFTER:
        return None
    window = STALLED_AFTER // 3
    first, newest = losses[:window], losses[-window:]
    lower = fmean(float(late < early) + 0.5 * (late == early) for late in newest for early in first)
    if lower > LEARNS:
        return None
    return RunWarning(
        check="RUN-STALL",
        message=f"after {len(losses)} logged steps the loss is {median(newest):.3g}, and it was {median(first):.3g}: nothing"
        " is learned. Raise the learning_rate, look at what is trained with nlp-skills preview-tokens, or give the"
        " adapter more modules",
    )


def overfit(rows: Rows) -> RunWarning | None:
    """The two newest validation losses are each higher than the one before, and beyond the lowest by more than noise."""
    found = [row for row in rows if "eval_loss" in row]
    losses = [row["eval_loss"] for row in found]
    if len(losses) < 3 or not losses[-1] > losses[-2] > losses[-3]:
        return None
    best = min(range(len(losses)), key=losses.__getitem__)
    noise = 2 * float(found[best].get("eval_loss_se", 0.0))
    if losses[-1] <= losses[best] + max(OVERFIT * abs(losses[best]), noise):
        return None
    return RunWarning(
        check="RUN-OVERFIT",
        message=f"the validation loss was {losses[best]:.3g} at step {found[best]['step']} and is {losses[-1]:.3g}: the rows"
        " are learned by heart. Make a version with fewer epochs or keep: best, or bring more rows",
    )


def flat_rewards(rows: Rows) -> RunWarning | None:
    """Answers to the same prompt earn the same reward in all groups (stop), or in most of them (warning)."""
    shares = _values(rows, "frac_reward_zero_std")
    if len(shares) < RECENT:
        return None
    if min(shares) >= 1.0:
        reward = fmean(_values(rows, "reward")[-RECENT:] or [0.0])
        return RunWarning(
            check="RL-FLAT",
            message=f"all answers to a prompt have earned the same in each of {len(shares)} logged steps (mean {reward:.3g}),"
            " so there is nothing to learn from. Begin with a short sft version and name it as base_model, or take a"
            " reward that has degrees",
            stops=True,
        )
    if fmean(shares[-RECENT:]) > FLAT_SHARE:
        return RunWarning(
            check="RL-FLAT",
            message=f"for {fmean(shares[-RECENT:]):.0%} of the prompts all answers earn the same. Take harder or easier"
            " prompts, more num_generations, or a reward that has degrees",
        )
    return None


def chosen_falls(rows: Rows) -> RunWarning | None:
    """The better answers' likelihood has fallen below where it began, beyond noise (Razin et al. 2024, arXiv:2410.08847)."""
    found = _values(rows, "logps/chosen")
    if len(found) < 3 * RECENT:
        return None
    first, newest = found[:RECENT], found[-RECENT:]
    error = math.sqrt((stdev(first) ** 2 + stdev(newest) ** 2) / RECENT)
    rewards = _values(rows, "rewards/chosen")[-RECENT:]
    # Where the base model is compared with, that comparison has no noise of the rows.
    fell = (
        fmean(rewards) < -stdev(rewards)
        if len(rewards) == RECENT
        else fmean(newest) < fmean(first) - 3 * error
    )
    if not fell:
        return None
    return RunWarning(
        check="RL-CHOSEN",
        message="the better answers are less likely than before training; only the worse ones fall faster. Make a version"
        " with sft_weight 0.2 or more (dpo), a higher beta, or a lower learning_rate",
    )


def silence(rows: Rows, seconds: float) -> RunWarning | None:
    """Nothing was written for `seconds`: far longer than any step or evaluation before."""
    times = [row["seconds"] for row in rows if "seconds" in row]
    longest = max((after - before for before, after in pairwise(times)), default=0.0)
    if seconds < max(SILENT_SECONDS, 10 * longest):
        return None
    return RunWarning(
        check="RUN-STALL",
        message=f"no step for {seconds / 60:.0f} minutes. See whether the machine is busy or swaps; stop the run and go"
        " on later, nothing is lost but the steps since the last checkpoint",
    )


def silent_start(seconds: float, first_step: float) -> RunWarning | None:
    """Nothing was written since the workers began; `first_step`: predicted seconds up to the first line, 0 if unknown."""
    if seconds < LOADING_SECONDS + 10 * first_step:
        return None
    return RunWarning(
        check="RUN-STALL",
        message=f"no step in the first {seconds / 60:.0f} minutes. The base model may still be on its way here; see what"
        " the run says with nlp-skills training-log. Otherwise stop it, see whether the machine is busy or swaps, and"
        " start it again",
    )


def _values(rows: Rows, key: str) -> list[float]:
    return [row[key] for row in rows if key in row]


RULES: tuple[Callable[[Rows], RunWarning | None], ...] = (
    not_a_number,
    divergence,
    stall,
    overfit,
    flat_rewards,
    chosen_falls,
)
APPLIES: dict[Any, tuple[str, ...]] = {
    divergence: ("sft", "cpt", "dpo", "orpo", "kto"),
    stall: ("sft", "cpt", "dpo", "orpo"),
    overfit: ("sft", "cpt", "dpo", "orpo", "kto"),
    flat_rewards: ("grpo",),
    chosen_falls: ("dpo", "orpo"),
}
"""Rule → methods whose figures mean that; the others hold for all."""
