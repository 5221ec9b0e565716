"""The `file` source: rows from a file, whatever program wrote it.

    path → magic bytes → container (.gz .zst .zip) → Parquet · Excel · text
                                                        text → encoding → JSON · delimited · lines

The content decides and then the name. Everything is read as a stream, in bounded memory, and every
error is a sentence that names the file, the line where there is one, and the cure.
"""

from __future__ import annotations

import glob
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any

from nlp_skills.data.sources.cure import cure, in_file, option
from nlp_skills.data.sources.encoding import detect_encoding, read_lines, text_stream, undecodable
from nlp_skills.data.sources.fetch import ORIGIN, Fetch, Row
from nlp_skills.data.sources.formats.compressed import GZIP, ZIP, ZSTD, only_member, open_bytes
from nlp_skills.data.sources.formats.delimited import read_delimited
from nlp_skills.data.sources.formats.excel import read_excel
from nlp_skills.data.sources.formats.json_rows import is_object, read_json, read_json_lines
from nlp_skills.data.sources.formats.parquet import read_parquet
from nlp_skills.data.sources.formats.unnamed import watch_unnamed
from nlp_skills.data.sources.source import FileFormat, FileSource
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import sha256_file

EMPTY = "empty_files"
"""The note with those of a pattern's files that hold no rows, after a comma each."""
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHER_KINDS = (
    (b"%PDF", "a PDF document"),
    (b"SQLite format 3", "an SQLite database (use a source of type: database)"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"ARROW1", "an Arrow file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
)
_MARKUP = ("<!doctype", "<html", "<table", "<?xml", "<!--", "<head", "<body")
_JSON_LINES = (".jsonl", ".ndjson", ".jsonlines")
_DELIMITED = (".csv", ".tsv", ".psv", ".ssv", ".tab", ".xls", ".xlsx", ".xlsm", ".xlsb", ".ods")
_HEAD = 1024 * 1024
_FORMATS = "jsonl, json, csv, tsv, text, parquet or excel"


def read(source: FileSource, fetch: Fetch) -> Iterator[Row]:
    """The rows of a file, or of every file that a pattern matches, in the order of their names.

    The path is relative to the task folder, or absolute. Rows of a pattern say in `_origin` which file and
    line they are from. Raises as read_file, and NotFound where a pattern matches nothing; one of its
    files may hold no rows, and is noted.
    """
    fetch.notes.update({"path": source.path, "format": source.format, "sheet": source.sheet})
    path = fetch.task / Path(source.path).expanduser()
    if is_pattern(source.path) and not path.is_file():
        return _read_matching(source, fetch)
    return read_file(
        path, format=source.format, encoding=source.encoding, sheet=source.sheet, notes=fetch.notes
    )


def is_pattern(path: str) -> bool:
    """Whether a path may stand for several files; a file of that very name stands for itself."""
    return any(sign in path for sign in "*?[")


def _read_matching(source: FileSource, fetch: Fetch) -> Iterator[Row]:
    pattern = str(Path(source.path).expanduser())
    # glob's own function: unlike pathlib's it passes over hidden files, such as an editor's.
    names = glob.glob(pattern, root_dir=fetch.task, recursive=True)  # noqa: PTH207
    files = {Path(name).as_posix(): fetch.task / name for name in names if (fetch.task / name).is_file()}
    if not files:
        raise NotFound(f"No file matches {fetch.task / pattern}. Check path:{in_file()}.")
    digest = hashlib.sha256()
    empty: list[str] = []
    for name, file in sorted(files.items()):
        rows = iter(_read(file, source.format, source.encoding, source.sheet, fetch.notes))
        first = next(rows, None)
        if first is None:
            empty.append(name)
            fetch.notes[EMPTY] = ", ".join(empty)
        for line, row in chain([first] if first else [], rows):
            own = row.get(ORIGIN)
            origin = {**(own if isinstance(own, dict) else {}), "file": name, "line": line}
            yield line, {**row, ORIGIN: origin}
        if not fetch.preview:
            digest.update(f"{name}\0{sha256_file(file)}\n".encode())
    if len(empty) == len(files):
        raise NotValid(
            f"No file that {fetch.task / pattern} matches holds rows. Check{in_file()} whether it is right."
        )
    fetch.notes.update({"files": len(files), "files_sha256": digest.hexdigest()})


def read_file(
    path: Path,
    *,
    format: FileFormat | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    notes: dict[str, Any] | None = None,
) -> Iterator[Row]:
    """The rows of a file with their 1-based line (or record) number, one by one.

    JSON Lines, JSON (a list of objects, an object with one such list, SQuAD), CSV, TSV and files with
    semicolons or bars, Parquet, Excel and ODS, text (each line a row `{"text": …}`); text files also inside
    `.gz`, `.zst` and a `.zip` with one file. The number is that of the line in text and JSON Lines (where
    a quoted CSV record begins), of the row in a sheet, and of the record in JSON and Parquet.

    Rows hold only what JSON knows. CSV: text, as it stands; a cell that is missing is None, an empty one "".
    Excel: numbers (whole ones as integers), text, booleans, dates as ISO 8601, durations as text, an empty
    cell is None. Parquet: `formats.parquet.plain` says it. Columns without a name are column_3 and the like,
    a second column "text" is text_2; `notes` gets the former, and in how many rows they hold something.

    Raises NotFound when there is no such file, and NotValid that names the file, the line and the cure.
    """
    count = 0
    for row in _read(path, format, encoding, sheet, {} if notes is None else notes):
        count += 1
        yield row
    if not count:
        raise NotValid(f"{path} holds no rows. Check that it is the right file and was written to the end.")


def _read(
    path: Path,
    wanted: FileFormat | None,
    encoding: str | None,
    sheet: str | None,
    notes: dict[str, Any],
) -> Iterator[Row]:
    magic = _first_bytes(path)
    kind = _binary_kind(path, magic)
    if kind and wanted not in (None, kind):
        raise NotValid(
            f"{path} is {_named(kind)}, not {wanted}. "
            + cure(f"Set format: {kind} in data_source.yaml.", f"Give it: {option('format', kind)}")
        )
    if sheet is not None and kind != "excel":
        raise NotValid(
            f"{path} is no spreadsheet, so it has no sheet {sheet!r}. Remove "
            + cure("sheet: for it.", "--sheet.")
        )
    if encoding is not None and kind:
        raise NotValid(
            f"{path} is {_named(kind)}, which has no text encoding. Remove "
            + cure("encoding: for it.", "--encoding.")
        )
    if kind == "excel":
        return watch_unnamed(read_excel(path, sheet), notes)
    if kind == "parquet":
        return read_parquet(path)
    if wanted in ("excel", "parquet"):
        raise NotValid(
            f"{path} is not {_named(wanted)}, whatever its name says. Remove "
            + cure("format:", "--format")
            + " to have it detected."
        )
    return _read_text(path, magic, wanted, encoding, notes)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(512)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} does not exist. Check path:{in_file()}.") from None
    except IsADirectoryError:
        raise NotValid(
            f"{path} is a folder. Name one file in it, or a pattern of files: '{path.name}/*'"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise NotValid(f"{path} cannot be opened: {getattr(error, 'strerror', error)}.") from None


def _binary_kind(path: Path, magic: bytes) -> FileFormat | None:
    """excel, parquet, or None for what may be text; other known binaries are refused."""
    if magic.startswith(b"PAR1"):
        return "parquet"
    if magic.startswith(_OLE) or (magic.startswith(ZIP) and _is_workbook(path)):
        return "excel"
    _refuse_other_kinds(f"{path}", magic)
    return None


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "mimetype" in names and "content.xml" in names:
                return True
            return "[Content_Types].xml" in names and any(name.startswith("xl/") for name in names)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise NotValid(f"{path} is cut off or damaged ({error}). Copy or download it again.") from None


def _refuse_other_kinds(where: str, magic: bytes) -> None:
    for start, kind in _OTHER_KINDS:
        if magic.startswith(start):
            raise NotValid(f"{where} is {kind}, which is not read. Export the rows as CSV or JSON Lines.")
    if magic[257:262] == b"ustar":
        raise NotValid(f"{where} is a tar archive. Unpack it and name the file.")


def _named(kind: str) -> str:
    return "a spreadsheet" if kind == "excel" else "a Parquet file"


def _read_text(
    path: Path, magic: bytes, wanted: FileFormat | None, encoding: str | None, notes: dict[str, Any]
) -> Iterator[Row]:
    where = f"{path}"
    with open_bytes(path, magic) as stream:
        _refuse_packed_twice(where, stream.peek(512)[:512])  # type: ignore[attr-defined]
        encoding = encoding or detect_encoding(stream, where)
    with open_bytes(path, magic) as stream:
        text = text_stream(stream, encoding, where)
        try:
            head = text.read(_HEAD)
        except UnicodeError as error:
            raise NotValid(undecodable(where, encoding, "in the first lines", error)) from None
    form = wanted or _text_format(head, _suffix(path, magic), where)
    with open_bytes(path, magic) as stream:
        text = text_stream(stream, encoding, where)
        rows = _TEXT_READERS[form](text, where)
        yield from watch_unnamed(rows, notes) if form in ("csv", "tsv") else rows


def _refuse_packed_twice(where: str, inside: bytes) -> None:
    if inside.startswith((GZIP, ZSTD, ZIP, _OLE, b"PAR1")):
        raise NotValid(f"{where} holds another archive, a spreadsheet or Parquet. Unpack it first.")
    _refuse_other_kinds(where, inside)


def _suffix(path: Path, magic: bytes) -> str:
    """The ending that tells the format: that of what is inside."""
    if magic.startswith(ZIP):
        with zipfile.ZipFile(path) as archive:
            return Path(only_member(archive, path).filename).suffix.lower()
    if magic.startswith((GZIP, ZSTD)) and path.suffix.lower() in (".gz", ".gzip", ".zst", ".zstd"):
        return Path(path.stem).suffix.lower()
    return path.suffix.lower()


def _text_format(head: str, suffix: str, where: str) -> str:
    """Which reader a text needs: its first characters decide, and where they do not, its name."""
    start = head.lstrip()
    first, _, rest = start.partition("\n")
    if start[:20].lower().startswith(_MARKUP) and suffix != ".txt":
        raise NotValid(
            f"{where} is HTML or XML, whatever its name says. Open it in a browser or spreadsheet and save the"
            " table as CSV or .xlsx; for web pages use a source of type: web_scrape."
        )
    if is_object(first):
        return "jsonl" if rest.strip() or suffix in _JSON_LINES else "json"
    if suffix in _JSON_LINES:
        return "json" if start.startswith("[") or first.strip() == "{" else "jsonl"
    if suffix == ".json" or (start.startswith(("{", "[")) and suffix not in (*_DELIMITED, ".txt")):
        return "json"
    if suffix in _DELIMITED:
        return "csv"
    if suffix == ".txt" or not start:
        return "text"
    raise NotValid(
        f"{where}: its format cannot be told. "
        + cure("Set format: in data_source.yaml to", "Give it with --format:")
        + f" {_FORMATS}."
    )


def _read_plain_lines(text: TextIOWrapper, where: str) -> Iterator[Row]:
    for number, line in enumerate(read_lines(text, where), start=1):
        if line.strip():
            yield number, {"text": line.rstrip("\r\n")}


_TEXT_READERS: dict[str, Callable[[TextIOWrapper, str], Iterator[Row]]] = {
    "jsonl": lambda text, where: read_json_lines(read_lines(text, where), where),
    "json": read_json,
    "csv": lambda text, where: read_delimited(read_lines(text, where), where),
    "tsv": lambda text, where: read_delimited(read_lines(text, where), where, "\t"),
    "text": _read_plain_lines,
}
