"""Rows from JSON: JSON Lines, a list, or an object that holds one list.

msgspec decides what is JSON (no NaN, no control characters, no lone surrogates). It keeps the
last of two equal keys, so texts in which that could be are read once more by the standard library.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import msgspec

from nlp_skills.data.sources.encoding import MAX_LINE, undecodable
from nlp_skills.data.sources.formats.exports import unfold
from nlp_skills.data.sources.formats.squad import is_squad, squad_rows
from nlp_skills.errors import NotValid

Row = tuple[int, dict[str, Any]]

MAX_DOCUMENT = 64 * 1024 * 1024
"""Characters in a JSON file that is one object; lists and JSON Lines may be of any size."""
_MAX_VALUES = 5_000_000  # in such an object: memory goes with the values, not with the bytes
_BLOCK = 256 * 1024
_SPACE = " \t\r\n"
_SPACES = re.compile(f"[{_SPACE}]*")
# Lists of objects that belong to one example and are not a table of examples.
_FIELDS_OF_A_ROW = {"messages", "conversations", "conversation", "tools", "chosen", "rejected", "prompt"}

_REASONS = {"Input data was truncated": "it ends inside a value, or a \\ud800 stands without its pair"}

_decoder = msgspec.json.Decoder()


class _Refused(ValueError):
    """JSON that the standard library would take and we do not."""


def read_json_lines(lines: Iterable[str], where: str) -> Iterator[Row]:
    """One object a line; blank lines are skipped, a bare string becomes {"text": …}."""
    for number, line in enumerate(lines, start=1):
        if not line.isspace():
            place = f"{where}:{number}"
            yield number, _row(decode(line, place), place)


def read_json(text: io.TextIOWrapper, where: str) -> Iterator[Row]:
    """The rows of one JSON document, numbered by record. Lists are read element by element."""
    try:
        start = text.read(_BLOCK)
        while start and start.isspace():
            start = text.read(_BLOCK)
        if start.lstrip(_SPACE).startswith("["):
            yield from _read_list(start, text, where)
            return
        document = start + text.read(MAX_DOCUMENT - len(start) + 1)
    except UnicodeError as error:
        raise NotValid(undecodable(where, text.encoding, "while reading", error)) from None
    if document.strip(_SPACE):
        rows = _rows_of(_decode_document(document, where), where)
        yield from ((n, _row(value, f"{where}: record {n}")) for n, value in enumerate(rows, start=1))


def decode(text: str, place: str) -> Any:
    """One JSON value, strictly. Raises NotValid that begins with the place."""
    try:
        value = _decoder.decode(text)
        if text.count('"') != 2 * _strings(value):
            # More quotes than strings: an escaped quote, or two equal keys.
            _scanner.decode(text)
    except RecursionError:
        _refuse(place, "nested too deeply")
    except (msgspec.DecodeError, ValueError) as error:
        _refuse(place, _REASONS.get(str(error), str(error).removeprefix("JSON is malformed: ")))
    return value


def is_object(text: str) -> bool:
    """Whether the text is one whole JSON object."""
    try:
        return isinstance(_decoder.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _refuse(place: str, reason: str) -> NoReturn:
    raise NotValid(f"{place}: not valid JSON: {reason}. Mend it there, or write the file again.") from None


def _strings(value: Any) -> int:
    """How many strings a value holds, keys included."""
    if isinstance(value, str):
        return 1
    if isinstance(value, dict):
        return len(value) + sum(map(_strings, value.values()))
    return sum(map(_strings, value)) if isinstance(value, list) else 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"the key {_short(twice)} is there twice in one object")
    return row


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON; write null")


_scanner = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _decode_document(document: str, where: str) -> Any:
    values = document.count(",") + document.count("[") + document.count("{")
    if len(document) > MAX_DOCUMENT or values > _MAX_VALUES:
        raise NotValid(
            f"{where} is one JSON object of more than {MAX_DOCUMENT // 2**20} Mi characters or"
            f" {_MAX_VALUES:,} values. Write one object a line (JSON Lines) or one list of objects."
        )
    return decode(document, where)


def _rows_of(document: Any, where: str) -> list[Any]:
    """The rows in a document that is no list."""
    if not isinstance(document, dict):
        return [document]
    if is_squad(document):
        return list(squad_rows(document["data"]))
    tables = [
        key
        for key, value in document.items()
        if key not in _FIELDS_OF_A_ROW and isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if len(tables) > 1:
        names = ", ".join(map(_short, tables))
        raise NotValid(f"{where} holds several lists of objects: {names}. Keep the one that holds the rows.")
    return document[tables[0]] if tables and not _FIELDS_OF_A_ROW & document.keys() else [document]


def _row(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return unfold(value)
    if isinstance(value, str):
        return {"text": value}
    kind = {list: "a list", bool: "true or false", type(None): "null"}.get(type(value), "a number")
    raise NotValid(f'{place} holds {kind} where a row is expected. Write an object: {{"text": …}}.')


def _read_list(start: str, text: io.TextIOWrapper, where: str) -> Iterator[Row]:
    """The elements of a top-level list, holding one of them and one block at a time."""
    ahead = _Ahead(start, text)
    ahead.peek()
    ahead.take(1)
    number = 0
    while (char := ahead.peek()) != "]":
        place = f"{where}: record {number + 1}"
        if number:
            if char != ",":
                _refuse(place, "expected a comma or ] before it" if char else "the file ends before the ]")
            ahead.take(1)
            ahead.peek()
        number += 1
        yield number, _row(decode(_next_value(ahead, place), place), place)
    ahead.take(1)
    if ahead.peek():
        _refuse(f"{where}: after record {number}", "there is something behind the closing ]")


def _next_value(ahead: _Ahead, place: str) -> str:
    """The text of the next value: where it ends, the standard library's scanner tells."""
    while True:
        try:
            _, end = _scanner.raw_decode(ahead.text, ahead.at)
            if end < len(ahead.text) or ahead.ended:  # a number at the very end may go on
                return ahead.take(end - ahead.at)
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string") or error.pos > len(ahead.text) - 32
            if ahead.ended or not unfinished:
                _refuse(place, error.msg)
        except RecursionError:
            _refuse(place, "nested too deeply")
        except ValueError as error:
            _refuse(place, str(error))
        if len(ahead.text) - ahead.at > MAX_LINE:
            _refuse(place, f"longer than {MAX_LINE // 2**20} Mi characters, or a quote is not closed")
        ahead.more()


class _Ahead:
    """The part of a text that is being looked at, and how far one has come in it."""

    def __init__(self, text: str, source: io.TextIOWrapper) -> None:
        self.text, self.at, self.ended, self._source = text, 0, False, source

    def more(self) -> None:
        """Read on, at least as much as is held: so a long record is not scanned again and again."""
        rest = self.text[self.at :]
        block = self._source.read(max(_BLOCK, len(rest)))
        self.text, self.at, self.ended = rest + block, 0, not block

    def peek(self) -> str:
        """Go to the next character that is no space; empty at the end."""
        while (at := _skip_space(self.text, self.at)) == len(self.text) and not self.ended:
            self.at = at
            self.more()
        self.at = at
        return self.text[at : at + 1]

    def take(self, count: int) -> str:
        taken = self.text[self.at : self.at + count]
        self.at += count
        return taken


def _skip_space(text: str, at: int) -> int:
    match = _SPACES.match(text, at)
    return match.end() if match else at


def _short(key: str) -> str:
    return json.dumps(key if len(key) <= 60 else key[:60] + "…", ensure_ascii=False)
