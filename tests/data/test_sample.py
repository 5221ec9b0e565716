"""The sample that ships with the project is what its README says it is."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest

from nlp_skills.data.sample import SUPPORT_MESSAGES

README = SUPPORT_MESSAGES.with_name("README.md").read_text(encoding="utf-8")
COUNTS = {"delivery": 72, "billing": 64, "returns": 58, "technical": 52, "account": 46, "feedback": 38}
CELL = re.compile(r"^\| (?P<model>[^|]+) \| (?P<accuracy>0\.\d\d) \| (?P<f1>0\.\d\d) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with SUPPORT_MESSAGES.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def messages(rows: list[dict[str, str]]) -> list[str]:
    return [row["message"] for row in rows]


def words(message: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", message.lower())


def three_grams(message: str) -> set[tuple[str, ...]]:
    found = words(message)
    return {tuple(found[i : i + 3]) for i in range(len(found) - 2)}


def figures(text: str) -> dict[str, tuple[float, float]]:
    return {m["model"]: (float(m["accuracy"]), float(m["f1"])) for m in CELL.finditer(text)}


def test_the_file_has_a_message_and_a_topic_in_every_row(rows: list[dict[str, str]]) -> None:
    assert all(set(row) == {"message", "topic"} for row in rows)
    assert [row for row in rows if row["message"] != row["message"].strip() or not row["topic"]] == []


def test_topics_are_the_six_known_ones_in_their_known_numbers(rows: list[dict[str, str]]) -> None:
    assert Counter(row["topic"] for row in rows) == COUNTS


def test_the_readme_gives_the_counts_of_the_file(rows: list[dict[str, str]]) -> None:
    written = {
        topic: int(count) for topic, count in re.findall(r"^\| (\w+) \| (\d+) \| ", README, re.MULTILINE)
    }
    assert written == Counter(row["topic"] for row in rows)
    assert f"`support_messages.csv` holds {len(rows)} messages" in README


def test_the_readme_says_who_wrote_the_rows_and_under_which_licence() -> None:
    assert "An AI assistant wrote every row for this project" in README
    assert "Licence: Apache-2.0" in README


def test_no_message_stands_twice_whatever_its_case_and_punctuation(messages: list[str]) -> None:
    counted = Counter(" ".join(words(message)) for message in messages)
    assert [text for text, times in counted.items() if times > 1] == []


def test_no_two_messages_are_nearly_the_same(messages: list[str]) -> None:
    shingled = [(message, three_grams(message)) for message in messages]
    alike = [(a, b) for (a, s), (b, t) in combinations(shingled, 2) if len(s & t) > 0.6 * len(s | t)]
    assert alike == []


def test_messages_are_between_four_and_forty_five_words_long(messages: list[str]) -> None:
    lengths = [len(message.split()) for message in messages]
    assert (min(lengths), max(lengths)) == (4, 45)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"\S+@\S+", id="e-mail address"),
        pytest.param(r"https?:|www\.|\b\w+\.(?:com|org|net|io|de)\b", id="URL"),
        pytest.param(r"\+?\d(?:[ ()/.-]?\d){6,}", id="phone number"),
    ],
)
def test_no_message_holds_a_way_to_reach_somebody(messages: list[str], pattern: str) -> None:
    assert [message for message in messages if re.search(pattern, message)] == []


def test_rows_are_shuffled_so_that_no_topic_comes_in_a_block(rows: list[dict[str, str]]) -> None:
    third = len(rows) // 3
    for part in (rows[:third], rows[third : 2 * third], rows[2 * third :]):
        assert {row["topic"] for row in part} == set(COUNTS)


def test_the_program_in_the_readme_prints_the_figures_in_the_readme() -> None:
    pytest.importorskip("sklearn", reason="the baseline needs the train extra: uv sync --extra train")
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    measured, written = figures(run.stdout), figures(README)
    assert list(measured) == list(written)
    # Another release of scikit-learn may move a row or two from one side to the other.
    for model, (accuracy, f1) in written.items():
        assert measured[model] == pytest.approx((accuracy, f1), abs=0.03)


def test_counting_words_beats_the_majority_and_leaves_room_for_a_model() -> None:
    written = figures(README)
    assert written["majority class"][0] < 0.25
    for model, (accuracy, _) in written.items():
        assert model == "majority class" or 0.65 < accuracy < 0.85
