"""The whole way in one call: data → checks → baselines → training → evaluation → report.

quickstart   on the sample that ships with the project, two versions and their comparison
start        on your own file: makes the task first
run          on a task that is there; does only what is still missing, so it also resumes
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from nlp_skills.base_model import require_training, resolve_base_model
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source, preview_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import AlreadyExists, NotFound, NotReady, NotValid, counted
from nlp_skills.evaluation.compare import compare_versions
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.evaluation.report import write_report
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.evaluation.verdict import (
    baseline_name,
    good_enough,
    good_everywhere,
    keeps_knowledge,
    metric_name,
    show_interval,
    worth_it,
)
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task, TaskType, create_task, find_task, task_names, tasks_folder
from nlp_skills.task.version import Version, newest_version, version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import read_job
from nlp_skills.training.new_version import create_version
from nlp_skills.training.train import train_model

Tell: TypeAlias = Callable[[str], None]
"""`tell(sentence)`: what a newcomer should read while the work goes on."""

QUICKSTART_INSTRUCTION = (
    "Which team handles this message: account, billing, delivery, feedback, returns or technical?"
)


def untold(sentence: str) -> None:
    """The listener that nobody reads."""


class ScoreLine(Record):
    """One row of the closing table."""

    name: str
    metrics: dict[str, Interval]


class Outcome(Record):
    """What a whole way came to."""

    task: str
    folder: str
    scores: list[ScoreLine]
    comparison: Comparison | None = None
    advice: str
    """What the numbers say, in a sentence: a language model may not be needed."""
    report: str
    seconds: float
    next: list[str]


class Examples(Record):
    """Commands to copy, by what they are for."""

    commands: dict[str, list[str]]


def quickstart(
    home: Path, *, name: str = "support", progress: Progress = silent, tell: Tell = untold
) -> Outcome:
    """Make the task `support` from the sample data, train two versions of SmolLM2-135M and compare them.

    About five minutes on two cores, with no GPU and no model hub. Started again it goes on where it was.
    Raises AlreadyExists when there is another task of that name.
    """
    from nlp_skills.data.sample import SUPPORT_MESSAGES

    require_training()
    started = time.monotonic()
    if name not in task_names(home):
        create_task(
            home,
            name,
            type=TaskType.CLASSIFICATION,
            goal="Route each support message to the team that can resolve it.",
            pain="Messages are sent on by hand, and every fifth lands on the wrong desk.",
            language="en",
            instruction=QUICKSTART_INSTRUCTION,
            metric="accuracy",
            target=0.8,
        )
        tell(
            f"The task is a folder: {home / name}. Its goal: accuracy of at least 0.80 on messages that the model has"
            " never seen. (The pain and the 330 messages are invented for this quickstart; an AI wrote them.)"
        )
    folder = find_task(home, name)
    if Task.load(folder / "task.yaml").instruction != QUICKSTART_INSTRUCTION:
        raise AlreadyExists(
            f"{folder} is a task of your own, which the quickstart leaves alone."
            " Give it another name: nlp-skills quickstart --name sample"
        )
    sources = DataSources.load(folder / "data_source.yaml")
    if not sources.sources:
        sources.with_changes(split={"valid": 0.1, "test": 0.25}).save(folder / "data_source.yaml")
        add_source(folder, str(SUPPORT_MESSAGES), copy=True)
    prepare(folder, progress, tell)
    if not version_names(folder):
        create_version(folder, epochs=3, learning_rate=5e-4)
    train_and_test(folder, "v1", progress, tell)
    if len(version_names(folder)) < 2:
        create_version(folder, parent="v1", epochs=5)
        tell(
            "One change at a time: v2 sees every row five times instead of three; everything else stays as it was."
        )
    train_and_test(folder, "v2", progress, tell)
    comparison = compare_versions(folder, "v1", "v2")
    tell(f"v2 against v1 on the same test messages: {comparison.verdict}. {comparison.reason}")
    outcome = conclude(folder, started, progress, comparison)
    return outcome.with_changes(
        next=[*outcome.next, "Your own data: nlp-skills start --task classification --data FILE"]
    )


def start(
    home: Path,
    *,
    task: TaskType,
    data: str,
    name: str | None = None,
    goal: str | None = None,
    base_model: str = "smollm2-135m-instruct",
    text: str | None = None,
    label: str | None = None,
    entity: str | None = None,
    group: str | None = None,
    train_rows: int | None = None,
    valid_rows: float = 0.1,
    test_rows: float = 0.2,
    epochs: float | None = None,
    learning_rate: float | None = None,
    progress: Progress = silent,
    tell: Tell = untold,
) -> Outcome:
    """Make a task from your own file and take it the whole way. Columns are detected and shown.

    Raises NotFound or NotValid naming the file, the line and the cure; then no task is left behind. What
    the checks find is mended in the task, which stays for it. Raises AlreadyExists when there is a task of that name.
    """
    require_training()
    started = time.monotonic()
    file = Path(data).expanduser()
    if not file.is_file():
        raise NotFound(f"{data} does not exist or is no file.")
    name = name or re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower())[:63].strip("-") or "task"
    if name in task_names(home):
        raise AlreadyExists(
            f"There is a task named {name} already. Go on with it: nlp-skills run {name}."
            " Or give the new one another name with --name."
        )
    resolve_base_model(base_model)  # what is misspelt is found now, not when the data is ready
    create_task(home, name, type=task, goal=goal or GOALS[task], base_model=base_model)
    folder = home / name
    try:
        sources = DataSources.load(folder / "data_source.yaml")
        split = {"train": train_rows, "valid": valid_rows, "test": test_rows}
        sources.with_changes(split=split).save(folder / "data_source.yaml")
        add_source(folder, data, text=text, label=label, entity=entity, group=group, copy=True)
        tell(f"Your file is {preview_source(folder).reason}. The task is a folder: {folder}")
        divide(folder, progress, tell)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    check(folder, progress, tell)
    create_version(folder, epochs=epochs, learning_rate=learning_rate)
    train_and_test(folder, "v1", progress, tell)
    return conclude(folder, started, progress)


def run(home: Path, folder: str, *, progress: Progress = silent, tell: Tell = untold) -> Outcome:
    """Take a task that is there the whole way; what is done already is not done again.

    `folder` is a task's name or its folder. Raises NotFound, or the error of the step that fails.
    """
    require_training()
    started = time.monotonic()
    path = Path(folder)
    task = path.resolve() if (path / "task.yaml").is_file() else find_task(home, str(path))
    prepare(task, progress, tell)
    newest = newest_version(task) or create_version(task).version
    train_and_test(task, newest, progress, tell)
    return conclude(task, started, progress, against_parent(task, newest, tell))


def against_parent(task: Path, version: str, tell: Tell) -> Comparison | None:
    """The comparison with the parent; where there can be none (other test rows), the reason is told."""
    parent = Version.load(task / "versions" / version / "lineage.yaml").parent
    if parent is None:
        return None
    try:
        return compare_versions(task, parent, version)
    except (NotFound, NotReady, NotValid) as error:
        tell(f"{version} is not compared with {parent}. {error}")
        return None


def examples() -> Examples:
    """Commands to copy, by what they are for."""
    return Examples(
        commands={
            "See the whole way once, on sample data": ["nlp-skills quickstart"],
            "Your own data, in one command": [
                "nlp-skills start --task classification --data reviews.csv",
                "nlp-skills start --task entity_classification --data headlines.jsonl --train-rows 1500 --test-rows 500",
                "nlp-skills start --task qa --data data.json",
            ],
            "Go on with a task": [
                "nlp-skills list",
                "nlp-skills show-task reviews",
                "nlp-skills run reviews",
            ],
            "Step by step": [
                "nlp-skills create-task reviews --type classification --goal 'Tell good from bad reviews'",
                "nlp-skills add-source reviews reviews.csv",
                "nlp-skills regenerate-data reviews",
                "nlp-skills validate-data reviews",
                "nlp-skills create-version reviews --epochs 3",
                "nlp-skills train-model reviews",
                "nlp-skills evaluate-version reviews",
                "nlp-skills write-report reviews",
            ],
            "Change one thing and compare": [
                "nlp-skills create-version reviews --lora-r 32",
                "nlp-skills train-model reviews",
                "nlp-skills evaluate-version reviews",
                "nlp-skills compare-versions reviews v1 v2",
            ],
        }
    )


GOALS = {
    TaskType.CLASSIFICATION: "Find the label of each text.",
    TaskType.ENTITY_CLASSIFICATION: "Find the label of each text for the entity named.",
    TaskType.EXTRACTION: "Extract the wanted facts from each text.",
    TaskType.GENERATION: "Write the answer that the examples show.",
    TaskType.QA: "Answer each question as the examples do.",
    TaskType.TOOL_USE: "Call the right tool with the right arguments.",
    TaskType.PREFERENCE: "Prefer the better of two answers.",
}
"""What a task wants when nobody said it."""


def prepare(task: Path, progress: Progress, tell: Tell) -> None:
    """Data and its checks. Raises NotValid when the checks find errors, or there is nothing to test with."""
    divide(task, progress, tell)
    check(task, progress, tell)


def divide(task: Path, progress: Progress, tell: Tell) -> None:
    """The rows, divided. Raises NotValid when there is nothing to test with."""
    settle_data(task)
    if not (task / "data" / "data_snapshot.json").is_file():
        regenerate_data(task, progress=progress, tell=tell)
    snapshot = DataSnapshot.load(task / "data" / "data_snapshot.json")
    if not snapshot.splits["test"].count:
        raise NotValid(
            f"{task.name}: no row is left to test with ({counted(snapshot.splits['train'].count, 'row')} to learn from)."
            " Bring more data, or ask for test rows: --test-rows with start, otherwise split.test in data_source.yaml"
            f" and then: nlp-skills convert-data {task.name}"
        )
    counts = ", ".join(f"{split.count} to {USES[name]}" for name, split in snapshot.splits.items())
    duplicates = snapshot.duplicates_dropped
    dropped = f" Dropped: {counted(duplicates, 'duplicate')}." if duplicates else ""
    watchers = snapshot.splits["valid"].count
    slow = (
        f" Watching with {counted(watchers, 'row')} takes longer than learning: fewer are enough"
        " (--valid-rows with start, split.valid in data_source.yaml)."
        if watchers > snapshot.splits["train"].count
        else ""
    )
    tell(f"The rows are divided: {counts}. A test row is never trained on.{dropped}{slow}")


def check(task: Path, progress: Progress, tell: Tell) -> None:
    """The checks of the data. Raises NotValid with what they found and how it is mended, when that is an error."""
    report = validate_data(task, progress=progress)
    errors = [f for f in report.findings if f.level == "error"]
    if errors:
        raise NotValid(
            f"{task.name}: the data has errors. "
            + " ".join(f"{f.check}: {f.message} {f.fix}." for f in errors)
            + f" Then go on with: nlp-skills run {name_for_commands(task)}"
        )
    warnings = [f"{f.check}: {f.message}" for f in report.findings if f.level == "warning"]
    tell("The data passed its checks." + (f" Worth a look: {' '.join(warnings)}" if warnings else ""))


USES = {"train": "learn from", "valid": "watch the training with", "test": "test with"}


def train_and_test(task: Path, version: str, progress: Progress, tell: Tell) -> None:
    """Train the version if it is not trained, test it if it is not tested."""
    folder = task / "versions" / version
    job = read_job(folder)
    if job is None or job.status != "succeeded":
        config = TrainConfig.load(folder / "config.yaml")
        tell(
            f"Training {version}: {config.base_model} learns the {WAYS[config.peft]}, {config.epochs:g} times"
            " through the training rows."
        )
        trained = train_model(task, version=version, progress=progress)
        tell(
            f"{version} is trained: {trained.cost['seconds']:.0f} s, peak memory"
            f" {trained.cost['peak_memory_mb'] / 1024:.1f} GB."
        )
    if not (folder / "results.json").is_file():
        result = evaluate_version(task, version=version, progress=progress)
        metric = result.metric or Task.load(task / "task.yaml").chosen_metric
        found = result.metrics[metric]
        tell(
            f"{version} on {result.count} test rows: {metric_name(metric)} {show_interval(found)}."
            " In brackets: where the true value lies, with 95 % confidence."
        )


WAYS = {
    "lora": "task through a small adapter (LoRA) beside its frozen weights",
    "dora": "task through a small adapter (DoRA) beside its frozen weights",
    "none": "task with all its weights",
}


def name_for_commands(task: Path) -> str:
    """The task as a command takes it: with --home where its folder is not in the usual tasks folder."""
    elsewhere = task.parent.resolve() != tasks_folder().resolve()
    return f'{task.name} --home "{task.parent}"' if elsewhere else task.name


def conclude(task: Path, started: float, progress: Progress, comparison: Comparison | None = None) -> Outcome:
    """The closing table, what it means, the report, and what to do next."""
    definition = Task.load(task / "task.yaml")
    names = [n for n in version_names(task) if (task / "versions" / n / "results.json").is_file()]
    results = {n: EvalResult.load(task / "versions" / n / "results.json") for n in names}
    newest = results[names[-1]]
    lines = [
        ScoreLine(name=baseline_name(n), metrics=score.metrics) for n, score in newest.baseline.items()
    ] + [ScoreLine(name=n, metrics=result.metrics) for n, result in results.items()]
    metric = newest.metric or definition.chosen_metric
    statements = [
        worth_it(names[-1], metric, newest),
        good_enough(names[-1], definition.chosen_metric, definition.target, newest),
        keeps_knowledge(names[-1], newest),
        good_everywhere(names[-1], newest),
    ]
    report = write_report(task, progress=progress)
    named = name_for_commands(task)
    return Outcome(
        task=task.name,
        folder=str(task),
        scores=lines,
        comparison=comparison,
        advice=" ".join(f"{s.headline} {s.reason}" for s in statements if s),
        report=str(task / report.path),
        seconds=round(time.monotonic() - started, 1),
        next=[
            f"Open the report in a browser: {task / report.path}",
            f"See everything about the task: nlp-skills show-task {named}",
            f"Try another setting: nlp-skills create-version {named} --lora-r 32, then nlp-skills run {named}",
        ],
    )
