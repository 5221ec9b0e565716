"""From the sources to the splits, as one step that happens whole or not at all.

sources ──read──▶ data/raw/*.jsonl ──detect, convert──▶ examples ──split──▶ train, valid, test
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.data.example import Example, read_examples, write_examples
from nlp_skills.data.format import Layout, detect_layout, to_example
from nlp_skills.data.replacement import put_in_place, settle_data, staging_folder
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot, SplitSnapshot
from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.fetch import Fetch, Rows
from nlp_skills.data.sources.source import (
    SPLITS,
    Columns,
    DataSource,
    DataSources,
    FileFormat,
    FileSource,
    SplitName,
)
from nlp_skills.data.split import split_examples
from nlp_skills.errors import AlreadyExists, NotFound, NotReady, NotValid, counted
from nlp_skills.records import (
    Progress,
    Record,
    atomic_file,
    now,
    sha256_file,
    silent,
    to_json,
    write_lines,
)
from nlp_skills.task.task import Task

SAMPLE_ROWS = 200
"""How many rows the detection of the layout looks at."""


class Preview(Record):
    """The first rows of a source and what would be made of them; nothing is stored."""

    source: str
    shape: str
    reason: str
    columns: dict[str, str]
    rows: list[dict[str, Any]]
    example: list[dict[str, Any]]
    """The first row as messages."""


def add_source(
    task: Path,
    path: str,
    *,
    name: str | None = None,
    format: FileFormat | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    text: str | None = None,
    label: str | None = None,
    entity: str | None = None,
    group: str | None = None,
    side: SplitName | None = None,
    copy: bool = False,
) -> FileSource:
    """Add a file to data_source.yaml; its rows are read by regenerate_data.

    The file stays where it is unless `copy` puts it into the task (data/files/), which keeps the
    task self-contained. Raises NotFound, NotValid when it cannot be read, AlreadyExists for a
    name that is taken.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise NotFound(f"{path} does not exist or is no file.")
    sources = DataSources.load(task / "data_source.yaml")
    name = name or re.sub(r"[^\w-]+", "_", file.name.split(".")[0])[:63].strip("_-") or "source"
    if any(source.name.casefold() == name.casefold() for source in sources.sources):
        raise AlreadyExists(f"{task.name} has a source named {name!r} already. Give another name.")
    source = FileSource.parse(
        {
            "name": name,
            "path": _stored_path(task, file),
            "format": format,
            "encoding": encoding,
            "sheet": sheet,
            "side": side,
            "columns": Columns(text=text, label=label, entity=entity, group=group).model_dump(),
        },
        "add_source",
    )
    preview(source, task)
    if copy:
        source = source.with_changes(path=_keep(task, file, name).relative_to(task).as_posix())
    sources.with_changes(sources=[s.model_dump() for s in (*sources.sources, source)]).save(
        task / "data_source.yaml"
    )
    return source


def _keep(task: Path, file: Path, name: str) -> Path:
    """A copy in data/files/, under the file's own name unless another file has it."""
    kept = task / "data" / "files" / file.name
    if kept.is_file() and sha256_file(kept) != sha256_file(file):
        kept = kept.with_name(f"{name}-{file.name}")
        if kept.exists():
            raise AlreadyExists(f"{kept} already exists and is left as it is. Give the source another name.")
    with file.open("rb") as stream, atomic_file(kept) as copied:
        shutil.copyfileobj(stream, copied)
    return kept


def _stored_path(task: Path, file: Path) -> str:
    """Relative inside the task's folder, otherwise absolute."""
    resolved = file.resolve()
    with suppress(ValueError):
        return resolved.relative_to(task.resolve()).as_posix()
    return str(resolved)


def preview_source(task: Path, *, source: str | None = None) -> Preview:
    """The first five rows of a source and the example that the first becomes. Nothing is stored."""
    sources = _sources(task).sources
    names = [s.name for s in sources]
    if source is None:
        return preview(sources[0], task)
    if source not in names:
        raise NotFound(f"{task.name} has no source named {source!r}. Sources: {', '.join(names)}.")
    return preview(sources[names.index(source)], task)


