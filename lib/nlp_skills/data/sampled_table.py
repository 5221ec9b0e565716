"""The columns of a source as its first rows show them: their names, what their values look like, what the user says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.sources.cure import cure
from nlp_skills.data.sources.fetch import ORIGIN
from nlp_skills.data.sources.source import Columns
from nlp_skills.data.turns import is_nothing, read_turns
from nlp_skills.task.task import TaskType

SAMPLE = 200
"""Rows that are looked at: half from the start, half spread over the rest (files are often sorted)."""


@dataclass(frozen=True)
class Column:
    """What the sample says about a column."""

    name: str
    values: list[Any]
    """Those that are not empty."""

    @property
    def plain(self) -> str:
        return re.sub(r"[\s\-.]+", "_", self.name.strip().lower()).strip("_") or self.name

    @property
    def is_turns(self) -> bool:
        return bool(self.values) and all(read_turns(value) is not None for value in self.values[:5])

    @property
    def is_words(self) -> bool:
        """Text rather than numbers: some value has a letter of some script."""
        return any(isinstance(v, str) and re.search(r"[^\W\d_]", v) for v in self.values)

    @property
    def is_verdict(self) -> bool:
        return bool(self.values) and all(_as_bool(value) is not None for value in self.values)

    @property
    def distinct(self) -> int:
        return len({str(value) for value in self.values})

    @property
    def length(self) -> float:
        return sum(len(str(value)) for value in self.values) / max(1, len(self.values))

    @property
    def is_short(self) -> bool:
        return all(
            isinstance(v, str | int | float) and len(str(v)) <= 100 and "\n" not in str(v)
            for v in self.values
        )


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).strip().lower())


class SampledTable:
    """The sampled columns, and which of them the user has named."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], given: Columns, type: TaskType | None) -> None:
        names = list(
            dict.fromkeys(name for row in rows for name in row if isinstance(name, str) and name != ORIGIN)
        )
        self.all = names
        sampled = (Column(n, [r[n] for r in rows if n in r and _filled(r[n])]) for n in names)
        self.columns = {column.name: column for column in sampled if column.values}
        self.given: dict[str, str] = given.model_dump(exclude_none=True)
        self.type = type
        self.rows = len(rows)

    def is_rare(self, name: str) -> bool:
        """Whether most rows of the sample have nothing in that column."""
        return name in self.columns and 2 * len(self.columns[name].values) <= self.rows

    def find(
        self,
        part: str,
        names: Sequence[str],
        fits: Callable[[Column], bool] = lambda _: True,
        taken: Sequence[str | None] = (),
    ) -> str | None:
        """The column of a part: as the user says, else the first name of the list that fits.

        The column that tells groups apart may be read too (the passage that questions are about), where no other is.
        """
        if part in self.given:
            return self.given[part]
        group = self.given.get("group")
        named = {name for part, name in self.given.items() if part != "group"}
        free = [c for c in self.columns.values() if c.name not in taken and c.name not in named]
        fitting = [c for c in free if c.plain in names and fits(c)]
        first = min(fitting, key=lambda c: (c.name == group, names.index(c.plain)), default=None)
        return first.name if first else None


def _filled(value: Any) -> bool:
    return not is_nothing(value) and (not isinstance(value, str) or bool(value.strip()))


def how_to_say(table: SampledTable) -> str:
    known = ", ".join(repr(name) for name in table.all if name) or "none"
    options = "--text COLUMN --label COLUMN"
    if table.type is TaskType.ENTITY_CLASSIFICATION:
        options = "--text COLUMN --entity COLUMN --label COLUMN"
        example = "columns: {text: <column>, entity: <column>, label: <column>}"
    elif table.type is not None and not table.type.has_labels:
        options += " (the question and its answer)"
        example = "columns: {prompt: <column>, completion: <column>}"
    else:
        example = "columns: {text: <column>, label: <column>}"
    return f"Columns found: {known}. Say which is which " + cure(
        f"under the source in data_source.yaml, for example {example}", f"with {options}"
    )
