"""`data/cache/<source>/journal.jsonl`: what was asked, answered and paid, one line each, only ever appended.

    sent      before a request leaves, with its prompt         turned_away   the provider refused it: nothing to pay
    answered  before its rows are used                         finished      nothing more will be asked for these rows

The file outlives kills, failures and regenerations. A request that is answered in it is never sent
again; one that was sent and not answered may have been billed, and counts so against the budget.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypeVar

import msgspec
from filelock import FileLock, Timeout

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.records import now, sync_folder


class Sent(msgspec.Struct, tag="sent", tag_field="line", omit_defaults=True):
    """A request on its way."""

    key: str
    at: str
    worst_tokens: int
    worst_usd: float | None = None
    asked: int = 0
    """Rows."""
    prompt: str = ""
    """Left out when the same request is sent again."""


class Answered(msgspec.Struct, tag="answered", tag_field="line", omit_defaults=True):
    """A request and what came of it; paid."""

    key: str
    at: str
    model: str
    text: str
    stopped: str
    """end, cut (at max_output_tokens) or refused."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None


class TurnedAway(msgspec.Struct, tag="turned_away", tag_field="line"):
    """A request that was refused with an HTTP status, or never reached the provider: not billed."""

    key: str
    at: str
    status: int | None


class Finished(msgspec.Struct, tag="finished", tag_field="line"):
    """The rows that are wanted are all there, or as many as the bound on requests allows."""

    key: str
    at: str


Line: TypeAlias = Sent | Answered | TurnedAway | Finished
LineT = TypeVar("LineT", Sent, Answered, TurnedAway, Finished)
_decoder = msgspec.json.Decoder(Line)


class Asked(msgspec.Struct, frozen=True):
    """A request as it was first sent: when it is sent again, it is to the letter the same."""

    prompt: str
    count: int


class Journal:
    """The journal of one source in memory; `writing` opens its file for lines to be added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stream: BinaryIO | None = None
        self._load()

    def _load(self) -> None:
        self.asked: dict[str, Asked] = {}
        self.answers: dict[str, Answered] = {}
        self.finished: set[str] = set()
        self.paid: list[Answered] = []
        """Every answer, also to prompts that are no longer asked."""
        self._open: dict[str, list[Sent]] = {}
        for line in _lines(self.path):
            self._take(line)

    @property
    def unanswered(self) -> list[Sent]:
        """Requests that left and of which nothing more is known: they may have been billed."""
        return [sent for waiting in self._open.values() for sent in waiting]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One process at a time adds lines. Raises NotReady while another does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(self.path.with_suffix(".lock")).acquire(timeout=0)
        except Timeout:
            raise NotReady(
                f"{self.path}: another process is generating these rows at this moment. Try again when it is done."
            ) from None
        with held, self.path.open("ab") as stream:
            stream.truncate(_whole(self.path))  # a line that a kill has cut was never used
            sync_folder(self.path.parent)
            self._load()  # another process may have written until a moment ago
            self._stream = stream
            try:
                yield
            finally:
                self._stream = None

    def sent(self, key: str, asked: Asked, worst_tokens: int, worst_usd: float | None) -> Sent:
        """Write down that a request is about to leave."""
        first = key not in self.asked
        line = Sent(key, now(), worst_tokens, worst_usd, asked.count, asked.prompt if first else "")
        return self._write(line)

    def answered(self, line: Answered) -> Answered:
        """Write down an answer; it is on the disk when this returns."""
        return self._write(line)

    def turned_away(self, key: str, status: int | None) -> None:
        """Write down that a request was not accepted."""
        self._write(TurnedAway(key, now(), status))

    def finish(self, key: str) -> None:
        """Write down that nothing more is to be asked."""
        self._write(Finished(key, now()))

    def _write(self, line: LineT) -> LineT:
        with self._lock:
            if self._stream is None:
                raise NotReady(f"{self.path} is not open for writing.")
            self._stream.write(msgspec.json.encode(line) + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._take(line)
        return line

    def _take(self, line: Line) -> None:
        match line:
            case Sent():
                self.asked.setdefault(line.key, Asked(line.prompt, line.asked))
                self._open.setdefault(line.key, []).append(line)
            case Answered():
                self.answers.setdefault(line.key, line)
                self.paid.append(line)
                self._close(line.key)
            case TurnedAway():
                self._close(line.key)
            case Finished():
                self.finished.add(line.key)

    def _close(self, key: str) -> None:
        if self._open.get(key):
            self._open[key].pop()


def _whole(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1


def _lines(path: Path) -> Iterator[Line]:
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise NotValid(
                    f"{path}:{number} is damaged: {error}. Take the line out; a request that was answered in it"
                    " is asked and paid again."
                ) from None


def sha256_text(text: str) -> str:
    """SHA-256 of a text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(*parts: object) -> str:
    """A name for what the parts say: SHA-256 of their JSON, in hex."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
