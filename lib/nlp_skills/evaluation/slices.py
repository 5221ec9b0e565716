"""Kinds of rows: on which of them a model is weak, and on which it got worse.

    label      the right answer, where a task has labels
    length     three parts of about equally many rows, by the characters of the input
    language   as the text itself says (data/language.py)
    source, entity, group, and columns of the sources that task.yaml names under `slices`

Many kinds are looked at, so one in twenty would look bad by chance: p-values are corrected (Holm). A gap between
groups of people is found the same way: name the column that tells them apart.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nlp_skills.data.example import Example
from nlp_skills.data.language import detect_language
from nlp_skills.errors import MissingExtra, NotFound, did_you_mean
from nlp_skills.evaluation.figures import show_interval
from nlp_skills.evaluation.marking import deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.results import Interval, Prediction, SliceScore
from nlp_skills.evaluation.significance import (
    SIGNIFICANT,
    apart_of,
    difference_of,
    holm,
    interval_of,
    paired_test_of,
)
from nlp_skills.task.task import Task

LEAST = 10
"""Rows that a slice needs; fewer say nothing about a kind of rows."""
MOST = 40
"""Values of one kind that are looked at, the most frequent first."""

Columns = Mapping[str, Mapping[str, str]]
"""A row's id → column → value."""


def slices_of(examples: Sequence[Example], columns: Columns | None = None) -> list[dict[str, str]]:
    """What kind of row each example is; what is not known of one is left out."""
    limits = _tertiles([len(example.input_text) for example in examples])
    languages = _languages(examples)
    found = []
    for example, language in zip(examples, languages, strict=True):
        meta = example.meta
        kinds = {
            "length": _part(len(example.input_text), limits),
            "language": language,
            "source": meta.source,
            "entity": meta.entity,
            "group": meta.group,
            **(columns or {}).get(meta.id, {}),
        }
        found.append({kind: value for kind, value in kinds.items() if value})
    return found


