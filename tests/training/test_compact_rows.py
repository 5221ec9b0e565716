"""Rows in columns are the rows that were put in, and take a few bytes a token; Arrow reads them where they lie."""

import gc
import tracemalloc
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.tokens import TokenRow
from nlp_skills.training.compact_rows import CompactRows, compact, lengths_of, longest_places

ids = st.lists(st.integers(-100, 2**31 - 1), max_size=6)


@dataclass(frozen=True)
class Marked:
    """Of each kind of field one."""

    ids: list[int]
    good: bool
    name: str

    @property
    def length(self) -> int:
        return len(self.ids)


@given(st.lists(st.builds(Marked, ids, st.booleans(), st.text(max_size=3)), max_size=8))
def test_rows_come_back_as_they_were(rows: list[Marked]) -> None:
    found = compact(rows)
    assert compact(found) is found
    assert (list(found), found[1:-1], len(found)) == (rows, rows[1:-1], len(rows))
    assert [found[-1]] == rows[-1:] if rows else not found
    assert list(lengths_of(rows)) == [len(row.ids) for row in rows]
    assert found.flags("good") == [row.good for row in rows]
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
    assert longest_places(rows, 3) == order[:3]


@given(st.lists(st.tuples(ids, ids), max_size=8))
def test_arrow_reads_the_columns_where_they_lie(pairs: list[tuple[list[int], list[int]]]) -> None:
    from nlp_skills.training.methods.arrow_columns import columns_dataset, list_lengths

    rows = CompactRows(TokenRow(first, second) for first, second in pairs)
    made = columns_dataset({name: rows.column(name) for name in ("input_ids", "labels")})
    assert made.to_list() == [{"input_ids": first, "labels": second} for first, second in pairs]
    assert list(list_lengths(made, "input_ids")) == [len(first) for first, _ in pairs]
    values = rows.column("labels").values
    if values:
        there = made.data.column("labels").chunk(0).values.buffers()[1].address
        assert there == values.buffer_info()[0]


def test_a_token_takes_nine_bytes_with_its_label() -> None:
    gc.collect()
    tracemalloc.start()
    row = [1000 + n for n in range(200)]
    rows = CompactRows(TokenRow(list(row), list(row)) for _ in range(2000))
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert sum(rows.lengths) == 400_000
    assert taken < 9.5 * 400_000
