"""`plan.md`: the way to the goal, step by step, as the coach and the user agreed on it.

    - [x] Rows of the ticket export, checked
    - [ ] v1 with the planned settings            the next open step
    - [ ] STOP: is 0.85 still the target?         the user decides before anything goes on

People and assistants write it; the library only reads how far it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from nlp_skills.records import Record

_STEP = re.compile(r"^\s*[-*+] \[([ xX])\] +(.+?)\s*$", re.MULTILINE)
_STOP = re.compile(r"\**STOP\b", re.IGNORECASE)


class PlanState(Record):
    """How far a plan is."""

    done: int
    steps: int
    next: str | None
    """The first open step; None where all are done."""
    stop: bool
    """Whether the next step is one that the user has to decide."""


def read_plan(task: Path) -> PlanState | None:
    """The state of a task's plan; None without plan.md, or where it has no steps. Bytes that are no UTF-8 are passed over."""
    file = task / "plan.md"
    if not file.is_file():
        return None
    steps = _STEP.findall(file.read_text(encoding="utf-8", errors="replace"))
    if not steps:
        return None
    open_steps = [text for mark, text in steps if mark == " "]
    first = open_steps[0] if open_steps else None
    return PlanState(
        done=len(steps) - len(open_steps),
        steps=len(steps),
        next=first,
        stop=first is not None and _STOP.match(first) is not None,
    )
