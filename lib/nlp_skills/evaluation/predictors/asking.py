"""Many requests to a program that answers: several at a time, each repeated where that may help.

429, 5xx, broken connection ──▶ wait as the server says, else 0.5, 1, 2, 4, 8 s ──▶ again, 5 times at most
anything else ──▶ RunFailed, and what has not been sent yet is not sent
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TypeVar

from nlp_skills.data.sources.generation.answer import NoAnswer
from nlp_skills.errors import RunFailed, lasting

Found = TypeVar("Found")

REPEATS = 5
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is left alone."""


class Asking:
    """Requests to one server. `name` is who answers, `cure` what to do where it does not."""

    def __init__(self, name: str, cure: str, *, first_wait: float = 0.5) -> None:
        self._name = name
        self._cure = cure
        self._first_wait = first_wait

    def all(self, ask: Callable[[int], Found], rows: int, parallel: int) -> Iterator[tuple[int, Found]]:
        """The number of each row and what `ask` finds for it, as they come, at most `parallel` under way.

        Raises RunFailed where one gets no answer, once those under way have theirs; the others are not sent.
        """
        stopped = threading.Event()
        failed: RunFailed | None = None
        waiting = iter(range(rows))
        with ThreadPoolExecutor(parallel) as pool:
            under_way: dict[Future[Found], int] = {}
            try:
                while True:
                    # Rows are handed out as others are done, so that an answer is kept before the next is paid.
                    while (
                        not failed and len(under_way) < parallel and (row := next(waiting, None)) is not None
                    ):
                        under_way[pool.submit(self._one, partial(ask, row), stopped)] = row
                    if not under_way:
                        break
                    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        row = under_way.pop(future)
                        if isinstance(error := future.exception(), RunFailed):
                            failed = failed or error
                            stopped.set()
                        else:
                            yield row, future.result()
            finally:
                stopped.set()
                pool.shutdown(cancel_futures=True)
        if failed:
            raise failed

    def one(self, ask: Callable[[], Found]) -> Found:
        """What one request finds. Raises RunFailed."""
        return self._one(ask, threading.Event())

    def _one(self, ask: Callable[[], Found], stopped: threading.Event) -> Found:
        for repeat in range(REPEATS + 1):
            try:
                return ask()
            except NoAnswer as error:
                pause = self._first_wait * 2**repeat if error.wait is None else error.wait
                if repeat == REPEATS or not error.passes or pause > LONGEST_WAIT or stopped.is_set():
                    raise RunFailed(self._failed(error)) from None
                stopped.wait(pause)
        raise AssertionError("the last repetition returns or raises")

    def _failed(self, error: NoAnswer) -> str:
        status = "" if error.status in (None, 200) else f" (HTTP {error.status})"
        asks = f" It asks to wait {lasting(error.wait)}." if error.wait and error.wait > LONGEST_WAIT else ""
        text = str(error) if str(error).endswith(".") else f"{error}."
        return f"{self._name} gave no answer{status}: {text}{asks} {self._cure}"
