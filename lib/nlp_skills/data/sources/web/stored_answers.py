"""Answers that are kept, so that a server need not send them again.

    data/cache/<source>/<key>.json.gz       key: SHA-256 of the request as it is written in data_source.yaml

What is kept holds no request headers, and no value of a ${NAME}: those are masked before. The folder can
be deleted at any time.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import msgspec

from nlp_skills.records import write_atomic


class Stored(msgspec.Struct, omit_defaults=True):
    """One answer."""

    url: str
    """The one that answered in the end."""
    text: str
    type: str = ""
    """Content-Type."""
    etag: str = ""
    modified: str = ""
    """Last-Modified."""
    link: str = ""
    run: int = 0
    """In which reading it was last known to be current."""

    def conditions(self) -> dict[str, str]:
        """The headers that ask for it only if it has changed (RFC 9110, 13.1)."""
        given = {"if-none-match": self.etag, "if-modified-since": self.modified}
        return {name: value for name, value in given.items() if value}


_decoder = msgspec.json.Decoder(Stored)


class StoredAnswers:
    """The answers of one source. Where `keep` is false nothing is written."""

    def __init__(self, folder: Path, *, keep: bool = True) -> None:
        self.folder = folder
        self.keep = keep
        self._used: set[str] = set()

    def get(self, request: str) -> Stored | None:
        """What was answered to this request; None where nothing is kept or the file is damaged."""
        try:
            return _decoder.decode(gzip.decompress(self._path(request).read_bytes()))
        except (OSError, EOFError, zlib.error, msgspec.DecodeError):
            return None

    def put(self, request: str, answer: Stored) -> None:
        """Keep an answer; equal answers give equal bytes."""
        if self.keep:
            write_atomic(self._path(request), gzip.compress(msgspec.json.encode(answer), 6, mtime=0))

    def forget_unused(self) -> None:
        """Drop what this reading did not ask for: pages that are gone, queries that were changed."""
        if self.keep and self.folder.is_dir():
            for path in self.folder.glob("*.json.gz"):
                if path.name not in self._used:
                    path.unlink(missing_ok=True)

    def _path(self, request: str) -> Path:
        name = f"{hashlib.sha256(request.encode()).hexdigest()}.json.gz"
        self._used.add(name)
        return self.folder / name
