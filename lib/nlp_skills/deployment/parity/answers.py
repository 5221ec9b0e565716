"""The test rows, asked of what is deployed, beside the answers that the version gave in its evaluation.

the same in every row ──▶ yes        worse beyond chance ──▶ no
too few rows, or it may be more than five points worse ──▶ cannot tell, and how many rows would tell
else ──▶ yes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.deployment.parity.report import Answer, AnswersCompared
from nlp_skills.errors import NotReady, counted
from nlp_skills.evaluation.asking import ask
from nlp_skills.evaluation.compare import read_predictions
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.figures import show_signed
from nlp_skills.evaluation.paired_answers import TOO_FEW, compare_predictions
from nlp_skills.evaluation.predictors import Predictor
from nlp_skills.evaluation.results import Interval, Prediction
from nlp_skills.evaluation.verdict import is_higher_better, metric_name
from nlp_skills.records import Progress, sha256_file
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task
from nlp_skills.training.config import TrainConfig

MARGIN = 0.05
"""What a deployment may cost at most, so that it counts as no worse (the interval's worse end)."""


def test_rows(task: Path, version: str) -> list[Example]:
    """The rows that the version was tested on. Raises NotReady where they are others now."""
    folder = task / "versions" / version
    known = DataSnapshot.load(folder / "data_snapshot.json").splits.get("test")
    file = task / "data" / "test.jsonl"
    if known is None or not file.is_file() or sha256_file(file) != known.sha256:
        raise NotReady(f"data/test.jsonl is not the file that {version} was made for")
    return list(read_examples(file))


def compare_answers(
    task: Path, version: str, rows: Sequence[Example], predictor: Predictor, keep: Path, progress: Progress
) -> AnswersCompared:
    """Ask the rows; answers are kept in `keep`, so that a cut-off run goes on.

    Raises NotReady where the version was not evaluated on these rows, NotValid where it cannot be asked so.
    """
    folder = task / "versions" / version
    definition = Task.load(task / "task.yaml")
    config = TrainConfig.load(folder / "config.yaml")
    before = read_predictions(folder)
    if [row.id for row in before] != [row.meta.id for row in rows]:
        raise NotReady(
            f"{version} was evaluated on other rows. Run: nlp-skills evaluate-version {task.name} --version {version}"
        )
    train = list(read_examples(task / "data" / "train.jsonl"))
    how = choose_decoding(definition, train, rows)
    after = ask(definition, config, predictor, rows, how, progress, keep=keep)
    return judge_answers(
        definition, before, after, written=how.labels is not None and not predictor.can_score
    )


def judge_answers(
    task: Task, before: list[Prediction], after: list[Prediction], *, written: bool = False
) -> AnswersCompared:
    """The verdict from both lists of predictions, the same rows in the same order.

    `written`: the version chose its labels by their probability, and what is served has to write them.
    """
    found = compare_predictions(task, "trained", "served", before, after)
    metric = found.metric or "accuracy"
    change = found.metrics[metric]
    sign = 1 if is_higher_better(metric) else -1
    ends = sorted((sign * change.low, sign * change.high))
    worse = Interval(value=sign * change.difference, low=ends[0], high=ends[1])
    same = sum(a.predicted == b.predicted for a, b in zip(before, after, strict=True))
    answer, reason = _verdict(found, worse, same, len(after), metric)
    if written and same < len(after):
        reason += (
            " The version was evaluated by the probability of each label; there it writes its answer, as users will meet"
            " it. To see what the model itself does: train it until it writes labels, or serve it where they are scored."
        )
    return AnswersCompared(
        rows=len(after),
        same=same,
        metric=metric,
        trained=change.a,
        served=change.b,
        change=worse,
        cut=sum(b.cut and not a.cut for a, b in zip(before, after, strict=True)),
        answer=answer,
        reason=reason,
        rows_to_decide=rows_to_decide(worse, len(after)) if answer == "cannot tell" else None,
    )


def rows_to_decide(change: Interval, rows: int) -> int:
    """About how many rows would decide, if the change stays what it is: an interval narrows with the root of the rows.

    Either its worse end comes within the margin, or its better end below 0; whichever takes fewer.
    """
    wanted = []
    if change.value > -MARGIN:
        wanted.append((change.value - change.low) / (change.value + MARGIN))
    if change.value < 0:
        wanted.append((change.high - change.value) / -change.value)
    return max(TOO_FEW, rows + 1, math.ceil(rows * min(wanted) ** 2))


def _verdict(found: Comparison, change: Interval, same: int, rows: int, metric: str) -> tuple[Answer, str]:
    told = f"{same} of {counted(rows, 'test row')} have the same answer"
    if rows and same == rows:
        return "yes", f"{told}."
    numbers = f"{told}; {metric_name(metric)} {show_signed(change)}"
    more = f"about {rows_to_decide(change, rows):,} test rows would tell"
    if rows < TOO_FEW:
        return "cannot tell", f"{numbers}: fewer than {TOO_FEW} test rows decide nothing; {more}."
    if found.verdict == "worse":
        return "no", f"{numbers}: worse beyond chance."
    if change.low < -MARGIN:
        return "cannot tell", f"{numbers}: it may be more than {MARGIN:g} worse; {more}."
    return "yes", f"{numbers}: at most {MARGIN:g} worse."
