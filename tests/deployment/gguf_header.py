"""What a GGUF file says of itself: its keys and the shapes of its tensors, without the weights.

The format is that of ggml's docs/gguf.md, version 3.
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _LIST = 8, 9

FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 14: "Q4_K_S", 15: "Q4_K_M", 32: "BF16"}
"""general.file_type as it is written."""


class NoGguf(Exception):
    """The file is no GGUF file."""


@dataclass(frozen=True)
class Header:
    """`keys` without the lists, which are as long as the vocabulary."""

    keys: dict[str, Any]
    parameters: int


def read_header(path: Path) -> Header:
    """Raises NoGguf."""
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise NoGguf(path.name)
        _, tensors, keys = struct.unpack("<IQQ", stream.read(20))
        found = {_text(stream): _value(stream) for _ in range(keys)}
        sizes = [_tensor(stream) for _ in range(tensors)]
    return Header({key: value for key, value in found.items() if value is not None}, sum(sizes))


def _number(stream: BinaryIO, kind: int) -> Any:
    form = _NUMBERS[kind]
    return struct.unpack(form, stream.read(struct.calcsize(form)))[0]


def _text(stream: BinaryIO) -> str:
    return stream.read(_number(stream, 10)).decode()


def _value(stream: BinaryIO) -> Any:
    kind = _number(stream, 4)
    if kind == _TEXT:
        return _text(stream)
    if kind != _LIST:
        return _number(stream, kind)
    inner, count = _number(stream, 4), _number(stream, 10)
    for _ in range(count) if inner == _TEXT else ():
        stream.seek(_number(stream, 10), 1)
    if inner != _TEXT:
        stream.seek(count * struct.calcsize(_NUMBERS[inner]), 1)
    return None


def _tensor(stream: BinaryIO) -> int:
    _text(stream)
    shape = [_number(stream, 10) for _ in range(_number(stream, 4))]
    stream.seek(12, 1)
    return prod(shape)
