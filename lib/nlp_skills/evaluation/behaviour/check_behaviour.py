"""Does a version keep its answer when nothing that matters changes? configs/behaviour.yaml → versions/vN/behaviour.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Literal

from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import NotReady, NotValid, did_you_mean
from nlp_skills.evaluation.asking import ask
from nlp_skills.evaluation.behaviour.judging import judge, rows_of
from nlp_skills.evaluation.behaviour.record import BehaviourResult
from nlp_skills.evaluation.behaviour.tests_file import BehaviourTests, default_tests
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.records import Progress, now, silent
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig


def check_behaviour(
    task: Path,
    *,
    version: str | None = None,
    split: Literal["test", "valid"] = "test",
    limit: int = 100,
    seed: int = 13,
    progress: Progress = silent,
) -> BehaviourResult:
    """Ask a version its rows again, changed as configs/behaviour.yaml says, and write versions/vN/behaviour.json.

    Without that file the usual tests for the task's type and language are written there first; they are the user's from
    then on.
    `limit` rows are drawn by `seed`. Raises NotReady without rows or trained weights, NotValid for a test that cannot
    be (an unknown label, a word without another in its group) and for tasks without an input that could be changed.
    """
    folder = version_folder(task, version)
    definition, config = Task.load(task / "task.yaml"), TrainConfig.load(folder / "config.yaml")
    if definition.type is TaskType.PREFERENCE or config.method == "cpt":
        raise NotValid(
            f"{task.name}: preferences and plain text have no answer that a changed input could change."
        )
    examples = _drawn(task, split, limit, seed)
    tests, written = _tests(task, definition, examples)
    train = list(read_examples(task / "data" / "train.jsonl"))
    how = choose_decoding(definition, train, examples)
    _check(task, tests, how.labels)
    asked = rows_of(tests, examples, seed)
    every = [*examples, *(row for one in asked for row in one.rows)]
    predictor = open_predictor(task, folder.name)
    try:
        rows = ask(definition, config, predictor, every, how, progress)
        name = predictor.name
    finally:
        predictor.close()
    before, outcomes, start = rows[: len(examples)], [], len(examples)
    for one in asked:
        outcomes.append(judge(definition, one, before, rows[start : start + len(one.rows)]))
        start += len(one.rows)
    file = f"versions/{folder.name}/behaviour.json"
    result = BehaviourResult(
        task=task.name,
        version=folder.name,
        model=name,
        split=split,
        rows=len(examples),
        seed=seed,
        tests_sha256=tests.digest(),
        tests=outcomes,
        tests_written=written,
        created=now(),
        file=file,
    )
    return result.save(task / file)


def _drawn(task: Path, split: str, limit: int, seed: int) -> list[Example]:
    if limit < 1:
        raise NotValid(f"limit is {limit}, so that no row would be asked. Give 1 or more.")
    examples = list(read_examples(task / "data" / f"{split}.jsonl"))
    if not examples:
        raise NotReady(
            f"{task.name} has no {split} rows. Make them with: nlp-skills regenerate-data {task.name}"
        )
    chosen = sorted(Random(seed).sample(range(len(examples)), min(limit, len(examples))))
    return [examples[place] for place in chosen]


def _tests(task: Path, definition: Task, examples: Sequence[Example]) -> tuple[BehaviourTests, bool]:
    """The user's tests; the usual ones where there are none, written for the user to change."""
    path = task / "configs" / "behaviour.yaml"
    if path.is_file():
        return BehaviourTests.load(path), False
    language = definition.language or _language(examples)
    return default_tests(language, has_labels=definition.type.has_labels).save(path), True


def _language(examples: Sequence[Example]) -> str | None:
    from nlp_skills.data.language import detect_language

    return detect_language("\n".join(example.input_text for example in examples))


def _check(task: Path, tests: BehaviourTests, labels: list[str] | None) -> None:
    """Raise NotValid for what would test nothing."""
    path = task / "configs" / "behaviour.yaml"
    for test in tests.invariance:
        if test.change == "words" and not any(len(set(group)) > 1 for group in test.words):
            raise NotValid(f"{path}: {test.name}: words: no group holds two words that stand for each other.")
    named = [(test.name, test.label) for test in tests.directional]
    if named and labels is None:
        raise NotValid(f"{path}: {named[0][0]}: directional tests need a task with labels.")
    named += [(test.name, row.expected) for test in tests.minimum for row in test.rows]
    for name, label in named:
        if labels is not None and label not in labels:
            known = ", ".join(labels[:10])
            raise NotValid(
                f"{path}: {name}: there is no label {label!r}{did_you_mean(label, labels)}. Labels: {known}."
            )
