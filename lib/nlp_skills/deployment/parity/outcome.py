"""What was compared becomes an answer and a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from nlp_skills.deployment.parity.report import (
    Answer,
    AnswersCompared,
    Cause,
    Difference,
    ParityReport,
    Rendering,
    WeightsCompared,
)
from nlp_skills.deployment.parity.target import Target, place_of
from nlp_skills.deployment.parity.weights import COARSE
from nlp_skills.errors import counted
from nlp_skills.records import now


@dataclass
class Compared:
    """What is known so far."""

    renderings: list[Rendering] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    weights: WeightsCompared | None = None
    answers: AnswersCompared | None = None
    not_compared: dict[str, str] = field(default_factory=dict)
    does_not_apply: dict[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> Answer:
        """yes: nothing differs, and everything was compared."""
        if self.differences:
            return "no"
        unsure = self.answers is not None and self.answers.answer == "cannot tell"
        return "cannot tell" if unsure or self.not_compared else "yes"


def conclude(
    task: Path, version: str, trained_sha256: str, model: str, target: Target, found: Compared
) -> ParityReport:
    """The report; the difference that explains the most comes first."""
    order = get_args(Cause)
    report = ParityReport(
        task=task.name,
        version=version,
        model=model,
        sha256=target.sha256,
        path=place_of(target.path, task),
        trained_sha256=trained_sha256,
        quantization=target.quantization,
        created=now(),
        renderings=found.renderings,
        weights=found.weights,
        answers=found.answers,
        not_compared=found.not_compared,
        does_not_apply=found.does_not_apply,
        differences=sorted(found.differences, key=lambda one: order.index(one.cause)),
        answer=found.answer,
        message="",
    )
    return report.model_copy(update={"message": _message(report)})


def _message(report: ParityReport) -> str:
    name = f"{report.model} of {report.version}"
    if report.differences:
        first = report.differences[0]
        where = f" in the conversation {first.conversation!r}" if first.conversation else ""
        tokens = (
            f" at token {first.position}: trained {first.trained!r}, served {first.served!r}"
            if first.position is not None
            else ""
        )
        return f"{name} is not served as it was trained: {first.cause}{where}{tokens}. {first.says}"
    parts = [f"{counted(len(report.renderings), 'conversation')} token by token"]
    parts += [_weights(report.weights)] if report.weights else []
    parts += [_answers(report.answers, report.weights)] if report.answers else []
    parts += [f"not compared: {what}: {why.rstrip('.')}" for what, why in report.not_compared.items()]
    said = "is served as it was trained" if report.answer == "yes" else "shows no difference, but cannot tell"
    return f"{name} {said}: {'; '.join(parts)}."


def _weights(found: WeightsCompared) -> str:
    return (
        f"next tokens {found.nats:.2g} nats apart, {found.allowed:g} allowed (trained in {found.trained_in}, served in"
        f" {found.served_in})"
    )


def _answers(found: AnswersCompared, weights: WeightsCompared | None) -> str:
    """Where the weights are nearer than a coarse quantisation may be, other answers speak of no other model."""
    told = found.reason.rstrip(".")
    if found.same == found.rows or weights is None or weights.allowed >= COARSE:
        return told
    return f"{told}. The weights are the trained ones, so it is not another model that changes answers"
