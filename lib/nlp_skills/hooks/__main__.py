"""`python -m nlp_skills.hooks <hook> …`: what hooks/*.sh start."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_skills.errors import NotFound, NotReady
from nlp_skills.hooks.note import TOOL
from nlp_skills.hooks.session import session_note
from nlp_skills.hooks.tracking import tracking_note
from nlp_skills.hooks.validation import validation_note

SECONDS = 20.0
"""How long one hook may take before it says that it was cut."""

NOTES: dict[str, Callable[[dict[str, Any], Path, Path | None], str | None]] = {
    "session-start": session_note,
    "data-validation": validation_note,
    "version-tracking": tracking_note,
}


INSTEAD = {
    "session-start": f"{TOOL}list_tasks says where the tasks stand.",
    "data-validation": f"The whole check runs with {TOOL}validate_data.",
    "version-tracking": "The lineage is recorded with the next look, or with: nlp-skills record-lineage",
}
"""What to do where a hook ran out of time."""


def run_hook(hook: str, event: dict[str, Any], home: Path, seen: Path | None, seconds: float) -> str | None:
    """The hook's note; when it takes longer than `seconds`, a note that says so."""
    outcome: list[str | None] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(NOTES[hook](event, home, seen))
        except (NotFound, NotReady):
            outcome.append(None)
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        return f"nlp-skills: {hook} was cut after {seconds:.0f} s and has no verdict. {INSTEAD[hook]}"
    return outcome[0]


def main(arguments: list[str] | None = None) -> int:
    """`python -m nlp_skills.hooks <hook> [<file that marks the last look> [<seconds>]]`, the event on standard input."""
    hook, *rest = sys.argv[1:] if arguments is None else arguments
    try:
        from nlp_skills.task.task import tasks_folder

        event = json.loads(sys.stdin.buffer.read().decode("utf-8"))
        seen = Path(rest[0]) if rest else None
        seconds = float(rest[1]) if len(rest) > 1 else SECONDS
        note = run_hook(hook, event, tasks_folder(), seen, seconds)
    except Exception as error:
        print(f"nlp-skills {hook}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
        return 0
    if note:
        answer = {"hookEventName": event.get("hook_event_name", "PostToolUse"), "additionalContext": note}
        print(json.dumps({"hookSpecificOutput": answer}))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    from nlp_skills.data.partitions import stop_workers

    # A check that was cut still runs in its thread and in processes on all cores; leaving waits for neither.
    stop_workers()
    os._exit(status)
