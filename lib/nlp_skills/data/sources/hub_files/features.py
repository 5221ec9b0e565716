"""What a dataset says about its columns: labels stand in the files as numbers, and have names.

The names are in the card (`dataset_info`) or in the Parquet file's own metadata, where `datasets` puts them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_skills.errors import MissingExtra, NotValid

Labels = dict[str, list[str]]
"""Column → the names of its labels, by number."""


def labels_in_card(card: Mapping[str, Any], subset: str) -> Labels:
    """Those of `dataset_info`, of the subset where it has several."""
    infos = card.get("dataset_info") or []
    infos = [infos] if isinstance(infos, Mapping) else infos
    found: Labels = {}
    for info in infos:
        if len(infos) > 1 and info.get("config_name", "default") != subset:
            continue
        for feature in info.get("features") or []:
            kind = feature.get("dtype") if isinstance(feature, Mapping) else None
            names = (kind.get("class_label") or {}).get("names") if isinstance(kind, Mapping) else None
            if names:
                found[str(feature["name"])] = _in_order(names)
    return found


def _in_order(names: Mapping[str, str] | Sequence[str]) -> list[str]:
    if isinstance(names, Mapping):
        return [str(names[key]) for key in sorted(names, key=int)]
    return [str(name) for name in names]


def labels_in_parquet(path: Path, where: str) -> Labels:
    """Those in the file's metadata. Raises NotValid for a column of bytes: pictures, audio."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Reading Parquet files", "data") from None
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise NotValid(f"{where}: {path.name} cannot be read as Parquet: {error}.") from None
    for field in schema:
        if _holds_bytes(field.type):
            raise NotValid(
                f"{where}: column {field.name!r} holds bytes (a picture, audio, a file), which are no text. Choose"
                " a subset without it, or download the files and export the columns that are needed."
            )
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = described.get("info", {}).get("features", {})
    return {
        name: [str(label) for label in feature["names"]]
        for name, feature in features.items()
        if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    inside = [kind.field(number).type for number in range(kind.num_fields)]
    return binary or any(_holds_bytes(part) for part in inside)


def with_label_names(row: dict[str, Any], labels: Labels, where: str) -> dict[str, Any]:
    """The row with names in place of numbers; -1 (no label) is None. Raises NotValid for a number without a name."""
    named = dict(row)
    for column, names in labels.items():
        value = row.get(column)
        if isinstance(value, str) and value not in names and value.lstrip("-").isdecimal():
            value = int(value)  # CSV
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        if not -1 <= value < len(names):
            raise NotValid(
                f"{where}: label {value} in column {column!r} has no name: the dataset names {len(names)} of them."
                " Pin another revision, or tell the dataset's owner."
            )
        named[column] = None if value == -1 else names[value]
    return named
