"""A version is one attempt: `versions/v1/`, with everything that decided it and came of it.

`lineage.yaml` says it in one page. It is derived from its neighbours in the folder, except for
what only it knows: version, created, parent and the changes in words.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlp_skills.errors import NlpSkillsError, NotFound, NotReady
from nlp_skills.locks import BRIEF, locked
from nlp_skills.records import Record, now, read_mapping, sync_folder, unfinished, write_atomic
from nlp_skills.task.registry import aliased_version, is_alias

_VERSION = re.compile(r"v([1-9][0-9]*)")
_TRIAL = re.compile(r"trial [0-9]+ of search ")


class DataLineage(Record):
    """Which data: counts of the splits and the hash of the sources."""

    source_hash: str
    train_count: int
    valid_count: int
    test_count: int


class Version(Record):
    """`lineage.yaml`."""

    version: str
    created: str
    parent: str | None = None
    changes: list[str] = []
    """What was changed against the parent, in words."""
    data: DataLineage
    config: dict[str, Any]
    results: dict[str, float] = {}
    """Metric → value on the test split; empty until the version was evaluated."""
    environment: dict[str, Any] = {}
    cost: dict[str, Any] = {}


def version_names(task: Path) -> list[str]:
    """v1, v2, … in numerical order."""
    folder = task / "versions"
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if _VERSION.fullmatch(p.name) and p.is_dir()]
    return sorted(names, key=lambda name: int(name[1:]))


def trial_words(number: int, search: str) -> str:
    """The first of the changes of a version that a search has made; `search` is its key."""
    return f"trial {number} of search {search}"


def is_trial(changes: Sequence[str]) -> bool:
    """Whether a search has made the version with these changes."""
    return bool(changes) and _TRIAL.match(changes[0]) is not None


def newest_version(task: Path) -> str | None:
    """The newest version that somebody asked for; the trials of a search are passed over, where there are others.

    A trial may have been ended early, and its settings are a guess. None where there is no version.
    """
    names = version_names(task)
    asked_for = (name for name in reversed(names) if not is_trial(_changes(task / "versions" / name)))
    return next(asked_for, names[-1] if names else None)


def _changes(folder: Path) -> list[str]:
    """As lineage.yaml has them; none where it cannot be read, which is for others to say."""
    with suppress(NlpSkillsError):
        lineage = read_mapping(folder / "lineage.yaml")
        changes = lineage.get("changes") if isinstance(lineage, dict) else None
        return [str(change) for change in changes] if isinstance(changes, list) else []
    return []


def version_folder(task: Path, version: str | None) -> Path:
    """The folder of a version, also by its alias (dev, staging, prod); None: the newest that is no trial of a search.

    Raises NotFound, or NotReady for an alias that names no version yet.
    """
    names = version_names(task)
    if not names:
        raise NotReady(
            f"{task.name} has no version yet. Make one with: nlp-skills create-version {task.name}"
        )
    if version is None:
        return task / "versions" / (newest_version(task) or names[-1])
    name = aliased_version(task, version) if is_alias(version) else version
    if name not in names:
        alias = f", which {version} names" if name != version else ""
        raise NotFound(f"{task.name} has no version {name!r}{alias}. Versions: {', '.join(names)}.")
    return task / "versions" / name


def new_version(task: Path, files: dict[str, bytes], changes: list[str], parent: str | None) -> Version:
    """Lay a new version folder in one step, under the next free number.

    `files` are its first files by name (config.yaml, data_snapshot.json). Two processes that do
    this at the same moment get two versions; a kill leaves a whole folder or none.
    """
    names = version_names(task)
    if parent is not None and parent not in names:
        raise NotFound(
            f"{task.name} has no version {parent!r} to start from. Versions: {', '.join(names) or 'none'}."
        )
    versions = task / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    staging = unfinished(versions / "new")
    staging.mkdir()
    try:
        for name, data in files.items():
            write_atomic(staging / name, data)
        number = int(names[-1][1:]) + 1 if names else 1
        created = now()
        while True:
            version = derive_lineage(staging, f"v{number}", created, parent, changes)
            version.save(staging / "lineage.yaml")
            target = versions / version.version
            try:
                if target.exists():
                    raise FileExistsError(target)
                # rename onto a folder that is not empty fails on every system: the number is taken.
                os.rename(staging, target)  # noqa: PTH104 (Path.rename replaces empty folders silently, as this does)
            except OSError:
                if not target.exists():
                    raise
                number += 1
                continue
            sync_folder(versions)
            return version
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def derive_lineage(
    folder: Path, version: str, created: str, parent: str | None, changes: list[str]
) -> Version:
    """What lineage.yaml has to say, from the files beside it."""
    snapshot = read_mapping(folder / "data_snapshot.json")
    counts = {name: split["count"] for name, split in snapshot["splits"].items()}
    job = _optional(folder / "job.json")
    results = _optional(folder / "results.json")
    return Version(
        version=version,
        created=created,
        parent=parent,
        changes=changes,
        data=DataLineage(
            source_hash=snapshot["source_hash"],
            train_count=counts.get("train", 0),
            valid_count=counts.get("valid", 0),
            test_count=counts.get("test", 0),
        ),
        # As it was really run: with what a run that did not fit has changed by itself.
        config={**read_mapping(folder / "config.yaml"), **(job.get("adjusted") or {})},
        results={name: metric["value"] for name, metric in results.get("metrics", {}).items()},
        environment=_without_nulls(job.get("environment") or {}),
        cost=_without_nulls(job.get("cost") or {}),
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_mapping(path) if path.is_file() else {}


def _without_nulls(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def record_lineage(task: Path, *, version: str | None = None) -> Version:
    """Bring a version's lineage.yaml up to date with the records beside it.

    The run and the evaluation do this themselves; the version-tracking hook calls it for runs
    that ended while nobody looked. Raises NotReady when there is no version.
    """
    folder = version_folder(task, version)
    # The run and the hook may do it at the same moment: whoever reads last also writes last.
    with locked(folder / ".lineage.lock", f"records the lineage of {folder.name}", patience=BRIEF):
        known = Version.load(folder / "lineage.yaml")
        derived = derive_lineage(folder, known.version, known.created, known.parent, known.changes)
        if derived != known:
            derived.save(folder / "lineage.yaml")
    return derived


def describe_changes(parent: dict[str, Any], child: dict[str, Any]) -> list[str]:
    """The differences of two configurations in words: `lora_r: 16 → 32`."""
    keys = [*parent, *(key for key in child if key not in parent)]
    return [
        f"{key}: {parent.get(key)} → {child.get(key)}" for key in keys if parent.get(key) != child.get(key)
    ]
