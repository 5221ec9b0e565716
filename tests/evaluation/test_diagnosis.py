"""Planted faults are named by diagnose, and a clean version has none of them.

The versions are tested with a classifier that is really trained (TF-IDF with logistic regression) on real rows: what
matters here is what is read out of rows and predictions. benchmarks/diagnosis.py does the same with SmolLM2.
"""

import csv
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.evaluation.diagnosis.diagnose import diagnose
from nlp_skills.evaluation.diagnosis.out_of_fold import judge_others
from nlp_skills.evaluation.diagnosis.record import Diagnosis
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.evaluation.significance import interval
from nlp_skills.records import sha256_file, write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.new_version import create_version

Row = tuple[str, str]
Rows = dict[str, list[Row]]
"""Side → rows as text and label."""

INTENTS = (
    "card_arrival",
    "exchange_rate",
    "lost_or_stolen_card",
    "top_up_failed",
    "transfer_timing",
    "passcode_forgotten",
    "age_limit",
    "atm_support",
)
SHUFFLED = "exchange_rate"
PLANTED = ("PROMPT-DIFFERS", "HARNESS", "LABEL-NOISE", "SPLIT-LEAK", "LABEL-MISSING", "INPUT-CUT")


def banking(folder: Path) -> list[Row]:
    with (folder / "classification" / "banking77_train.csv").open(encoding="utf-8", newline="") as stream:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(stream)]
    return [row for row in rows if row[1] in INTENTS]


def spam(folder: Path) -> list[Row]:
    with (folder / "classification" / "sms_spam_latin1.csv").open(encoding="cp1252", newline="") as stream:
        rows = [(row["v2"], row["v1"]) for row in csv.DictReader(stream)]
    return rows[:1600]


def headlines(folder: Path) -> list[Row]:
    file = folder / "finance_sentiment" / "financial_phrasebank.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [(row["Headline"], row["Sentiment"]) for row in csv.DictReader(stream)]
    # The file is sorted by label in places.
    return random.Random(7).sample(rows, 1600)


def deliveries(folder: Path) -> list[Row]:
    """Reviews in Chinese; the file is sorted by label."""
    file = folder / "classification" / "waimai_10k_zh_hans.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [(row["review"], "good" if row["label"] == "1" else "bad") for row in csv.DictReader(stream)]
    return random.Random(7).sample(rows, 2400)


SETS: dict[str, tuple[Callable[[Path], list[Row]], str]] = {
    "banking": (banking, SHUFFLED),
    "spam": (spam, "spam"),
    "headlines": (headlines, "positive"),
    "deliveries": (deliveries, "good"),
}
"""Name → its rows, and the label whose rows are shuffled or left out."""


def clean(rows: list[Row], _label: str) -> Rows:
    """Every text once, three quarters of them to learn from."""
    distinct = list({" ".join(text.split()).casefold(): (text, label) for text, label in rows}.values())
    random.Random(1).shuffle(distinct)
    cut = len(distinct) * 3 // 4
    return {"train": distinct[:cut], "test": distinct[cut:]}


