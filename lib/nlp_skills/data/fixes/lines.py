"""DATA-JSON: lines that cannot be read are restored where there is no doubt, and dropped otherwise.

A byte order mark is taken off; a key that stands twice with one value is written once; a line in another
encoding is read in the one that the file's other such lines speak for. What is broken, cut or doubtful is
dropped. Over-long lines that can be read, and rows that lack a field (DATA-SCHEMA), are left as they are.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec

from nlp_skills.data.checks.faults import (
    BOM,
    DUPLICATE_KEY,
    ENCODING,
    MISSING,
    UNKNOWN,
    WRONG_TYPE,
    diagnose,
    diagnose_keys,
)
from nlp_skills.data.example import Example, encode
from nlp_skills.data.sources.encoding import guess

EVIDENCE = 256 << 10
"""Bytes of lines that are no UTF-8 from which a file's other encoding is told."""
LATIN_EVIDENCE = 30
"""Letters beyond ASCII from which Western, Central European and Turkish encodings are told apart; measured on French,
German and Polish rows, from 19 on each was told rightly."""

_SCHEMA = {MISSING, UNKNOWN, WRONG_TYPE}
_decode = msgspec.json.Decoder(Example).decode
_MULTIBYTE = ("cp950", "gb18030", "cp932", "cp949", "euc_jp")
_WESTERN = ("cp1252", "cp1250", "cp1254", "iso8859-15")
_ACCENTED = re.compile(rb"(?<=[A-Za-z])[\x80-\xff](?![\x80-\xff])")


def other_encoding(lines: Iterable[bytes]) -> str | None:
    """The encoding of a file's lines that are no UTF-8; None where they do not tell for sure."""
    sample = b""
    for line in lines:
        if not _is_utf8(line):
            sample += line + b"\n"
            if len(sample) > EVIDENCE:
                break
    encoding = guess(sample) if sample else None
    return None if encoding is None or _is_doubtful(sample, encoding) else encoding


def _is_doubtful(sample: bytes, encoding: str) -> bool:
    """Whether the sample is short and in Latin letters: French read as Czech ("trčs") looks like words, too."""
    strange = [letter for letter in sample.decode(encoding, errors="replace") if not letter.isascii()]
    latin = [letter for letter in strange if unicodedata.name(letter, "").startswith("LATIN")]
    return 2 * len(latin) > len(strange) and len(strange) < LATIN_EVIDENCE


def mend_line(line: bytes, encoding: str | None) -> bytes | None:
    """The line as it can be read, itself where it can be already; None where it has to go.

    `encoding` is what `other_encoding` says of its file.
    """
    try:
        whole = encode(_decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _restore(line, encoding, {fault.kind for fault in diagnose(line, 0, error)})
    if whole.count(b":") != line.count(b":") and diagnose_keys(line, 0):
        return _with_single_keys(line)
    return line


def _restore(line: bytes, encoding: str | None, kinds: set[str]) -> bytes | None:
    if kinds <= _SCHEMA:
        return line
    if BOM in kinds:
        return mend_line(line.removeprefix(codecs.BOM_UTF8), encoding)
    if ENCODING in kinds:
        text = _read(line, encoding)
        return None if text is None else mend_line(text.encode("utf-8"), encoding)
    return _with_single_keys(line) if kinds <= {*_SCHEMA, DUPLICATE_KEY} else None


def _read(line: bytes, encoding: str | None) -> str | None:
    """The text of a line that is no UTF-8; None where it is damaged UTF-8, or its encoding is in doubt."""
    damaged = line.decode("utf-8", errors="replace")
    bad = damaged.count("\N{REPLACEMENT CHARACTER}")
    if sum(not character.isascii() for character in damaged) - bad > 4 * bad:
        return None
    if encoding is None:
        return _read_western(line)
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return None


def _read_western(line: bytes) -> str | None:
    """The text where all that is no ASCII are accented letters behind others, in all Western encodings the same ones."""
    if len(_ACCENTED.findall(line)) < len(line) - len(line.translate(None, bytes(range(128, 256)))):
        return None
    if any(_decodes(line, encoding) for encoding in _MULTIBYTE):
        return None
    texts = {line.decode(encoding, errors="replace") for encoding in _WESTERN}
    text = texts.pop()
    return text if not texts and all(letter.isascii() or letter.isalpha() for letter in text) else None


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(line: bytes) -> bool:
    return _decodes(line, "utf-8")


class _Contradiction(ValueError):
    """A key stands twice with two values."""


def _with_single_keys(line: bytes) -> bytes | None:
    """The line with every key once; None where a key has two values, of which one would be lost."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key, item in pairs:
            if value.setdefault(key, item) != item:
                raise _Contradiction
        return value

    try:
        value = json.loads(line, object_pairs_hook=build)
    except _Contradiction:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
