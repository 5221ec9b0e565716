"""The pass that mends rows one by one: partition by partition, on all cores where there are many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from nlp_skills.data.checks.reading import BLOCK, MAX_LINE
from nlp_skills.data.example import Example, encode
from nlp_skills.data.fixes.lines import mend_line, other_encoding
from nlp_skills.data.fixes.record import Log, difference, shown
from nlp_skills.data.fixes.rows import MASKING, MENDERS
from nlp_skills.data.fixes.work import Side, Work, read_row
from nlp_skills.data.partitions import Partition, Scan, Where, map_partitions, read_lines
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task

JSON = "DATA-JSON"
SEEN = 400
"""Bytes of a line that cannot be read which are shown at most."""
MANY = 16 << 20
"""Bytes from which on starting other processes takes less time than the work."""


@dataclass(frozen=True)
class Orders:
    """What to mend."""

    task: Task
    lines: bool
    """DATA-JSON."""
    rows: tuple[str, ...]
    """Checks of MENDERS, in their order."""
    encodings: Mapping[str, str | None]
    """By file: what its lines that are no UTF-8 are written in."""


@dataclass
class Mended:
    """A partition with its rows mended; lines keep their numbers, what is to be dropped among them too."""

    start: int
    end: int
    """Bytes of the file that it stands for."""
    content: bytes | None
    """None: nothing was changed."""
    gone: list[int]
    """1-based lines that are to be dropped."""
    masked: list[int]
    """1-based lines in which something was masked."""
    log: Log


def mend_rows(work: Work, checks: list[str]) -> None:
    """Apply the fixes of these checks, which are DATA-JSON or of MENDERS, to every row."""
    files = {side.name: side.path for side in work.sides}
    orders = Orders(
        work.task,
        JSON in checks,
        tuple(check for check in MENDERS if check in checks),
        {side.name: other_encoding(line for _, line in side.lines()) for side in work.sides}
        if JSON in checks
        else {},
    )
    where: Where = "cores" if sum(path.stat().st_size for path in files.values()) > MANY else "here"
    for number, side in enumerate(work.sides):
        work.progress(f"mending {side.name}", number, len(work.sides))
        parts = Scan({side.name: side.path})
        _rewrite(work, side, map_partitions(partial(mend_partition, orders), parts, where))


def _rewrite(work: Work, side: Side, parts: Iterable[Mended]) -> None:
    """Put the mended partitions in the place of the file, which stays where nothing was changed."""
    mended = side.path.with_name(f"{side.path.name}.mended")
    changed = False
    with side.path.open("rb") as before, mended.open("wb") as after:
        for part in parts:
            before.seek(part.start)
            after.write(before.read(part.end - part.start) if part.content is None else part.content)
            changed = changed or part.content is not None
            work.log.merge(part.log)
            for line in part.gone:
                side.gone[line - 1] = 1
            side.masked.update(part.masked)
    if changed:
        mended.replace(side.path)
    else:
        mended.unlink()


def mend_partition(orders: Orders, part: Partition) -> Mended:
    """Mend the rows of a partition. It needs nothing else and changes nothing."""
    mending = _Mending(orders, part.file)
    lines = [
        mending.mended(number, line)
        for first, _, block in read_lines(part, BLOCK, MAX_LINE)
        for number, line in enumerate(block, start=first)
    ]
    content = b"".join(line + b"\n" for line in lines) if mending.changed else None
    return Mended(part.start, part.end, content, mending.gone, mending.masked, mending.log)


class _Mending:
    """Line by line, noting what is done."""

    def __init__(self, orders: Orders, file: str) -> None:
        self.gone: list[int] = []
        self.masked: list[int] = []
        self.log = Log()
        self.changed = False
        self._orders = orders
        self._file = file
        self._menders = {check: MENDERS[check](orders.task) for check in orders.rows}

    def mended(self, number: int, line: bytes | None) -> bytes:
        """The line as it is to be written, also where it is to be dropped."""
        if line is None:
            return self._unread(number)
        if not line or line.isspace():
            return line
        readable = self._readable(number, line) if self._orders.lines else line
        row = read_row(readable) if readable is not None and self._menders else None
        after = None if row is None else self._row(number, row)
        if after is not row and after is not None:
            readable = encode(after)
        if readable is None or readable == line:
            return line
        self.changed = True
        return readable

    def _unread(self, number: int) -> bytes:
        if not self._orders.lines:
            raise NotValid(
                f"{self._file}:{number} is longer than {MAX_LINE >> 20} MiB, so it cannot be searched."
                f" Have it dropped: add {JSON} to the checks."
            )
        self._drop(JSON, number, f"more than {MAX_LINE >> 20} MiB")
        self.changed = True
        return b""

    def _readable(self, number: int, line: bytes) -> bytes | None:
        mended = mend_line(line, self._orders.encodings.get(self._file))
        if mended is None:
            self._drop(JSON, number, _text(line))
        elif mended != line:
            self.log.add(JSON, self._file, number, _text(line), _text(mended))
        return mended

    def _row(self, number: int, row: Example) -> Example | None:
        """The row after all fixes; None where one drops it."""
        for check, mend in self._menders.items():
            before, after = row, mend(row)
            if after is None:
                self._drop(check, number, shown(row.input_text or row.output_text))
                return None
            if after is not before:
                texts = difference(before, after) if self.log.wants(check) else ("", "")
                self.log.add(check, self._file, number, *texts)
                if check in MASKING:
                    self.masked.append(number)
                row = after
        return row

    def _drop(self, check: str, number: int, text: str) -> None:
        self.gone.append(number)
        self.log.add(check, self._file, number, text, None)


def _text(line: bytes) -> str:
    return shown(line[:SEEN].decode("utf-8", errors="replace"))
