"""`versions/vN/diagnosis.json`: what is wrong, how sure that is, and what mending it costs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from nlp_skills.evaluation.advice.rules import Evidence
from nlp_skills.records import Record

Sure = Literal["strong", "some", "weak"]
"""strong: the records leave no other reading. some: a test against chance speaks for it. weak: it is worth a look."""
SURE: tuple[Sure, ...] = ("strong", "some", "weak")

Kind = Literal["harness", "data", "run", "model"]
"""What is at fault: how it was measured, the rows, the training, or what the model can do."""
KINDS: tuple[Kind, ...] = ("harness", "data", "run", "model")
"""In the order in which causes of one sureness are named: a wrong measurement makes all the rest worthless."""

LEAK_LOOK = "test rows that stand in the training rows"
"""The look for leaks, as it stands among `ruled_out` and `unchecked`."""

SHOWN = 5
"""Rows that a cause shows."""


class ShownRow(Record):
    """A row that shows the fault."""

    file: str
    """Relative to the task folder."""
    id: str
    text: str
    """The start of what was asked."""
    note: str = ""
    """What was expected and what came, or what is wrong with it."""


class Fix(Record):
    """What to do, and what that takes."""

    does: str
    command: str
    takes: str
    """Time, money or work, in words."""
    seconds: float | None = None
    """Of computing; None where it cannot be predicted or none is needed."""
    usd: float | None = None


class Cause(Record):
    """One thing that explains the figures."""

    id: str
    kind: Kind
    title: str
    says: str
    sure: Sure
    evidence: list[Evidence] = Field(min_length=1)
    rows: list[ShownRow] = []
    share: float = 0.0
    """Of the rows in question, those that it touches: 0 to 1. Of the wrong test rows, where it is about answers."""
    fix: Fix


class Unchecked(Record):
    """Something that could not be looked at: it is neither found nor ruled out."""

    what: str
    why: str


class Diagnosis(Record):
    """The causes, the likeliest first."""

    task: str
    version: str
    split: str
    symptom: str | None = None
    symptom_means: str | None = None
    """The symptom as it was understood; None where no symptom was given or none of the known ones is meant."""
    predictions_sha256: str | None = None
    """Of the predictions that were looked at; None where there were none. Another hash: it was tested again since."""
    verdict: str
    """One sentence, and how much was not looked at."""
    causes: list[Cause] = []
    ruled_out: list[str] = []
    """What was looked at and not found."""
    unchecked: list[Unchecked] = []

    def brief(self) -> Self:
        """The first causes with two rows each; the file has all."""
        short = [cause.model_copy(update={"rows": cause.rows[:2]}) for cause in self.causes[:6]]
        return self.model_copy(update={"causes": short})
