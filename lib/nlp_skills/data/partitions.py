"""Large files in parts: divided at line ends, worked on where there is room, put together in order.

    files → Scan → Partition, Partition, … → map_partitions(function) → results, in the order of the files

The function sees one partition and nothing else, so the result is the same in this process, on all
cores of this machine (loky) and on many machines (Ray Data; the files have to be readable there).
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Event, Lock
from typing import Any, Literal, TypeAlias, TypeVar
from weakref import WeakSet

from nlp_skills.errors import MissingExtra, NotReady

T = TypeVar("T")
R = TypeVar("R")

SIZE = 8 << 20
"""Bytes of a partition: big enough that handing it over costs nothing, small enough that many fit into memory."""
READ = 1 << 18
"""Bytes of a partition that are read at a time. At every read another thread may take the interpreter and has to be
waited for: beside the one that hashes, on a busy machine, small reads took a fifth longer."""

Where: TypeAlias = Literal["here", "cores", "ray"]
"""In this process, in one process for each core, or wherever Ray runs."""

_executors: WeakSet[Any] = WeakSet()
"""Loky's executors that have workers; it keeps one for each thread, out of the reach of other threads."""
_stopped = Event()
_starting = Lock()


@dataclass(frozen=True)
class Partition:
    """Some whole lines of a file."""

    file: str
    """As the file is called in a report."""
    path: Path
    start: int
    end: int
    """Bytes: from, and up to but not with."""
    line: int
    """1-based number of the first line."""
    lines: int


class Scan:
    """Divides files into partitions; afterwards knows the SHA-256 of each."""

    def __init__(self, files: Mapping[str, Path], size: int = SIZE) -> None:
        self.sha256: dict[str, str] = {}
        self._files = files
        self._size = size
        self._seen: dict[Path, tuple[int, int]] = {}

    def __iter__(self) -> Iterator[Partition]:
        """The partitions in order. One is prepared ahead in a thread: reading and hashing leave the GIL free."""
        return _ahead(self._partitions())

    def _partitions(self) -> Iterator[Partition]:
        for file, path in self._files.items():
            digest = hashlib.sha256()
            start = end = at = 0
            line, lines = 1, 0
            self._seen[path] = _state(path)
            with path.open("rb", buffering=0) as stream:
                while block := stream.read(self._size):
                    digest.update(block)
                    lines += block.count(b"\n")
                    if cut := block.rfind(b"\n") + 1:
                        end = at + cut
                        yield Partition(file, path, start, end, line, lines)
                        start, line, lines = end, line + lines, 0
                    at += len(block)
            if at > end:
                yield Partition(file, path, start, at, line, 1)
            self.sha256[file] = digest.hexdigest()

    def require_unchanged(self) -> None:
        """Raises NotReady when a file is not what it was when it was read."""
        for path, before in self._seen.items():
            if _state(path) != before:
                raise NotReady(
                    f"{path} was changed while it was read. Run this again when nobody writes to it."
                )


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; the next one is made while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming: Future[T | None] = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def map_partitions(
    function: Callable[[Partition], R], partitions: Iterable[Partition], where: Where = "here"
) -> Iterator[R]:
    """`function` of every partition, in order; few results wait at a time.

    `function` and its results have to be picklable unless they stay `here`. Raises MissingExtra for
    ray where it is not installed.
    """
    if where == "ray":
        return _on_ray(function, partitions)
    if where == "cores" and find_spec("loky"):
        return _on_cores(function, partitions)
    return map(function, partitions)


def _on_cores(function: Callable[[Partition], R], partitions: Iterable[Partition]) -> Iterator[R]:
    from loky import cpu_count

    workers = cpu_count()
    executor = _executor(workers)
    ahead = iter(partitions)
    waiting = deque(executor.submit(function, part) for part in islice(ahead, 2 * workers))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(executor.submit(function, part) for part in islice(ahead, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def _executor(workers: int) -> Any:
    """Raises NotReady after stop_workers: the process is about to end."""
    from loky import get_reusable_executor

    with _starting:
        if _stopped.is_set():
            raise NotReady("This process is ending and starts no more workers.")
        executor = get_reusable_executor(max_workers=workers)
        _executors.add(executor)
    return executor


def stop_workers() -> None:
    """Kill this process's workers, busy or idle, and start no more: for a process that leaves at once.

    Otherwise they outlive a process that ends by os._exit, with what it gave them to do.
    """
    with _starting:
        _stopped.set()
        while _executors:
            _executors.pop().shutdown(wait=True, kill_workers=True)


def _on_ray(function: Callable[[Partition], R], partitions: Iterable[Partition]) -> Iterator[R]:
    if not find_spec("ray"):
        raise MissingExtra("Working on Ray", "ray")
    if "RAY_ADDRESS" not in os.environ:
        # Workers on this machine have this environment. Under `uv run` Ray would make it anew for each of them from a
        # copy of the working folder, and wait without end where that fails (uv run --no-sync).
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray
    from ray.data import DataContext

    rows = [{"number": n, "partition": pickle.dumps(part)} for n, part in enumerate(partitions)]
    if not rows:
        return
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(partial(_answer, function))
    for row in results.iter_rows():
        yield pickle.loads(row["result"])


def _answer(function: Callable[[Partition], Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of Ray Data is a row of a table: partition and result travel as bytes."""
    return {"number": row["number"], "result": pickle.dumps(function(pickle.loads(row["partition"])))}


def read_lines(part: Partition, size: int, longest: int) -> Iterator[tuple[int, bytes, list[bytes | None]]]:
    """(number of the first line, the bytes, their lines) in blocks of about `size` bytes.

    A line longer than `longest` bytes is not kept: None stands for it, and the bytes are empty.
    """
    number = part.line
    for whole, beheaded in read_blocks(part, size, longest):
        lines = split_lines(whole, beheaded=beheaded)
        yield number, b"" if beheaded else whole, lines
        number += len(lines)


def read_blocks(part: Partition, size: int, longest: int) -> Iterator[tuple[bytes, bool]]:
    """Whole lines, each with its end, in blocks of about `size` bytes.

    True: the first line was longer than `longest` bytes, and only its tail is there.
    """
    rest, skipping, left = b"", False, part.end - part.start
    with part.path.open("rb", buffering=READ) as stream:
        stream.seek(part.start)
        while left and (block := stream.read(min(size, left))):
            left -= len(block)
            cut = block.rfind(b"\n") + 1
            if not cut:
                rest += block
                if skipping or len(rest) > longest:
                    rest, skipping = b"", True
                continue
            whole, rest = rest + block[:cut], block[cut:]
            yield whole, skipping
            skipping = False
    if rest or skipping:
        yield rest + b"\n", skipping


def split_lines(whole: bytes, *, beheaded: bool) -> list[bytes | None]:
    """The lines of a block, without their ends; None stands for one that is not all there."""
    lines: list[bytes | None] = list(whole.split(b"\n"))
    lines.pop()
    if beheaded:
        lines[0] = None
    return lines
