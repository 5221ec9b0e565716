"""Runs as a process of its own: prints the cells of one sheet as JSON lines.

A spreadsheet is parsed by native code that takes memory by the sheet's extent: one stray cell in
the last row makes it abort the whole process. Here it aborts only this one. It imports nothing of
the library, so that it starts in a blink.

    python excel_cells.py PATH [SHEET]
    → {"sheet": "Sheet1", "others": [], "row": 1}, then one list of cells a row; or {"error": …}
"""

import datetime
import json
import math
import sys

MAX_MEMORY = 1 << 30


def main(path: str, sheet: str | None) -> None:
    """Print the sheet's cells, or what is wrong with the file."""
    limit_memory()
    import python_calamine as calamine

    try:
        with calamine.CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            if sheet is not None and sheet not in names:
                return put({"error": "sheet", "sheets": names})
            if not names:
                return put({"error": "no sheets"})
            cells = book.get_sheet_by_name(names[0] if sheet is None else sheet)
            put({"sheet": cells.name, "others": [name for name in names if name != cells.name]})
            # Rows above the first cell come as empty rows, so the numbers are those of the sheet.
            for row in cells.iter_rows():
                put([plain(cell) for cell in row])
    except calamine.PasswordError:
        put({"error": "password"})
    except (calamine.CalamineError, OSError) as error:
        put({"error": "damaged", "reason": str(error)})
    return None


def limit_memory() -> None:
    """1 GB of address space, where the system can limit it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def plain(cell: object) -> object:
    """A cell as JSON: no cell is null, whole numbers are integers, dates are ISO 8601."""
    if cell == "":
        return None
    if isinstance(cell, float):
        return whole_or_null(cell)
    if isinstance(cell, datetime.timedelta):
        return str(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return cell


def whole_or_null(number: float) -> int | float | None:
    """Excel knows no integers: 3.0 was entered as 3. NaN and infinity are null."""
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def put(value: object) -> None:
    """One line to the reader, ASCII so that no console encoding matters."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
