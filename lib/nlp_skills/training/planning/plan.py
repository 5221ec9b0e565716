"""The plan of a task's next training: every setting with its reason, what it takes, and what would fit instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from nlp_skills.data.example import read_examples
from nlp_skills.errors import NotFound, counted
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import MethodName, Peft, TrainConfig
from nlp_skills.training.new_version import starting_point
from nlp_skills.training.planning.base_model_fit import BaseModelFit, judge_base_model, serving_of
from nlp_skills.training.planning.duration import flops_per_second
from nlp_skills.training.planning.forecast import Forecast, forecast
from nlp_skills.training.planning.hardware import NAMED, Hardware, HardwareName, find_hardware
from nlp_skills.training.planning.model_shape import ModelShape, model_shape
from nlp_skills.training.planning.plan_command import plan_command
from nlp_skills.training.planning.reasons import Choice, Facts, explain
from nlp_skills.training.planning.row_lengths import Lengths, RowLengths, hides_tools, row_lengths
from nlp_skills.training.planning.settings import fitted_configs, wanted_config
from nlp_skills.training.row_kinds import has_marked_rows
from nlp_skills.training.version_model import is_version, original_model, require_trained


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
    known = Task.load(task / "task.yaml")
    definition = known.with_changes(base_model=base_model) if base_model is not None else known
    if is_version(task, definition.base_model):
        require_trained(task, definition.base_model)
    progress("counting tokens", 0, None)
    model, revision = original_model(task, definition.base_model)
    shape = model_shape(model, revision)
    tools_in_prompt = definition.type is TaskType.TOOL_USE and hides_tools(task, model, revision)
    lengths = row_lengths(task, model, revision, tools_in_prompt=tools_in_prompt)
    valid_rows = _rows(task / "data" / "valid.jsonl")
    wanted = wanted_config(
        definition,
        lengths,
        shape,
        method=method,
        peft=peft,
        valid_rows=valid_rows,
        marked=has_marked_rows(task, definition),
        tools_in_prompt=tools_in_prompt,
        before=starting_point(task, known, lengths.rows, base_model=base_model)[1],
    )
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
    serving = serving_of(definition, lengths, flops_per_second(config, place), place.device)
    share = found.free_mb / found.needed_mb / SLACK
    fitting = judge_base_model(
        definition, shape, serving, can_be_trained=lambda m: m.parameters <= shape.parameters * share
    )
    return Plan(
        task=task.name,
        base_model=definition.base_model,
        parameters=shape.parameters,
        parameters_are_exact=shape.exact,
        lengths=lengths.summary(),
        choices=explain(Facts(config, definition, lengths, shape, place, valid_rows, fitting)),
        forecast=found,
        elsewhere=elsewhere,
        notes=_notes(definition, shape, found, elsewhere, fitting),
        command=plan_command(task, known, config, lengths.rows),
    )


SLACK = 1.15
"""A smaller model takes less memory by its parameters, but for a little that does not shrink with them."""

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
    words = f"{config.peft}, {counted(config.per_device_train_batch_size, 'row')} at once"
    return HardwareFit(
        name=name,
        fits=found.fits,
        needed_mb=found.needed_mb,
        seconds=found.seconds,
        usd=found.usd,
        settings=words + (", checkpointing" if config.gradient_checkpointing else ""),
    )


def _notes(
    task: Task, shape: ModelShape, found: Forecast, elsewhere: list[HardwareFit], fitting: BaseModelFit
) -> list[str]:
    notes = []
    if not found.fits:
        notes.append(_what_would_fit(found, elsewhere, fitting))
    notes += _what_could_be_served(fitting)
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


def _what_would_fit(found: Forecast, elsewhere: list[HardwareFit], fitting: BaseModelFit) -> str:
    places = [other.name for other in elsewhere if other.fits]
    short = (found.needed_mb - found.free_mb) / 1024
    text = f"HW-FIT: it does not fit: {found.needed_mb / 1024:.1f} GiB are needed and {found.free_mb / 1024:.1f} GiB are free, {short:.1f} too few."
    if places:
        text += f" It would fit on: {', '.join(places)}."
    if fitting.smaller:
        text += f" A smaller base_model would take less: {fitting.smaller.id}."
    return text + " Shorter rows take less too: the longest decide."


def _what_could_be_served(fitting: BaseModelFit) -> list[str]:
    if not fitting.problems:
        return []
    other = fitting.smaller
    cure = (
        f"{other.id} ({other.parameters / 1e9:.2f} billion parameters, {other.terms}) would do: --base-model {other.id}."
        if other
        else "No base model of known size would; raise the limit, or answer on faster hardware."
    )
    return [" ".join([*fitting.problems, cure])]
