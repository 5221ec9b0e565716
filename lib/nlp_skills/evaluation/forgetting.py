"""EVAL-FORGET: what the model could do before and cannot do any more.

120 general questions with four answers each (general/questions.jsonl) are put to the base model and to the tuned one,
without the task's system prompt. The answer that a model finds most probable counts: nothing has to be parsed.

    forgotten    significantly fewer right, and by more than ALLOWED
    kept         the interval of the change excludes a loss as large as that
    cannot tell  neither, or the base model itself does not know much more than chance
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.evaluation.figures import show_gain
from nlp_skills.evaluation.predictors import Predictor
from nlp_skills.evaluation.results import Forgetting, Interval
from nlp_skills.evaluation.significance import SIGNIFICANT, bonett_price, mcnemar, share
from nlp_skills.records import Progress, Record

ALLOWED = 0.1
"""The loss that is borne, as a share of the questions: what 120 of them can tell from none."""
CHANCE = 0.25
CURE = (
    "Mix general rows into the training (replay_file in the settings of create-version, 5 to 20 % of the rows), lower"
    " the learning rate, or train fewer epochs."
)
BRIEFLY = "Answer with a few words."
"""Put after each question: the choices are short, and a model that likes whole sentences finds none of them probable."""
QUESTIONS = Path(__file__).parent / "general" / "questions.jsonl"


Kept = Literal["kept", "forgotten", "cannot tell"]


class Question(msgspec.Struct, frozen=True):
    """One general question; the first of its choices is right."""

    id: str
    kind: str
    question: str
    choices: list[str]


class GeneralAnswers(Record):
    """`benchmarks/general/<key>.json`: which questions a model answers rightly; kept for the next version."""

    model: str
    right: dict[str, bool]


def general_questions() -> list[Question]:
    """All questions, in their order."""
    decoder = msgspec.json.Decoder(Question)
    return [decoder.decode(line) for line in QUESTIONS.read_bytes().splitlines()]


def ask_general(predictor: Predictor, progress: Progress) -> GeneralAnswers:
    """Which of the questions the model answers rightly.

    Raises NotValid where the predictor gives no probabilities.
    """
    questions = general_questions()
    right: dict[str, bool] = {}
    for start in range(0, len(questions), STEP):
        progress(f"{predictor.name}: general questions", start, len(questions))
        some = questions[start : start + STEP]
        rows = [
            Example(
                meta=Meta(id=q.id, source="general"),
                messages=[Message("user", f"{q.question}\n{BRIEFLY}"), Message("assistant", q.choices[0])],
            )
            for q in some
        ]
        for question, scores in zip(
            some, predictor.score_choices(rows, [q.choices for q in some]), strict=True
        ):
            right[question.id] = scores[0] > max(scores[1:])
    return GeneralAnswers(model=predictor.name, right=right)


STEP = 40
"""Questions between two signs of progress."""


def measure_forgetting(base: GeneralAnswers, tuned: GeneralAnswers) -> Forgetting:
    """What the tuned model has lost, and whether that is more than chance and more than is borne."""
    asked = list(base.right)
    lost = [name for name in asked if base.right[name] and not tuned.right[name]]
    won = [name for name in asked if tuned.right[name] and not base.right[name]]
    count = len(asked)
    of_base, of_tuned = (
        share(sum(base.right.values()), count),
        share(sum(tuned.right[name] for name in asked), count),
    )
    change = bonett_price(len(won), len(lost), count)
    p = mcnemar(len(won), len(lost))
    verdict, reason = judge_change(of_base, of_tuned, change, p)
    if verdict == "forgotten":
        kinds = ", ".join(f"{kind} {number}" for kind, number in lost_kinds(lost).items())
        reason = f"{reason} Lost by kind: {kinds}."
    return Forgetting(
        count=count,
        base=of_base,
        tuned=of_tuned,
        change=change,
        p_value=p,
        verdict=verdict,
        reason=reason,
        lost=lost,
        won=won,
    )


def judge_change(base: Interval, tuned: Interval, change: Interval, p: float) -> tuple[Kept, str]:
    """The verdict and why."""
    numbers = (
        f"General questions answered rightly: base model {base.value:.0%}, tuned {tuned.value:.0%}"
        f" ({show_gain(change, '.0%')})."
    )
    if base.low <= CHANCE:
        return (
            "cannot tell",
            f"{numbers} The base model does no better than guessing, so there is nothing to lose.",
        )
    if p < SIGNIFICANT and change.value < -ALLOWED:
        return "forgotten", f"{numbers} The tuned model has forgotten more than {ALLOWED:.0%} of them. {CURE}"
    if change.low >= -ALLOWED:
        return "kept", f"{numbers} A loss of more than {ALLOWED:.0%} is ruled out."
    return "cannot tell", f"{numbers} A loss of more than {ALLOWED:.0%} is neither shown nor ruled out."


def lost_kinds(lost: Sequence[str]) -> dict[str, int]:
    """Kind of question → how many were lost."""
    kinds = {question.id: question.kind for question in general_questions()}
    counts: dict[str, int] = {}
    for name in lost:
        counts[kinds[name]] = counts.get(kinds[name], 0) + 1
    return counts
