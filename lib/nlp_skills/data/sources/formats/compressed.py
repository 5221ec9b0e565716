"""The bytes inside .gz, .zst and .zip, as streams: nothing is unpacked to disk or held as a whole."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from nlp_skills.errors import MissingExtra, NotValid

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"


@contextmanager
def open_bytes(path: Path, magic: bytes) -> Iterator[BinaryIO]:
    """The file's content, decompressed when `magic` (its first bytes) says so.

    Raises NotValid, also from within the block, when the archive is cut off or damaged.
    """
    try:
        with path.open("rb") as raw:
            if magic.startswith(GZIP):
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield cast(BinaryIO, stream)
            elif magic.startswith(ZSTD):
                yield io.BufferedReader(_Zstd(raw, path), 128 * 1024)
            elif magic.startswith(ZIP):
                with zipfile.ZipFile(raw) as archive, archive.open(only_member(archive, path)) as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError) as error:
        raise NotValid(f"{path} is cut off or damaged ({error}). Copy or download it again.") from None


def only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one file in a ZIP archive; what macOS adds does not count."""
    files = [
        info
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX/")
        and ".DS_Store" not in info.filename
    ]
    if len(files) != 1:
        raise NotValid(f"{path} holds {len(files)} files; one is expected. Unpack it and name the file.")
    if files[0].flag_bits & 1:
        raise NotValid(f"{path} is locked with a password. Unpack it and name the file.")
    return files[0]


class _Zstd(io.RawIOBase):
    """zstandard's own stream reader takes a file that is cut off for one that has ended."""

    # A piece of 2 KiB is 64 MiB at most when it comes out (zeros), so a bomb stays small.
    _PIECE = 2048

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise MissingExtra("Reading .zst files", "data") from None
        self._module, self._raw, self._path = zstandard, raw, path
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._pending, self._out = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._out:
            piece = self._pending or self._raw.read(self._PIECE)
            self._pending = b""
            if not piece:
                if not self._frame.eof:
                    raise NotValid(f"{self._path} is cut off. Copy or download it again.")
                return 0
            self._out = memoryview(self._decompress(piece))
        count = min(len(buffer), len(self._out))
        buffer[:count] = self._out[:count]
        self._out = self._out[count:]
        return count

    def _decompress(self, piece: bytes) -> bytes:
        try:
            if self._frame.eof:
                self._frame = self._module.ZstdDecompressor().decompressobj()
            data = self._frame.decompress(piece)
        except self._module.ZstdError as error:
            raise NotValid(f"{self._path} is damaged ({error}). Copy or download it again.") from None
        if self._frame.eof:
            self._pending = self._frame.unused_data
        return data
