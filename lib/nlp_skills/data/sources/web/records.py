"""Finding the rows in a JSON answer.

data.items     orders[0].lines     data.0.rows     items[-1].id
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from nlp_skills.errors import NotValid

_STEP = re.compile(r"\[(-?\d+)\]|([^.\[\]]+)")
_LISTED = 20
MISSING: Any = object()
"""What stands nowhere; None is a value."""


def parse_json(text: str, where: str) -> Any:
    """The value of an answer. Raises NotValid that says what came instead."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        start = " ".join(text[:80].split())
        if text.lstrip()[:1] == "<":
            raise NotValid(
                f"{where} answered with HTML or XML, not JSON: {start!r}. Check endpoint, and whether a header"
                " (Authorization, Accept) is missing: this may be a login page."
            ) from None
        if not start:
            raise NotValid(f"{where} answered with nothing where JSON is expected. Check endpoint.") from None
        raise NotValid(
            f"{where} did not answer with valid JSON ({error}): {start!r}. Check endpoint."
        ) from None


def find(value: Any, path: str) -> Any:
    """What stands at a dotted path, or MISSING."""
    for index, name in _STEP.findall(path):
        step = index or name
        if isinstance(value, list) and re.fullmatch(r"-?\d+", step):
            place = int(step)
            value = value[place] if -len(value) <= place < len(value) else MISSING
        else:
            value = value.get(step, MISSING) if isinstance(value, Mapping) else MISSING
        if value is MISSING:
            return MISSING
    return value


def find_records(answer: Any, path: str | None, where: str) -> list[dict[str, Any]]:
    """The rows of an answer: at `path`, or the answer itself, or its only list.

    null counts as no rows. Raises NotValid that lists what there is instead.
    """
    if path:
        found = find(answer, path)
        if found is MISSING:
            raise NotValid(f"{where} has nothing at records_path {path!r}. There is: {describe(answer)}.")
        name = f"records_path {path!r}"
    else:
        found, name = _only_list(answer, where), "the answer"
    if found is None:
        return []
    rows = [found] if isinstance(found, dict) and path else found
    if not isinstance(rows, list):
        raise NotValid(
            f"{where}: {name} is {_kind(found)}, not a list of objects. There is: {describe(answer)}."
        )
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise NotValid(
                f"{where}: item {number} of {name} is {_kind(row)}, and a row has to be an object with named"
                " fields. Set records_path to a list of objects."
            )
    return rows


def _only_list(answer: Any, where: str) -> Any:
    if isinstance(answer, list):
        return answer
    lists = [(path, value) for path, value in _walk(answer) if _holds_objects(value)]
    if len(lists) == 1:
        return lists[0][1]
    if not lists:
        empty = [value for _, value in _walk(answer) if value == []]
        if len(empty) == 1:
            return empty[0]
        raise NotValid(f"{where} holds no list of objects. There is: {describe(answer)}.")
    names = ", ".join(path for path, _ in lists[:_LISTED])
    raise NotValid(f"{where} holds several lists: {names}. Set records_path to the one with the rows.")


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every list under the objects of a value, with its path; not into lists."""
    if isinstance(value, list):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _walk(inner, f"{path}.{name}" if path else str(name))


def _holds_objects(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, Mapping) for item in value)


def describe(answer: Any) -> str:
    """The keys of an answer, two levels deep, each with its kind: `data {items: 20 items}, error text`."""
    if not isinstance(answer, Mapping):
        return _kind(answer)
    if not answer:
        return "an empty object"
    more = f" and {len(answer) - _LISTED} more" if len(answer) > _LISTED else ""
    return ", ".join(_described(name, value) for name, value in list(answer.items())[:_LISTED]) + more


def _described(name: object, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{name} {{{', '.join(str(key) for key in list(value)[:_LISTED])}}}"
    return f"{name} ({_kind(value)})"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return f"a list of {len(value)}"
    return "an object"
