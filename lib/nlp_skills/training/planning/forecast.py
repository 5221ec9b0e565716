"""What a run will take: memory against what is there, seconds and money; the one estimate that everything shows.

plan_training, start_training before it is confirmed, and job.json ("predicted") all say these figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NlpSkillsError
from nlp_skills.records import Record
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Prediction
from nlp_skills.training.planning.duration import run_seconds
from nlp_skills.training.planning.hardware import Hardware, HardwareName, Price, find_hardware
from nlp_skills.training.planning.memory import (
    MemoryEstimate,
    estimate_memory,
    longest_batch,
    validation_batch,
)
from nlp_skills.training.planning.model_shape import ModelShape, model_shape
from nlp_skills.training.planning.recorded_runs import Correction, correction, recorded_runs
from nlp_skills.training.planning.row_lengths import LONGEST, RowLength, RowLengths, row_lengths
from nlp_skills.training.version_model import original_model


class Forecast(Record):
    """One run on one kind of hardware."""

    hardware: str
    fits: bool
    needed_mb: float
    """Corrected from recorded runs, where there are any."""
    free_mb: float
    memory: MemoryEstimate
    """The estimate before that correction."""
    seconds: float | None = None
    usd: float | None = None
    price: Price | None = None
    correction: Correction = Correction()
    machine: str | None = None
    family: str

    @property
    def peak_mb(self) -> float:
        """Predicted peak, corrected."""
        return round(self.memory.peak_mb * self.correction.memory, 1)

    def prediction(self) -> Prediction:
        """What job.json keeps of it, to be compared with what the run took."""
        on_gpu = self.memory.device == "cuda"
        return Prediction(
            seconds=self.seconds,
            peak_memory_mb=None if on_gpu else self.peak_mb,
            peak_gpu_memory_mb=self.peak_mb if on_gpu else None,
            machine=self.machine,
            family=self.family,
            seconds_factor=self.correction.seconds,
            memory_factor=self.correction.memory,
        )

    def words(self) -> str:
        """`about 2.6 GiB of memory (12.2 GiB are free) and 4 min`: for a line that a person reads."""
        memory = (
            f"about {self.needed_mb / 1024:.1f} GiB of {'GPU ' if self.memory.device == 'cuda' else ''}memory"
        )
        parts = [f"{memory} ({self.free_mb / 1024:.1f} GiB are free)"]
        if self.seconds is not None:
            parts.append(show_seconds(self.seconds))
        if self.usd:
            parts.append(f"{max(self.usd, 0.01):.2f} USD")
        *first, last = parts
        return f"{', '.join(first)} and {last}" if first else last


def show_seconds(seconds: float) -> str:
    """`45 s`, `4 min`, `3.2 h`: as exact as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def forecast(
    config: TrainConfig,
    shape: ModelShape,
    lengths: RowLengths,
    hardware: Hardware,
    *,
    home: Path | None = None,
    valid_rows: int = 0,
    usd_per_hour: float | None = None,
) -> Forecast:
    """The figures of a run. `home`: the tasks folder, whose recorded runs correct those of this machine.

    Memory is that of one process, money that of all the GPUs that the run takes.
    """
    dtype = hardware.dtype if config.dtype == "auto" else config.dtype
    memory = estimate_memory(
        shape,
        config,
        longest_batch(lengths.longest, config),
        hardware.device,
        dtype,
        validated=validation_batch(lengths.longest, config) if valid_rows else None,
    )
    runs = recorded_runs(home, hardware.machine, shape.family) if home and hardware.machine else []
    corrected = correction(runs, config)
    seconds = run_seconds(shape, config, lengths, hardware, valid_rows)
    if seconds is not None:
        seconds = round(seconds * corrected.seconds, 1)
    price = hardware.price
    if usd_per_hour is not None:
        price = Price(usd_per_hour=usd_per_hour, source="your own price", date="")
    # A user's own price is that of the whole machine.
    gpus = 1 if usd_per_hour is not None else max(1, min(hardware.gpus, config.num_processes))
    needed = round(memory.needed_mb * corrected.memory, 1)
    return Forecast(
        hardware=hardware.name,
        fits=needed <= hardware.free_gb * 1024,
        needed_mb=needed,
        free_mb=round(hardware.free_gb * 1024, 1),
        memory=memory,
        seconds=seconds,
        usd=round(seconds / 3600 * price.usd_per_hour * gpus, 4) if seconds is not None and price else None,
        price=price,
        correction=corrected,
        machine=hardware.machine,
        family=shape.family,
    )


def predict_run(
    task: Path, config: TrainConfig, model: str, rows: Sequence[Any], valid_rows: int, threads: int
) -> Prediction | None:
    """What a run on this machine will take, for job.json; `rows` are its own, as tokens (`length`, `trained`).

    `model`: where the base model lies. None where its config.json does not say enough.
    """
    try:
        shape = model_shape(model, config.base_revision)
    except NlpSkillsError:
        return None
    found = sorted((RowLength(row.length, row.trained) for row in rows), key=lambda row: -row.tokens)
    lengths = RowLengths(len(found), tuple(found), tuple(found[:LONGEST]), "by the run")
    place = find_hardware(threads=threads)
    said = forecast(config, shape, lengths, place, home=task.parent, valid_rows=valid_rows)
    return said.prediction()


def forecast_version(
    task: Path,
    version: str | None = None,
    *,
    hardware: HardwareName | None = None,
    usd_per_hour: float | None = None,
) -> Forecast:
    """What the training of a version will take on this machine, or on hardware by name at a price of one's own.

    Raises NotFound, NotReady without rows or where a Hub model's config.json cannot be fetched.
    """
    folder = version_folder(task, version)
    config = TrainConfig.load(folder / "config.yaml")
    splits = DataSnapshot.load(folder / "data_snapshot.json").splits
    model, revision = original_model(task, config.base_model, config.base_revision)
    place = find_hardware(hardware, threads=config.threads)
    return forecast(
        config,
        model_shape(model, revision),
        row_lengths(task, model, revision, tools_in_prompt=config.tools_in_prompt),
        # Whose machine it is nobody knows: the price in the table is for plans.
        place.with_changes(price=None),
        home=task.parent,
        valid_rows=splits["valid"].count if "valid" in splits else 0,
        usd_per_hour=usd_per_hour,
    )