def _tertiles(lengths: Sequence[int]) -> tuple[int, int] | None:
    """The longest of the short and of the medium ones; None where lengths do not differ enough for three parts."""
    ordered = sorted(lengths)
    if not ordered:
        return None
    first, second = ordered[(len(ordered) - 1) // 3], ordered[2 * (len(ordered) - 1) // 3]
    return (first, second) if first < second < ordered[-1] else None


def _part(length: int, limits: tuple[int, int] | None) -> str | None:
    if limits is None:
        return None
    first, second = limits
    if length <= first:
        return f"short (up to {first:,} characters)"
    return f"medium (up to {second:,})" if length <= second else f"long (over {second:,})"


def _languages(examples: Sequence[Example]) -> list[str | None]:
    """Nothing where the package that tells languages is not installed."""
    try:
        return [detect_language(example.input_text) for example in examples]
    except MissingExtra:
        return [None] * len(examples)


def read_columns(task: Path, names: Sequence[str], examples: Sequence[Example]) -> Columns:
    """Values of the named columns, from the lines of data/raw that the rows were made of.

    Raises NotFound for a column that no source has.
    """
    wanted: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for example in examples if names else ():
        wanted[example.meta.source][example.meta.line].append(example.meta.id)
    found: dict[str, dict[str, str]] = {}
    there: set[str] = set()
    for source, lines in wanted.items():
        for number, row in _raw_rows(task / "data" / "raw" / f"{source}.jsonl"):
            there |= row.keys()
            values = {name: str(row[name]) for name in names if row.get(name) not in (None, "")}
            found |= dict.fromkeys(lines.get(number, ()), values)
    unknown = [name for name in names if name not in there]
    if wanted and unknown:
        raise NotFound(
            f"{task.name}: slices in task.yaml names the column {unknown[0]!r}, which no source has"
            f"{did_you_mean(unknown[0], there)}. Columns: {', '.join(sorted(there))}."
        )
    return found


def _raw_rows(file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    if not file.is_file():
        return
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            row = json.loads(line)
            if isinstance(row, dict):
                yield number, row


def kinds_of(task: Task, rows: Sequence[Prediction]) -> dict[str, dict[str, list[int]]]:
    """kind → value → places of its rows."""
    places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, row in enumerate(rows):
        own = {"label": row.expected, **row.slices} if task.type.has_labels else row.slices
        for kind, value in own.items():
            places[kind][value].append(place)
    return places


def groups_of(task: Task, rows: Sequence[Prediction]) -> dict[tuple[str, str], list[int]]:
    """(kind, value) → places of its rows: values of LEAST rows or more, of kinds that have more than one value."""
    found = {}
    for kind, values in kinds_of(task, rows).items():
        enough = [value for value, at in values.items() if len(at) >= LEAST]
        if len(values) > 1:
            for value in sorted(enough, key=lambda v: (-len(values[v]), v))[:MOST]:
                found[kind, value] = values[value]
    return found


def slice_metric(task: Task, metrics: Sequence[str]) -> str:
    """What slices are judged by: rows of one label have no macro F1, but a share of right answers."""
    return "accuracy" if "accuracy" in metrics else deciding_metric(task, metrics)


def score_slices(
    task: Task, metric: str, rows: Sequence[Prediction], base: Sequence[Prediction] | None = None
) -> list[SliceScore]:
    """The metric on each kind of rows, beside the rest of them and beside the base model's answers to the same rows.

    A kind of rows by which the metric cannot judge (parameters where no call is expected) is left out.
    """
    import numpy as np

    judge, found = METRICS[metric], []
    looked_at = judge.statistics([*rows, *(base or ())])
    table, of_base = looked_at[: len(rows)], looked_at[len(rows) :]
    for (kind, value), places in groups_of(task, rows).items():
        if not judge.applies([rows[i] for i in places]):
            continue
        inside = np.isin(np.arange(len(rows)), places)
        others = [row for row, here in zip(rows, inside, strict=True) if not here]
        has_rest = len(others) >= LEAST and judge.applies(others)
        has_base = bool(base) and judge.applies([base[i] for i in places])
        found.append(
            SliceScore(
                by=kind,
                value=value,
                count=len(places),
                score=interval_of(judge, table[inside]),
                rest=float(judge.value(table[~inside].sum(axis=0))) if has_rest else None,
                p_rest=apart_of(judge, table, inside) if has_rest else None,
                gain=difference_of(judge, of_base[inside], table[inside]) if has_base else None,
                p_gain=paired_test_of(judge, of_base[inside], table[inside]) if has_base else None,
            )
        )
    return _corrected(found)


def _corrected(slices: list[SliceScore]) -> list[SliceScore]:
    """The p-values after Holm, over all slices."""
    for field in ("p_rest", "p_gain"):
        places = [i for i, s in enumerate(slices) if getattr(s, field) is not None]
        for place, p in zip(places, holm([getattr(slices[i], field) for i in places]), strict=True):
            slices[place] = slices[place].model_copy(update={field: p})
    return slices


def weak_slices(slices: Sequence[SliceScore], *, higher_is_better: bool = True) -> list[SliceScore]:
    """Those that are worse than the rest of the rows, beyond chance; the worst first."""
    sign = 1 if higher_is_better else -1
    found = [
        (sign * (s.score.value - s.rest), s)
        for s in slices
        if s.rest is not None and s.p_rest is not None and s.p_rest < SIGNIFICANT
    ]
    return [s for gap, s in sorted(found, key=lambda pair: pair[0]) if gap < 0]


def worse_slices(slices: Sequence[SliceScore], *, higher_is_better: bool = True) -> list[SliceScore]:
    """Those on which the tuned model is worse than the prompted base model, beyond chance; the worst first."""
    sign = 1 if higher_is_better else -1
    found = [
        (sign * s.gain.value, s)
        for s in slices
        if s.gain is not None and s.p_gain is not None and s.p_gain < SIGNIFICANT
    ]
    return [s for gain, s in sorted(found, key=lambda pair: pair[0]) if gain < 0]


def show_slice(name: str, found: Interval) -> str:
    """`language=ja 0.62 (0.55 to 0.69)`."""
    return f"{name} {show_interval(found, '.2f')}"
