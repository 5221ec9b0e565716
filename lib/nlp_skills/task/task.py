"""The task: one goal, in the user's words and one number, in a folder of its own."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from nlp_skills.errors import AlreadyExists, NotFound, NotValid, did_you_mean
from nlp_skills.records import Record, now

MARKER = ".nlp-skills"
"""The folder beside the tasks folder that marks a project; hooks do nothing without it."""

LEVELS = ("error", "warning", "info", "off")
"""What a threshold may make of a check's findings."""

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}


class TaskType(StrEnum):
    """What kind of language task it is; it decides prompt, metrics and baselines."""

    CLASSIFICATION = "classification"
    ENTITY_CLASSIFICATION = "entity_classification"
    EXTRACTION = "extraction"
    GENERATION = "generation"
    QA = "qa"
    TOOL_USE = "tool_use"
    PREFERENCE = "preference"

    @property
    def has_labels(self) -> bool:
        """Whether the answer is one of a fixed set of labels."""
        return self in (TaskType.CLASSIFICATION, TaskType.ENTITY_CLASSIFICATION)


_LABELS = (
    "macro_f1",
    "accuracy",
    "micro_f1",
    "weighted_f1",
    "balanced_accuracy",
    "matthews_correlation",
    "expected_calibration_error",
    "brier_score",
)
_TEXTS = ("token_f1", "exact_match", "rouge_1", "rouge_2", "rouge_l", "bleu", "chrf", "judge_score")
_EXTRACTED = (
    "exact_match",
    "token_f1",
    "entity_f1",
    "macro_entity_f1",
    "span_f1",
    "partial_span_f1",
    "field_accuracy",
    "json_valid",
    "schema_valid",
)
_CALLS = ("call_accuracy", "tool_selection", "parameter_accuracy", "irrelevance", "format_errors")

METRICS: dict[TaskType, tuple[str, ...]] = {
    TaskType.CLASSIFICATION: _LABELS,
    TaskType.ENTITY_CLASSIFICATION: _LABELS,
    TaskType.EXTRACTION: _EXTRACTED,
    TaskType.GENERATION: (*_TEXTS, "pass_at_1", "pass_at_5", "pass_at_10"),
    TaskType.QA: _TEXTS,
    TaskType.TOOL_USE: (*_CALLS, "exact_match"),
    TaskType.PREFERENCE: ("preference_accuracy", "judge_score"),
}
"""The metrics that each type can be judged by; the first is its default."""

LESS_IS_BETTER = ("expected_calibration_error", "brier_score", "format_errors")
"""Those of which less is better."""


def _task_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 63 or name in _RESERVED:
        cure = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:58].strip("-") or "my-task"
        cure = f"{cure}-task" if cure in _RESERVED else cure
        if name in _RESERVED:
            raise ValueError(f'"{name}" is a reserved name on Windows; take another, for example "{cure}"')
        raise ValueError(f'use lower-case letters, digits and single hyphens, for example "{cure}"')
    return name


def _thresholds(quality: Any) -> Any:
    """YAML reads off without quotes as false; what is neither share nor level is named with what it may be."""
    if not isinstance(quality, dict):
        return quality
    read = {check: "off" if asked is False else asked for check, asked in quality.items()}
    for check, asked in read.items():
        share = isinstance(asked, float | int) and not isinstance(asked, bool) and 0 <= asked < 1
        if not share and asked not in LEVELS:
            raise ValueError(
                f"for {check} give a share from 0 to below 1 (1 % is 0.01), or one of {', '.join(LEVELS)}; not {asked!r}"
            )
    return read