def preview(source: DataSource, task: Path) -> Preview:
    """As preview_source, for a source that need not be in data_source.yaml yet."""
    definition = Task.load(task / "task.yaml")
    rows = [row for _, row in zip(range(SAMPLE_ROWS), _read(source, Fetch(task, preview=True)), strict=False)]
    layout = _detect([row for _, row in rows], source, definition)
    example = to_example(rows[0][1], layout, task=definition, source=source.name, line=1)
    messages = [*example.context, example.answer]
    return Preview(
        source=source.name,
        shape=layout.shape.value,
        reason=layout.reason,
        columns=layout.columns.model_dump(exclude_none=True),
        rows=[row for _, row in rows[:5]],
        example=[msgspec.to_builtins(message) for message in messages],
    )


def _read(source: DataSource, fetch: Fetch) -> Rows:
    return SOURCES[source.type](source, fetch)


def _sources(task: Path) -> DataSources:
    sources = DataSources.load(task / "data_source.yaml")
    if not sources.sources:
        raise NotReady(
            f"{task.name} has no data source yet. Add one with: nlp-skills add-source {task.name} FILE"
        )
    return sources


def regenerate_data(task: Path, *, progress: Progress = silent) -> DataSnapshot:
    """Read every source again, convert and split, and put the new data in place in one step.

    A source that fails leaves the old data as it is. Raises NotReady without a source, NotValid
    naming file and line for rows that cannot be read or converted.
    """
    sources = _sources(task)
    with staging_folder(task) as staging:
        fetched: dict[str, SourceSnapshot] = {}
        for source in sources.sources:
            raw = staging / "raw" / f"{source.name}.jsonl"
            fetch = Fetch(task, progress)
            rows = _with_progress(_read(source, fetch), f"reading {source.name}", progress)
            count = write_lines(raw, (msgspec.json.encode(row) for _, row in rows))
            fetched[source.name] = SourceSnapshot(
                type=source.type,
                rows=count,
                sha256=sha256_file(raw),
                fetched=now(),
                request=fetch.notes,
                since=fetch.since,
            )
        snapshot = _replace_data(task, sources, fetched, staging, progress)
    # Read again: somebody may have edited it while the sources were read.
    today = DataSources.load(task / "data_source.yaml")
    last_run = today.regeneration.with_changes(last_run=now())
    today.with_changes(regeneration=last_run.model_dump()).save(task / "data_source.yaml")
    return snapshot


def convert_data(task: Path, *, progress: Progress = silent) -> DataSnapshot:
    """Convert and split the raw rows that are there, without reading the sources again.

    For a changed instruction, label list or split. Raises NotReady when nothing was read yet.
    """
    settle_data(task)  # so that the snapshot that is read next is the one of the raw rows
    sources = _sources(task)
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
        return _replace_data(task, sources, kept, staging, progress)


def _with_progress(rows: Iterable[Any], message: str, progress: Progress) -> Iterator[Any]:
    for count, row in enumerate(rows, start=1):
        if count % 1000 == 0:
            progress(message, count, None)
        yield row


def _replace_data(
    task: Path,
    sources: DataSources,
    fetched: dict[str, SourceSnapshot],
    staging: Path,
    progress: Progress,
) -> DataSnapshot:
    """Convert the staged raw rows and put everything in place; labels that were found go to task.yaml."""
    definition = Task.load(task / "task.yaml")
    snapshot, labelled = _convert(task, definition, sources, fetched, staging, progress)
    put_in_place(task, staging)
    if labelled != definition:
        # Read again: somebody may have edited it while the rows were converted.
        today = Task.load(task / "task.yaml")
        today.with_changes(labels=today.labels or labelled.labels).save(task / "task.yaml")
    return snapshot


