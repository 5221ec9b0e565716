"""Errors cross the border between processes as they are."""

import pickle

import pytest

from nlp_skills.errors import (
    AlreadyExists,
    MissingExtra,
    NlpSkillsError,
    NotFound,
    NotReady,
    NotValid,
    RunFailed,
    counted,
)

ERRORS = [error("a message") for error in (NotFound, NotValid, AlreadyExists, NotReady, RunFailed)]


@pytest.mark.parametrize(
    "error",
    [*ERRORS, MissingExtra("Looking for personal data", "data")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_another_process_says_the_same(error: NlpSkillsError):
    received = pickle.loads(pickle.dumps(error))
    assert (type(received), str(received)) == (type(error), str(error))


def test_a_number_and_its_noun_agree():
    told = [counted(number, "epoch") for number in (0, 1, 1.0, 0.5, 3.0, 12_000)]
    assert told == ["0 epochs", "1 epoch", "1 epoch", "0.5 epochs", "3 epochs", "12,000 epochs"]
