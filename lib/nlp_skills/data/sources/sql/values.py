"""A driver's values as what JSON knows."""

from __future__ import annotations

import datetime
import ipaddress
import math
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nlp_skills.errors import NotValid


def to_row(names: Sequence[str], values: Sequence[Any], where: str) -> dict[str, Any]:
    """One row of a result by column name; see `plain`. Raises NotValid naming the column."""
    return {
        name: value if value is None or type(value) in (str, int, bool) else plain(value, f"{where}: {name}")
        for name, value in zip(names, values, strict=True)
    }


def plain(value: Any, where: str) -> Any:
    """A value as JSON.

    Numbers as they are, decimals as text to the last digit; NaN and infinity are null. Dates and times are
    ISO 8601; those with a time zone in UTC, so that the text does not depend on this machine's zone.
    Intervals are seconds, where a month counts as 30 days (the driver's rule). UUIDs and network addresses
    are text; arrays, sets, JSON and composite values are lists and objects. Bytes are text where they are
    UTF-8. Raises NotValid, beginning with `where`, for other bytes and for types that JSON has no value for.
    """
    match value:
        case None | str() | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return str(value) if value.is_finite() else None
        case datetime.datetime():
            return (value.astimezone(datetime.UTC) if value.tzinfo else value).isoformat()
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return _text(bytes(value), where)
        case list() | tuple():
            return [plain(item, where) for item in value]
        case set() | frozenset():
            return sorted((plain(item, where) for item in value), key=str)
        case dict():
            return {str(key): plain(item, where) for key, item in value.items()}
    if isinstance(value, uuid.UUID | _ADDRESSES):
        return str(value)
    raise NotValid(
        f"{where} holds values of type {type(value).__name__}, which JSON has no value for. Turn the column into"
        " text in the query (CAST(… AS TEXT), or what your database has for it), or leave it out."
    )


_ADDRESSES = (
    ipaddress.IPv4Address
    | ipaddress.IPv6Address
    | ipaddress.IPv4Network
    | ipaddress.IPv6Network
    | ipaddress.IPv4Interface
    | ipaddress.IPv6Interface
)


def _text(value: bytes, where: str) -> str:
    """Some drivers give text as bytes (MySQL with a binary collation); pictures and archives are no text."""
    try:
        if b"\0" not in value:
            return value.decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise NotValid(
        f"{where} holds bytes that are no UTF-8 text. Leave the column out of the query, or turn it into text"
        " there (PostgreSQL: encode(x, 'base64'); SQLite: hex(x))."
    )
