"""Rows from spreadsheets: .xlsx .xlsm .xlsb .xls .ods, read by a process of its own (excel_cells.py)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.data.sources.cure import cure
from nlp_skills.data.sources.formats.delimited import column_names
from nlp_skills.errors import MissingExtra, NotFound, NotValid

_READER = Path(__file__).with_name("excel_cells.py")


def read_excel(path: Path, sheet: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows below the first row that is not empty, with their numbers in the sheet.

    Raises NotFound for an unknown sheet, NotValid for a file that is damaged, locked or too large.
    """
    if importlib.util.find_spec("python_calamine") is None:
        raise MissingExtra("Reading Excel files", "data")
    names: list[str] | None = None
    for number, cells in _cells(path, sheet):
        if all(cell is None for cell in cells):
            continue
        if names is None:
            names = column_names(cells, f"{path}")
        else:
            yield number, dict(zip(names, cells, strict=True))


def _cells(path: Path, sheet: str | None) -> Iterator[tuple[int, list[Any]]]:
    # -P: the script's folder must not hide modules of the standard library.
    command = [sys.executable, "-P", str(_READER), str(path), *([] if sheet is None else [sheet])]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    lines = process.stdout
    try:
        first = lines.readline()
        problem = msgspec.json.decode(first) if first.endswith(b"\n") else {"error": "died"}
        number = 0
        for number, line in enumerate(lines if "sheet" in problem else (), start=1):
            if not line.startswith(b"["):
                problem = msgspec.json.decode(line) if line.endswith(b"\n") else {"error": "died"}
                break
            if not line.endswith(b"\n"):
                break
            yield number, msgspec.json.decode(line)
        if "error" not in problem and process.wait() != 0:
            problem = {"error": "died"}
        if "error" in problem:
            _refuse(path, sheet, problem)
        if number == 0 and problem["others"]:
            raise NotValid(
                f"{path}: the sheet {problem['sheet']!r} holds no rows. Name another one with"
                f" {cure('sheet: in data_source.yaml', '--sheet')}: {', '.join(problem['others'])}."
            )
    finally:
        process.kill()
        process.wait()
        lines.close()


def _refuse(path: Path, sheet: str | None, problem: dict[str, Any]) -> None:
    if problem["error"] == "sheet":
        raise NotFound(f"{path} has no sheet named {sheet!r}. Its sheets: {', '.join(problem['sheets'])}.")
    reasons = {
        "password": "is locked with a password. Save a copy without one",
        "no sheets": "holds no sheets. Export it again",
        "damaged": f"cannot be read as a spreadsheet ({problem.get('reason')}). Open it and save it as .xlsx",
        "died": "is damaged, or its sheet reaches too far (a stray cell in a far row or column)."
        " Open it, delete the empty rows and columns, or save it as CSV",
    }
    raise NotValid(f"{path} {reasons[problem['error']]}.")
