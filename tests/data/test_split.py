"""Splitting: nobody is lost, nobody stands on two sides, and the same seed does the same again."""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
import xxhash
from hypothesis import assume, given
from hypothesis import strategies as st

from nlp_skills.data.example import Example, Message, Meta, about_entity
from nlp_skills.data.identity import Identities
from nlp_skills.data.sources.source import SPLITS, SplitName, SplitSettings
from nlp_skills.data.split import choose_sides, order_rows
from nlp_skills.errors import MissingExtra, NotValid


def row(
    number: int,
    text: str | None = None,
    label: str | None = None,
    group: str | None = None,
    source: str = "s",
) -> Example:
    said = [Message("user", text or f"text {number}"), Message("assistant", label or "answer")]
    meta = Meta(id=f"{source}-{number}", source=source, line=number, label=label, group=group)
    return Example(meta=meta, messages=said)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 40),  # the text
        st.sampled_from(["a", "b", "c"]),
        st.none() | st.integers(0, 6).map(str),
        st.sampled_from(["s", "t"]),
    ),
    min_size=2,
    max_size=60,
).map(
    lambda cells: [
        row(n, f"text {t}", label, group, source) for n, (t, label, group, source) in enumerate(cells)
    ]
)
SINGLES = st.lists(st.sampled_from("abcd"), min_size=3, max_size=80).map(
    lambda labels: [row(n, label=label) for n, label in enumerate(labels)]
)
SHARES = st.floats(0, 0.45)
SETTINGS = st.builds(
    SplitSettings, valid=SHARES, test=SHARES, seed=st.integers(0, 99), stratify=st.booleans()
)


def split_examples(rows: list[Example], settings: SplitSettings) -> dict[SplitName, list[Example]]:
    """The rows of each side in its order, as a regeneration writes them."""
    known = Identities(settings.seed)
    for example in rows:
        known.add(example, by_id=True, size=1)
    sides = choose_sides(
        known, range(len(rows)), settings, lambda n: rows[n].meta.group or "", lambda n: rows[n].input_text
    )
    return {
        name: [rows[n] for n in order_rows(known, (n for n, side in enumerate(sides) if side == place))]
        for place, name in enumerate(SPLITS)
    }


def split(rows: list[Example], settings: SplitSettings) -> dict[str, list[Example]]:
    """The split, or no example for Hypothesis where the settings leave nothing to train on."""
    try:
        return {**split_examples(rows, settings)}
    except NotValid:
        assume(False)
        raise


def sides_of(sides: Mapping[Any, list[Example]]) -> dict[str, str]:
    return {example.meta.id: name for name, side in sides.items() for example in side}


@given(rows=ROWS, settings=SETTINGS)
def test_every_row_is_on_one_side(rows: list[Example], settings: SplitSettings):
    sides = split(rows, settings)
    assert tuple(sides) == SPLITS
    assert Counter(e.meta.id for side in sides.values() for e in side) == Counter(e.meta.id for e in rows)


@given(rows=ROWS, settings=SETTINGS)
def test_a_group_and_an_input_are_never_on_two_sides(rows: list[Example], settings: SplitSettings):
    sides = split(rows, settings)
    places: dict[str, set[str]] = defaultdict(set)
    for name, side in sides.items():
        for example in side:
            places[f"input {example.input_text}"].add(name)
            if example.meta.group is not None:
                places[f"group {example.meta.group}"].add(name)
    assert {key: found for key, found in places.items() if len(found) > 1} == {}


@given(
    cells=st.lists(
        st.tuples(
            st.integers(0, 12),  # the text
            st.sampled_from(["Acme", "Birch", None]),
            st.sampled_from(["up", "down"]),
            st.none() | st.integers(0, 9).map(str),  # the column that became the group
        ),
        min_size=2,
        max_size=40,
    ),
    settings=SETTINGS,
)
def test_one_text_is_never_on_two_sides_whatever_its_entity_label_and_group(
    cells: list[tuple[int, str | None, str, str | None]], settings: SplitSettings
):
    rows = [row(n, f"text {t}", label, group) for n, (t, _, label, group) in enumerate(cells)]
    for example, (_, entity, _, _) in zip(rows, cells, strict=True):
        if entity is not None:
            said = example.context[-1]
            example.meta.entity, said.content = entity, about_entity(entity, said.content or "")
    sides = sides_of(split(rows, settings))
    texts: dict[object, set[str]] = defaultdict(set)
    for example, (text, _, _, group) in zip(rows, cells, strict=True):
        texts[text].add(sides[example.meta.id])
        texts[group].add(sides[example.meta.id] if group is not None else "")
    assert {text: found for text, found in texts.items() if len(found) > 1} == {}


