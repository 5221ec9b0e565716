"""Evaluating a version: its predictions, beside what needs no fine-tuning, with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from nlp_skills.base_model import require_training
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.baselines import majority, tfidf_classifier, tfidf_neighbour
from nlp_skills.evaluation.marking import mark
from nlp_skills.evaluation.metrics import METRICS as FUNCTIONS
from nlp_skills.evaluation.metrics.classification import confusion, per_label
from nlp_skills.evaluation.predictors import Answered, Decoding, predict
from nlp_skills.evaluation.predictors.local import load_local
from nlp_skills.evaluation.results import EvalResult, Latency, Prediction, Score
from nlp_skills.evaluation.significance import difference, interval
from nlp_skills.records import Progress, Record, sha256_file, sha256_tree, silent, write_lines
from nlp_skills.task.task import METRICS, Task, TaskType
from nlp_skills.task.version import record_lineage, version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import free_cores
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.version_model import resolve_model

TestedSplit = Literal["test", "valid"]


class BaselineAnswers(Record):
    """What one baseline answered to the rows of a split, in their order."""

    name: str
    model: str
    answers: list[str]
    latency: Latency | None = None


class Baselines(Record):
    """`benchmarks/baselines/<key>.json`: kept for the next version on the same rows and base model."""

    baselines: list[BaselineAnswers]


def evaluate_version(
    task: Path,
    *,
    version: str | None = None,
    split: TestedSplit = "test",
    progress: Progress = silent,
) -> EvalResult:
    """Test a trained version on held-out rows and write results.json and predictions.jsonl.

    The baselines (majority, TF-IDF, the prompted base model) are tested on the same rows; they are
    kept in benchmarks/baselines and computed again only when the data or the base model changes.
    Raises NotReady when the version is not trained, NotValid when the split changed since then.
    """
    require_training()
    folder = version_folder(task, version)
    definition = Task.load(task / "task.yaml")
    config = TrainConfig.load(folder / "config.yaml")
    _require_judgeable(task.name, definition, config)
    if not (folder / "model_info.json").is_file():
        raise NotReady(
            f"{task.name} {folder.name} has no trained model. Train it with: nlp-skills train-model {task.name}"
        )
    info = ModelInfo.load(folder / "model_info.json")
    file = _same_split(task, folder, split)
    test = list(read_examples(file))
    if not test:
        raise NotReady(
            f"{task.name}: data/{split}.jsonl has no rows to test on. Set split.{split} in data_source.yaml."
        )
    train = list(read_examples(task / "data" / "train.jsonl"))
    import torch

    torch.set_num_threads(config.threads or free_cores())
    model = _trained_model(task, folder, info)
    how = choose_decoding(definition, train, test)
    baselines = _baselines(task, definition, config, train, test, how, progress)
    progress("loading the tuned model", 0, None)
    files = resolve_model(task, config.base_model, config.base_revision)
    loaded = load_local(files, model, config.dtype, thinking=config.enable_thinking)
    answered = predict(loaded, test, how, progress=progress)
    rows = mark(definition, test, answered)
    tuned = score(definition, rows, loaded.name, latency(answered))
    result = EvalResult(
        **tuned.model_dump(),
        split=split,
        data_sha256=sha256_file(file),
        baseline={b.name: _baseline(definition, test, b, rows) for b in baselines},
        generation=how.describe(),
    )
    suffix = "" if split == "test" else f"_{split}"
    write_lines(
        folder / f"predictions{suffix}.jsonl",
        (msgspec.json.encode(row) for row in rows),
    )
    result.save(folder / f"results{suffix}.json")
    record_lineage(task, version=folder.name)
    return result


def _require_judgeable(name: str, task: Task, config: TrainConfig) -> None:
    """Raises NotValid for what this release trains and cannot judge by its answers."""
    reasons = {
        TaskType.TOOL_USE: "tool calls cannot be judged yet: they have to be compared by name and arguments",
        TaskType.PREFERENCE: "a preference has no one right answer to compare with",
    }
    reason = reasons.get(task.type)
    if config.method == "cpt":
        reason = "plain text has no question and answer to test"
    if reason is not None:
        raise NotValid(
            f"{name}: {reason}. What the training measured on data/valid.jsonl is in metrics.jsonl: nlp-skills"
            f" training-status {name}"
        )


def choose_decoding(task: Task, train: Sequence[Example], test: Sequence[Example]) -> Decoding:
    """Labels are scored; free text is generated, with room for the longest answer of the training rows."""
    if task.type.has_labels:
        labels = task.labels or sorted({e.output_text for e in (*train, *test)})
        return Decoding(labels=labels, batch_size=16)
    longest = max(_room(example.output_text) for example in train)
    return Decoding(max_new_tokens=min(1024, max(32, longest)), batch_size=8)


def _room(answer: str) -> int:
    """Tokens that an answer fits into: two letters a token; a digit each, and what is not ASCII byte by byte.

    That is twice what English needs, and what SmolLM2 needs for Chinese (three tokens for a rare character).
    """
    data = answer.encode("utf-8")
    single = sum(byte > 127 or 48 <= byte <= 57 for byte in data)
    return single + (len(data) - single) // 2 + 1


def score(task: Task, rows: Sequence[Prediction], model: str, latency: Latency | None = None) -> Score:
    """Metrics with intervals; for labels the table of each label and the confusion matrix too."""
    has_labels = task.type.has_labels
    return Score(
        metrics={name: interval(name, rows) for name in METRICS[task.type] if FUNCTIONS[name].applies(rows)},
        per_label=per_label(rows) if has_labels else {},
        confusion=confusion(rows) if has_labels else {},
        count=len(rows),
        latency=latency,
        model=model,
    )


def _baseline(
    task: Task, test: Sequence[Example], found: BaselineAnswers, tuned: Sequence[Prediction]
) -> Score:
    rows = mark(task, test, [Answered(text) for text in found.answers])
    scored = score(task, rows, found.model, found.latency)
    return scored.with_changes(gain=difference(task.chosen_metric, rows, tuned))


def latency(answered: Sequence[Answered]) -> Latency:
    """Percentiles of the milliseconds that the answers took."""
    import numpy as np

    p50, p95, p99 = np.percentile([a.milliseconds or 0.0 for a in answered], [50, 95, 99])
    return Latency(p50=round(float(p50), 2), p95=round(float(p95), 2), p99=round(float(p99), 2))


def _trained_model(task: Path, folder: Path, info: ModelInfo) -> Path:
    """The folder of the weights, if they are the ones that were trained (models/ is left out of git)."""
    model = task / info.path
    if not model.is_dir() or sha256_tree(model) != info.sha256:
        raise NotReady(
            f"{task.name}: {info.path} is not what {folder.name} trained: files are missing or were changed. Put"
            f" them back, or train its settings again: nlp-skills create-version {task.name} --parent {folder.name}"
        )
    return model


def _same_split(task: Path, folder: Path, split: str) -> Path:
    """The split's file, if it is still the one that the version was made for."""
    file = task / "data" / f"{split}.jsonl"
    known = DataSnapshot.load(folder / "data_snapshot.json").splits.get(split)
    if known is None or not file.is_file() or sha256_file(file) != known.sha256:
        raise NotValid(
            f"{task.name}: data/{split}.jsonl is not the file that {folder.name} was made for, so the result would"
            f" not be comparable. Make and train a new version: nlp-skills train-model {task.name}"
        )
    return file


