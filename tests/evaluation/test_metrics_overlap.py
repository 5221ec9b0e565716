"""ROUGE, BLEU and chrF against the packages that define them, on real texts."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.rouge import common_length, rouge_tokens
from nlp_skills.evaluation.metrics.translation import bleu_tokenizer
from nlp_skills.evaluation.results import Prediction

ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}


def answers(shared_data: Path, name: str, count: int = 200) -> list[Prediction]:
    """Real answers, each also right in another row's words where its number says so; said: whole, cut, mixed, another's."""
    rows = json.loads((shared_data / "instruction_chat" / name).read_text(encoding="utf-8"))[:count]
    texts = [row["output"] or "-" for row in rows]
    found = []
    for number, text in enumerate(texts):
        other = texts[number - 1]
        half = len(text) // 2
        said = (text, text[:half], other[: len(other) // 3] + text[half:], other, "")[number % 5]
        more = [text[half:] + other[:40]] if number % 3 == 0 else []
        found.append(Prediction(id="", expected=text, answers=more, predicted=said, correct=False))
    return found


def references(rows: list[Prediction]) -> list[list[str | None]]:
    return [[row.expected for row in rows], [row.answers[0] if row.answers else None for row in rows]]


def test_rouge_of_real_answers_is_that_of_the_package_rouge_score(shared_data: Path):
    from rouge_score.rouge_scorer import RougeScorer

    rows = answers(shared_data, "alpaca_en_demo.json", 100)
    scorer = RougeScorer(list(ROUGE.values()))
    scores = [scorer.score_multi([row.expected, *row.answers], row.predicted) for row in rows]
    for name, theirs in ROUGE.items():
        reference = sum(score[theirs].fmeasure for score in scores) / len(scores)
        assert METRICS[name].measure(rows) == pytest.approx(reference, abs=1e-9)


@pytest.mark.parametrize(
    ("file", "tokenize"), [("alpaca_en_demo.json", "13a"), ("alpaca_zh_demo.json", "zh")]
)
def test_bleu_and_chrf_of_real_answers_and_of_any_sample_of_them_are_sacrebleus(
    shared_data: Path, file: str, tokenize: str
):
    from sacrebleu.metrics import BLEU, CHRF

    rows = answers(shared_data, file)
    assert bleu_tokenizer([row.expected for row in rows]) == tokenize
    for name, theirs in (("bleu", BLEU(tokenize=tokenize)), ("chrf", CHRF())):
        statistics = METRICS[name].statistics(rows)
        for sample in (range(len(rows)), [3] * 5 + [8, 4], [4]):
            drawn = [rows[i] for i in sample]
            reference = theirs.corpus_score([row.predicted for row in drawn], references(drawn)).score / 100
            found = METRICS[name].value(statistics[list(sample)].sum(axis=0))
            assert float(found) == pytest.approx(reference, abs=1e-9)


@settings(max_examples=60)
@given(
    texts=st.lists(
        st.tuples(st.text("ab .", max_size=15), st.text("ab .", min_size=1, max_size=15)),
        min_size=1,
        max_size=4,
    )
)
def test_bleu_and_chrf_of_a_few_short_texts_are_sacrebleus_too(texts: list[tuple[str, str]]):
    from sacrebleu.metrics import BLEU, CHRF

    rows = [Prediction(id="", expected=e, predicted=p, correct=False) for p, e in texts]
    said, wanted = [p for p, _ in texts], [e for _, e in texts]
    for name, theirs in (("bleu", BLEU(force=True)), ("chrf", CHRF())):
        reference = theirs.corpus_score(said, [wanted]).score / 100
        assert METRICS[name].measure(rows) == pytest.approx(reference, abs=1e-9)


def longest_common(a: str, b: str) -> int:
    """The textbook's table."""
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


@given(a=st.text("abc", max_size=70), b=st.text("abcd", max_size=70))
def test_the_longest_common_subsequence_is_that_of_the_textbook(a: str, b: str):
    assert common_length(a, b) == common_length(b, a) == longest_common(a, b)


def test_words_are_those_of_rouge_score_and_other_scripts_have_words_too():
    assert rouge_tokens("The U.S. café, 2nd time") == ["the", "u", "s", "caf", "2nd", "time"]
    assert rouge_tokens("台積電 TSMC 漲5%") == ["台", "積", "電", "tsmc", "漲", "5"]
    assert rouge_tokens("Привет, мир! ありがとう") == ["привет", "мир", "あ", "り", "が", "と", "う"]
    same = Prediction(id="", expected="今天天氣很好", predicted="今天天氣很好", correct=True)
    assert [METRICS[name].measure([same]) for name in ROUGE] == [1, 1, 1]


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [
        (["Good morning", "早安"], "13a"),
        (["今天天氣很好", "OK"], "zh"),
        (["今日はいい天気です", "東京"], "char"),
        (["1, 2, 3"], "13a"),
        (["Guten Tag über"], "13a"),
    ],
)
def test_the_script_of_the_references_decides_how_bleu_cuts_words(texts: list[str], tokenizer: str):
    assert bleu_tokenizer(texts) == tokenizer
