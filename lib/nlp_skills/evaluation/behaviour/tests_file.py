"""`configs/behaviour.yaml`: the tests of behaviour, as the user changes them.

Three kinds, as in Ribeiro, Wu, Guestrin and Singh 2020 ("Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList", ACL): invariance, directional expectation, minimum functionality.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nlp_skills.records import Record

Change = Literal["typos", "upper case", "lower case", "punctuation", "whitespace", "width", "script", "words"]


class Invariance(Record):
    """A change of the input that must not change the answer."""

    name: str
    change: Change
    """width: full-width letters and digits for half-width ones and back; script: Traditional for Simplified characters
    and back; words: one of `words` for another."""
    words: list[list[str]] = []
    """Groups of words that may stand for each other: names, places, synonyms."""


class Directional(Record):
    """A phrase that may move the probability of a label one way only."""

    name: str
    add: list[str] = Field(min_length=1)
    """Phrases, one of them to a row."""
    at: Literal["start", "end"] = "end"
    label: str
    must_not: Literal["rise", "fall"]
    tolerance: float = Field(default=0.1, ge=0, le=1)
    """A smaller move counts as none."""


class MinimumRow(Record):
    """An input that has to be answered rightly."""

    input: str
    expected: str


class Minimum(Record):
    """Simple rows that any model for this task has to answer."""

    name: str
    rows: list[MinimumRow] = Field(min_length=1)


class BehaviourTests(Record):
    """All tests of a task."""

    invariance: list[Invariance] = []
    directional: list[Directional] = []
    minimum: list[Minimum] = []


NAMES = {
    "en": [["Michael", "David", "Maria", "Fatima", "Wei"], ["London", "Paris", "Chicago", "Mumbai"]],
    "zh": [["王先生", "李先生", "陳先生"], ["台北", "高雄", "上海", "香港"]],
    "ja": [["田中", "佐藤", "鈴木"], ["東京", "大阪", "福岡"]],
}
"""Names and places by language, to begin with."""

LETTERS: dict[str, list[Change]] = {
    "en": ["typos", "upper case", "lower case"],
    "zh": ["width", "script"],
    "ja": ["width"],
}
"""Changes of letters by language; other languages have those of English."""


def default_tests(language: str | None, *, has_labels: bool) -> BehaviourTests:
    """What holds for most tasks in a language; another than English, Chinese and Japanese gets no names.

    Answers that are no labels quote their input: another name or spelling in it rightly changes them, a blank does not.
    """
    spoken = (language or "en").split("-")[0]
    changes: list[Change] = ["whitespace", "punctuation"]
    if has_labels:
        changes += LETTERS.get(spoken, LETTERS["en"])
    tests = [Invariance(name=change, change=change) for change in changes]
    if has_labels and spoken in NAMES:
        tests.append(Invariance(name="names and places", change="words", words=NAMES[spoken]))
    return BehaviourTests(invariance=tests)
