"""Which files of a dataset repository are which subset and split.

    README.md with configs: ──▶ what they name
    without ──▶ data/train-00000-of-00002.parquet, else folders named by a split, else files, else all: train

As https://huggingface.co/docs/hub/datasets-data-files-configuration describes it. A repository's own Python
code is never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import yaml

from nlp_skills.errors import NotFound, NotValid, did_you_mean

Splits: TypeAlias = dict[str, list[str]]
"""Split → the paths of its files."""
Subsets: TypeAlias = dict[str, Splits]

ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
_PACKED = (".gz", ".zst", ".zip")
_NOT_DATA = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
_SHARD = re.compile(r"data/([\w.]+(?:-[\w.]+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_CHANGES_READING = {"column_names", "field", "header", "names", "skiprows", "usecols"}


def read_card(readme: Path | None, where: str) -> dict[str, Any]:
    """The YAML block at the head of README.md; empty where there is none. Raises NotValid."""
    if readme is None:
        return {}
    from huggingface_hub import metadata_load

    try:
        return metadata_load(readme) or {}
    except (yaml.YAMLError, ValueError, UnicodeDecodeError):
        raise NotValid(f"{where}: the YAML block in the dataset's README.md cannot be read.") from None


def find_subsets(card: Mapping[str, Any], files: Iterable[str], where: str) -> Subsets:
    """The files of every split of every subset; `default` where the card names none.

    Raises NotFound where no file holds rows, NotValid for a card that asks for what is not done here.
    """
    files = list(files)
    readable = [path for path in files if is_readable(path)]
    if not readable:
        kinds = sorted({PurePosixPath(path).suffix for path in files} - {"", ".md"})
        raise NotFound(
            f"{where}: the dataset has no file with rows that is read ({', '.join(ENDINGS)}), only"
            f" {', '.join(kinds) or 'a card'}. Choose another dataset, or download it and export its rows."
        )
    configs = card.get("configs") or []
    if not configs:
        return {"default": _by_name(readable)}
    try:
        return {str(config["config_name"]): _splits(config, readable, where) for config in configs}
    except (KeyError, TypeError, AttributeError):
        raise NotValid(
            f"{where}: configs in the dataset's README.md are not as the Hub describes them."
        ) from None


def choose(subsets: Subsets, name: str, split: str, where: str) -> list[str]:
    """The files of a split of the subset `name`. Raises NotFound that lists what is there."""
    if name not in subsets:
        asked = f"has no subset {name!r}{did_you_mean(name, subsets)}" if name else "has several subsets"
        raise NotFound(f"{where}: the dataset {asked}. Set subset: to one of: {', '.join(subsets)}.")
    splits = {split: paths for split, paths in subsets[name].items() if paths}
    if split not in splits:
        raise NotFound(
            f"{where}: the dataset has no split {split!r}{did_you_mean(split, splits)}. Set split: to one of:"
            f" {', '.join(splits) or 'none, its files are not there'}."
        )
    return splits[split]


def is_readable(path: str) -> bool:
    """Whether a file holds rows that `file.read_file` reads."""
    name = PurePosixPath(path)
    inner = PurePosixPath(name.stem) if name.suffix in _PACKED else name
    hidden = any(part.startswith((".", "__")) for part in name.parts)
    return inner.suffix.lower() in ENDINGS and name.name not in _NOT_DATA and not hidden


def default_subset(subsets: Subsets, card: Mapping[str, Any]) -> str:
    """The one that the card marks, the only one, or `default`; empty where it has to be chosen."""
    marked = [str(config["config_name"]) for config in card.get("configs") or [] if config.get("default")]
    if marked or len(subsets) == 1:
        return marked[0] if marked else next(iter(subsets))
    return "default" if "default" in subsets else ""


def _splits(config: Mapping[str, Any], files: list[str], where: str) -> Splits:
    if unread := sorted(_CHANGES_READING & config.keys()):
        raise NotValid(
            f"{where}: the card of subset {config['config_name']!r} sets {unread[0]}, which is not followed here."
            " Download the file and use a source of type: file, or choose another subset."
        )
    folder = str(config.get("data_dir") or "").strip("/")
    patterns = config.get("data_files")
    if patterns is None:
        inside = [path for path in files if not folder or path.startswith(f"{folder}/")]
        return _by_name(inside)
    if isinstance(patterns, Mapping):
        patterns = [{"split": split, "path": path} for split, path in patterns.items()]
    splits: Splits = {}
    for entry in [patterns] if isinstance(patterns, str) else patterns:
        split, paths = (entry["split"], entry["path"]) if isinstance(entry, Mapping) else ("train", entry)
        for pattern in [paths] if isinstance(paths, str) else paths:
            splits.setdefault(str(split), []).extend(_matching(pattern, folder, files))
    return {split: list(dict.fromkeys(paths)) for split, paths in splits.items()}


def _matching(pattern: str, folder: str, files: list[str]) -> list[str]:
    from fsspec.utils import glob_translate

    whole = f"{folder}/{pattern}" if folder else pattern.removeprefix("./")
    expression = re.compile(glob_translate(whole))
    return [path for path in files if path == whole or expression.match(path)]


def _by_name(files: list[str]) -> Splits:
    sharded: Splits = {}
    for path in files:
        if found := _SHARD.fullmatch(path):
            sharded.setdefault(found[1], []).append(path)
    if sharded:
        return sharded
    for part in (lambda path: path.parts[:-1], lambda path: path.parts[-1:]):
        named = {
            split: [path for path in files if any(_names(word, part(PurePosixPath(path))) for word in words)]
            for split, words in _KEYWORDS.items()
        }
        if any(named.values()):
            return named
    return {"train": files}


def _names(word: str, parts: Iterable[str]) -> bool:
    expression = re.compile(rf"(?:^|[-._ 0-9]){word}(?:[-._ 0-9]|$)")
    return any(expression.search(part) for part in parts)
