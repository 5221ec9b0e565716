"""A block that is taken column by column says the same as its rows one by one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks.reading import Batch, read_partition
from nlp_skills.data.example import Example, Message, Meta, encode
from nlp_skills.data.partitions import Scan
from nlp_skills.task.task import TaskType

TEXTS = st.sampled_from(["", " ", "why?", "no: 1", 'a "b"\n', "\x7f", "é", "台北 😀", "\u200b", "a\\b"])
TURNS = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS), max_size=4
)
METAS = st.builds(
    Meta, TEXTS, TEXTS, label=st.none() | TEXTS, group=st.none() | TEXTS, origin=st.none() | st.just({"n": 1})
)


def read(path: Path, lines: list[bytes]) -> Batch:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    [part] = Scan({"data/train.jsonl": path})
    return read_partition(TaskType.GENERATION, part)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(METAS, TURNS, TEXTS), min_size=1, max_size=8))
def test_plain_rows_are_read_the_same_together_and_one_by_one(
    tmp_path: Path, rows: list[tuple[Meta, list[Message], str]]
) -> None:
    lines = [encode(Example(meta=m, messages=[*said, Message("assistant", a)])) for m, said, a in rows]
    together = read(tmp_path / "ours.jsonl", lines)
    # Lines that are written otherwise, with spaces, are read one by one.
    spaced = [json.dumps(json.loads(line)).encode() for line in lines]
    alone = read(tmp_path / "spaced.jsonl", spaced)
    by_line = sorted(alone.faults, key=lambda fault: fault.line)
    assert sorted(together.faults, key=lambda fault: fault.line) == by_line
    assert replace(together, faults=[]) == replace(alone, faults=[])


GOOD = encode(Example(meta=Meta("1", "s"), messages=[Message("user", "x"), Message("assistant", "y")]))
HALF = GOOD.index(b',"messages"')


@pytest.mark.parametrize(
    ("lines", "broken"),
    [
        ([GOOD, GOOD + GOOD, GOOD], [2]),
        ([GOOD, GOOD[:HALF], GOOD[HALF:], GOOD], [2, 3]),
        ([GOOD[:HALF], GOOD[HALF:], GOOD + GOOD], [1, 2, 3]),
    ],
    ids=["two rows in a line", "a row over two lines", "both, so that the numbers agree"],
)
def test_a_row_is_exactly_one_line(tmp_path: Path, lines: list[bytes], broken: list[int]) -> None:
    batch = read(tmp_path / "rows.jsonl", lines)
    assert [(fault.kind, fault.line) for fault in batch.faults] == [("broken", line) for line in broken]
    assert (len(batch), batch.unread) == (len(lines) - len(broken), len(broken))


def test_blank_lines_count_as_lines_and_are_no_rows(tmp_path: Path) -> None:
    batch = read(tmp_path / "rows.jsonl", [b"", GOOD, b"", GOOD + b"\r"])
    assert (batch.runs, len(batch), batch.faults, batch.unread) == ([(0, 2), (1, 4)], 2, [], 0)
