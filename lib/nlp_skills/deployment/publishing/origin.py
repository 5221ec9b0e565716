"""The base model that a version goes back to, as others may be told of it: a Hub id or a file's name, never a path.

config.yaml  base_model: v2 ──▶ v2's base_model ──▶ … ──▶ a Hub id, a folder, a GGUF file, an embedded model
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from nlp_skills.base_model import EMBEDDED
from nlp_skills.records import read_mapping
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.version_model import is_version, original_model


class Published(NamedTuple):
    """Where the original of an embedded model is published, and under which licence."""

    hub_id: str
    licence: str


PACKAGED = {"smollm2-135m-instruct": Published("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}
"""What the file's own metadata (general.license) and the original's card say."""


class Origin(NamedTuple):
    """Where the weights come from."""

    name: str
    """As it is told to others."""
    reference: str
    """As config.yaml names it: a place on this machine, perhaps."""
    hub_id: str | None
    revision: str | None
    converted_from: str | None
    """The GGUF file whose weights, converted, were trained; the original's may differ, for such files are quantised."""
    own_version: str | None
    """The version of the task whose merged weights the adapter belongs on; None: the base model's own."""
    places: tuple[str, ...]
    """Paths of this machine that stand in the model's files."""


def find_origin(task: Path, version: str, model: Path) -> Origin:
    """What a version goes back to; `model` is the folder or file that is handed on. Reads no weights, asks nobody."""
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    reference, revision = original_model(task, config.base_model, config.base_revision)
    path = Path(reference).expanduser()
    is_gguf = reference in EMBEDDED or path.suffix == ".gguf"
    is_here = is_gguf or path.is_dir()
    packaged = PACKAGED.get(reference)
    hub_id = packaged.hub_id if packaged else None if is_here else reference
    return Origin(
        name=hub_id or path.name,
        reference=reference,
        hub_id=hub_id,
        revision=None if is_here else revision,
        converted_from=(EMBEDDED[reference][1] if reference in EMBEDDED else path.name) if is_gguf else None,
        own_version=config.base_model if is_version(task, config.base_model) else None,
        places=_places(task, model, reference if is_here and reference not in EMBEDDED else None),
    )


def _places(task: Path, model: Path, reference: str | None) -> tuple[str, ...]:
    """The longest first: one may be the beginning of another."""
    found = {str(task), str(task.resolve()), *([reference] if reference else [])}
    settings = model / "adapter_config.json"
    if settings.is_file() and (base := read_mapping(settings).get("base_model_name_or_path")):
        found |= {base} if Path(base).is_absolute() else set()
    # JSON doubles the backslashes of a path on Windows.
    spelled = found | {json.dumps(place, ensure_ascii=False)[1:-1] for place in found}
    return tuple(sorted(spelled, key=lambda place: (-len(place), place)))
