"""The note that a hook leaves, and when everything was last looked at."""

from __future__ import annotations

from pathlib import Path

LENGTH = 1200
"""The most characters that a note may have: it stays in the conversation."""
TOOL = "mcp__plugin_nlp-skills_lib__"
ENDED = ("succeeded", "failed", "cancelled")
"""What the status of a run's job is when it has ended."""


def cut(text: str, length: int = LENGTH) -> str:
    """The text, shortened where it is too long."""
    line = text if len(text) <= length else text[: length - 1] + "…"
    return line.strip()


def last_look(seen: Path | None) -> int:
    """When everything was last looked at, and that it is being looked at now. Nanoseconds; 0: never."""
    before = modified(seen) if seen else 0
    if seen and seen.parent.is_dir():
        seen.touch()
    return before


def modified(path: Path) -> int:
    """Nanoseconds; 0 when there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