def _baselines(
    task: Path,
    definition: Task,
    config: TrainConfig,
    train: Sequence[Example],
    test: Sequence[Example],
    how: Decoding,
    progress: Progress,
) -> list[BaselineAnswers]:
    """Answers of the three baselines: read from benchmarks/baselines where the same rows were asked before."""
    files = resolve_model(task, config.base_model, config.base_revision)
    key = hashlib.sha256()
    for example in (*train, *test):
        key.update(example.content_hash().encode())
    asked = "" if config.enable_thinking is None else f" thinking {config.enable_thinking}"
    key.update(f"{files.name} {files.revision} {files.weights_sha256} {how.digest()}{asked}".encode())
    file = task / "benchmarks" / "baselines" / f"{key.hexdigest()[:32]}.json"
    if file.is_file():
        return Baselines.load(file).baselines
    progress("baselines: majority and TF-IDF", 0, None)
    tfidf = tfidf_classifier if definition.type.has_labels else tfidf_neighbour
    words = (
        "TF-IDF with logistic regression" if definition.type.has_labels else "TF-IDF, nearest training row"
    )
    progress("loading the base model", 0, None)
    loaded = load_local(files, None, config.dtype, thinking=config.enable_thinking)
    prompted = predict(loaded, test, how, progress=progress)
    found = Baselines(
        baselines=[
            BaselineAnswers(name="majority", model="the most frequent answer", answers=majority(train, test)),
            BaselineAnswers(name="tfidf", model=words, answers=tfidf(train, test)),
            BaselineAnswers(
                name="prompted_base",
                model=loaded.name,
                answers=[a.text for a in prompted],
                latency=latency(prompted),
            ),
        ]
    )
    found.save(file)
    return found.baselines