class Constraints(Record):
    """What the model has to live with once it is deployed."""

    latency_ms: float | None = Field(default=None, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    budget_usd: float | None = Field(default=None, ge=0)
    privacy: str | None = None


MEASURES = (
    "gain",
    "forgetting",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "memory_gb",
    "bits_per_byte",
    "perplexity",
)
"""What a criterion may ask for beside the type's metrics: `gain` is how much better the chosen metric is than the
strongest baseline's, `forgetting` the share of general questions that is answered worse than by the base model."""


class Criterion(Record):
    """One thing that has to hold before a version is promoted."""

    metric: str
    """A metric of the type, or one of MEASURES."""
    slice: str | None = None
    """`language=zh-Hant`, or `language` for each language on its own; None: all rows."""
    at_least: float | None = None
    at_most: float | None = None
    on: Literal["interval", "value"] = "interval"
    """interval: its worse end has to keep the limit, so that chance cannot have; value: the measured value."""

    def model_post_init(self, _context: object) -> None:
        """A criterion without a limit decides nothing."""
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least or at_most, or both")


_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


class Endpoint(Record):
    """A model behind an OpenAI-compatible address that a tuned one has to be compared with."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Up to and with /v1."""
    model: str
    api_key: str | None = None
    """`${NAME}`: the environment variable that holds the key."""
    usd_per_million_input_tokens: float | None = Field(default=None, ge=0)
    usd_per_million_output_tokens: float | None = Field(default=None, ge=0)

    def model_post_init(self, _context: object) -> None:
        """A key never stands in a file."""
        if self.api_key is not None and not _REFERENCE.fullmatch(self.api_key):
            raise ValueError("api_key: write ${NAME} and put the key into that environment variable")

    @property
    def reference(self) -> str:
        """As `open_predictor` takes it."""
        return f"{self.url}#{self.model}"


class Task(Record):
    """`task.yaml`: the goal, stated once, in the user's words and one number."""

    name: Annotated[str, AfterValidator(_task_name)]
    type: TaskType
    goal: str
    pain: str | None = None
    language: str | None = None
    """BCP 47: en, zh-Hant, zh-Hans, ja …"""
    labels: list[str] = []
    input_description: str | None = None
    output_description: str | None = None
    instruction: str | None = None
    """The system prompt of every example; None: made from the type, the labels and the goal."""
    base_model: str = "smollm2-135m-instruct"
    metric: str | None = None
    """One of METRICS for the type; None: its first."""
    target: float | None = Field(default=None, ge=0, le=1)
    constraints: Constraints = Constraints()
    criteria: list[Criterion] = []
    """What check_promotion asks; empty: what target and constraints say."""
    endpoint: Endpoint | None = None
    """A baseline that is asked over the network, where evaluate_version is called with confirm."""
    slices: list[str] = []
    """Columns of the sources by whose values results are shown apart (region, gender, …)."""
    quality: Annotated[
        dict[str, Annotated[float, Field(ge=0, lt=1)] | Literal["error", "warning", "info", "off"]],
        BeforeValidator(_thresholds),
    ] = {}
    """By check id: its findings count as this level, or as an error once they touch more than this share of the rows."""
    status: Literal["active", "stopped"] = "active"
    """Of a stopped task nobody is reminded."""
    created: str

    def model_post_init(self, _context: object) -> None:
        """Metric and type have to fit each other; labels are distinct."""
        if self.metric is not None and self.metric not in METRICS[self.type]:
            choices = ", ".join(METRICS[self.type])
            raise ValueError(
                f"metric: {self.metric!r} does not fit type {self.type.value}"
                f"{did_you_mean(self.metric, METRICS[self.type])}; choose from: {choices}"
            )
        for criterion in self.criteria:
            known = (*METRICS[self.type], *MEASURES)
            if criterion.metric not in known:
                raise ValueError(
                    f"criteria: {criterion.metric!r} is nothing that is measured{did_you_mean(criterion.metric, known)};"
                    f" choose from: {', '.join(known)}"
                )
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: the same label stands twice")

    @property
    def chosen_metric(self) -> str:
        """The metric that decides, named or by default."""
        return self.metric or METRICS[self.type][0]


def tasks_folder(home: Path | None = None) -> Path:
    """The folder that holds the tasks: `--home`, else NLP_SKILLS_HOME, else `./tasks`."""
    if home is not None:
        return home
    return Path(os.environ.get("NLP_SKILLS_HOME") or "tasks")


def project_folder(home: Path) -> Path:
    """The project of a tasks folder, where `.nlp-skills` marks it; a disk is no project, but the folder itself."""
    place = home.resolve()
    return place if place.parent == place.parent.parent else place.parent


def find_task(home: Path, name: str) -> Path:
    """The folder of a task by name. A name never leaves the tasks folder.

    Raises NotFound with the names that exist.
    """
    folder = home / name
    if _NAME.fullmatch(name) and (folder / "task.yaml").is_file():
        return folder
    known = task_names(home)
    if not known:
        raise NotFound(
            f"No task named {name!r}: {home} holds no task yet. Create one with:"
            " nlp-skills create-task NAME --type TYPE --goal GOAL"
        )
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    if last != name and last in known:
        raise NotFound(
            f"No task named {name!r} in {home}: that is a path. Give the task by its name: {last}."
        )
    raise NotFound(
        f"No task named {name!r} in {home}{did_you_mean(name, known)}. Known tasks: {', '.join(known[:20])}."
    )


def task_names(home: Path) -> list[str]:
    """The names of all tasks below the tasks folder, sorted; unfinished folders are hidden and are none."""
    if not home.is_dir():
        return []
    return sorted(p.parent.name for p in home.glob("*/task.yaml") if _NAME.fullmatch(p.parent.name))


def create_task(
    home: Path,
    name: str,
    *,
    type: TaskType,
    goal: str,
    pain: str | None = None,
    language: str | None = None,
    labels: list[str] | None = None,
    input_description: str | None = None,
    output_description: str | None = None,
    instruction: str | None = None,
    base_model: str = "smollm2-135m-instruct",
    metric: str | None = None,
    target: float | None = None,
    latency_ms: float | None = None,
    memory_gb: float | None = None,
    budget_usd: float | None = None,
    privacy: str | None = None,
) -> Task:
    """Create the task's folder with task.yaml, scripts and the project template.

    Raises AlreadyExists when there is a task of that name, NotValid for a bad field.
    """
    from nlp_skills.task.template import lay_template

    constraints = {
        "latency_ms": latency_ms,
        "memory_gb": memory_gb,
        "budget_usd": budget_usd,
        "privacy": privacy,
    }
    task = Task.parse(
        {
            "name": name,
            "type": type,
            "goal": goal,
            "pain": pain,
            "language": language,
            "labels": labels or [],
            "input_description": input_description,
            "output_description": output_description,
            "instruction": instruction,
            "base_model": base_model,
            "metric": metric,
            "target": target,
            "constraints": constraints,
            "created": now(),
        },
        "the new task",
    )
    folder = home / task.name
    if folder.exists():
        raise AlreadyExists(
            f"{folder} already exists and is left as it is. Choose another name, or delete it first."
        )
    if not goal.strip():
        raise NotValid("the new task: goal: say in one sentence what the model should do.")
    lay_template(folder, task)
    (home.resolve().parent / MARKER).mkdir(exist_ok=True)
    return task
