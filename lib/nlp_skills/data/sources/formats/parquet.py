"""Rows from Parquet, batch by batch, as values that JSON knows."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nlp_skills.data.sources.formats.delimited import column_names
from nlp_skills.errors import MissingExtra, NotValid

_BATCH = 256


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows with their numbers. What becomes of Arrow's types, `plain` says.

    Raises NotValid for a file that is damaged or holds what cannot be converted.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("Reading Parquet files", "data") from None
    number = 0
    try:
        # Without the buffer a row group is decoded page by page and memory stays small.
        with pq.ParquetFile(path, pre_buffer=False, coerce_int96_timestamp_unit="us") as file:
            names = column_names(file.schema_arrow.names, f"{path}")
            for batch in file.iter_batches(_BATCH, use_threads=False):
                columns = [_in_microseconds(column).to_pylist(maps_as_pydicts="strict") for column in batch]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, {name: plain(value) for name, value in zip(names, values, strict=True)}
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotValid(
            f"{path}: cannot be read as Parquet behind row {number}: {reason}. Write the file again."
        ) from None


def _in_microseconds(column: Any) -> Any:
    """Python's dates end at the microsecond: nanoseconds are cut off."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return column.cast(pa.duration("us"), safe=False)
    return column


def plain(value: Any) -> Any:
    """A value as JSON: lists, maps and structs as lists and objects (keys as text); timestamps, dates
    and times as ISO 8601; durations as seconds; decimals as text, to the last digit; bytes as text where
    they are UTF-8, otherwise as base64; NaN and infinity as null.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): plain(item) for key, item in value.items()}
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    number = float(value)  # float, and numpy's float16
    return number if math.isfinite(number) else None


def _key(key: Any) -> str:
    shown = plain(key)
    return shown if isinstance(shown, str) else str(shown)


def _text_or_base64(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")


_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (bytes, _text_or_base64),
    ((datetime.date, datetime.time), lambda value: value.isoformat()),
    (datetime.timedelta, datetime.timedelta.total_seconds),
    ((decimal.Decimal, uuid.UUID), str),
    (tuple, list),  # an interval of months, days and nanoseconds
)
