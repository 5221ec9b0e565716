"""The index of many tasks: a cache in a database, so that listing 10,000 tasks takes a moment.

    tasks folder ── stat ──▶ signatures ──┐
                                          ├─ equal: answer from the index
    index ── one SELECT ──▶ signatures ───┘  other: read those tasks' files, write them to the index

Files are the truth. An index that is missing, corrupt, locked, read-only or does not answer changes
how long the answer takes and nothing else. It is `.nlp-skills/index.sqlite` beside the tasks folder, or the
PostgreSQL database named by NLP_SKILLS_INDEX_URL, whose rows are keyed by tasks folder and task name.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.index_store import index_url, is_there, read_index, write_index
from nlp_skills.task.signatures import scan
from nlp_skills.task.summary import Entry, TaskSummary, printable, read_task


class TaskList(Record):
    """All tasks of a tasks folder, by name."""

    home: str
    tasks: list[TaskSummary]
    unreadable: dict[str, str] = {}
    """Task, or `task/vN` → why its file could not be read."""


def list_tasks(home: Path, *, progress: Progress = silent) -> TaskList:
    """List the tasks of the tasks folder with their best and latest results.

    Reads only the tasks whose files changed since the last call. A task that cannot be read is
    listed with the reason. Raises NotValid or MissingExtra when NLP_SKILLS_INDEX_URL is unusable.
    """
    return _list(home, progress, trust_index=True)


def rebuild_index(home: Path, *, progress: Progress = silent) -> TaskList:
    """Read every task's files again, whatever the index says, and write the index anew."""
    return _list(home, progress, trust_index=False)


def _list(home: Path, progress: Progress, *, trust_index: bool) -> TaskList:
    url = index_url(home)
    signatures = scan(home)
    key = printable(str(home.resolve()))
    known = read_index(url, key, progress) if signatures or is_there(url) else {}
    entries = _unchanged(signatures, known) if trust_index else {}
    stale = sorted(signatures.keys() - entries.keys())
    for done, name in enumerate(stale):
        progress(f"reading {printable(name)}", done, len(stale))
        entries[name] = read_task(home / name)
    gone = known.keys() - {printable(name) for name in signatures}
    if stale or gone:
        rows = [
            {
                "home": key,
                "name": printable(n),
                "signature": signatures[n],
                "entry": entries[n].model_dump_json(),
            }
            for n in stale
        ]
        write_index(url, key, rows, gone, progress)
    return TaskList(
        home=printable(str(home)),
        tasks=[entry.summary for _, entry in sorted(entries.items()) if entry.summary],
        unreadable={k: v for _, entry in sorted(entries.items()) for k, v in entry.unreadable.items()},
    )


def _unchanged(signatures: dict[str, str], known: dict[str, tuple[str, str]]) -> dict[str, Entry]:
    """The entries of the tasks whose signature is the one that the index has."""
    entries: dict[str, Entry] = {}
    for name, signature in signatures.items():
        indexed, line = known.get(printable(name), ("", ""))
        if signature and signature == indexed:
            try:
                entries[name] = Entry.model_validate_json(line)
            except ValidationError:  # not what we wrote: read the files instead
                continue
    return entries
