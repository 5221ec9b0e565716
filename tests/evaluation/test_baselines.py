"""Baselines: what needs no fine-tuning, on easy, awkward and degenerate rows."""

import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.evaluation.baselines import COMPARED_AT_ONCE, majority, tfidf_classifier, tfidf_neighbour


def rows(*pairs: tuple[str, str]) -> list[Example]:
    return [
        Example(meta=Meta(id=f"s-{n}", source="s"), messages=[Message("user", t), Message("assistant", a)])
        for n, (t, a) in enumerate(pairs)
    ]


SPORT = [(f"the team won match {n} with goals", "sport") for n in range(12)]
TRADE = [(f"the shares of bank {n} fell at the market", "trade") for n in range(8)]


def test_majority_says_the_most_frequent_answer_and_of_equals_the_first_in_the_alphabet():
    assert majority(rows(*SPORT, *TRADE), rows(("x", "y"), ("z", "y"))) == ["sport", "sport"]
    assert majority(rows(("a", "z"), ("b", "c")), rows(("x", "y"))) == ["c"]


def test_tfidf_tells_easy_texts_apart_and_says_the_same_again():
    train, test = rows(*SPORT, *TRADE), rows(("another match with goals", ""), ("bank shares fell", ""))
    assert tfidf_classifier(train, test) == tfidf_classifier(train, test) == ["sport", "trade"]
    assert tfidf_neighbour(train, test) == ["sport", "trade"]


def test_more_rows_than_are_compared_at_once_each_get_their_own_neighbours_answer():
    train = rows(*[(f"number {n} of the words w{n}", str(n)) for n in range(40)])
    asked = [n * 7 % 40 for n in range(COMPARED_AT_ONCE + 5)]
    assert tfidf_neighbour(train, rows(*[(f"the word w{n}", "") for n in asked])) == [str(n) for n in asked]


def test_texts_without_a_question_get_the_most_frequent_answer():
    train = rows(("", "a"), ("", "b"), ("", "b"))
    assert tfidf_neighbour(train, rows(("", "c"))) == ["b"]


def test_tfidf_reads_scripts_without_blanks():
    train = rows(*[(f"股價大漲{n}", "正面") for n in range(8)], *[(f"營收下跌{n}", "負面") for n in range(8)])
    assert tfidf_classifier(train, rows(("今天股價大漲", ""), ("本月營收下跌", ""))) == ["正面", "負面"]


@pytest.mark.parametrize("predict", [tfidf_classifier, tfidf_neighbour])
def test_texts_without_a_word_do_not_stop_the_evaluation(predict):
    train = rows(*[(f"{n} {n + 1}", "even" if n % 2 == 0 else "odd") for n in range(9)])
    assert set(predict(train, rows(("3 4", ""), ("?", "")))) <= {"even", "odd"}


def test_one_label_is_always_said():
    assert tfidf_classifier(rows(("a b", "x"), ("c d", "x")), rows(("e", ""))) == ["x"]
