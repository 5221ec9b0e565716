"""`models/vN/NAME.parity.json`: what was compared between a trained version and what is deployed of it, and what differs."""

from __future__ import annotations

from typing import Literal, Self

from nlp_skills.evaluation.results import Interval
from nlp_skills.records import Record

Answer = Literal["yes", "no", "cannot tell"]

Cause = Literal[
    "double BOS",
    "other BOS",
    "dropped tool block",
    "wrong template",
    "cut prompt",
    "missing stop token",
    "other vocabulary",
    "other quantisation",
    "4-bit merge",
    "other weights",
    "worse answers",
]
"""In the order in which they are looked for: what explains the most comes first."""


class Difference(Record):
    """One thing that is served otherwise than it was trained, and where it shows first."""

    cause: Cause
    says: str
    """What was found, and what to do."""
    where: str
    """Of the two that were compared with the trainer: the file's own template, or the server."""
    conversation: str | None = None
    position: int | None = None
    """0-based: the first token that differs."""
    trained: str | None = None
    """The tokens there, as text: those of the trainer …"""
    served: str | None = None
    """… and those of what is deployed."""


class Rendering(Record):
    """One conversation as it is served, beside the trainer's tokens."""

    conversation: str
    where: str
    tokens: int
    """Of the trainer's prompt."""
    equal: bool


class WeightsCompared(Record):
    """The probabilities of the next token, by the trained version and by what is deployed (weights.py)."""

    places: int
    """Beginnings of prompts that were looked at."""
    nats: float
    """Mean KL(trained ‖ served)."""
    allowed: float
    """What the quantisation may cause."""
    trained_in: str = ""
    """The precision that the trained version computed in: `bfloat16` …"""
    served_in: str = ""
    """… and what is served: `float32`, `q8_0 in llama.cpp`."""


class AnswersCompared(Record):
    """The test rows, answered by the version and by what is deployed; paired row by row."""

    rows: int
    same: int
    """Rows with the same answer."""
    metric: str
    trained: float
    served: float
    change: Interval
    """served - trained, with its interval; less is worse, whatever the metric."""
    cut: int = 0
    """Answers that ran into their limit only where they were served: a sign of a missing stop token."""
    answer: Answer
    reason: str
    rows_to_decide: int | None = None
    """About so many test rows would turn "cannot tell" into an answer, if they go as these did."""


class ParityReport(Record):
    """What is deployed beside what was trained."""

    task: str
    version: str
    model: str
    """What was compared: the name of an artefact, a file, or ollama/NAME."""
    sha256: str | None = None
    """Of the file or folder that was compared; for Ollama of the weights that it names."""
    path: str | None = None
    """Where that lies: in the task's folder, or on this machine."""
    trained_sha256: str | None = None
    """Of what was trained, with which it was compared."""
    quantization: str | None = None
    created: str
    renderings: list[Rendering] = []
    weights: WeightsCompared | None = None
    answers: AnswersCompared | None = None
    not_compared: dict[str, str] = {}
    """What could not be compared → why."""
    does_not_apply: dict[str, str] = {}
    """Conversations that this model cannot have → why."""
    differences: list[Difference] = []
    """The one that explains the most first."""
    answer: Answer
    """yes: nothing differs, and everything was compared."""
    message: str

    def brief(self) -> Self:
        """Renderings that are equal are only counted in the message."""
        return self.model_copy(update={"renderings": [r for r in self.renderings if not r.equal]})

    @property
    def told(self) -> list[str]:
        """The differences and what was not compared, in sentences: what somebody accepts who deploys all the same."""
        found = [f"{one.cause}: {one.says}" for one in self.differences]
        if self.answers is not None and self.answers.answer == "cannot tell":
            found.append(f"cannot tell: {self.answers.reason}")
        return [*found, *(f"not compared: {what}: {why}" for what, why in self.not_compared.items())]