def plainly(rows: list[Example], settings: SplitSettings) -> dict[str, str]:
    """The sides as a short program with all rows and strings in memory chooses them: the first one there was."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    inputs = [f"input {example.asked_hash()}" for example in rows]
    for example, key in zip(rows, inputs, strict=True):
        if example.meta.group is not None:
            a, b = sorted((root(key), root(f"group {example.meta.group}")))
            parent[b] = a
    groups: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(inputs):
        groups[root(key)].append(index)
    strata: dict[str | None, list[str]] = defaultdict(list)
    for key, members in groups.items():
        labels = Counter(rows[n].meta.label for n in members)
        strata[labels.most_common(1)[0][0] if settings.stratify else None].append(key)
    for keys in strata.values():
        keys.sort(key=lambda key: xxhash.xxh3_128_hexdigest(f"{settings.seed} {key}".encode()))
    sizes = {"test": round(len(rows) * settings.test), "valid": round(len(rows) * settings.valid)}
    sides: dict[str, str] = {}
    for name, size in sizes.items():
        counts = {label: sum(len(groups[key]) for key in keys) for label, keys in strata.items()}
        shares = {label: count * size / max(1, sum(counts.values())) for label, count in counts.items()}
        room = {label: int(share) for label, share in shares.items()}
        by_remainder = sorted(shares, key=lambda label: (room[label] - shares[label], str(label)))
        for label in by_remainder[: size - sum(room.values())]:
            room[label] += 1
        for label, keys in strata.items():
            for key in list(keys):
                if len(groups[key]) <= room[label]:
                    room[label] -= len(groups[key])
                    keys.remove(key)
                    sides |= {rows[n].meta.id: name for n in groups[key]}
    return {example.meta.id: sides.get(example.meta.id, "train") for example in rows}


@given(rows=ROWS, settings=SETTINGS)
def test_sides_are_those_that_a_program_without_compact_tables_chooses(
    rows: list[Example], settings: SplitSettings
):
    assert sides_of(split(rows, settings)) == plainly(rows, settings)


@given(rows=ROWS, settings=SETTINGS, data=st.data())
def test_the_order_of_a_side_does_not_depend_on_the_order_of_the_rows(
    rows: list[Example], settings: SplitSettings, data: st.DataObject
):
    settings = settings.with_changes(stratify=False)
    shuffled = data.draw(st.permutations(rows))
    assert split(rows, settings) == split(list(shuffled), settings)


@given(rows=ROWS, settings=SETTINGS)
def test_the_same_seed_gives_the_same_split(rows: list[Example], settings: SplitSettings):
    assert split(rows, settings) == split(list(rows), settings)


@given(rows=ROWS, settings=SETTINGS, data=st.data())
def test_sides_do_not_depend_on_the_order_of_the_rows(
    rows: list[Example], settings: SplitSettings, data: st.DataObject
):
    # The label of a group of mixed labels is that of most of its rows; where two are as many, the first counts.
    settings = settings.with_changes(stratify=False)
    shuffled = data.draw(st.permutations(rows))
    assert sides_of(split(rows, settings)) == sides_of(split(list(shuffled), settings))


@given(rows=SINGLES, settings=SETTINGS)
def test_sizes_are_exact_and_shares_of_labels_within_one_row_where_rows_are_single(
    rows: list[Example], settings: SplitSettings
):
    sides = split(rows, settings)
    test, valid = round(len(rows) * settings.test), round(len(rows) * settings.valid)
    assert {name: len(side) for name, side in sides.items()} == {
        "train": len(rows) - test - valid,
        "valid": valid,
        "test": test,
    }
    if settings.stratify:
        total = Counter(e.meta.label for e in rows)
        found = Counter(e.meta.label for e in sides["test"])
        for label, count in total.items():
            assert abs(found[label] - count * test / len(rows)) < 1
        left = Counter(e.meta.label for e in (*sides["train"], *sides["valid"]))
        found = Counter(e.meta.label for e in sides["valid"])
        for label, count in left.items():
            assert abs(found[label] - count * valid / left.total()) < 1


@given(rows=ROWS, settings=SETTINGS)
def test_a_side_is_never_larger_than_asked_and_short_by_less_than_a_group_of_each_label(
    rows: list[Example], settings: SplitSettings
):
    sides = split(rows, settings)
    asked = round(len(rows) * settings.test)
    assert len(sides["test"]) <= asked
    groups = Counter(e.meta.group or e.input_text for e in rows)
    if max(groups.values()) == 1 and max(Counter(e.input_text for e in rows).values()) == 1:
        assert len(sides["test"]) == asked


def test_another_seed_gives_another_split():
    rows = [row(n) for n in range(200)]
    one, two = (sides_of(split_examples(rows, SplitSettings(seed=seed))) for seed in (1, 2))
    assert sum(one[key] != two[key] for key in one) > 40


def test_rows_that_are_added_move_few_others():
    rows = [row(n, label="ab"[n % 3 == 0]) for n in range(1000)]
    before = sides_of(split_examples(rows, SplitSettings()))
    added = [row(n, label="ab"[n % 3 == 0]) for n in range(1000, 1050)]
    after = sides_of(split_examples([*added[:25], *rows, *added[25:]], SplitSettings()))
    assert sum(before[key] != after[key] for key in before) <= 30


def test_a_side_is_not_sorted_by_label_or_by_place():
    rows = [row(n, label="ab"[n >= 100]) for n in range(200)]
    train = split_examples(rows, SplitSettings())["train"]
    assert {e.meta.label for e in train[:20]} == {"a", "b"}
    assert [e.meta.id for e in train] != sorted(e.meta.id for e in train)


def test_the_same_group_in_two_sources_is_one_group():
    rows = [row(n, group=str(n % 30), source=source) for source in ("s", "t") for n in range(60)]
    sides = sides_of(split_examples(rows, SplitSettings()))
    for n in range(60):
        assert sides[f"s-{n}"] == sides[f"t-{n}"] == sides[f"s-{n % 30}"]


def test_another_instruction_moves_no_row():
    rows = [row(n, label="ab"[n % 2]) for n in range(100)]
    told = [
        Example(meta=e.meta, messages=[Message("system", "Say a or b."), *(e.messages or [])]) for e in rows
    ]
    assert sides_of(split_examples(rows, SplitSettings())) == sides_of(split_examples(told, SplitSettings()))


def test_numbers_of_rows_can_be_asked_for_and_what_is_over_is_left_out():
    rows = [row(n) for n in range(100)]
    sides = split_examples(rows, SplitSettings(train=30, valid=10, test=20))
    assert {name: len(side) for name, side in sides.items()} == {"train": 30, "valid": 10, "test": 20}
    sides = split_examples(rows, SplitSettings(train=500, valid=10, test=20))
    assert len(sides["train"]) == 70
    sides = split_examples(rows, SplitSettings(train=0.1, valid=0, test=0.5))
    assert {name: len(side) for name, side in sides.items()} == {"train": 10, "valid": 0, "test": 50}


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        (10, SplitSettings(valid=5, test=5), "valid 5 and test 5 take 10 rows, but there are only 10"),
        (10, SplitSettings(valid=0.5, test=0.5), "valid 0.5 and test 0.5 take 10 rows"),
        (1, SplitSettings(valid=1, test=0), "take 1 rows, but there are only 1"),
    ],
)
def test_a_split_that_leaves_nothing_to_train_on_is_refused(rows: int, settings: SplitSettings, said: str):
    with pytest.raises(NotValid, match=r"data_source\.yaml: split") as caught:
        split_examples([row(n) for n in range(rows)], settings)
    assert said in str(caught.value)


def test_one_group_with_everything_is_trained_on_and_not_divided():
    rows = [row(n, group="g") for n in range(10)]
    assert {name: len(side) for name, side in split_examples(rows, SplitSettings()).items()} == {
        "train": 10,
        "valid": 0,
        "test": 0,
    }


def test_shares_are_of_the_rows_that_are_used_where_train_is_a_number():
    rows = [row(number, label="ab"[number % 2]) for number in range(1000)]
    sides = split_examples(rows, SplitSettings(train=70, valid=0.1, test=0.2))
    assert {name: len(side) for name, side in sides.items()} == {"train": 70, "valid": 10, "test": 20}
    sides = split_examples(rows, SplitSettings(train=80, valid=0.1, test=100))
    assert {name: len(side) for name, side in sides.items()} == {"train": 80, "valid": 20, "test": 100}


WORDS = [
    f"{a}{b}" for a in ("ba", "ce", "di", "fo", "gu", "ha", "ki", "lo") for b in ("nar", "tel", "mig", "sod")
]


def sentence(number: int) -> str:
    """Twelve words; those of different numbers have hardly a sequence of three in common."""
    return " ".join(random.Random(number).choices(WORDS, k=12))


def pairs(count: int) -> list[Example]:
    """Sentences, each followed by one that says the same with one more word."""
    texts = [text for n in range(count) for text in (sentence(n), f"{sentence(n)} again")]
    return [row(n, text, "ab"[n // 2 % 2]) for n, text in enumerate(texts)]


SIMILAR = SplitSettings(valid=0.2, test=0.2, similar=0.8)


def test_similar_rows_stay_on_one_side_and_the_sides_keep_their_sizes() -> None:
    rows = pairs(100)
    sides = split_examples(rows, SIMILAR)
    where = sides_of(sides)
    assert [n for n in range(0, 200, 2) if where[rows[n].meta.id] != where[rows[n + 1].meta.id]] == []
    assert {name: len(side) for name, side in sides.items()} == {"train": 120, "valid": 40, "test": 40}


def test_without_the_setting_similar_rows_are_divided_like_others() -> None:
    rows = pairs(100)
    where = sides_of(split_examples(rows, SIMILAR.with_changes(similar=None)))
    assert any(where[rows[n].meta.id] != where[rows[n + 1].meta.id] for n in range(0, 200, 2))


def test_the_side_of_similar_rows_does_not_depend_on_their_order() -> None:
    rows = pairs(60)
    assert sides_of(split_examples(rows, SIMILAR)) == sides_of(split_examples(rows[::-1], SIMILAR))


def test_rows_that_are_all_alike_are_still_divided() -> None:
    rows = [row(n, f"one two three four five six seven eight nine ten eleven {n}") for n in range(100)]
    sides = split_examples(rows, SIMILAR)
    assert {name: len(side) for name, side in sides.items()} == {"train": 60, "valid": 20, "test": 20}


def test_where_rows_that_are_all_alike_go_does_not_depend_on_their_order() -> None:
    rows = [row(n, f"order {n} {sentence(0)} {sentence(1)}") for n in range(300)]
    sides = sides_of(split_examples(rows, SIMILAR))
    assert sides == sides_of(split_examples(rows[::-1], SIMILAR))
    assert sides == sides_of(split_examples(random.Random(1).sample(rows, k=300), SIMILAR))


def test_rows_that_are_alike_stay_together_where_each_is_there_several_times() -> None:
    rows = [row(3 * n + copy, e.input_text) for n, e in enumerate(pairs(100)) for copy in range(3)]
    where = sides_of(split_examples(rows, SIMILAR))
    together = [{where[e.meta.id] for e in rows[start : start + 6]} for start in range(0, 600, 6)]
    assert [sides for sides in together if len(sides) > 1] == []
    assert Counter(where.values()).keys() == set(SPLITS)


def test_without_the_data_extra_the_error_says_how_to_do_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtra) as caught:
        split_examples(pairs(10), SIMILAR)
    said = str(caught.value).split(". ")[-1]
    assert said.startswith("Install it with: uv sync")
    assert said.endswith(
        "--extra data (or, without a checkout: pip install 'nlp-skills[data]'), or delete `similar:` under split in data_source.yaml"
    )
