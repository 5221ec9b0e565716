"""The file source: formats told by content, line numbers, errors, and values that come back equal."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.sources import encoding as encodings
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.file import read, read_file
from nlp_skills.data.sources.source import FileSource
from nlp_skills.errors import NotFound, NotValid

in_one_folder = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def numbered(path: Path, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    return list(read_file(path, **options))


def rows(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for _, row in read_file(path, **options)]


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(NotValid) as caught:
        numbered(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


# Formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"a": "1"}\n\n{"a": "2"}\n'),
        ("lines named.json", '{"a": "1"}\n{"a": "2"}\n'),
        ("lines named.csv", '{"a": "1"}\n{"a": "2"}\n'),
        ("no ending", '{"a": "1"}\n{"a": "2"}\n'),
        ("a.json", '[{"a": "1"},\n {"a": "2"}]\n'),
        ("list named.jsonl", '[{"a": "1"}, {"a": "2"}]'),
        ("pretty named.jsonl", '{\n"rows": [{"a": "1"}, {"a": "2"}]\n}'),
        ("wrapped.json", '{"version": 1, "rows": [{"a": "1"}, {"a": "2"}]}'),
        ("a.csv", "a\n1\n2\n"),
        ("text named.xls", "a\n1\n2\n"),
        ("text named.xlsx", "a\r\n1\r\n2\r\n"),
        ("mac.csv", "a\r1\r2"),
        ("blank.csv", "\n\na\n\n1\n\n2\n"),
    ],
)
def test_the_content_decides_and_then_the_name(tmp_path: Path, name: str, content: str) -> None:
    assert rows(write(tmp_path, name, content)) == [{"a": "1"}, {"a": "2"}]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "psv"])
def test_the_delimiter_is_found_whatever_the_file_is_called(
    tmp_path: Path, delimiter: str, ending: str
) -> None:
    lines = [["text", "label"], ["one, two; three", "x"], ["a|b", "y"], ["plain", "z"]]
    path = tmp_path / f"rows.{ending}"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(lines)
    assert rows(path) == [{"text": text, "label": label} for text, label in lines[1:]]


def test_lines_of_plain_text_become_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "first, with a comma\n\n  <html> second \r\n")
    assert numbered(path) == [(1, {"text": "first, with a comma"}), (3, {"text": "  <html> second "})]


def test_an_example_with_messages_is_one_row_and_no_table(tmp_path: Path) -> None:
    example = {"messages": [{"role": "user", "content": "hi"}], "id": 1}
    assert rows(write(tmp_path, "one.json", json.dumps(example))) == [example]


def test_a_path_is_relative_to_the_task_folder_or_absolute(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a;b\n1;2\n")
    for given_path in ("a.csv", str(path)):
        source = FileSource(name="s", path=given_path)
        assert list(read(source, Fetch(tmp_path))) == [(2, {"a": "1", "b": "2"})]


def test_a_format_that_is_given_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, "questions.label", "a\tb,c\n1\t2,3\n")
    assert "format: in data_source.yaml" in refusal(path)
    assert rows(path, format="tsv") == [{"a": "1", "b,c": "2,3"}]


# Columns and line numbers


def test_columns_without_a_name_or_with_the_same_one_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,text, ,text_2,column_3\n1,2,3,4,5\n")
    assert rows(path) == [{"text": "1", "text_3": "2", "column_3_2": "3", "text_2": "4", "column_3": "5"}]
    path = write(tmp_path, "b.csv", "text,text,\n1,2,3\n")
    assert rows(path) == [{"text": "1", "text_2": "2", "column_3": "3"}]


def test_short_rows_end_in_none_and_long_ones_are_refused_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'a,b\n"x\ny"\n1,2,,\n')
    assert numbered(path) == [(2, {"a": "x\ny", "b": None}), (4, {"a": "1", "b": "2"})]
    path = write(tmp_path, "b.csv", 'a,b\n"x\ny",1\npos,hello, world\n')
    assert f"{path}:4: 3 values, but the header has 2 columns" in refusal(path)


def test_a_quote_that_is_not_closed_is_named_where_it_opens(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'a,b\n1,2\n3,"open\n' + "5,6\n" * 50)
    assert f"{path}:3: a quote" in refusal(path)


def test_a_nul_character_is_refused(tmp_path: Path) -> None:
    assert "NUL" in refusal(write(tmp_path, "a.csv", "a,b\n1,\0\n"))
    late = write(tmp_path, "b.csv", "a,b\n" + "1,2\n" * 50_000 + "3,\0\n")
    assert f"{late}:50002: a NUL" in refusal(late)


# JSON


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"a": 1, "a": 2}', '"a" is there twice'),
        ('{"x": {"a": "\\"", "a": 2}}', '"a" is there twice'),
        ('{"a": NaN}', "invalid character"),
        ('{"a": 1e999}', "out of range"),
        ('{"a": "\\ud800x"}', "without its pair"),
        ('{"a": "\t"}', "invalid character"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": 1', "ends inside a value"),
        ("[1]", "a list where a row is expected"),
    ],
)
def test_bad_json_lines_are_named_by_line(tmp_path: Path, bad: str, reason: str) -> None:
    path = write(tmp_path, "a.jsonl", '{"a": 1}\n\n' + bad + "\n")
    text = refusal(path)
    assert f"{path}:3" in text
    assert reason in text


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('[{"a": 1}, {"a": 1, "a": 2}]', "record 2: not valid JSON: the key"),
        ('[{"a": 1}, {"a": NaN}]', "record 2: not valid JSON: NaN"),
        ('[{"a": 1} {"a": 2}]', "record 2: not valid JSON: expected a comma"),
        ('[{"a": 1}, ]', "record 2: not valid JSON: Expecting value"),
        ('[{"a": 1}', "the file ends before the ]"),
        ('[{"a": 1}] {}', "behind the closing ]"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": [{"x": 1}], "b": [{"y": 2}]}', 'several lists of objects: "a", "b"'),
    ],
)
def test_bad_json_documents_say_what_is_wrong(tmp_path: Path, bad: str, reason: str) -> None:
    assert reason in refusal(write(tmp_path, "a.json", bad))


def test_a_list_longer_than_a_block_is_read_element_by_element(tmp_path: Path) -> None:
    expected = [{"n": n, "text": "字" * (n % 5000)} for n in range(600)]
    path = write(tmp_path, "a.json", json.dumps(expected, ensure_ascii=False, indent=1))
    assert numbered(path) == list(enumerate(expected, start=1))


# Containers


def test_any_file_is_lines_of_text_where_its_format_says_so(tmp_path: Path) -> None:
    content = '{"a": 1}\n\nplain, words\n'
    expected = [(1, {"text": '{"a": 1}'}), (3, {"text": "plain, words"})]
    assert numbered(write(tmp_path, "app.log", content), format="text") == expected
    packed = write(tmp_path, "app.csv.gz", gzip.compress(content.encode()))
    assert numbered(packed, format="text") == expected
    refused = refusal(write(tmp_path, "other.log", "plain words\n"))
    assert "jsonl, json, csv, tsv, text, parquet or excel" in refused


def test_text_is_read_through_gzip_zstandard_and_zip(tmp_path: Path) -> None:
    data = b"a,b\n1,2\n"
    frames = zstandard.compress(data[:5]) + zstandard.compress(data[5:])
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__MACOSX/._a.csv", b"x")
        archive.writestr("folder/a.csv", data)
    for path in (
        write(tmp_path, "a.csv.gz", gzip.compress(data)),
        write(tmp_path, "a.csv.zst", frames),
        packed,
    ):
        assert rows(path) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("cut", [20, 60])
def test_an_archive_that_is_cut_off_is_an_error_and_not_fewer_rows(tmp_path: Path, cut: int) -> None:
    lines = "".join(f'{{"n": {n * n}}}\n' for n in range(20_000)).encode()
    assert "cut off" in refusal(write(tmp_path, "a.jsonl.gz", gzip.compress(lines)[:-cut]))
    assert "cut off" in refusal(write(tmp_path, "a.jsonl.zst", zstandard.compress(lines)[:-cut]))
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", lines)
    whole = (tmp_path / "whole.zip").read_bytes()
    assert "cut off" in refusal(write(tmp_path, "cut.zip", whole[:-cut]))


def test_an_archive_in_an_archive_or_with_two_files_is_refused(tmp_path: Path) -> None:
    assert "another archive" in refusal(write(tmp_path, "a.gz", gzip.compress(gzip.compress(b"a\n1\n"))))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", b"a\n1\n")
        archive.writestr("b.csv", b"a\n1\n")
    assert "holds 2 files" in refusal(tmp_path / "two.zip")


def test_a_bomb_is_stopped_by_the_cap_on_a_line(tmp_path: Path) -> None:
    bomb = b'{"a": "' + b"a" * (encodings.MAX_LINE + 100)
    assert ":1: the line is longer than 16 Mi" in refusal(write(tmp_path, "a.jsonl.gz", gzip.compress(bomb)))
    assert "longer than 16 Mi" in refusal(
        write(tmp_path, "a.json.zst", zstandard.compress(b"[" + bomb + bomb[8:] * 2))
    )


# Encodings


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "gb18030", "cp950", "cp932"]
)
def test_text_in_many_encodings_is_read(tmp_path: Path, encoding: str) -> None:
    text = "date,text\n" + "2026-01-01,東京的天氣非常好。一二三\n" * 20
    path = write(tmp_path, "a.csv", text.encode(encoding))
    assert rows(path) == [{"date": "2026-01-01", "text": "東京的天氣非常好。一二三"}] * 20


def test_another_encoding_far_behind_the_start_is_found(tmp_path: Path) -> None:
    late = "La señora comió piñas y bebió café en Córdoba"
    text = "text\n" + "plain words\n" * 20_000 + f"{late}\n" * 20
    assert rows(write(tmp_path, "a.csv", text.encode("cp1252")))[-1] == {"text": late}


def test_an_encoding_that_cannot_be_told_is_asked_for_and_then_used(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text\ncafé\n".encode("cp1252"))
    assert "Set encoding:" in refusal(path)
    assert rows(path, encoding="cp1252") == [{"text": "café"}]


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850"])
def test_old_western_encodings_are_not_taken_for_windows(tmp_path: Path, encoding: str) -> None:
    text = "text\n" + "Der Träger führt größere Prüfungen über Hörgeräte durch.\n" * 20
    assert "Set encoding:" in refusal(write(tmp_path, "a.csv", text.encode(encoding)))


def test_utf8_with_a_broken_byte_is_refused_and_not_garbled(tmp_path: Path) -> None:
    data = ("text\n" + "東京の天気はとても良いです\n" * 20).encode()
    assert "UTF-8 except for a few bytes (1" in refusal(write(tmp_path, "a.csv", data + b"bad \xff\n"))


def test_a_wrong_byte_behind_the_part_that_is_looked_at_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings, "_SCAN", 1)
    path = write(tmp_path, "a.csv", b"text\n" + b"plain words\n" * 100_000 + b"caf\xe9\n")
    text = refusal(path)
    assert "is not valid utf-8 (near line" in text
    assert "Set encoding:" in text


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a\n1\n")
    for name in ("utf-9", "rot13", "hex"):
        assert f"no text encoding named {name!r}" in refusal(path, encoding=name)


# What cannot be read


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    for name, content in [("a.csv", ""), ("b.csv", "text,label\n"), ("a.jsonl", "\n \n"), ("a.json", "[ ]")]:
        assert "holds no rows" in refusal(write(tmp_path, name, content))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"a\.csv does not exist"):
        numbered(tmp_path / "a.csv")
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("page.xls", b"<html><table><tr><td>1</td></tr></table></html>", "HTML"),
        ("a.csv", b"%PDF-1.7\n", "PDF"),
        ("a.csv", b"SQLite format 3\0", "type: database"),
        ("a.parquet", b"PAR1 and nothing else", "Parquet"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and nothing else", "spreadsheet"),
        ("a.zip", b"PK\x03\x04 and nothing else", "cut off or damaged"),
    ],
)
def test_other_kinds_of_files_are_told_by_their_content(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    assert reason in refusal(write(tmp_path, name, content))


def test_options_that_cannot_apply_are_refused(tmp_path: Path) -> None:
    text = write(tmp_path, "a.csv", "a\n1\n")
    table = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), table)
    assert "Remove sheet:" in refusal(text, sheet="Sheet1")
    assert "is not a spreadsheet" in refusal(text, format="excel")
    assert "Set format: parquet" in refusal(table, format="csv")
    assert "Remove encoding:" in refusal(table, encoding="utf-8")


# Spreadsheets

SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def write_workbook(path: Path, **sheets: str) -> Path:
    """The smallest workbook: the rows of each sheet are given as XML."""
    listed = "".join(f'<sheet name="{n}" sheetId="{i}" r:id="rId{i}"/>' for i, n in enumerate(sheets, 1))
    linked = "".join(
        f'<Relationship Id="rId{i}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{PACKAGE}/content-types"/>')
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1"'
            f' Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
            f' xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">{linked}</Relationships>',
        )
        for number, content in enumerate(sheets.values(), 1):
            archive.writestr(f"xl/worksheets/sheet{number}.xml", SHEET.format(content))
    return path


def cell(place: str, value: float | str) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="str"><v>{value}</v></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def test_a_sheet_is_chosen_by_name_and_rows_have_its_numbers(tmp_path: Path) -> None:
    header = f"<row r='3'>{cell('B3', 'text')}{cell('C3', 'text')}{cell('E3', 'n')}</row>"
    row = f"<row r='5'>{cell('B5', '文字')}{cell('D5', 7.0)}{cell('E5', 0.5)}</row>"
    path = write_workbook(tmp_path / "a.xlsx", Empty="", Rows=header + row)
    assert numbered(path, sheet="Rows") == [
        (5, {"text": "文字", "text_2": None, "column_3": 7, "n": 0.5}),
    ]
    assert "Name another one with sheet: in data_source.yaml: Rows" in refusal(path)
    with pytest.raises(NotFound, match="Its sheets: Empty, Rows"):
        numbered(path, sheet="rows")


def test_a_stray_cell_in_the_last_corner_is_an_error_and_no_crash(tmp_path: Path) -> None:
    stray = f"<row r='1'>{cell('A1', 'a')}</row><row r='1048576'>{cell('XFD1048576', 1)}</row>"
    assert "reaches too far" in refusal(write_workbook(tmp_path / "a.xlsx", S=stray))


def test_a_reader_that_stops_early_leaves_nothing_behind(tmp_path: Path) -> None:
    lines = "".join(f"<row r='{n}'>{cell(f'A{n}', 'value')}</row>" for n in range(1, 50_000))
    reading = read_file(write_workbook(tmp_path / "a.xlsx", S=lines))
    assert next(iter(reading)) == (2, {"value": "value"})
    del reading  # an open pipe or a child that goes on would be a ResourceWarning, which is an error


# What is written comes back

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
cells = words | st.sampled_from(['say "hi"', "a,b", "a;b", "two\nlines", "cr\r\nlf", " padded ", ""])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
json_rows = st.lists(st.dictionaries(words, json_values, max_size=4), min_size=1, max_size=8)


@in_one_folder
@given(st.lists(st.tuples(st.just("id"), cells, cells), min_size=1, max_size=8))
def test_csv_rows_come_back_equal_with_the_line_they_begin_on(
    tmp_path: Path, table: list[tuple[str, str, str]]
) -> None:
    path = tmp_path / "rows.csv"
    expected = []
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["key", "text", "label"])
        line = 2
        for row in table:
            writer.writerow(row)
            expected.append((line, dict(zip(["key", "text", "label"], row, strict=True))))
            line += 1 + sum(value.count("\n") for value in row)
    assert numbered(path) == expected


@in_one_folder
@given(json_rows)
def test_json_rows_come_back_equal(tmp_path: Path, table: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
    assert numbered(write(tmp_path, "rows.jsonl", lines)) == list(enumerate(table, start=1))
    for indent in (None, 2):
        document = json.dumps(table, ensure_ascii=indent is None, indent=indent)
        assert numbered(write(tmp_path, "rows.json", document)) == list(enumerate(table, start=1))


@in_one_folder
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "text": st.none() | words,
                "n": st.none() | st.integers(-(2**63), 2**63 - 1),
                "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "tags": st.none() | st.lists(words, max_size=3),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_parquet_rows_come_back_equal(tmp_path: Path, table: list[dict[str, Any]]) -> None:
    schema = pa.schema(
        {"text": pa.string(), "n": pa.int64(), "x": pa.float64(), "tags": pa.list_(pa.string())}
    )
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(table, schema), path, row_group_size=3)
    assert numbered(path) == list(enumerate(table, start=1))


def test_parquet_types_that_json_does_not_know_are_converted(tmp_path: Path) -> None:
    path = tmp_path / "types.parquet"
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    columns = {
        "timestamp": pa.array([moment], pa.timestamp("us", "UTC")),
        "nanoseconds": pa.array([1_000_000_001], pa.timestamp("ns")),
        "date": pa.array([moment.date()]),
        "time": pa.array([datetime.time(3, 4)], pa.time64("us")),
        "duration": pa.array([datetime.timedelta(seconds=1.5)]),
        "decimal": pa.array([decimal.Decimal("1.50")]),
        "text_bytes": pa.array(["字".encode()]),
        "bytes": pa.array([b"\xff\x00"]),
        "nan": pa.array([float("nan")]),
        "infinity": pa.array([float("inf")]),
        "map": pa.array([[(1, "a")]], pa.map_(pa.int32(), pa.string())),
    }
    pq.write_table(pa.table(columns), path)
    assert rows(path) == [
        {
            "timestamp": "2026-01-02T03:04:05+00:00",
            "nanoseconds": "1970-01-01T00:00:01",
            "date": "2026-01-02",
            "time": "03:04:00",
            "duration": 1.5,
            "decimal": "1.50",
            "text_bytes": "字",
            "bytes": "/wA=",
            "nan": None,
            "infinity": None,
            "map": {"1": "a"},
        }
    ]