def shuffled(rows: list[Row], label: str) -> Rows:
    """A fifth of a label's training rows get other labels."""
    sides, draw = clean(rows, label), random.Random(2)
    others = sorted({own for _, own in rows} - {label})
    own = [n for n, row in enumerate(sides["train"]) if row[1] == label]
    for n in draw.sample(own, len(own) // 5):
        sides["train"][n] = (sides["train"][n][0], draw.choice(others))
    return sides


def leaked(rows: list[Row], label: str) -> Rows:
    """A fifth of the test rows stand in the training rows."""
    sides = clean(rows, label)
    sides["train"] += random.Random(3).sample(sides["test"], len(sides["test"]) // 5)
    return sides


def missing(rows: list[Row], label: str) -> Rows:
    """A label is tested and not trained."""
    sides = clean(rows, label)
    sides["train"] = [row for row in sides["train"] if row[1] != label]
    return sides


def cut(rows: list[Row], label: str) -> Rows:
    """The test's texts end after 40 characters."""
    sides = clean(rows, label)
    sides["test"] = [(text[:40], own) for text, own in sides["test"]]
    return sides


FAULTS: dict[str, tuple[Callable[[list[Row], str], Rows], str]] = {
    "shuffled labels": (shuffled, "LABEL-NOISE"),
    "leak": (leaked, "SPLIT-LEAK"),
    "missing label": (missing, "LABEL-MISSING"),
    "cut inputs": (cut, "INPUT-CUT"),
}
"""Fault → how it is planted, and the cause that names it."""

PLANTED_IN = {
    "banking": ("shuffled labels", "leak", "missing label", "cut inputs"),
    "spam": ("shuffled labels", "leak", "missing label", "cut inputs"),
    "deliveries": ("shuffled labels", "cut inputs"),
}
"""Set → the faults planted in it. Not among them is `headlines`, of which TF-IDF is right in 70 %: a fifth of one label's rows
cannot be told from hard ones there. That it is named neither is what the clean set shows."""


def make_version(home: Path, rows: Rows) -> Path:
    """A task with these rows on these sides, and v1 as the classifier answers."""
    create_task(home / "tasks", "planted", type=TaskType.CLASSIFICATION, goal="Say what it is about.")
    task = home / "tasks" / "planted"
    for side in ("train", "test"):
        file = home / f"{side}.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *rows[side]])
        add_source(task, str(file), name=side, side=side)
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(deduplicate=False).save(task / "data_source.yaml")
    regenerate_data(task)
    create_version(task)
    answer(task)
    return task


def answer(task: Path) -> None:
    """results.json and predictions.jsonl of v1, from TF-IDF with logistic regression on its training rows."""
    train, test = (list(read_examples(task / "data" / f"{side}.jsonl")) for side in ("train", "test"))
    texts, labels = [row.input_text for row in train], [row.output_text for row in train]
    known = sorted(set(labels))
    # What is expected plays no part in the answers, and a label that nobody trained has no number.
    opinion = judge_others(texts, labels, [row.input_text for row in test], [known[0]] * len(test))
    shares = opinion.probabilities.tolist() if opinion else [[1.0]] * len(test)
    rows = [predicted(row, dict(zip(known, own, strict=True))) for row, own in zip(test, shares, strict=True)]
    folder = task / "versions" / "v1"
    write_lines(folder / "predictions.jsonl", map(msgspec.json.encode, rows))
    EvalResult(
        metrics={name: interval(name, rows) for name in ("macro_f1", "accuracy")},
        count=len(rows),
        split="test",
        data_sha256=sha256_file(task / "data" / "test.jsonl"),
    ).save(folder / "results.json")


def predicted(row: Example, scores: dict[str, float]) -> Prediction:
    best = max(scores, key=lambda label: scores[label])
    return Prediction(
        id=row.meta.id,
        input=row.input_text,
        expected=row.output_text,
        predicted=best,
        correct=best == row.output_text,
        scores=scores,
    )


def told(found: Diagnosis) -> list[tuple[str, str]]:
    return [(cause.id, cause.sure) for cause in found.causes]


@pytest.fixture
def planted(shared_data: Path, tmp_path: Path) -> Callable[[str, Callable[[list[Row], str], Rows]], Path]:
    """A task of one of the SETS with a fault planted."""
    pytest.importorskip("sklearn", reason="the classifier needs the train extra")

    def make(name: str, plant: Callable[[list[Row], str], Rows]) -> Path:
        read, label = SETS[name]
        return make_version(tmp_path, plant(read(shared_data), label))

    return make


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, faults in PLANTED_IN.items() for fault in faults]
)
def test_a_planted_fault_is_named_first_or_second(name: str, fault: str, planted) -> None:
    plant, cause = FAULTS[fault]
    found = diagnose(planted(name, plant))
    assert cause in [id for id, _ in told(found)[:2]], told(found)
    named = next(c for c in found.causes if c.id == cause)
    if fault in ("shuffled labels", "missing label"):
        assert repr(SETS[name][1]) in named.says
    assert named.rows
    assert named.evidence
    assert named.fix.command.startswith("nlp-skills ")


@pytest.mark.parametrize("name", SETS)
def test_a_clean_version_has_none_of_the_faults_for_certain(name: str, planted) -> None:
    found = diagnose(planted(name, clean))
    assert not [cause for cause in told(found) if cause[0] in PLANTED and cause[1] == "strong"], told(found)
