"""`configs/search.yaml`: which settings a search tries, in the words of config.yaml.

learning_rate: {low: 0.00005, high: 0.001, log: true}
lora_r: {choices: [8, 16, 32]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from nlp_skills.errors import NotReady, NotValid, did_you_mean
from nlp_skills.records import Record, read_mapping
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import with_defaults

FILE = Path("configs") / "search.yaml"
"""In the task."""

EXAMPLE = "--settings 'learning_rate={low: 0.00005, high: 0.001, log: true}' --settings 'lora_r={choices: [8, 16, 32]}'"

OTHER_LOSS = ("method", "base_model", "beta", "sft_weight", "assistant_only_loss", "tools_in_prompt")
"""With another value the validation loss measures something else, so its figures cannot be compared."""
NOT_TRIED = (
    "seed",
    "report_to",
    "threads",
    "num_processes",
    "distributed",
    "replay_sha256",
    "rewards_sha256",
)
"""Not what a model is better for."""


class Range(Record):
    """Every number between two, ends included."""

    low: float
    high: float
    log: bool = False
    """Try as many between 0.001 and 0.01 as between 0.01 and 0.1."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low has to be below high")
        if self.log and self.low <= 0:
            raise ValueError("log: true needs a low above 0")
        return self


class Choices(Record):
    """One of these values."""

    choices: list[Any] = Field(min_length=2)


Space: TypeAlias = dict[str, Range | Choices]
"""Field of config.yaml → what it may be."""


def read_space(task: Path, settings: Mapping[str, Any] | None) -> Space:
    """The space that is given, or the one of configs/search.yaml. Raises NotReady where there is none, NotValid."""
    if settings is None and not (task / FILE).is_file():
        raise NotReady(
            f"{task.name}: say what to try, in {FILE.as_posix()} or like this: nlp-skills search-settings {task.name} {EXAMPLE}"
        )
    where = "the settings" if settings is not None else task / FILE
    found = settings if settings is not None else read_mapping(task / FILE)
    if not isinstance(found, Mapping) or not found:
        raise NotValid(f"{where}: name at least one field of config.yaml with low and high, or with choices.")
    return {str(field): _values(f"{where}: {field}", said) for field, said in found.items()}


def _values(where: str, said: Any) -> Range | Choices:
    if not isinstance(said, Mapping):
        raise NotValid(f"{where}: write {{low: …, high: …}} or {{choices: […]}}.")
    return (Choices if "choices" in said else Range).parse(dict(said), where)


def require_searchable(space: Space, parent: TrainConfig, rows: int, *, by_loss: bool) -> None:
    """Raises NotValid for a field that does not exist or cannot be searched, and for ends that make no sense.

    `rows`: of training; `by_loss`: trials are compared by their validation loss.
    """
    for field, values in space.items():
        if field not in TrainConfig.model_fields:
            raise NotValid(
                f"There is no setting {field!r}{did_you_mean(field, TrainConfig.model_fields)}. Settings are the"
                " fields of config.yaml."
            )
        if field in NOT_TRIED:
            raise NotValid(f"{field} makes no model better. Leave it out of the search.")
        if by_loss and field in OTHER_LOSS:
            raise NotValid(
                f"With another {field} the validation loss measures something else. Search by a metric instead:"
                " --metric macro_f1, for example."
            )
        if isinstance(values, Range) and not _is_number(field):
            raise NotValid(f"{field} is no number: give choices instead of low and high.")
        if (
            isinstance(values, Range)
            and is_whole(field)
            and any(end % 1 for end in (values.low, values.high))
        ):
            raise NotValid(f"{field} is a whole number: low and high have to be whole too.")
        ends = values.choices if isinstance(values, Choices) else [values.low, values.high]
        for end in ends:
            with_defaults(
                parent, {field: int(end) if is_whole(field) and isinstance(end, float) else end}, rows
            )


def _kinds(field: str) -> set[Any]:
    annotation = TrainConfig.model_fields[field].annotation
    return {annotation, *get_args(annotation)}


def is_whole(field: str) -> bool:
    """Whether the field takes whole numbers only."""
    return int in _kinds(field)


def _is_number(field: str) -> bool:
    return bool({int, float} & _kinds(field))


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """The settings that an Optuna trial tries; asked again, a trial says the same."""
    found: dict[str, Any] = {}
    for field, values in space.items():
        if isinstance(values, Choices):
            # As JSON: Optuna keeps text and numbers, and a choice may be a list.
            found[field] = json.loads(
                trial.suggest_categorical(field, [json.dumps(c) for c in values.choices])
            )
        elif is_whole(field):
            found[field] = trial.suggest_int(field, int(values.low), int(values.high), log=values.log)
        else:
            # As many figures as matter: config.yaml is read by people.
            found[field] = float(f"{trial.suggest_float(field, values.low, values.high, log=values.log):.4g}")
    return found


def as_parameters(config: TrainConfig, space: Space) -> dict[str, Any] | None:
    """A configuration in the space, as Optuna keeps it; None where it lies outside."""
    found: dict[str, Any] = {}
    for field, values in space.items():
        value = config.model_dump(mode="json")[field]
        if isinstance(values, Choices):
            if value not in values.choices:
                return None
            found[field] = json.dumps(value)
        elif value is None or not values.low <= value <= values.high:
            return None
        else:
            found[field] = value
    return found


def settings_of(parameters: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """What `suggest` gave, from the parameters that Optuna keeps."""
    return {
        field: json.loads(value)
        if isinstance(space[field], Choices)
        else value
        if is_whole(field)
        else float(f"{value:.4g}")
        for field, value in parameters.items()
    }


def mean_epochs(space: Space, parent: TrainConfig) -> float:
    """How often a trial sees the rows on average, for an estimate of its time."""
    values = space.get("epochs")
    if values is None:
        return parent.epochs
    ends = values.choices if isinstance(values, Choices) else [values.low, values.high]
    return sum(map(float, ends)) / len(ends)
