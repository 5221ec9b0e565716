"""Distributions that differ, and how sure that is."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from check_families import chat, make_task, over_files
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from nlp_skills.data.checks.distances import (
    chi_squared,
    chi_squared_tail,
    kolmogorov_smirnov,
    stability,
)
from nlp_skills.data.checks.drift import Drift
from nlp_skills.data.example import Example
from nlp_skills.data.snapshot import DataSnapshot, SplitSnapshot, in_buckets

LABELS = ["down", "flat", "up"]
TASK = make_task("classification", labels=LABELS)
counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=2)
busy = settings(
    max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
samples = st.lists(st.integers(0, 60), min_size=8, max_size=80)


def labelled(weights: tuple[int, int, int], words: int = 10, count: int = 300) -> list[Example]:
    cycle = [label for label, weight in zip(LABELS, weights, strict=True) for _ in range(weight)]
    return [chat("word " * (words + n % 7), label := cycle[n % len(cycle)], label) for n in range(count)]


def snapshot(examples: list[Example]) -> DataSnapshot:
    labels = Counter(example.meta.label or "" for example in examples)
    lengths = in_buckets(Counter(len(example.input_text) for example in examples))
    train = SplitSnapshot(sha256="", count=len(examples), label_counts=dict(labels), lengths=lengths)
    return DataSnapshot(source_hash="", sources={}, splits={"train": train}, seed=1)


def test_sides_of_one_population_pass(tmp_path: Path) -> None:
    found = over_files(Drift, tmp_path, TASK, train=labelled((1, 1, 1)), test=labelled((1, 1, 1), count=90))
    assert (found.findings(), found.not_run()) == ([], {})


def test_other_labels_in_test_than_in_train_are_told(tmp_path: Path) -> None:
    found = over_files(Drift, tmp_path, TASK, train=labelled((1, 1, 1)), test=labelled((1, 1, 8), count=200))
    (finding,) = found.findings()
    assert (finding.check, finding.level, finding.count) == ("DATA-DRIFT", "warning", 200)
    assert finding.message == (
        "The labels are spread otherwise in test than in train (PSI 0.97): up 33% → 80%, down 33% → 10%,"
        " flat 33% → 10%."
    )


def test_other_lengths_in_test_than_in_train_are_told(tmp_path: Path) -> None:
    found = over_files(Drift, tmp_path, TASK, train=labelled((1, 1, 1)), test=labelled((1, 1, 1), words=60))
    assert [finding.message.split(":")[0] for finding in found.findings()] == [
        "The lengths are spread otherwise in test than in train (PSI 12.75)"
    ]


def test_a_small_shift_is_a_remark_and_few_rows_prove_nothing(tmp_path: Path) -> None:
    train, test = labelled((3, 3, 3)), labelled((2, 3, 6), count=900)
    (finding,) = over_files(Drift, tmp_path, TASK, train=train, test=test).findings()
    assert finding.level == "info"
    assert over_files(Drift, tmp_path, TASK, train=train, test=test[:9]).findings() == []


weights = st.tuples(*[st.integers(2, 6)] * 3)


@busy
@given(weights=weights, rounds=st.integers(3, 8), words=st.integers(3, 30))
def test_sides_of_equal_shares_pass_whatever_these_are(
    tmp_path: Path, weights: tuple[int, int, int], rounds: int, words: int
) -> None:
    whole = 7 * sum(weights)  # a multiple of the cycle of labels and of that of lengths
    train, test = (labelled(weights, words, whole * times) for times in (rounds, 3))
    assert over_files(Drift, tmp_path, TASK, train=train, test=test).findings() == []


@busy
@given(weights=weights, flooding=st.sampled_from(LABELS), share=st.floats(0.6, 1), data=st.data())
def test_rows_of_one_label_that_are_planted_in_test_are_told_as_that(
    tmp_path: Path, weights: tuple[int, int, int], flooding: str, share: float, data: st.DataObject
) -> None:
    train = labelled(weights, count=7 * sum(weights) * 4)
    test = [*train]
    others = [n for n, example in enumerate(train) if example.meta.label != flooding]
    for n in data.draw(st.permutations(others))[: round(share * len(others))]:
        test[n] = chat(test[n].input_text, flooding, flooding)
    (finding,) = over_files(Drift, tmp_path, TASK, train=train, test=test).findings()
    before, after = (sum(e.meta.label == flooding for e in side) / len(side) for side in (train, test))
    assert (finding.check, finding.level, finding.count) == ("DATA-DRIFT", "warning", len(test))
    assert finding.message.startswith("The labels are spread otherwise in test than in train (PSI ")
    assert f"): {flooding} {before:.0%} → {after:.0%}, " in finding.message


@busy
@given(weights=weights, words=st.integers(3, 30), times=st.integers(3, 8))
def test_longer_inputs_that_are_planted_in_test_are_told_as_that(
    tmp_path: Path, weights: tuple[int, int, int], words: int, times: int
) -> None:
    whole = 7 * sum(weights)
    train, test = labelled(weights, words, whole * 4), labelled(weights, words * times + 20, whole * 2)
    (finding,) = over_files(Drift, tmp_path, TASK, train=train, test=test).findings()
    assert (finding.check, finding.count) == ("DATA-DRIFT", len(test))
    assert finding.message.startswith("The lengths are spread otherwise in test than in train (PSI ")


def test_labels_and_lengths_are_compared_with_the_snapshot_before(tmp_path: Path) -> None:
    now, before = labelled((1, 1, 8)), labelled((1, 1, 1), words=60)
    context = {"snapshot": snapshot(now), "before": snapshot(before)}
    findings = over_files(Drift, tmp_path, TASK, context=context, train=now).findings()
    assert [finding.message.split(" (")[0] for finding in findings] == [
        "The labels are spread otherwise than in the data before",
        "The lengths are spread otherwise than in the data before",
    ]
    same = {"snapshot": snapshot(now), "before": snapshot(now)}
    assert over_files(Drift, tmp_path, TASK, context=same, train=now).findings() == []


def test_one_file_and_no_snapshot_leave_nothing_to_compare(tmp_path: Path) -> None:
    assert over_files(Drift, tmp_path, TASK, train=labelled((1, 1, 1))).not_run() == {
        "DATA-DRIFT": "there is neither a snapshot before nor a train and a test split with rows"
    }


def test_the_drift_of_a_real_stream_is_found(tmp_path: Path, shared_data: Path) -> None:
    """Addresses to Congress: paragraphs of the forties against those of this century."""
    path = shared_data / "drift" / "state_of_the_union_paragraphs.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    early = [chat(row["text"], "-") for row in rows if row["year"] < 1960]
    late = [chat(row["text"], "-") for row in rows if row["year"] >= 1990]
    middle = [chat(row["text"], "-") for row in rows if row["year"] < 1960 and row["year"] % 2]
    (finding,) = over_files(Drift, tmp_path, make_task(), train=early, test=late).findings()
    assert finding.message.startswith("The lengths are spread otherwise in test than in train")
    assert over_files(Drift, tmp_path, make_task(), train=early, test=middle).findings() == []


@given(counts, counts)
def test_the_stability_index_is_symmetric_and_nought_for_equal_shares(
    old: dict[str, int], new: dict[str, int]
) -> None:
    assert stability(old, new) == pytest.approx(stability(new, old))
    assert stability(old, {kind: 7 * count for kind, count in old.items()}) == pytest.approx(0, abs=1e-12)


@given(counts)
def test_the_stability_index_is_that_of_numpy(old: dict[str, int]) -> None:
    new = {kind: count + number for number, (kind, count) in enumerate(sorted(old.items()))}
    p, q = (np.array([side[kind] for kind in sorted(old)]) / sum(side.values()) for side in (old, new))
    assert stability(old, new) == pytest.approx(float(((q - p) * np.log(q / p)).sum()), abs=1e-12)


@given(counts, counts)
def test_the_chi_squared_test_is_that_of_scipy(old: dict[str, int], new: dict[str, int]) -> None:
    kinds = sorted({*old, *new})
    table = np.array([[side.get(kind, 0) for kind in kinds] for side in (old, new)])
    found = stats.chi2_contingency(table, correction=False)
    assume(found.expected_freq.min() >= 5)
    assert chi_squared(old, new) == pytest.approx(found.pvalue, rel=1e-6, abs=1e-12)


@given(st.floats(0, 400), st.integers(1, 80))
def test_the_chi_squared_tail_is_that_of_scipy(statistic: float, freedom: int) -> None:
    expected = stats.chi2.sf(statistic, freedom)
    assert chi_squared_tail(statistic, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@given(samples, samples)
def test_the_kolmogorov_smirnov_test_is_that_of_scipy(old: list[int], new: list[int]) -> None:
    found = stats.ks_2samp(old, new, method="asymp")
    n, m = len(old), len(new)
    limit = stats.kstwobign.sf(found.statistic * np.sqrt(n * m / (n + m)))
    assert kolmogorov_smirnov(Counter(old), Counter(new)) == pytest.approx(limit, rel=1e-6, abs=1e-9)


def test_rare_kinds_are_counted_together() -> None:
    rare = {f"kind {n}": 1 for n in range(40)}
    assert chi_squared({**rare, "usual": 100}, {"usual": 140}) == pytest.approx(
        stats.chi2_contingency([[40, 100], [0, 140]], correction=False).pvalue, rel=1e-9
    )
    assert chi_squared({"only": 100}, {"only": 7}) == 1.0
