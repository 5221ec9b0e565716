"""Rows that are alike: what comparing each with each finds, each pair once, and no text read again and again."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from nlp_skills.data.alike import COMPARED, similar_rows
from nlp_skills.data.similarity import similarity

WORDS = [f"{a}{b}" for a in "bdfglmnprst" for b in ("ana", "elo", "iru", "opa", "uke")]


def template(seed: int, changed: int, words: int = 40) -> str:
    """One text in which the first words are others for each seed: two have about (words - changed) in common."""
    common = random.Random(0).choices(WORDS, k=words)
    return " ".join([*random.Random(seed).choices(WORDS, k=changed), *common[changed:]])


def nothing(one: Any, _: Any) -> Any:
    return np.zeros(len(one), dtype=bool)


def find(texts: list[str], threshold: float = 0.8) -> list[tuple[int, int]]:
    return list(similar_rows(range(len(texts)), threshold, texts.__getitem__, nothing))


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_each_pair_that_is_alike_is_found_once(threshold: float):
    texts = [template(seed, seed % 13) for seed in range(COMPARED)]
    assert len(set(texts)) < len(texts)
    expected = [
        (row, other)
        for row, text in enumerate(texts)
        for other, earlier in enumerate(texts[:row])
        if texts.index(earlier) == other  # copies are paired with the first of them only
        and (text == earlier or texts.index(text) == row)
        and similarity(text, earlier) >= threshold
    ]
    assert sorted(find(texts, threshold)) == expected
    assert len(expected) > 2  # the copies are two


@pytest.mark.parametrize("changed", [1, 4, 8])
def test_no_text_is_read_more_than_twice_however_many_follow_one_template(changed: int):
    texts, read = [template(seed, changed) for seed in range(1_500)], Counter[int]()

    def text_of(row: int) -> str:
        read[row] += 1
        return texts[row]

    found = list(similar_rows(range(len(texts)), 0.8, text_of, nothing))
    assert max(read.values()) == 2
    assert len(found) == len(set(found))
    compared = Counter(row for row, other in found if texts[row] != texts[other])
    assert [row for row, count in compared.items() if count > COMPARED] == []


def test_shingles_that_are_not_held_are_made_again_with_the_same_result(monkeypatch: pytest.MonkeyPatch):
    texts = [template(seed, 3) for seed in range(COMPARED)]
    found = find(texts)
    monkeypatch.setattr("nlp_skills.data.alike.HELD", 100)
    assert set(find(texts)) == set(found)
    assert len(found) > 100


def test_what_is_known_already_is_not_compared():
    texts = [f"{n} {template(0, 0)}" for n in range(50)]
    dropped = np.zeros(50, dtype=bool)
    found = []
    for row, other in similar_rows(range(50), 0.8, texts.__getitem__, lambda one, _: dropped[one]):
        dropped[row] = True
        found.append((row, other))
    assert {row for row, _ in found} == set(range(1, 50))
    assert len(found) < 100


def test_texts_that_are_short_or_broken_are_like_none():
    texts = ["too short", "too short", "", *["half a character \ud800 is here"] * 2]
    assert find(texts) == [(4, 3)]
    assert find([]) == []
