"""Planted faults, named? SmolLM2-135M tuned on real intents, once clean and once with each fault, and what diagnose says.

`label noise` tunes nothing: a fifth of one label's rows gets other labels in ten divisions each of five public sets, and
is looked for; so it is where nothing was planted.

    uv run --all-extras python benchmarks/diagnosis.py [FAULT …]      all of them: some minutes on one free thread
    NLP_SKILLS_TEST_DATA=…                                            where the public data sets lie

Every run is the operations that a person calls (create_task … train_model, evaluate_version, diagnose). The clean
version is trained once; a wrong template and cut inputs at the test need no training of their own.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_skills.base_model import resolve_base_model
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.evaluation.diagnosis.diagnose import diagnose
from nlp_skills.evaluation.diagnosis.label_noise import noisy_labels
from nlp_skills.evaluation.diagnosis.learning_curve import measure_learning_curve
from nlp_skills.evaluation.diagnosis.material import Material
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.records import now, read_mapping
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.new_version import create_version
from nlp_skills.training.train import train_model

DATA = Path(
    os.environ.get("NLP_SKILLS_TEST_DATA")
    or Path(__file__).resolve().parent.parent.parent / "shared" / "data"
)
Rows = list[tuple[str, str]]
Sides = dict[str, Rows]

INTENTS = ("card_arrival", "exchange_rate", "lost_or_stolen_card", "passcode_forgotten")
LABEL = "exchange_rate"
"""Whose rows are shuffled, or left out."""
TRAIN, VALID, TEST = 200, 32, 100
SETTINGS: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-3, "settings": {"threads": 1}}
PLAIN = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}{% if add_generation_prompt %}### assistant:\n{% endif %}"
"""A template that SmolLM2 was not tuned with: Alpaca's headings."""


def clean() -> Sides:
    """Four intents of BANKING77, each text once."""
    with (DATA / "classification" / "banking77_train.csv").open(encoding="utf-8", newline="") as stream:
        found = {row["text"].strip(): row["category"] for row in csv.DictReader(stream)}
    rows = [(text, label) for text, label in found.items() if label in INTENTS]
    random.Random(1).shuffle(rows)
    return {
        "train": rows[:TRAIN],
        "valid": rows[TRAIN : TRAIN + VALID],
        "test": rows[TRAIN + VALID : TRAIN + VALID + TEST],
    }


