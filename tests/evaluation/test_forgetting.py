"""General questions: what they are, and when something counts as forgotten."""

import pytest

from nlp_skills.evaluation.forgetting import (
    GeneralAnswers,
    general_questions,
    lost_kinds,
    measure_forgetting,
)
from nlp_skills.evaluation.significance import mcnemar


def answers(right: set[int]) -> GeneralAnswers:
    ids = [question.id for question in general_questions()]
    return GeneralAnswers(model="m", right={name: n in right for n, name in enumerate(ids)})


def test_there_are_120_questions_of_six_kinds_with_four_different_answers() -> None:
    questions = general_questions()
    assert len({question.id for question in questions}) == len(questions) == 120
    assert len({question.question for question in questions}) == 120
    assert {len(set(question.choices)) for question in questions} == {4}
    assert sorted({question.kind for question in questions}) == [
        "arithmetic", "chinese and japanese", "common sense", "instructions", "knowledge", "language",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "tuned", "verdict"),
    [
        (range(80), range(80), "kept"),
        (range(80), range(76), "kept"),
        (range(80), range(62), "forgotten"),
        (range(80), range(9, 80), "cannot tell"),
        (range(36), range(5), "cannot tell"),
    ],
)
def test_a_loss_counts_where_it_is_large_and_no_chance(base: range, tuned: range, verdict: str) -> None:
    found = measure_forgetting(answers({*base}), answers({*tuned}))
    assert found.verdict == verdict
    assert len(found.lost) == len({*base} - {*tuned}) and found.won == []
    assert found.p_value == mcnemar(0, len(found.lost))
    assert found.change.value == (len(tuned) - len(base)) / 120


def test_what_was_forgotten_says_what_to_do_and_of_which_kind_it_was() -> None:
    found = measure_forgetting(answers({*range(80)}), answers({*range(20, 80)}))
    assert "replay_file" in found.reason
    assert lost_kinds(found.lost) == {"knowledge": 20}
    assert found.reason.endswith("Lost by kind: knowledge 20.")


def test_what_is_won_makes_up_for_what_is_lost() -> None:
    found = measure_forgetting(answers({*range(60)}), answers({*range(3, 63)}))
    assert (len(found.won), len(found.lost), found.change.value, found.verdict) == (3, 3, 0.0, "kept")
