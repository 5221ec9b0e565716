"""Adding a source, and looking at it before anything is stored."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec

from nlp_skills.data.convert import SAMPLE_ROWS, name_layout
from nlp_skills.data.format import to_example
from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.file import is_pattern
from nlp_skills.data.sources.source import (
    Columns,
    DataSource,
    DataSources,
    FileFormat,
    FileSource,
    GeneratedSource,
    SplitName,
)
from nlp_skills.errors import AlreadyExists, NotFound, NotReady, NotValid
from nlp_skills.records import Record, atomic_file, sha256_file
from nlp_skills.task.task import Task

LONGEST_VALUE = 500
"""Characters of a value that a preview shows."""

SourceType = Literal["file", "database", "api", "web_scrape", "llm_generated", "hub"]


class Preview(Record):
    """The first rows of a source and what would be made of them; nothing is stored."""

    source: str
    shape: str
    reason: str
    columns: dict[str, str]
    rows: list[dict[str, Any]]
    """Five at most; long values are cut."""
    example: list[dict[str, Any]]
    """The first row as messages; long values are cut."""


def add_source(
    task: Path,
    path: str | None = None,
    *,
    type: SourceType = "file",
    settings: dict[str, Any] | None = None,
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
) -> DataSource:
    """Add a source to data_source.yaml, after its first rows were read; regenerate_data reads them all.

    A file, or a pattern of files, is named by `path`; the fields of every other kind of source
    (connection and query of a database, endpoint of an api …) are `settings`. A file stays where it is
    unless `copy` puts it into the task (data/files/), which keeps the task self-contained.

    Raises NotFound, NotValid when it cannot be read, AlreadyExists for a name that is taken.
    """
    sources = DataSources.load(task / "data_source.yaml")
    file = {"path": path, "format": format, "encoding": encoding, "sheet": sheet}
    given = {**(settings or {}), **{field: value for field, value in file.items() if value is not None}}
    if type == "file":
        given["path"] = _stored_path(task, given.get("path"))
    columns = Columns(text=text, label=label, entity=entity, group=group).model_dump(exclude_none=True)
    if columns:
        given["columns"] = {**(given.get("columns") or {}), **columns}
    if side is not None:
        given["side"] = side
    wanted = name or given.get("name") or _name_for(type, given)
    if any(source.name.casefold() == str(wanted).casefold() for source in sources.sources):
        raise AlreadyExists(f"{task.name} has a source named {wanted!r} already. Give another name.")
    one = DataSources.parse({"sources": [{**given, "type": type, "name": wanted}]}, "add_source")
    source = one.sources[0]
    with suppress(NotReady) if isinstance(source, GeneratedSource) else nullcontext():
        # What a model has still to write cannot be looked at, because that would be paid for.
        preview(source, task)
    if copy:
        source = source.with_changes(path=_keep(task, source).relative_to(task).as_posix())
    sources.with_changes(sources=[s.model_dump() for s in (*sources.sources, source)]).save(
        task / "data_source.yaml"
    )
    return source


def _name_for(type: str, given: dict[str, Any]) -> str:
    """From what is read: the file's name, the dataset's; otherwise the kind of source."""
    named = str(given.get("path") or given.get("dataset") or type)
    stem = re.split(r"[/\\]", named.rstrip("/\\"))[-1].split(".")[0]
    return re.sub(r"[^\w-]+", "_", stem)[:63].strip("_-") or "source"


def _keep(task: Path, source: DataSource) -> Path:
    """A copy in data/files/, under the file's own name unless another file has it."""
    file = task / source.path if isinstance(source, FileSource) else None
    if file is None or not file.is_file():
        raise NotValid("add_source: copy keeps a single file; leave it out for anything else.")
    kept = task / "data" / "files" / file.name
    if kept.is_file() and sha256_file(kept) != sha256_file(file):
        kept = kept.with_name(f"{source.name}-{file.name}")
        if kept.exists():
            raise AlreadyExists(f"{kept} already exists and is left as it is. Give the source another name.")
    with file.open("rb") as stream, atomic_file(kept) as copied:
        shutil.copyfileobj(stream, copied)
    return kept


def _stored_path(task: Path, path: str | None) -> str:
    """Relative inside the task's folder, otherwise absolute; of a pattern, the part before it decides."""
    if path is None:
        raise NotValid("add_source: a source of type file needs a path. Name the file, or another --type.")
    given = Path(path).expanduser()
    if not is_pattern(path) and not given.is_file():
        raise NotFound(f"{path} does not exist or is no file.")
    resolved = given.resolve()
    with suppress(ValueError):
        return resolved.relative_to(task.resolve()).as_posix()
    return str(resolved)


def preview_source(task: Path, *, source: str | None = None) -> Preview:
    """The first five rows of a source and the example that the first becomes. Nothing is stored."""
    sources = sources_of(task).sources
    names = [s.name for s in sources]
    if source is None:
        return preview(sources[0], task)
    if source not in names:
        raise NotFound(f"{task.name} has no source named {source!r}. Sources: {', '.join(names)}.")
    return preview(sources[names.index(source)], task)


def preview(source: DataSource, task: Path) -> Preview:
    """As preview_source, for a source that need not be in data_source.yaml yet."""
    definition = Task.load(task / "task.yaml")
    read = SOURCES[source.type](source, Fetch(task, preview=True))
    rows = [row for _, row in islice(read, min(SAMPLE_ROWS, source.max_rows or SAMPLE_ROWS))]
    layout = name_layout(rows, source, definition)
    example = to_example(rows[0], layout, task=definition, source=source.name, line=1)
    messages = [*example.context, example.answer]
    return Preview(
        source=source.name,
        shape=layout.shape.value,
        reason=layout.reason,
        columns=layout.columns.model_dump(exclude_none=True),
        rows=[_cut(row) for row in rows[:5]],
        example=[_cut(msgspec.to_builtins(message)) for message in messages],
    )


def _cut(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose long values are cut: a preview is read, by a person or within an assistant's context."""
    return {name: _cut_value(value) for name, value in row.items()}


def _cut_value(value: Any) -> Any:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return value if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text):,} characters)"


def sources_of(task: Path) -> DataSources:
    """The task's sources. Raises NotReady where there is none yet."""
    sources = DataSources.load(task / "data_source.yaml")
    if not sources.sources:
        raise NotReady(
            f"{task.name} has no data source yet. Add one with: nlp-skills add-source {task.name} FILE"
        )
    return sources
