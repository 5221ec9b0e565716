"""The plan of a task's next training: every setting with its reason, what it takes, and what would fit instead."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from nlp_skills.data.example import read_examples
from nlp_skills.errors import NotFound
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.task import Task
from nlp_skills.training.config import MethodName, Peft, TrainConfig
from nlp_skills.training.new_version import create_version
from nlp_skills.training.planning.forecast import Forecast, forecast
from nlp_skills.training.planning.hardware import NAMED, Hardware, HardwareName, find_hardware
from nlp_skills.training.planning.model_shape import ModelShape, model_shape
from nlp_skills.training.planning.reasons import OTHER_MODELS, Choice, Facts, explain
from nlp_skills.training.planning.row_lengths import Lengths, RowLengths, row_lengths
from nlp_skills.training.planning.settings import fitted_configs, wanted_config


class HardwareFit(Record):
    """The same training on other hardware, with the settings that it would take there."""

    name: str
    fits: bool
    needed_mb: float
    seconds: float | None = None
    usd: float | None = None
    settings: str
    """What differs to make it fit: adapter, rows at once, checkpointing."""


class Plan(Record):
    """What `plan_training` proposes; nothing is made or started."""

    task: str
    base_model: str
    parameters: int
    parameters_are_exact: bool
    lengths: Lengths
    choices: list[Choice]
    forecast: Forecast
    elsewhere: list[HardwareFit]
    notes: list[str] = []
    """What does not fit and what would, limits of the budget, how good the estimates were."""
    command: str
    """Makes a version of these settings."""

    def brief(self) -> Plan:
        """Without the settings that nobody has to think about."""
        kept = [
            c
            for c in self.choices
            if c.setting not in ("lora_dropout", "lr_scheduler_type", "packing", "seed")
        ]
        return self.model_copy(update={"choices": kept})


def plan_training(
    task: Path,
    *,
    hardware: HardwareName | None = None,
    base_model: str | None = None,
    method: MethodName | None = None,
    peft: Peft | None = None,
    usd_per_hour: float | None = None,
    progress: Progress = silent,
) -> Plan:
    """Propose base model, method and all settings for the task's rows, with memory, time and cost.

    On this machine, or on `hardware` by name; `usd_per_hour` goes before the price in the table. Reads the base
    model's config.json, never its weights. Raises NotReady without rows or where config.json cannot be fetched.
    """
    definition = Task.load(task / "task.yaml")
    if base_model is not None:
        definition = definition.with_changes(base_model=base_model)
    progress("counting tokens", 0, None)
    shape = model_shape(definition.base_model)
    lengths = row_lengths(task, definition.base_model)
    valid_rows = _rows(task / "data" / "valid.jsonl")
    wanted = wanted_config(definition, lengths, shape, method=method, peft=peft, valid_rows=valid_rows)
    progress("measuring this machine", 0, None)
    place = find_hardware(hardware)

    def figures(config: TrainConfig, on: Hardware) -> Forecast:
        return forecast(
            config, shape, lengths, on, home=task.parent, valid_rows=valid_rows, usd_per_hour=usd_per_hour
        )

    config, found = fit(wanted, place, lengths, figures)
    elsewhere = [
        _elsewhere(name, *fit(wanted, other, lengths, figures))
        for name, other in NAMED.items()
        if name != hardware
    ]
    return Plan(
        task=task.name,
        base_model=definition.base_model,
        parameters=shape.parameters,
        parameters_are_exact=shape.exact,
        lengths=lengths.summary(),
        choices=explain(Facts(config, definition, lengths, shape, place, valid_rows)),
        forecast=found,
        elsewhere=elsewhere,
        notes=_notes(definition, shape, found, elsewhere),
        command=_command(task.name, config),
    )


Figures: TypeAlias = Callable[[TrainConfig, Hardware], Forecast]
"""What a run of these settings takes on that hardware."""


def fit(
    wanted: TrainConfig, hardware: Hardware, lengths: RowLengths, figures: Figures
) -> tuple[TrainConfig, Forecast]:
    """The fastest way to fit the settings into the hardware; the smallest where none fits."""
    smallest: tuple[TrainConfig, Forecast] | None = None
    for config in fitted_configs(wanted, hardware, lengths.rows):
        found: Forecast = figures(config, hardware)
        if found.fits:
            return config, found
        if smallest is None or found.needed_mb < smallest[1].needed_mb:
            smallest = config, found
    if smallest is None:
        raise AssertionError("there is always one way to try")
    return smallest


def _rows(file: Path) -> int:
    try:
        return sum(1 for _ in read_examples(file))
    except NotFound:
        return 0


def _elsewhere(name: str, config: TrainConfig, found: Forecast) -> HardwareFit:
    words = f"{config.peft}, {config.per_device_train_batch_size} rows at once"
    return HardwareFit(
        name=name,
        fits=found.fits,
        needed_mb=found.needed_mb,
        seconds=found.seconds,
        usd=found.usd,
        settings=words + (", checkpointing" if config.gradient_checkpointing else ""),
    )


def _notes(task: Task, shape: ModelShape, found: Forecast, elsewhere: list[HardwareFit]) -> list[str]:
    notes = []
    if not found.fits:
        notes.append(_what_would_fit(shape, found, elsewhere))
    budget, privacy = task.constraints.budget_usd, task.constraints.privacy
    if budget is not None and found.usd is not None and found.usd > budget:
        notes.append(
            f"It costs about {found.usd:.2f} USD, more than the budget of {budget:g} USD in task.yaml. Fewer epochs or"
            " a smaller base_model cost less."
        )
    if privacy and found.machine is None:
        notes.append(f"task.yaml says of the data: {privacy}. Rented hardware sees the rows.")
    if not shape.exact:
        notes.append(
            f"{shape.base_model} has a model_type that transformers does not know here ({shape.family}): its sizes are"
            " those of a Llama with the same numbers, so the figures are approximate."
        )
    if found.seconds is None:
        notes.append("The time is not known: the speed of this machine could not be measured (extra train).")
    notes.append(f"How good the figures are: {found.correction.words()}.")
    return notes


def _what_would_fit(shape: ModelShape, found: Forecast, elsewhere: list[HardwareFit]) -> str:
    fitting = [other.name for other in elsewhere if other.fits]
    short = (found.needed_mb - found.free_mb) / 1024
    text = f"HW-FIT: it does not fit: {found.needed_mb / 1024:.1f} GiB are needed and {found.free_mb / 1024:.1f} GiB are free, {short:.1f} too few."
    if fitting:
        text += f" It would fit on: {', '.join(fitting)}."
    # By its parameters, with a little for what does not shrink with them.
    share = found.free_mb / found.needed_mb / 1.15
    smaller = [name for name in OTHER_MODELS if _billions(name) * 1e9 < shape.parameters * share]
    if smaller:
        text += f" A smaller base_model would take less: {smaller[-1]}."
    return text + " Shorter rows take less too: the longest decide."


def _billions(name: str) -> float:
    return float(name.rpartition("-")[2].removesuffix("B"))


def _command(task: str, config: TrainConfig) -> str:
    """create-version with every setting that differs from the defaults."""
    named = inspect.signature(create_version).parameters
    usual = TrainConfig()
    words = [f"nlp-skills create-version {task}"]
    for setting, value in config.model_dump(mode="json").items():
        if value == getattr(usual, setting):
            continue
        shown = (
            f"{value:g}"
            if isinstance(value, float)
            else json.dumps(value)
            if isinstance(value, bool | list)
            else value
        )
        option = (
            f"--{setting.replace('_', '-')} {shown}" if setting in named else f"--settings {setting}={shown}"
        )
        words.append(option if isinstance(value, str | int | float) else f"--settings '{setting}={shown}'")
    return " ".join(words)
