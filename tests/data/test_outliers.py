"""Inputs of unusual length."""

import re
from pathlib import Path

import numpy as np
import pytest
from check_families import TEST, TRAIN, chat, make_task, over_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks.outliers import FEWEST, Outliers, usual_lengths
from nlp_skills.data.example import Example, Message
from nlp_skills.errors import counted

COUNT = 60
busy = settings(
    max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
places = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)


def clean() -> list[Example]:
    return [chat("word " * (10 + n % 12), "answer") for n in range(COUNT)]


def test_usual_lengths_pass(tmp_path: Path) -> None:
    found = over_files(Outliers, tmp_path, make_task(), train=clean(), test=clean())
    assert (found.findings(), found.not_run()) == ([], {})


def test_rows_of_one_length_and_a_few_others_pass(tmp_path: Path) -> None:
    rows = [chat("x" * (100 if n else 150), "a") for n in range(COUNT)]
    assert over_files(Outliers, tmp_path, make_task(), train=rows).findings() == []


@busy
@given(where=places, long=st.booleans())
def test_exactly_the_planted_lengths_are_found(tmp_path: Path, where: list[int], long: bool) -> None:
    rows = clean()
    for n in where:
        rows[n] = chat("word " * 300 if long else "wo", "answer")
    (finding,) = over_files(Outliers, tmp_path, make_task(), train=clean(), test=rows).findings()
    assert (finding.check, finding.level, finding.count) == ("DATA-OUTLIER", "info", len(where))
    assert [(row.file, row.line) for row in finding.rows] == [(TEST, n + 1) for n in where]
    assert finding.rows[0].text.startswith("1,500 characters: word" if long else "2 characters: wo")


def test_of_many_the_most_unusual_are_shown_in_their_order(tmp_path: Path) -> None:
    rows = [chat("word " * (n if n > 190 else 10), "answer") for n in range(200)]
    (finding,) = over_files(Outliers, tmp_path, make_task(), train=rows).findings()
    assert (finding.count, [row.line for row in finding.rows]) == (9, [196, 197, 198, 199, 200])
    assert {row.file for row in finding.rows} == {TRAIN}


@given(lengths=st.lists(st.integers(1, 400), min_size=FEWEST, max_size=60), usual=st.integers(20, 60))
@busy
def test_the_number_of_the_message_is_the_one_that_was_compared(
    tmp_path: Path, lengths: list[int], usual: int
) -> None:
    lengths += [usual] * 100
    rows = [chat("x" * length, "answer") for length in lengths]
    for finding in over_files(Outliers, tmp_path, make_task(), train=rows).findings():
        limit, word = re.fullmatch(
            r"Inputs of (.*?) characters? ?(or more|or fewer)?, .*", finding.message
        ).groups()  # pyright: ignore[reportOptionalMemberAccess]
        limit = 1 if limit == "a single" else int(limit)
        within = [length for length in lengths if (length >= limit if word == "or more" else length <= limit)]
        assert finding.count == len(within)
        assert finding.message.endswith(f", where {usual} are usual: {counted(len(within), 'row')}.")


def test_of_a_conversation_the_characters_that_are_compared_are_told(tmp_path: Path) -> None:
    row = chat("ab", "answer")
    row.messages = [Message("user", "a"), Message("assistant", "b"), *(row.messages or [])]
    (finding,) = over_files(Outliers, tmp_path, make_task(), train=[row, *clean()]).findings()
    assert finding.rows[0].text == "4 characters: a b ab"


def test_few_inputs_have_no_usual_length(tmp_path: Path) -> None:
    found = over_files(Outliers, tmp_path, make_task(), train=[chat("x" * n, "a") for n in (1, 2, 1000)])
    assert found.findings() == []
    assert found.not_run() == {"DATA-OUTLIER": "3 inputs are too few to tell what is usual"}


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60))
def test_the_bounds_are_those_of_the_modified_z_score(lengths: list[int]) -> None:
    logarithms = np.sort(np.log(lengths))
    middle = logarithms[(len(lengths) - 1) // 2]
    away = np.sort(np.abs(logarithms - middle))[(len(lengths) - 1) // 2]
    reach = max(3.5 * away / 0.6745, np.log(3))
    counts = {length: lengths.count(length) for length in lengths}
    assert usual_lengths(counts) == pytest.approx((np.exp(middle - reach), np.exp(middle + reach)))
