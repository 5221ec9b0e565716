"""Rows from CSV and its relatives: comma, tab, semicolon or bar, found out from the first lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from nlp_skills.data.sources.encoding import MAX_LINE
from nlp_skills.errors import NotValid, counted

_DELIMITERS = ",\t;|"
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_SAMPLE_LINES = 200
_MAX_COLUMNS = 10_000


def read_delimited(
    lines: Iterable[str], where: str, delimiter: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows below the header, with the number of the line on which each begins.

    Every value is text, as it stands in the file; cells missing at the end of a row are None.
    Raises NotValid for a row with more values than the header has columns, a quote that is
    not closed, and a NUL character.
    """
    lines = iter(lines)
    blank, sample = _sample(lines)
    if not sample:
        return
    delimiter = delimiter or _sniff(sample, where)
    header: list[str] | None = None
    spaced = (delimiter + " ") in sample[0] and sample[0].count(delimiter) == sample[0].count(delimiter + " ")
    records = _records(chain(sample, lines), where, blank, delimiter=delimiter, skipinitialspace=spaced)
    for number, cells in records:
        if not any(cells):
            continue
        if header is None:
            header = column_names(cells, where)
        else:
            yield number, _row(header, cells, f"{where}:{number}")


def _sample(lines: Iterator[str]) -> tuple[int, list[str]]:
    """How many blank lines there are at the top, and the first lines behind them."""
    blank = 0
    for line in lines:
        if line.strip("\r\n \t"):
            return blank, [line, *_up_to(lines, _SAMPLE_LINES, len(line))]
        blank += 1
    return blank, []


def _up_to(lines: Iterator[str], count: int, characters: int) -> Iterator[str]:
    for line in islice(lines, count):
        yield line
        characters += len(line)
        if characters > MAX_LINE:
            return


def _sniff(sample: list[str], where: str) -> str:
    """The delimiter that splits the header and then most rows into as many cells.

    csv.Sniffer is not used: it takes letters of the text for delimiters.
    """
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        widths = _widths(sample, delimiter)
        if len(widths) > 0 and widths[0] > 1:
            share = widths.count(widths[0]) / len(widths)
            best, best_score = max(
                (best, best_score), (delimiter, (share, widths[0])), key=lambda pair: pair[1]
            )
    if best_score[0] < 0.5:
        others = _DELIMITERS.replace(best, "") if best_score[0] else _DELIMITERS
        _refuse_title_lines(sample, where, others)
    return best


def _refuse_title_lines(sample: list[str], where: str, delimiters: str) -> None:
    """A first line that is not divided as most others are is a title: reading on would give garbage."""
    for delimiter in delimiters:
        widths = _widths(sample, delimiter)[1:]
        width, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        if width > 2 and count >= 5 and count > len(widths) / 2:
            raise NotValid(
                f"{where}: the first line does not fit the others, of which most have {width} values between"
                f" {_NAMES[delimiter]}. Remove the title lines above the line with the column names."
            )


def _widths(sample: list[str], delimiter: str) -> list[int]:
    """Cells per row; a last row that is cut off inside a quote counts as it is."""
    try:
        return [len(cells) for cells in csv.reader(sample, delimiter=delimiter) if cells]
    except csv.Error:
        return []


def _records(
    lines: Iterable[str], where: str, skipped: int, **dialect: Any
) -> Iterator[tuple[int, list[str]]]:
    """Parsed records, each with the line on which it begins."""
    csv.field_size_limit(MAX_LINE)
    budget = _Budget(lines, where, skipped)
    reader = csv.reader(budget, strict=True, **dialect)
    while True:
        first = budget.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise NotValid(f"{where}:{first}: {_csv_reason(str(error))}") from None
        yield first, cells


def _csv_reason(reason: str) -> str:
    if "unexpected end" in reason or "field larger" in reason:
        return 'a quote (") opens here and is not closed. Close it, or double the quotes inside the value.'
    if "expected after" in reason:
        return 'text follows a closing quote ("). Double the quotes inside a quoted value: "".'
    return f"not valid CSV: {reason}. Write the file again with a CSV writer."


class _Budget:
    """The lines, counted; refuses NUL and a record that takes too much."""

    def __init__(self, lines: Iterable[str], where: str, skipped: int) -> None:
        self._lines, self._where = iter(lines), where
        self._number, self._size = skipped, 0

    def start_record(self) -> int:
        self._size = 0
        return self._number + 1

    def __iter__(self) -> _Budget:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        self._size += len(line)
        if "\0" in line:
            raise NotValid(
                f"{self._where}:{self._number}: a NUL character. Remove it, or export the file again."
            )
        if self._size > 2 * MAX_LINE:
            raise NotValid(
                f"{self._where}:{self._number}: a row of more than {2 * MAX_LINE // 2**20} Mi characters:"
                ' a quote (") above is not closed.'
            )
        return line


def column_names(cells: Sequence[Any], where: str) -> list[str]:
    """Names for a header: spaces off, empty ones become column_3, the second text becomes text_2."""
    if len(cells) > _MAX_COLUMNS:
        raise NotValid(
            f"{where} has {len(cells):,} columns; at most {_MAX_COLUMNS:,} are read. Keep those that are needed."
        )
    given = ["" if cell is None else str(cell).strip() for cell in cells]
    names: list[str] = []
    taken = set(given)
    for position, name in enumerate(given, start=1):
        wanted = name or f"column_{position}"
        if not name or name in names:
            wanted = _free(wanted, taken, 2 if name else 1)
        taken.add(wanted)
        names.append(wanted)
    return names


def _free(name: str, taken: set[str], count: int) -> str:
    candidate = name if count == 1 else f"{name}_{count}"
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def _row(header: list[str], cells: list[str], place: str) -> dict[str, Any]:
    while len(cells) > len(header) and not cells[-1].strip():
        cells.pop()
    if len(cells) > len(header):
        raise NotValid(
            f"{place}: {len(cells)} values, but the header has {counted(len(header), 'column')}."
            " Put quotes around a value that contains the delimiter; take title lines off the top."
        )
    return dict(zip(header, cells + [None] * (len(header) - len(cells)), strict=True))
