"""`data_source.yaml`: where the rows come from and how they become train, valid and test."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nlp_skills.records import Record

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
FileFormat = Literal["jsonl", "json", "csv", "tsv", "parquet", "excel"]


def _source_name(name: str) -> str:
    if not re.fullmatch(r"[\w][\w.-]{0,62}", name):
        raise ValueError("use letters, digits, dots, hyphens and underscores")
    return name


class Columns(Record):
    """Which column plays which part; what is None is detected from names and values."""

    text: str | None = None
    label: str | None = None
    entity: str | None = None
    group: str | None = None
    """Rows with the same value never stand on two sides of a split."""
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    id: str | None = None


class FileSource(Record):
    """A file on disk; the path is relative to the task folder, or absolute."""

    type: Literal["file"] = "file"
    name: Annotated[str, AfterValidator(_source_name)]
    snapshot_date: str | None = None
    path: str
    format: FileFormat | None = None
    """None: detected from content and name."""
    encoding: str | None = None
    """None: detected."""
    sheet: str | None = None
    """Excel and ODS: the sheet's name; None: the first."""
    columns: Columns = Columns()
    split: SplitName | None = None
    """Put the whole source on one side; None: divide it."""


DataSource = FileSource
"""The union on `type`; each kind of source adds its record here."""


class SplitSettings(Record):
    """How examples are divided: a share below 1, or a number of rows."""

    train: float | None = Field(default=None, gt=0)
    """None: everything that valid and test leave."""
    valid: float = Field(default=0.15, ge=0)
    test: float = Field(default=0.15, ge=0)
    seed: int = 13
    stratify: bool = True
    """Keep the shares of the labels the same on every side."""


class Regeneration(Record):
    """What makes the data again, and when that was last done."""

    script: str = "scripts/01_regenerate_data.py"
    last_run: str | None = None


class DataSources(Record):
    """`data_source.yaml`."""

    sources: list[DataSource] = []
    deduplicate: bool = True
    """Drop rows that are equal in everything the model sees."""
    skip_bad_rows: bool = False
    """Leave out rows that cannot be used; otherwise they stop the regeneration."""
    split: SplitSettings = SplitSettings()
    regeneration: Regeneration = Regeneration()

    def model_post_init(self, _context: object) -> None:
        """Names are file names in data/raw, so on some systems "News" and "news" are the same."""
        names = [source.name.casefold() for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sources: two are named {twice[0]!r}; give each a name of its own")
