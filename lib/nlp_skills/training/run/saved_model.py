"""The model of a run on disk: saved whole, under its name only when it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from nlp_skills.records import read_mapping, sync_folder, to_json, write_atomic
from nlp_skills.training.config import TrainConfig


def save_model(trainer: Any, tokenizer: Any, place: Path, config: TrainConfig) -> Path:
    """The adapter (or the full model) with its tokenizer, under its name only when it is whole."""
    name = "model" if config.peft == "none" else "adapter"
    staging, target = place / f".{name}.tmp", place / name
    whole = _gathered(trainer)  # by all processes of the run together
    if not trainer.args.should_save:
        return target
    shutil.rmtree(staging, ignore_errors=True)
    trainer.model.save_pretrained(staging, state_dict=whole)
    tokenizer.save_pretrained(staging)
    _without_how_it_was_loaded(staging / "tokenizer_config.json")
    settings = staging / "adapter_config.json"
    if settings.is_file():
        # PEFT keeps the module names in a set, whose order is another one in each process.
        found = read_mapping(settings)
        found["target_modules"] = sorted(found["target_modules"])
        write_atomic(settings, to_json(found))
    if target.exists():
        shutil.rmtree(target)
    staging.rename(target)
    sync_folder(place)
    return target


def _without_how_it_was_loaded(file: Path) -> None:
    """transformers writes down whether it was offline; the same run is the same files wherever it is made."""
    found = read_mapping(file)
    if found.pop("local_files_only", None) is not None:
        write_atomic(file, to_json(found))


def _gathered(trainer: Any) -> dict[str, Any] | None:
    """The weights in one piece, where FSDP or DeepSpeed has spread them over processes; None: the model has them."""
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return None