def shuffled() -> Sides:
    """A fifth of a label's training rows get other labels."""
    sides, draw = clean(), random.Random(2)
    own = [n for n, row in enumerate(sides["train"]) if row[1] == LABEL]
    for n in draw.sample(own, len(own) // 5):
        sides["train"][n] = (sides["train"][n][0], draw.choice([i for i in INTENTS if i != LABEL]))
    return sides


def leaked() -> Sides:
    """A fifth of the test rows stand in the training rows."""
    sides = clean()
    sides["train"] += random.Random(3).sample(sides["test"], TEST // 5)
    return sides


def missing() -> Sides:
    """A label is tested and not trained."""
    sides = clean()
    return {**sides, **{side: [r for r in sides[side] if r[1] != LABEL] for side in ("train", "valid")}}


def cut() -> Sides:
    """All texts end after 30 characters, as a preview column would have them."""
    return {side: [(text[:30], label) for text, label in rows] for side, rows in clean().items()}


TRAINED: dict[str, tuple[Callable[[], Sides], tuple[str, ...]]] = {
    "clean": (clean, ()),
    "shuffled labels": (shuffled, ("LABEL-NOISE",)),
    "leak": (leaked, ("SPLIT-LEAK",)),
    "missing label": (missing, ("LABEL-MISSING",)),
    "cut inputs": (cut, ("INPUT-CUT",)),
}
"""Fault → its rows, and the causes that name it."""
WRONG_TEMPLATE = "wrong template"
CURVE = "learning curve"
NOISE = "label noise"


def read_csv(name: str, text: str, label: str, encoding: str = "utf-8") -> Rows:
    """Each text once."""
    with (DATA / name).open(encoding=encoding, newline="") as stream:
        found = {row[text].strip(): row[label] for row in csv.DictReader(stream)}
    return list(found.items())


def questions() -> Rows:
    """TREC's six coarse labels; no CSV: the label stands before the first blank."""
    lines = (DATA / "classification" / "trec_train_5500.label").read_text(encoding="latin-1").splitlines()
    return list({line.split(" ", 1)[1]: line.split(":")[0] for line in lines}.items())


SETS: dict[str, Callable[[], Rows]] = {
    "banking": lambda: [row for side in clean().values() for row in side],
    "spam": lambda: read_csv("classification/sms_spam_latin1.csv", "v2", "v1", "cp1252"),
    "deliveries (Chinese)": lambda: read_csv("classification/waimai_10k_zh_hans.csv", "review", "label"),
    "questions": questions,
    "headlines": lambda: read_csv("finance_sentiment/financial_phrasebank.csv", "Headline", "Sentiment"),
}
"""Of the headlines TF-IDF is right in 70 %."""
LOOKED_AT, DIVISIONS = 2000, 10


def shuffle_label(rows: Rows, label: str, draw: random.Random) -> None:
    """A fifth of a label's rows get other labels."""
    others = sorted({own for _, own in rows} - {label})
    places = [n for n, row in enumerate(rows) if row[1] == label]
    for n in draw.sample(places, len(places) // 5):
        rows[n] = (rows[n][0], draw.choice(others))


def look_for_noise(rows: Rows, where: str, seed: int) -> str:
    """What is said with noise planted in train, in train and test, or nowhere: `strong, of the label`, `none` …"""
    draw = random.Random(seed)
    some = draw.sample(rows, min(LOOKED_AT, len(rows)))
    label = draw.choice(sorted(label for label, n in Counter(own for _, own in some).items() if n >= 60))
    if where == "train and test":
        shuffle_label(some, label, draw)
    train, test = some[: len(some) * 3 // 4], some[len(some) * 3 // 4 :]
    if where == "train":
        shuffle_label(train, label, draw)
    found = list(noisy_labels(material_of(train, test)))
    if not found:
        return "none"
    whose = "of the label" if repr(label) in found[0].says else "of another"
    return found[0].sure if where == "nowhere" else f"{found[0].sure}, {whose}"


def material_of(train: Rows, test: Rows) -> Material:
    """Nothing but rows."""
    learned, asked = (
        [
            Example(
                meta=Meta(id=str(n), source="s"),
                messages=[Message("user", text), Message("assistant", label)],
            )
            for n, (text, label) in enumerate(rows)
        ]
        for rows in (train, test)
    )
    counts = {"train": {"sha256": "", "count": len(train)}}
    return Material(
        task=Path("tasks/noise"),
        folder=Path("tasks/noise/versions/v1"),
        split="test",
        definition=Task(name="noise", type=TaskType.CLASSIFICATION, goal="Choose.", created=""),
        config=TrainConfig(),
        snapshot=DataSnapshot.model_validate({"source_hash": "", "sources": {}, "splits": counts, "seed": 1}),
        train=learned,
        train_count=len(train),
        tested=asked,
    )


def make_task(home: Path, name: str, sides: Sides, base_model: Path) -> Path:
    """A task with these rows on these sides."""
    create_task(
        home / "tasks",
        name,
        type=TaskType.CLASSIFICATION,
        goal="Say what the customer wants.",
        base_model=str(base_model),
    )
    task = home / "tasks" / name
    for side, rows in sides.items():
        file = home / f"{name}-{side}.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *rows])
        add_source(task, str(file), name=side, side=side)  # type: ignore[arg-type]
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(deduplicate=False).save(task / "data_source.yaml")
    regenerate_data(task)
    return task


def own_copy(home: Path) -> Path:
    """The base model in a folder whose template can be changed."""
    copy = home / "base-model"
    if not copy.is_dir():
        shutil.copytree(resolve_base_model("smollm2-135m-instruct").path, copy)
    return copy


def with_template(base: Path, template: str | None) -> str:
    """Give the base model another template (None: leave it); returns the one before."""
    file = base / "chat_template.jinja"
    before = file.read_text(encoding="utf-8")
    if template is not None:
        file.write_text(template, encoding="utf-8")
    return before


def look(task: Path, fault: str, named: tuple[str, ...]) -> dict[str, Any]:
    """What diagnose says, and at which place it names the fault."""
    started = time.perf_counter()
    found = diagnose(task)
    seconds = time.perf_counter() - started
    probed = diagnose(task, probe=True)
    ids = [cause.id for cause in found.causes]
    results = read_mapping(task / "versions" / "v1" / "results.json")
    return {
        "fault": fault,
        "accuracy": round(results["metrics"]["accuracy"]["value"], 3),
        "causes": [f"{cause.id} ({cause.sure})" for cause in found.causes[:4]],
        "place": next((n for n, id in enumerate(ids, start=1) if id in named), None) if named else "",
        "with the probe": [f"{cause.id} ({cause.sure})" for cause in probed.causes[:3]],
        "probe says": next((c.says for c in probed.causes if c.id == "HARNESS"), "agrees"),
        "seconds": round(seconds, 1),
        "unchecked": [item.what for item in probed.unchecked],
    }


def write(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({**line, "when": now()}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def run(home: Path, wanted: list[str]) -> None:
    """A line of JSON for each fault."""
    base = own_copy(home)
    clean_task: Path | None = None
    for fault, (rows, named) in TRAINED.items():
        needs_clean = fault == "clean" and {WRONG_TEMPLATE, CURVE} & set(wanted)
        if fault not in wanted and not needs_clean:
            continue
        task = make_task(home, fault.replace(" ", "-"), rows(), base)
        create_version(task, **SETTINGS)
        train_model(task, version="v1")
        evaluate_version(task, version="v1")
        if fault in wanted:
            write(look(task, fault, named))
        clean_task = task if fault == "clean" else clean_task
    if clean_task is not None and WRONG_TEMPLATE in wanted:
        before = with_template(base, PLAIN)
        evaluate_version(clean_task, version="v1")
        write(look(clean_task, WRONG_TEMPLATE, ("PROMPT-DIFFERS", "HARNESS")))
        with_template(base, before)
    for name, read in SETS.items() if NOISE in wanted else ():
        for where in ("nowhere", "train", "train and test"):
            said = Counter(look_for_noise(read(), where, seed) for seed in range(DIVISIONS))
            write({"fault": NOISE, "set": name, "planted in": where, "said": dict(said)})
    if clean_task is not None and CURVE in wanted:
        curve = measure_learning_curve(clean_task, confirm=True)
        write(
            {"fault": CURVE, "says": curve.message, "seconds": sum(point.seconds for point in curve.points)}
        )


def main(names: list[str]) -> None:
    """All faults, or those that are named."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as home:
        run(Path(home), names or [*TRAINED, WRONG_TEMPLATE, NOISE, CURVE])


if __name__ == "__main__":
    main(sys.argv[1:])
