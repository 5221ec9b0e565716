"""What was added, removed and changed: as a short program with all rows in memory says it."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.difference import Difference, Named, compare_rows
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.identity import Identities, equal_rows, name_key, sort_rows

Row = tuple[int, int, int]
"""What tells it from others, what it holds, and its side."""
ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 2)), max_size=40)


def named(rows: list[Row]) -> Named:
    found = Named()
    for name, content, side in rows:
        found.names += bytes([name * 20]) + bytes(15)
        found.contents += bytes([content]) + bytes(15)
        found.sides.append(side)
    return found


def plainly(before: list[Row], after: list[Row]) -> Difference:
    stayed = (Counter(before) & Counter(after)).total()
    old, new = (Counter(row[:2] for row in rows) for rows in (before, after))
    gone: dict[int, int] = defaultdict(int)
    come: dict[int, int] = defaultdict(int)
    for found, rows, others in ((gone, old, new), (come, new, old)):
        for (name, _), count in (rows - others).items():
            found[name] += count
    changed = sum(min(gone[name], come[name]) for name in {*gone, *come})
    moved = (old & new).total() - stayed
    return Difference(sum(come.values()) - changed, sum(gone.values()) - changed, changed, moved)


@given(before=ROWS, after=ROWS)
def test_rows_are_added_removed_changed_and_moved(before: list[Row], after: list[Row]):
    found = compare_rows(named(before), named(after))
    assert found == plainly(before, after)
    assert len(before) + found.added - found.removed == len(after)
    assert compare_rows(named(after), named(after)) == Difference()


@given(keys=st.lists(st.binary(min_size=16, max_size=16) | st.just(bytes(16)), max_size=60))
def test_rows_are_sorted_and_grouped_by_their_keys(keys: list[bytes]):
    joined = bytearray(b"".join(keys))
    rows = range(len(keys))
    assert list(sort_rows(joined, rows)) == sorted(rows, key=lambda row: keys[row])
    expected = defaultdict(list)
    for row in rows:
        expected[keys[row]].append(row)
    assert sorted(equal_rows(joined, rows)) == sorted(found for found in expected.values() if len(found) > 1)


def example(number: int, text: str, label: str | None, system: str | None = None) -> Example:
    told = [Message("system", system)] if system else []
    turns = [*told, Message("user", text), Message("assistant", label or "x")]
    return Example(meta=Meta(id=f"s-{number}", source="s", line=number, label=label), messages=turns)


TEXTS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.sampled_from("abc")), max_size=30)


@given(texts=TEXTS, cut=st.integers(0, 30))
def test_what_is_known_of_rows_is_the_same_in_one_part_and_in_two(
    texts: list[tuple[str, str | None]], cut: int
):
    rows = [example(number, *cells) for number, cells in enumerate(texts)]

    def known(examples: list[Example]) -> Identities:
        found = Identities(7)
        for number, one in enumerate(examples):
            found.add(one, by_id=False, size=number + 1)
        return found

    whole, first = known(rows), known(rows[:cut])
    second = Identities(7)
    for number, one in enumerate(rows[cut:], start=cut):
        second.add(one, by_id=False, size=number + 1)
    first.extend(second)
    assert first == whole
    assert [first.label_of(row) for row in range(len(first))] == [label for _, label in texts]


def test_a_row_without_an_id_is_told_by_what_it_says_and_not_by_the_instruction():
    one, moved = example(1, "text", "a", "Say a."), example(9, "text", "a", "Say a or b.")
    assert name_key(one, by_id=False) == name_key(moved, by_id=False)
    assert name_key(one, by_id=True) != name_key(moved, by_id=True)
    assert name_key(one, by_id=False) != name_key(example(1, "text", "b"), by_id=False)
