"""Rare, missing and dominant labels of any number are named, and nothing else is."""

import random
from collections import Counter
from pathlib import Path

from check_families import chat, make_task, over_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks.balance import FEW, SKEW, Balance

LABELS = ["down", "flat", "mixed", "up"]
TASK = make_task("classification", labels=LABELS)
busy = settings(
    max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
clean = st.fixed_dictionaries(dict.fromkeys(LABELS, st.integers(FEW, 40)))
"""Rows a label: none is rare, and none is more than four times as frequent as another."""
seeds = st.integers(0, 2**32)


def found(folder: Path, counts: dict[str, int], seed: int) -> tuple[list[str], list[tuple[str, int, str]]]:
    """The labels of train in their order, and what DATA-BALANCE says of them; the other splits do not matter."""
    labels = list(Counter(counts).elements())
    random.Random(seed).shuffle(labels)
    rows = [chat(f"question {n}", label, label) for n, label in enumerate(labels)]
    family = over_files(Balance, folder, TASK, train=rows, test=rows[:1])
    findings = [finding for finding in family.findings() if finding.check == "DATA-BALANCE"]
    assert "DATA-BALANCE" not in family.not_run()
    return labels, [(finding.level, finding.count, finding.message) for finding in findings]


@busy
@given(counts=clean, seed=seeds)
def test_labels_that_are_all_frequent_enough_pass(tmp_path: Path, counts: dict[str, int], seed: int) -> None:
    assert found(tmp_path, counts, seed)[1] == []


@busy
@given(
    counts=clean,
    seed=seeds,
    planted=st.dictionaries(st.sampled_from(LABELS), st.integers(0, FEW - 1), min_size=1, max_size=3),
)
def test_exactly_the_planted_rare_and_missing_labels_are_named(
    tmp_path: Path, counts: dict[str, int], seed: int, planted: dict[str, int]
) -> None:
    labels, findings = found(tmp_path, {**counts, **planted}, seed)
    expected: list[tuple[str, int, str]] = []
    if absent := [label for label in LABELS if planted.get(label) == 0]:
        expected.append(("warning", 0, f"Labels of the task without a row in train: {', '.join(absent)}."))
    rare = [(label, rows) for label, rows in Counter(labels).most_common() if label in planted]
    if rare:
        named = ", ".join(f"{label} ({rows})" for label, rows in rare)
        expected.append(
            (
                "warning",
                sum(rows for _, rows in rare),
                f"Labels with fewer than 10 rows in train: {named}.",
            )
        )
    assert [finding for finding in findings if "largest" not in finding[2]] == expected


@busy
@given(
    counts=clean,
    seed=seeds,
    label=st.sampled_from(LABELS),
    beyond=st.integers(-5, 5),
    small=st.integers(1, 20),
)
def test_a_label_that_outweighs_another_is_named_from_the_first_row_too_many_on(
    tmp_path: Path, counts: dict[str, int], seed: int, label: str, beyond: int, small: int
) -> None:
    least = LABELS[LABELS.index(label) - 1]
    counts = {name: small + 1 + count % 3 for name, count in counts.items()}
    large = SKEW * small + beyond
    counts |= {least: small, label: large}
    ordered = sorted(counts.values())
    _, findings = found(tmp_path, counts, seed)
    outweighed = [finding for finding in findings if "largest" in finding[2]]
    if ordered[-1] <= SKEW * small:
        assert outweighed == []
        return
    assert outweighed == [
        (
            "warning",
            large,
            f"The largest label in train, {label} ({large:,} rows), is more than 10 times"
            f" the smallest, {least} ({small:,}).",
        )
    ]
