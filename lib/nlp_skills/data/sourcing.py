"""Adding a source, and looking at it before anything is stored."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
from pydantic import ValidationError

from nlp_skills.data.convert import SAMPLE_ROWS, SHOWN, name_layout, name_row, name_source
from nlp_skills.data.example import Example
from nlp_skills.data.format import Layout, to_example
from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.cure import adding_source
from nlp_skills.data.sources.fetch import ORIGIN, Fetch, Row
from nlp_skills.data.sources.file import is_pattern
from nlp_skills.data.sources.formats.unnamed import UNNAMED, tell_unnamed
from nlp_skills.data.sources.listed import read_list
from nlp_skills.data.sources.source import (
    Columns,
    DataSource,
    DataSources,
    FileFormat,
    FileSource,
    GeneratedSource,
    SplitName,
)
from nlp_skills.data.yields import tell_empty, unknown_labels
from nlp_skills.errors import AlreadyExists, NotFound, NotReady, NotValid, counted
from nlp_skills.records import Record, atomic_file, describe, sha256_file
from nlp_skills.task.task import Task

LOOKED_AT = 20_000
"""Rows that are looked at for columns without a name, where the first ones have some."""
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
    rejected: list[dict[str, Any]] = []
    """The worse answer, where the rows are preferences; `example` ends with the better one."""
    warnings: list[str] = []
    """What will not be used as it was meant: rows, columns without a name, labels that the task does not know."""
    note: str = ""
    """Where a model has still to write the rows: what it would cost, and the first prompt."""


class AddedSource(Record):
    """What was added to data_source.yaml, and what a row of it becomes."""

    name: str
    type: SourceType
    settings: dict[str, Any]
    """What was said about it; everything else is as the documentation says."""
    reason: str = ""
    """What was seen in its rows."""
    columns: dict[str, str] = {}
    """Part → the column that became it: prompt and answer, text and label, group …"""
    example: list[dict[str, Any]] = []
    """A row as messages; none where a model has still to write them."""
    rejected: list[dict[str, Any]] = []
    """As in Preview."""
    note: str = ""
    """What a model that writes the rows would be asked, and cost."""
    warnings: list[str] = []
    """What should be known before regenerate_data: rows that cannot be used, a budget that may not be enough."""


SETTINGS_EXAMPLES: dict[str, str] = {
    "file": "max_rows=1000",
    "database": "connection='${DATABASE_URL}' --settings query='SELECT text, label FROM tickets'",
    "api": "endpoint=https://api.example.com/v1/comments --settings records_path=data.items",
    "web_scrape": "urls='[https://www.example.com/help/]' --settings follow_links=1",
    "llm_generated": (
        "provider=ollama --settings model=llama3.1 --settings count=100"
        " --settings prompt_template='Write {count} short messages of the kind {label}.'"
    ),
    "hub": "dataset=PolyAI/banking77 --settings split=train",
}
"""By type: settings of a source as the command line takes them."""


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
) -> AddedSource:
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
        raise AlreadyExists(
            f"{task.name} has a source named {wanted!r} already. To change it or take it out, edit sources: in"
            f" {task / 'data_source.yaml'}; to add another one, give it a name of its own: --name NAME."
        )
    source = _parse(type, {**given, "name": wanted})
    with adding_source():
        seen = _look(source, task)
    if copy:
        source = source.with_changes(path=_keep(task, source).relative_to(task).as_posix())
    sources.with_changes(sources=[s.model_dump() for s in (*sources.sources, source)]).save(
        task / "data_source.yaml"
    )
    said = source.model_dump(mode="json", exclude_defaults=True, exclude={"name", "type"}, by_alias=True)
    settings = {field: value for field, value in said.items() if field not in ("name", "type")}
    return AddedSource(name=source.name, type=type, settings=settings, **seen)


def _parse(type: SourceType, given: dict[str, Any]) -> DataSource:
    """The source. Raises NotValid that names each field, and gives an example of the type."""
    kind = next(
        kind for kind in get_args(get_args(DataSource)[0]) if kind.model_fields["type"].default == type
    )
    lists = [name for name, field in kind.model_fields.items() if get_origin(field.annotation) is list]
    given |= {name: read_list(given[name]) for name in lists if isinstance(given.get(name), str)}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise NotValid(
            f"A source of type {type} cannot be made of this: {describe(error, kind)}. For example:"
            f" nlp-skills add-source TASK --type {type} --settings {SETTINGS_EXAMPLES[type]}"
        ) from None


def _look(source: DataSource, task: Path) -> dict[str, Any]:
    """What preview sees; of rows that a model has still to write only what they would cost, as nothing is paid here."""
    found = preview(source, task)
    return found.model_dump(include={"reason", "columns", "example", "rejected", "note", "warnings"})


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
    if given.is_dir():
        raise NotValid(
            f"{path} is a folder. Name one file in it, or a pattern of files in quotes: '{given.as_posix()}/*'"
        )
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
    fetch = Fetch(task, preview=True, labels=definition.labels)
    try:
        read = SOURCES[source.type](source, fetch)
        rows = [row for _, row in islice(read, min(SAMPLE_ROWS, source.max_rows or SAMPLE_ROWS))]
    except NotReady:
        if not isinstance(source, GeneratedSource):
            raise
        return _unwritten(source, task)
    layout = name_layout(rows, source, definition)
    examples, bad = _convert(rows, source, layout, definition)
    told = f"{counted(len(bad), 'row')} of the first {len(rows):,} cannot be used. {' '.join(bad[:SHOWN])}"
    if not examples:
        raise NotValid(f"{name_source(source)}: {told}")
    columns = layout.columns.model_dump(exclude_none=True)
    example = examples[0]
    messages = [*example.context, example.answer]
    return Preview(
        source=source.name,
        shape=layout.shape.value,
        reason=layout.reason,
        columns=columns,
        rows=[_cut(_without_origin(row)) for row in rows[:5]],
        example=[_cut(msgspec.to_builtins(message)) for message in messages],
        rejected=[_cut(msgspec.to_builtins(message)) for message in example.rejected or []],
        warnings=[
            *([told] if bad else []),
            *_unnamed(source, fetch, read, columns, len(rows)),
            *([empty] if (empty := tell_empty(source.name, fetch.notes)) else []),
            *_unknown_labels(examples, definition),
        ],
    )


def _unwritten(source: GeneratedSource, task: Path) -> Preview:
    """Of rows that a model has still to write: what they would cost, and the first prompt."""
    from nlp_skills.data.sources.llm_generated import look_ahead

    stored = DataSources.load(task / "data_source.yaml").sources
    others = [other.name for other in stored if not isinstance(other, GeneratedSource)]
    found = look_ahead(source, Fetch(task, preview=True), others)
    return Preview(
        source=source.name,
        shape="",
        reason="",
        columns={},
        rows=[],
        example=[],
        note=found.note,
        warnings=found.warnings,
    )


def _without_origin(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != ORIGIN}


def _unnamed(
    source: DataSource, fetch: Fetch, rows: Iterator[Row], columns: Mapping[str, str], seen: int
) -> list[str]:
    """A sentence on columns without a name, where there are any: then more rows are looked at for what they hold."""
    if not fetch.notes.get(UNNAMED):
        return []
    # What is wrong further down has its own error when all rows are read.
    with suppress(NotValid):
        seen += sum(1 for _ in islice(rows, LOOKED_AT - seen))
    told = tell_unnamed(source, fetch.notes, columns, looked=seen if seen >= LOOKED_AT else None)
    return [told] if told else []


def _unknown_labels(examples: list[Example], task: Task) -> list[str]:
    if not task.type.has_labels:
        return []
    return unknown_labels(Counter(e.meta.label for e in examples if e.meta.label), task.labels)


def _convert(
    rows: list[dict[str, Any]], source: DataSource, layout: Layout, task: Task
) -> tuple[list[Example], list[str]]:
    """(examples, the place and reason of each row that cannot be one)."""
    examples, bad = [], []
    for line, row in enumerate(rows, start=1):
        try:
            examples.append(to_example(row, layout, task=task, source=source.name, line=line))
        except NotValid as error:
            bad.append(f"{name_row(source, line, row)}: {error}.")
    return examples, bad


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
