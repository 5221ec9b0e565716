"""EVAL-SANE: do these numbers speak of the model, or of how it was asked and how its answers were marked?

    reading     more than 20 % of the answers that nobody can read as an answer: the harness
    known rows  training rows asked through the same way: a tuned model that knows none of them was asked otherwise
    score       no row right at all is a harness that went wrong far more often than a model that knows nothing

A chat template that was left out and a wrong stop token look like a bad model (lm-evaluation-harness
#1841 and #3513, lighteval #649, gorilla #1047).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from nlp_skills.data.example import Example
from nlp_skills.errors import counted
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.likelihood import has_likelihood
from nlp_skills.evaluation.results import Prediction, Sanity
from nlp_skills.evaluation.tool_use.replies import read_reply
from nlp_skills.task.task import Task, TaskType

Found = Literal["ok", "harness error", "cannot tell"]

UNREADABLE = 0.2
"""Share of answers that cannot be read from which on the harness is to blame."""
PROBES = 12
"""Training rows that are asked."""
FEW = 10
"""With fewer rows than this nothing is said about the harness."""


def probe_rows(train: Sequence[Example]) -> list[Example]:
    """The known rows: PROBES of the training rows, spread over all of them, the same every time."""
    if len(train) <= PROBES:
        return list(train)
    return [train[i * len(train) // PROBES] for i in range(PROBES)]


def check_sanity(
    task: Task, metric: str, rows: Sequence[Prediction], known: Sequence[Prediction] = ()
) -> Sanity:
    """Whether the harness works, from the predictions and those of some training rows.

    `metric` is the one that judges; `known` may be empty (a model that was not trained on them need not know them).
    """
    unreadable = share_unreadable(task, rows)
    right = sum(row.correct for row in known)
    verdict, reason = _verdict(task, metric, rows, known, unreadable)
    return Sanity(verdict=verdict, reason=reason, unreadable=unreadable, known=len(known), known_right=right)


def _verdict(
    task: Task, metric: str, rows: Sequence[Prediction], known: Sequence[Prediction], unreadable: float
) -> tuple[Found, str]:
    if unreadable > UNREADABLE:
        shown = next((r.predicted for r in rows if not is_readable(task, r)), "")
        return (
            "harness error",
            f"{unreadable:.0%} of the answers cannot be read as an answer (for example {shown[:60]!r}): look at the chat"
            " template, the stop tokens and max_new_tokens before you blame the model.",
        )
    if len(rows) < FEW:
        return (
            "cannot tell",
            f"With {counted(len(rows), 'row')} a bad harness cannot be told from a bad model.",
        )
    if not any(row.correct for row in rows) and _is_a_fault(task, metric, rows):
        about = (
            " It does not know its own training rows either, so it was asked otherwise than it was trained."
            if known and not any(row.correct for row in known)
            else ""
        )
        return (
            "harness error",
            f"Not one of {counted(len(rows), 'row')} is right.{about} Look at a few predictions first.",
        )
    if known and not any(row.correct for row in known) and task.type.has_labels:
        return (
            "harness error",
            f"None of {len(known)} training rows is answered rightly: the prompts are not those of the training.",
        )
    return "ok", f"{unreadable:.0%} of the answers cannot be read, and {_told(known)}."


def _is_a_fault(task: Task, metric: str, rows: Sequence[Prediction]) -> bool:
    """Whether a model can hardly have no row right: of labels never, of texts where nothing of them is right either."""
    if task.type.has_labels and not has_likelihood(rows):
        return True
    return METRICS[metric].measure(rows) in (0.0, 0.0 if METRICS[metric].higher_is_better else 1.0)


def _told(known: Sequence[Prediction]) -> str:
    if not known:
        return "no training row was asked"
    return f"{sum(row.correct for row in known)} of {len(known)} training rows are answered rightly"


def share_unreadable(task: Task, rows: Sequence[Prediction]) -> float:
    """Share of the answers that are none at all."""
    return sum(not is_readable(task, row) for row in rows) / len(rows) if rows else 0.0


def is_readable(task: Task, row: Prediction) -> bool:
    """Whether an answer is of the kind that is asked for, right or wrong."""
    if row.scores is not None or row.log_prob is not None:
        return True
    if task.type.has_labels:
        labels = {label.casefold() for label in task.labels}
        return row.predicted.strip().casefold() in labels if labels else bool(row.predicted.strip())
    if task.type is TaskType.TOOL_USE:
        return not read_reply(row.predicted).unreadable
    if _looks_like_json(row.expected):
        return _is_json(row.predicted)
    return bool(row.predicted.strip()) or not row.expected.strip()


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
