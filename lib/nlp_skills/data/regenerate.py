"""From the sources to the splits, as one step that happens whole or not at all.

sources ──read──▶ data/raw/*.jsonl ──assemble──▶ train, valid, test ──put in place──▶ data/
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.data.assemble import assemble_data
from nlp_skills.data.fixes import require_fixable
from nlp_skills.data.read_ahead import Known, in_reading_order, look_at_others
from nlp_skills.data.replacement import UNFINISHED, put_in_place, settle_data, staging_folder
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot
from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.source import DataSource, DataSources, GeneratedSource
from nlp_skills.data.sources.web.request import RequestFailed
from nlp_skills.data.sourcing import sources_of
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.records import Progress, now, sha256_file, silent, to_json, write_lines
from nlp_skills.task.task import Task


def regenerate_data(
    task: Path,
    *,
    confirm: bool = False,
    ray: bool = False,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda _: None,
) -> DataSnapshot:
    """Read every source again, convert and split, and put the new data in place in one step.

    The data before, edited by hand or not, are kept in data/snapshots/ (list_snapshots, restore_data). A source that costs money is
    read only with `confirm`; otherwise the error says what it would cost. `ray` converts on Ray
    Data instead of this machine's cores, with the same result. A source that fails leaves the old data
    as it is. Raises NotReady without a source, NotValid naming file and line for rows that cannot be
    read or converted, MissingExtra for ray where it is not installed.
    """
    sources = sources_of(task)
    require_fixable(sources.fixes)  # before anything is read, or paid for
    with staging_folder(task) as staging:
        fetched = _fetch_all(task, sources, staging, Fetch(task, progress, tell, confirm=confirm))
        snapshot = _replace_data(task, sources, fetched, staging, progress, ray=ray)
        # Read again: somebody may have edited it while the sources were read.
        today = DataSources.load(task / "data_source.yaml")
        last_run = today.regeneration.with_changes(last_run=now())
        today.with_changes(regeneration=last_run.model_dump()).save(task / "data_source.yaml")
        (task / "data" / UNFINISHED).unlink(missing_ok=True)  # before another run may set its own
    return snapshot


def convert_data(task: Path, *, ray: bool = False, progress: Progress = silent) -> DataSnapshot:
    """Convert and split the raw rows that are there, without reading the sources again.

    For a changed instruction, label list or split. Raises NotReady when nothing was read yet.
    """
    settle_data(task)  # so that the snapshot that is read next is the one of the raw rows
    sources = sources_of(task)
    previous = task / "data" / "data_snapshot.json"
    if not previous.is_file():
        raise NotReady(f"{task.name}: nothing was read yet. Run: nlp-skills regenerate-data {task.name}")
    fetched = DataSnapshot.load(previous).sources
    missing = [s.name for s in sources.sources if s.name not in fetched]
    if missing:
        raise NotReady(
            f"{task.name}: {', '.join(missing)} was not read yet. Run: nlp-skills regenerate-data {task.name}"
        )
    kept = {s.name: fetched[s.name] for s in sources.sources}
    with staging_folder(task) as staging:
        for source in sources.sources:
            raw = task / "data" / "raw" / f"{source.name}.jsonl"
            if not raw.is_file() or sha256_file(raw) != fetched[source.name].sha256:
                raise NotValid(
                    f"{raw} is not the file that was read from the source (it was changed or is gone)."
                    f" Run: nlp-skills regenerate-data {task.name}"
                )
            shutil.copyfile(raw, staging / "raw" / raw.name)
        snapshot = _replace_data(task, sources, kept, staging, progress, ray=ray)
        (task / "data" / UNFINISHED).unlink(missing_ok=True)
    return snapshot


def _present(task: Path) -> DataSnapshot | None:
    file = task / "data" / "data_snapshot.json"
    return DataSnapshot.load(file) if file.is_file() else None


def _fetch_all(task: Path, sources: DataSources, staging: Path, fetch: Fetch) -> dict[str, SourceSnapshot]:
    """Read the sources into the staging folder, those that a model writes after the others; in their own order."""
    present = _present(task)
    known: Known | None = None
    fetched: dict[str, SourceSnapshot] = {}
    for source in in_reading_order(sources.sources):
        if known is None and isinstance(source, GeneratedSource):
            known = look_at_others(task, sources, fetched, staging, fetch.progress)
        told = Known() if known is None else known
        own = replace(fetch, notes={}, labels=told.labels, examples=told.train)
        try:
            fetched[source.name] = _fetch(source, own, staging, present)
        except RequestFailed as error:
            named = "" if source.name in str(error) else f"Source {source.name}: "
            raise RequestFailed(f"{named}{error} The data stay as they were.", error.status) from None
    shutil.rmtree(staging / "ahead", ignore_errors=True)
    return {source.name: fetched[source.name] for source in sources.sources}


def _fetch(source: DataSource, fetch: Fetch, staging: Path, present: DataSnapshot | None) -> SourceSnapshot:
    """Read one source into the staging folder."""
    _go_on(fetch, source, present)
    rows = SOURCES[source.type](source, fetch)
    raw = staging / "raw" / f"{source.name}.jsonl"
    told = _with_progress(islice(rows, source.max_rows), f"reading {source.name}: rows", fetch.progress)
    count = write_lines(raw, (msgspec.json.encode(row) for _, row in told))
    if isinstance(rows, Generator):
        rows.close()  # behind max_rows it still holds its connection, and has notes to make
    return SourceSnapshot(
        type=source.type,
        rows=count,
        sha256=sha256_file(raw),
        fetched=now(),
        request=fetch.notes,
        # Behind max_rows there may be rows that were not taken: then the next reading begins anew.
        since=None if count == source.max_rows else fetch.since,
        settings=hash_settings(source),
    )


def _go_on(fetch: Fetch, source: DataSource, present: DataSnapshot | None) -> None:
    """Let a source read on from its last value, where its settings are the same and its rows untouched."""
    last = present.sources.get(source.name) if present else None
    if last is None or last.since is None or last.settings != hash_settings(source):
        return
    raw = fetch.task / "data" / "raw" / f"{source.name}.jsonl"
    if raw.is_file() and sha256_file(raw) == last.sha256:
        fetch.since, fetch.before = last.since, raw


def hash_settings(source: DataSource) -> str:
    """SHA-256 of the settings that decide which rows are read: all but the columns (the id column counts) and the side."""
    settings = source.model_dump(mode="json", exclude={"columns", "side"})
    return hashlib.sha256(to_json({**settings, "id": source.columns.id})).hexdigest()


def _with_progress(rows: Iterable[Any], message: str, progress: Progress) -> Iterator[Any]:
    for count, row in enumerate(rows, start=1):
        if count % 1000 == 0 or count in (1, 10, 100):
            progress(message, count, None)
        yield row


def _replace_data(
    task: Path,
    sources: DataSources,
    fetched: dict[str, SourceSnapshot],
    staging: Path,
    progress: Progress,
    *,
    ray: bool,
) -> DataSnapshot:
    """Convert the staged raw rows and put everything in place; labels that were found go to task.yaml."""
    definition = Task.load(task / "task.yaml")
    snapshot, labelled = assemble_data(
        task / "data", definition, sources, fetched, staging, progress, ray=ray
    )
    (staging / UNFINISHED).touch()
    put_in_place(task, staging)
    if labelled != definition:
        # Read again: somebody may have edited it while the rows were converted.
        today = Task.load(task / "task.yaml")
        today.with_changes(labels=today.labels or labelled.labels).save(task / "task.yaml")
    return snapshot
