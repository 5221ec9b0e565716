"""The causes that can be named: data in causes.yaml, and how one of them is written down with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, Literal

import yaml

from nlp_skills.errors import counted
from nlp_skills.evaluation.advice.rules import Evidence, Value
from nlp_skills.evaluation.diagnosis.material import Material
from nlp_skills.evaluation.diagnosis.record import SHOWN, Cause, Fix, Kind, ShownRow, Sure
from nlp_skills.records import Record
from nlp_skills.training.planning.forecast import show_seconds

Step = Literal["reading", "data", "training", "evaluation"]

SECONDS_TO_READ = 20
"""For a person to read a row and decide on its label."""


class CauseKind(Record):
    """One entry of causes.yaml."""

    id: str
    kind: Kind
    title: str
    does: str
    command: str
    takes: list[Step]


@cache
def known_causes() -> dict[str, CauseKind]:
    """The causes by id."""
    text = files("nlp_skills.evaluation.diagnosis").joinpath("causes.yaml").read_text(encoding="utf-8")
    return {entry["id"]: CauseKind.parse(entry, "diagnosis/causes.yaml") for entry in yaml.safe_load(text)}


def figure(words: str, value: Value, file: str) -> Evidence:
    """A figure and the file that it was read or counted from; shares rounded to four digits."""
    return Evidence(figure=words, value=round(value, 4) if isinstance(value, float) else value, file=file)


def name_cause(
    material: Material,
    id: str,
    says: str,
    sure: Sure,
    evidence: Sequence[Evidence],
    *,
    rows: Iterable[ShownRow] = (),
    share: float = 0.0,
    to_read: int = 0,
    command: str | None = None,
    **values: Any,
) -> Cause:
    """A cause of causes.yaml with what speaks for it; `values` are the other braces of its command.

    `to_read`: rows that a person has to look at. `command`: in the place of the usual one.
    """
    known = known_causes()[id]
    filled = {
        "task": material.name,
        "version": material.version,
        "model": material.model,
        "on_split": material.on_split,
        **values,
    }
    return Cause(
        id=id,
        kind=known.kind,
        title=known.title,
        says=says,
        sure=sure,
        evidence=list(evidence),
        rows=list(islice(rows, SHOWN)),
        share=round(min(1.0, share), 4),
        fix=_fix(material, known, (command or known.command).format(**filled), filled, to_read),
    )


def _fix(material: Material, known: CauseKind, command: str, filled: dict[str, Any], to_read: int) -> Fix:
    """What it takes: measured seconds of this version's run and test, and rows to read."""
    told, seconds = [], 0.0
    if "reading" in known.takes and to_read:
        told.append(
            f"work: {counted(to_read, 'row')} to read (about {show_seconds(to_read * SECONDS_TO_READ)})"
        )
    if "data" in known.takes:
        told.append("work in the source, and making the data again")
    known_all = True
    times = 2 if "{more_epochs}" in known.command else 1
    training = "a training" if times == 1 else "a training of twice the epochs"
    for step, took, noun, factor in (
        ("training", material.train_seconds, training, times),
        ("evaluation", material.test_seconds, "a test", 1),
    ):
        if step not in known.takes:
            continue
        known_all = known_all and took is not None
        seconds += factor * (took or 0.0)
        told.append(
            f"{noun} ({material.version}'s took {show_seconds(took)})"
            if took is not None
            else f"{noun} (how long is not known)"
        )
    computes = "training" in known.takes or "evaluation" in known.takes
    usd = material.train_usd if "training" in known.takes else 0.0
    return Fix(
        does=known.does.format(**filled),
        command=command,
        takes="; ".join(told),
        seconds=round(seconds, 1) if computes and known_all else None,
        usd=None if usd is None else times * usd,
    )
