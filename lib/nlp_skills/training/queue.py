"""The queue of this machine's devices: a run holds its own, the next one waits its turn.

<queue>/gate.lock      held for a moment by whoever joins or looks
<queue>/7.json         a ticket: which run, which devices it may have, which it has
<queue>/7.lock         held by that run's process while it lives: a process that was killed holds nothing

Tickets are numbered in the order of start. The queue is this user's, for all tasks of the machine:
in the cache folder, or where NLP_SKILLS_QUEUE says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nlp_skills.base_model import cache_folder
from nlp_skills.errors import NotFound, NotValid, counted
from nlp_skills.records import Record
from nlp_skills.training.devices import CPU, visible_devices
from nlp_skills.training.run_name import run_name

LOOKS_EVERY = 0.2
"""Seconds between two looks of a run that waits."""


class Ticket(Record):
    """A run's place in the queue."""

    task: str
    """The task's folder."""
    version: str
    wanted: int
    """How many devices it takes."""
    allowed: list[str]
    """The devices that it may have."""
    devices: list[str] = []
    """Those that it has; none while it waits."""


class Waiting(Record):
    """Why a run has not begun."""

    place: int
    """1: it is the next."""
    behind: list[str]
    """The runs that hold devices now, as `task version` (run_name.py)."""


def queue_folder() -> Path:
    """Where the tickets lie."""
    chosen = os.environ.get("NLP_SKILLS_QUEUE")
    return Path(chosen) if chosen else cache_folder() / "queue"


def grants(tickets: dict[int, Ticket]) -> dict[int, list[str]]:
    """The devices that each waiting ticket may take now, in the order of their numbers.

    No ticket takes a device that an earlier one waits for.
    """
    taken = {device for ticket in tickets.values() for device in ticket.devices}
    found: dict[int, list[str]] = {}
    for number, ticket in sorted(tickets.items()):
        if ticket.devices:
            continue
        free = [device for device in ticket.allowed if device not in taken]
        if len(free) >= ticket.wanted:
            found[number] = free[: ticket.wanted]
            taken.update(found[number])
        else:
            taken.update(ticket.allowed)
    return found


class Place:
    """This process's ticket."""

    def __init__(self, folder: Path, number: int, ticket: Ticket, lock: FileLock) -> None:
        self.folder = folder
        self.number = number
        self.ticket = ticket
        self._lock = lock

    def wait(self) -> list[str]:
        """The devices, as soon as it is this run's turn."""
        while True:
            with _gate(self.folder):
                found = grants(_live(self.folder)).get(self.number)
                if found:
                    self.ticket = self.ticket.with_changes(devices=found)
                    self.ticket.save(self.folder / f"{self.number}.json")
                    return found
            time.sleep(LOOKS_EVERY)

    def leave(self) -> None:
        """Give the devices back."""
        with _gate(self.folder):
            self._lock.release()
            _remove(self.folder, self.number)


@contextmanager
def in_queue(task: Path, version: str, processes: int) -> Iterator[Place]:
    """A place in the queue for as long as the block lasts. Raises NotValid for more GPUs than there are."""
    allowed = visible_devices()
    wanted = 1 if allowed == [CPU] else processes
    if wanted > len(allowed):
        raise NotValid(
            f"{version} of {task.name} takes {counted(wanted, 'GPU')} (num_processes), and {len(allowed)} can be seen here:"
            f" {', '.join(allowed)}. Make a version with --settings num_processes={len(allowed)}, or look at"
            " CUDA_VISIBLE_DEVICES."
        )
    ticket = Ticket(task=str(task.resolve()), version=version, wanted=wanted, allowed=allowed)
    folder = queue_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _gate(folder):
        number = max(_live(folder), default=0) + 1
        lock = FileLock(folder / f"{number}.lock")
        lock.acquire(timeout=0)
        ticket.save(folder / f"{number}.json")
    place = Place(folder, number, ticket, lock)
    try:
        yield place
    finally:
        place.leave()


def waiting(task: Path, version: str) -> Waiting | None:
    """The run's place in the queue; None when it does not wait."""
    folder = queue_folder()
    if not folder.is_dir():
        return None
    with _gate(folder):
        tickets = _live(folder)
    wait = [number for number, ticket in sorted(tickets.items()) if not ticket.devices]
    mine = [n for n in wait if (tickets[n].task, tickets[n].version) == (str(task.resolve()), version)]
    if not mine:
        return None
    held = [t for t in tickets.values() if set(t.devices) & set(tickets[mine[0]].allowed)]
    behind = [" ".join(run_name(Path(ticket.task), ticket.version)) for ticket in held]
    return Waiting(place=wait.index(mine[0]) + 1, behind=behind)


def _gate(folder: Path) -> FileLock:
    return FileLock(folder / "gate.lock", poll_interval=0.01)


def _live(folder: Path) -> dict[int, Ticket]:
    """The tickets whose process lives, by number; the others are removed. Only behind the gate."""
    found = {}
    for number in sorted(int(file.stem) for file in folder.glob("[0-9]*.lock")):
        try:
            with FileLock(folder / f"{number}.lock", timeout=0):
                pass
        except Timeout:
            with suppress(NotFound):  # killed between its lock and its ticket, or just about to write it
                found[number] = Ticket.load(folder / f"{number}.json")
            continue
        _remove(folder, number)
    return found


def _remove(folder: Path, number: int) -> None:
    for suffix in ("json", "lock"):
        (folder / f"{number}.{suffix}").unlink(missing_ok=True)
