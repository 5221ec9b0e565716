"""What a run takes along to another machine: its records, its data, its newest checkpoint, and a base model that lies here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from nlp_skills.base_model import EMBEDDED
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotFound
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.targets.parcel import Contents, files_below, manifest
from nlp_skills.training.version_model import is_version, resolve_model


def run_files(task: Path, folder: Path, base_model: str) -> dict[str, Path | bytes]:
    """Paths in the task folder that the run reads; in config.yaml stands the base model as it is found there."""
    config = TrainConfig.load(folder / "config.yaml")
    splits = DataSnapshot.load(folder / "data_snapshot.json").splits
    inside = f"versions/{folder.name}"
    names = ["task.yaml", *(f"data/{split}.jsonl" for split in splits)]
    names += [f"{inside}/data_snapshot.json", f"{inside}/lineage.yaml"]
    names += [config.replay_file] if config.replay_file else []
    names += sorted({reward.partition(":")[0] for reward in config.rewards if ":" in reward})
    files: dict[str, Path | bytes] = {name: task / name for name in names}
    absent = [name for name, path in files.items() if isinstance(path, Path) and not path.is_file()]
    if absent:
        raise NotFound(f"{task.name}: the run needs {', '.join(absent)}, which is not there.")
    there = config if base_model == config.base_model else config.with_changes(base_model=base_model)
    files[f"{inside}/config.yaml"] = there.to_bytes(".yaml")
    return files | newest_checkpoint(task, folder.name)


def newest_checkpoint(task: Path, version: str) -> dict[str, Path]:
    """The files of the newest whole checkpoint, so that a run goes on elsewhere."""
    found = checkpoints(task / "models" / version / "checkpoints")
    if not found:
        return {}
    return files_below(found[-1], f"models/{version}/checkpoints/{found[-1].name}/")


def local_base_model(task: Path, name: str) -> Path | None:
    """The base model's folder or GGUF file, where it lies on this machine; None for one of the Hub or a package."""
    if is_version(task, name):
        return Path(resolve_model(task, name).path)
    path = Path(name).expanduser()
    return path if name not in EMBEDDED and path.exists() else None


def base_model_files(path: Path) -> tuple[str, Contents]:
    """A name that is the same for the same files, and the files."""
    files = {path.name: path} if path.is_file() else files_below(path)
    digest = hashlib.sha256(json.dumps(manifest(files), sort_keys=True).encode()).hexdigest()
    return f"{path.stem}-{digest[:16]}", files
