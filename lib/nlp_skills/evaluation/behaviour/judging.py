"""Which rows a test fails: the answers before a change beside those after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from msgspec import structs

from nlp_skills.data.example import Example, Message, Meta, about_entity, text_about
from nlp_skills.evaluation.behaviour.changing import changed
from nlp_skills.evaluation.behaviour.record import Flip, TestOutcome
from nlp_skills.evaluation.behaviour.tests_file import BehaviourTests, Directional, Invariance, Minimum
from nlp_skills.evaluation.marking import is_right
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.significance import share
from nlp_skills.task.task import Task

SHOWN = 10
"""Failed rows of each test that the record keeps."""


@dataclass(frozen=True)
class Asked:
    """A test with the rows that it asks, and the places of the rows that they were made from."""

    test: Invariance | Directional | Minimum
    rows: list[Example]
    origins: list[int]


def rows_of(tests: BehaviourTests, examples: Sequence[Example], seed: int) -> list[Asked]:
    """Everything that is asked beside the examples themselves; rows that a test leaves as they are are not asked."""
    asked = []
    for test in (*tests.invariance, *tests.directional):
        rows, origins = [], []
        for place, example in enumerate(examples):
            made = _other(example, test, Random(f"{seed} {test.name} {example.meta.id}"))
            if made is not None:
                rows.append(made)
                origins.append(place)
        asked.append(Asked(test, rows, origins))
    return [*asked, *(Asked(test, _simple(test, examples), []) for test in tests.minimum)]


def judge(task: Task, asked: Asked, before: Sequence[Prediction], after: Sequence[Prediction]) -> TestOutcome:
    """The outcome; `before` are the answers to the examples, `after` those to the test's rows."""
    test = asked.test
    if isinstance(test, Minimum):
        flips = [
            Flip(id=row.id, input=row.input, changed=row.input, before=row.expected, after=row.predicted)
            for row in after
            if not row.correct
        ]
        return _outcome(test.name, "minimum", len(after), flips, len(flips))
    pairs = [(before[place], row) for place, row in zip(asked.origins, after, strict=True)]
    if isinstance(test, Directional):
        flips = [flip for a, b in pairs if (flip := _moved(test, a, b)) is not None]
        return _outcome(test.name, "directional", len(pairs), flips, 0)
    failed = [(a, b) for a, b in pairs if not is_right(task, a.predicted, b.predicted)]
    broken = sum(a.correct and not b.correct for a, b in failed)
    return _outcome(test.name, "invariance", len(pairs), [_flip(a, b) for a, b in failed], broken)


def _outcome(name: str, kind: str, count: int, flips: list[Flip], broken: int) -> TestOutcome:
    return TestOutcome.parse(
        {
            "name": name,
            "kind": kind,
            "count": count,
            "failed": len(flips),
            "rate": share(len(flips), count).model_dump() if count else None,
            "broken": broken,
            "flips": [flip.model_dump() for flip in flips[:SHOWN]],
        },
        f"the test {name}",
    )


def _moved(test: Directional, a: Prediction, b: Prediction) -> Flip | None:
    """The row where the label's probability went the wrong way; without probabilities its answer 1 or 0."""
    move = _probability(b, test.label) - _probability(a, test.label)
    wrong = move if test.must_not == "rise" else -move
    return _flip(a, b, move) if wrong > test.tolerance else None


def _probability(row: Prediction, label: str) -> float:
    return float(row.predicted == label) if row.scores is None else row.scores[label]


def _flip(a: Prediction, b: Prediction, moved: float | None = None) -> Flip:
    return Flip(id=a.id, input=a.input, changed=b.input, before=a.predicted, after=b.predicted, moved=moved)


def _other(example: Example, test: Invariance | Directional, draw: Random) -> Example | None:
    """The row after the change of its last user's turn; None where nothing changed."""
    messages = list(example.messages or [])
    place = next((i for i in range(len(messages) - 2, -1, -1) if messages[i].role == "user"), None)
    said = messages[place].content if place is not None else None
    if place is None or not said:
        return None
    # Another name for the entity has to stand in both its places; every other change leaves the entity as it is.
    renames = isinstance(test, Invariance) and test.change == "words"
    text = None if renames else text_about(example.meta.entity, said)
    made = _change(said if text is None else text, test, draw)
    if text is not None and example.meta.entity:
        made = about_entity(example.meta.entity, made)
    if made == said:
        return None
    messages[place] = structs.replace(messages[place], content=made)
    return structs.replace(example, messages=messages)


def _change(text: str, test: Invariance | Directional, draw: Random) -> str:
    if isinstance(test, Invariance):
        return changed(text, test, draw)
    phrase = draw.choice(test.add)
    gap = " " if phrase[:1].isascii() else ""
    return f"{phrase}{gap}{text}" if test.at == "start" else f"{text}{gap}{phrase}"


def _simple(test: Minimum, examples: Sequence[Example]) -> list[Example]:
    """The user's rows, asked as the data's rows are: under the same system prompt."""
    first = examples[0].context if examples else []
    system = [turn for turn in first if turn.role == "system"]
    return [
        Example(
            meta=Meta(id=f"{test.name}-{number}", source="behaviour"),
            messages=[*system, Message("user", row.input), Message("assistant", row.expected)],
        )
        for number, row in enumerate(test.rows, start=1)
    ]