def _convert(
    task: Path,
    definition: Task,
    sources: DataSources,
    fetched: dict[str, SourceSnapshot],
    target: Path,
    progress: Progress,
) -> tuple[DataSnapshot, Task]:
    """Write the splits and their snapshot into `target`, whose `raw` folder holds the rows."""
    raw = target / "raw"
    progress("converting rows", 0, None)
    layouts = {s.name: _layout(s, raw, definition) for s in sources.sources}
    definition = _with_labels(definition, sources, layouts, raw)
    divided: list[Example] = []
    sides: dict[SplitName, list[Example]] = {name: [] for name in SPLITS}
    seen: set[str] = set()
    dropped = 0
    for source in sources.sources:
        place = divided if source.side is None else sides[source.side]
        for example in examples_of(source, layouts[source.name], raw, definition, skip=sources.skip_bad_rows):
            key = example.content_hash()
            if sources.deduplicate and key in seen:
                dropped += 1
                continue
            seen.add(key)
            place.append(example)
    if divided:
        for name, examples in split_examples(divided, sources.split).items():
            sides[name] += examples
    previous = _rows_by_id(task / "data")
    counts: dict[str, SplitSnapshot] = {}
    for done, (name, examples) in enumerate(sides.items()):
        progress(f"writing {name}", done, len(sides))
        file = target / f"{name}.jsonl"
        write_examples(file, examples)
        labels = Counter(e.meta.label for e in examples if e.meta.label is not None)
        counts[name] = SplitSnapshot(
            sha256=sha256_file(file), count=len(examples), label_counts=dict(sorted(labels.items()))
        )
    current = {e.meta.id: e.content_hash() for examples in sides.values() for e in examples}
    snapshot = DataSnapshot(
        source_hash=_source_hash(fetched, sources, definition),
        sources=fetched,
        splits=counts,
        seed=sources.split.seed,
        duplicates_dropped=dropped,
        added=len(current.keys() - previous.keys()),
        removed=len(previous.keys() - current.keys()),
        changed=sum(previous[key] != current[key] for key in previous.keys() & current.keys()),
    )
    return snapshot.save(target / "data_snapshot.json"), definition


def _source_hash(fetched: dict[str, SourceSnapshot], sources: DataSources, task: Task) -> str:
    """What the splits follow from: the raw rows and the settings that turn them into splits."""
    from nlp_skills.data.format import instruction

    parts = {
        "sources": {name: source.sha256 for name, source in sorted(fetched.items())},
        "columns": {s.name: [s.columns.model_dump(), s.side] for s in sources.sources},
        "settings": [sources.deduplicate, sources.skip_bad_rows, sources.split.model_dump()],
        "instruction": instruction(task),
    }
    return hashlib.sha256(to_json(parts)).hexdigest()


def _layout(source: DataSource, raw: Path, task: Task) -> Layout:
    """From the first rows and as many spread over the others: files are often sorted."""
    half = SAMPLE_ROWS // 2
    with (raw / f"{source.name}.jsonl").open("rb") as stream:
        step = max(1, sum(1 for _ in stream) // half)
        stream.seek(0)
        lines = enumerate(stream, start=1)
        rows = [msgspec.json.decode(row) for line, row in lines if line <= half or line % step == 0]
    return _detect(rows, source, task)


def _detect(rows: list[dict[str, Any]], source: DataSource, task: Task) -> Layout:
    """As detect_layout; the error names the file."""
    try:
        return detect_layout(rows, source.columns, task.type)
    except NotValid as error:
        raise NotValid(f"{source.name}: {error}") from None


def _raw_rows(source: DataSource, raw: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with (raw / f"{source.name}.jsonl").open("rb") as stream:
        for line, row in enumerate(stream, start=1):
            yield line, msgspec.json.decode(row)


def examples_of(
    source: DataSource, layout: Layout, raw: Path, task: Task, *, skip: bool = False
) -> Iterator[Example]:
    """The source's rows as examples; `skip` leaves out the rows that cannot be converted.

    Raises NotValid with the count, and line and reason of the first five bad rows.
    """
    bad: list[str] = []
    count = 0
    for line, row in _raw_rows(source, raw):
        try:
            example = to_example(row, layout, task=task, source=source.name, line=line)
        except NotValid as error:
            count += 1
            if len(bad) < 5:
                bad.append(f"row {line}: {error}")
            continue
        yield example
    if count and not skip:
        raise NotValid(
            f"{source.name}: {counted(count, 'row')} cannot be used. {' '.join(bad)}"
            " Mend them in the source, or set skip_bad_rows: true in data_source.yaml to leave them out."
        )


def _with_labels(definition: Task, sources: DataSources, layouts: dict[str, Layout], raw: Path) -> Task:
    """A task without labels gets those that its data has: every prompt lists them."""
    if not definition.type.has_labels or definition.labels:
        return definition
    found: set[str] = set()
    for source in sources.sources:
        for example in examples_of(source, layouts[source.name], raw, definition, skip=True):
            if example.meta.label is not None:
                found.add(example.meta.label)
    return definition.with_changes(labels=sorted(found))


def _rows_by_id(data: Path) -> dict[str, str]:
    rows: dict[str, str] = {}
    for name in SPLITS:
        with suppress(NotFound, NotValid):
            rows.update({e.meta.id: e.content_hash() for e in read_examples(data / f"{name}.jsonl")})
    return rows
