"""A record is one file: what is written is read back, and a write happens whole or not at all."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from nlp_skills.errors import MissingExtra, NotFound, NotValid, did_you_mean, lasting
from nlp_skills.records import (
    Record,
    atomic_file,
    read_mapping,
    sha256_file,
    sha256_tree,
    write_atomic,
    write_lines,
)


class Part(Record):
    text: str
    weight: float | None = None


class Thing(Record):
    name: str
    count: int = 0
    parts: list[Part] = []
    extra: dict[str, str] = {}


PARTS = st.builds(Part, text=st.text(), weight=st.none() | st.floats(allow_nan=False, allow_infinity=False))
THINGS = st.builds(
    Thing,
    name=st.text() | st.text("\x85\u2028\u2029\ufeff\t\n\r\x00 '\"#:a🙂"),
    count=st.integers(-(2**53), 2**53),
    parts=st.lists(PARTS, max_size=3),
    extra=st.dictionaries(st.text(), st.text(), max_size=3),
)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
@given(thing=THINGS)
def test_what_is_saved_is_loaded_and_equal_values_have_equal_bytes(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, thing: Thing
):
    path = tmp_path_factory.getbasetemp() / f"thing{suffix}"
    path.unlink(missing_ok=True)
    assert thing.save(path) is thing
    again = Thing.load(path)
    assert again == thing
    assert again.to_bytes(suffix) == path.read_bytes() == thing.to_bytes(suffix)
    assert again.digest() == thing.digest()


def test_text_of_any_language_stands_in_the_file_as_it_is(tmp_path: Path):
    words = "我們的模型 一直搞錯 データ émoji 🙂"
    for name in ("a.yaml", "a.json"):
        Thing(name=words).save(tmp_path / name)
        assert words in (tmp_path / name).read_text(encoding="utf-8")


def test_json_says_null_and_yaml_leaves_it_out(tmp_path: Path):
    thing = Thing(name="a", parts=[Part(text="b")])
    assert (
        thing.to_bytes(".yaml").decode() == "name: a\ncount: 0\nparts:\n- text: b\nextra: {}\n"
        and '"weight": null' in thing.to_bytes(".json").decode()
    )


def test_a_yaml_file_that_a_person_wrote_is_changed_only_where_the_value_is(tmp_path: Path):
    path = tmp_path / "thing.yaml"
    written = (
        "# Written by hand.\n#\n\n# 說明\nname: 'a'  # why\nparts:\n"
        "  - text: |\n      two\n      lines\n  - {text: b, weight: 0.50}  # heavy\nextra: {b: c}\n"
    )
    path.write_text(written, encoding="utf-8")
    for count in (1, 2, 3):
        Thing.load(path).with_changes(count=count).save(path)
        assert path.read_text(encoding="utf-8") == f"{written}count: {count}\n"
    thing = Thing.load(path)
    one, two = thing.parts
    thing.with_changes(count=0, parts=[one.model_dump(), two.with_changes(weight=2).model_dump()]).save(path)
    assert path.read_text(encoding="utf-8") == written.replace("0.50}  #", "2.0}   #")


@given(before=THINGS, after=THINGS)
def test_whatever_stood_in_a_yaml_file_the_new_value_is_read_from_it(
    tmp_path_factory: pytest.TempPathFactory, before: Thing, after: Thing
):
    path = tmp_path_factory.getbasetemp() / "edited.yaml"
    path.unlink(missing_ok=True)
    before.save(path)
    after.save(path)
    assert Thing.load(path) == after


LISTS = """# the head
parts:
  # about one
  - name: one  # 1
    text: a

  # about two
  # and more of it
  - name: two
    text: |
      two
      lines
    # inside two
  # about three
  - text: c
    name: three  # 3

# about the words
words:
  - x  # the first
  # above y
  - y
# the tail
count: 0.50  # heavy
"""


class Named(Record):
    name: str
    text: str = ""


class Lists(Record):
    parts: list[Named] = []
    words: list[str] = []
    count: float = 0


def blocks_of(*names: str) -> str:
    first, rest = LISTS.split("  # about one\n", 1)
    one, rest = rest.split("\n  # about two\n", 1)
    two, three = rest.split("  # about three\n", 1)
    three, rest = three.split("\n# about the words", 1)
    found = {
        "one": f"  # about one\n{one}",
        "two": f"\n  # about two\n{two}",
        "three": f"  # about three\n{three}",
        "new": "  - name: new\n    text: |-\n      n\n      m\n",
    }
    return f"{first}{''.join(found[name] for name in names)}\n# about the words{rest}"


PARTS_BY_NAME = {
    "one": {"name": "one", "text": "a"},
    "two": {"name": "two", "text": "two\nlines\n"},
    "three": {"name": "three", "text": "c"},
    "new": {"name": "new", "text": "n\nm"},
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "names",
    ["two three", "one three", "one two", "three", "one two three new", "new two", "three new one two"],
)
def test_items_of_a_list_come_go_and_move_with_the_comments_above_them(tmp_path: Path, names: str, end: str):
    path = tmp_path / "lists.yaml"
    path.write_bytes(LISTS.replace("\n", end).encode())
    wanted = [PARTS_BY_NAME[name] for name in names.split()]
    Lists.load(path).with_changes(parts=wanted).save(path)
    assert path.read_bytes().decode() == blocks_of(*names.split()).replace("\n", end)


def test_a_list_of_words_is_matched_by_word_and_a_changed_item_stays_in_its_place(tmp_path: Path):
    path = tmp_path / "lists.yaml"
    path.write_text(LISTS, encoding="utf-8")
    Lists.load(path).with_changes(words=["y", "z"]).save(path)
    changed = LISTS.replace("  - x  # the first\n", "").replace("  - y\n", "  - y\n  - z\n")
    assert path.read_text(encoding="utf-8") == changed
    path.write_text(LISTS, encoding="utf-8")
    thing = Lists.load(path)
    renamed = [*(part.model_dump() for part in thing.parts[:2]), {"name": "drei", "text": "c"}]
    thing.with_changes(parts=renamed).save(path)
    assert path.read_text(encoding="utf-8") == LISTS.replace("name: three  # 3", "name: drei   # 3")


def test_a_file_with_windows_line_ends_keeps_them_where_a_value_changes(tmp_path: Path):
    path = tmp_path / "thing.yaml"
    path.write_bytes(b"# why\r\nname: a\r\nextra:\r\n  b: |\r\n    c\r\n    d\r\n")
    Thing.load(path).with_changes(count=2, extra={"b": "c\nd\n", "e": "f\ng"}).save(path)
    assert path.read_bytes() == (
        b"# why\r\nname: a\r\nextra:\r\n  b: |\r\n    c\r\n    d\r\n  e: |-\r\n    f\r\n    g\r\ncount: 2\r\n"
    )


@st.composite
def commented(draw: st.DrawFn) -> tuple[str, list[str], list[Named]]:
    """A file whose items have a comment above, beside and inside them; its names; the items that are wanted."""
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1))
    dash, gap = draw(st.sampled_from(["", "  ", "    "])), draw(st.sampled_from(["", "\n"]))
    block = st.sampled_from(["", f"|-\n{dash}    "])
    items = [
        f"{gap}{dash}# above {name}\n{dash}- name: {name}  # beside {name}\n{dash}  # inside {name}\n"
        f"{dash}  text: {draw(block)}text of {name}\n"
        for name in names
    ]
    text = f"parts:\n{''.join(items)}# the tail\ncount: 1\n"
    wanted = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    texts = {name: draw(st.just(f"text of {name}") | st.text()) for name in wanted}
    return text, names, [Named(name=name, text=texts[name]) for name in wanted]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(case=commented())
def test_comments_of_items_that_stay_are_beside_them_whatever_else_is_edited(
    tmp_path_factory: pytest.TempPathFactory, end: str, case: tuple[str, list[str], list[Named]]
):
    text, names, wanted = case
    path = tmp_path_factory.getbasetemp() / "commented.yaml"
    path.write_bytes(text.replace("\n", end).encode())
    after = Lists(parts=wanted, count=1)
    after.save(path)
    assert Lists.load(path) == after
    written = path.read_bytes().decode()
    assert written.count("\r\n") == (written.count("\n") if end == "\r\n" else 0)
    lines = [line.strip() for line in written.splitlines()]
    for part in wanted:
        if part.name in names:
            at = lines.index(f"- name: {part.name}  # beside {part.name}")
            assert (lines[at - 1], lines[at + 1]) == (f"# above {part.name}", f"# inside {part.name}")
        assert written.count(f"# above {part.name}") == (part.name in names)
    gone = {name for name in names if name not in {part.name for part in wanted}}
    if len(names) != len(wanted):  # else one that is new may stand in its place
        assert not any(f"# {where} {name}" in written for name in gone for where in ("above", "beside"))
    assert lines[-2:] == ["# the tail", "count: 1"]


def test_a_comment_without_a_line_end_does_not_swallow_the_first_field(tmp_path: Path):
    path = tmp_path / "thing.yaml"
    path.write_text("# nothing yet", encoding="utf-8")
    Thing(name="a").save(path)
    assert Thing.load(path) == Thing(name="a")


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path):
    path = tmp_path / "thing.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\r\ncount: 2\r\n")
    assert Thing.load(path) == Thing(name="a", count=2)


def test_a_date_in_yaml_is_text_with_and_without_quotes(tmp_path: Path):
    path = tmp_path / "thing.yaml"
    for date in ("2026-11-21", "2026-11-21T08:00:00Z", "2026-13-45"):
        path.write_text(f"name: {date}\n", encoding="utf-8")
        assert Thing.load(path).name == date


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nmae: a\n", 'nmae: unknown field (did you mean "name"?)'),
        ("nmae: a\n", "name: missing"),
        ("name: a\nzzz: 1\n", "zzz: unknown field"),
        ("name: a\ncount: many\n", "count: input should be a valid integer"),
        ("name: a\ncount: many\n", "not 'many'"),
        (
            "name: a\nparts: [{text: b, wieght: 2}]\n",
            'part 1: wieght: unknown field (did you mean "weight"?)',
        ),
        ("name: a\nparts: [{text: b, weight: .nan}]\n", "part 1: weight: input should be a finite number"),
        ("- a\n- b\n", "it holds no fields; write there name: …"),
        ("", "it is empty; write there name: …"),
        ("name: a\nparts: [one]\n", "part 1: it holds no fields; write there text: …"),
        ("".join(f"a{n}: 1\n" for n in range(9)), "and 5 more"),
    ],
)
def test_an_error_names_the_file_the_record_the_field_and_the_cure(tmp_path: Path, content: str, said: str):
    path = tmp_path / "thing.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NotValid) as caught:
        Thing.load(path)
    assert str(caught.value).startswith((f"{path}: ", f"{path}, line 1: ", f"{path}, line 2: "))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", b"name: [\n", "a.yaml:2:1: not valid YAML"),
        ("a.yaml", b"name: a\n  count: 1\n", "a.yaml:2:"),
        ("a.yaml", b"name: a\n\tcount: 1\n", "not valid YAML"),
        ("a.yaml", b"name: !!python/object:os.system x\n", "not valid YAML"),
        ("a.yaml", b"name: " + b"[" * 50_000, "a.yaml"),
        ("a.json", b'{"name": "a",}', "a.json: not valid JSON"),
        ("a.json", b"[" * 50_000, "a.json: not valid JSON"),
        ("a.json", b"\xff\xfe\x00", "a.json is not UTF-8 (byte 0). Save it as UTF-8."),
        ("a.yaml", "name: é\n".encode("latin-1"), "a.yaml is not UTF-8 (byte 6)"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes, said: str
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NotValid) as caught:
        Thing.load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path):
    with pytest.raises(NotFound, match=r"a\.yaml does not exist"):
        Thing.load(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("x", encoding="utf-8")
    with pytest.raises(NotFound, match="does not exist"):
        Thing.load(tmp_path / "b.yaml" / "c.yaml")
    with pytest.raises(NotValid, match="is a folder where a file is expected"):
        read_mapping(tmp_path)


def test_records_do_not_change_and_changes_are_validated():
    thing = Thing(name="a", count=1)
    with pytest.raises(ValueError, match="frozen"):
        thing.count = 2  # type: ignore[misc]
    assert thing.with_changes(count=2) == Thing(name="a", count=2)
    with pytest.raises(NotValid, match="count"):
        thing.with_changes(count="x")
    with pytest.raises(NotValid, match='nam: unknown field \\(did you mean "name"'):
        thing.with_changes(nam="x")


def test_an_error_while_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "deep" / "rows.jsonl"
    assert write_lines(path, [b"1", b"2"]) == 2

    def rows():
        yield b"3"
        raise NotValid("row 2 is bad")

    with pytest.raises(NotValid, match="row 2 is bad"):
        write_lines(path, rows())
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"1\n2\n"
    assert [p.name for p in path.parent.iterdir()] == ["rows.jsonl"]


def test_hashes_are_those_of_sha256sum_and_see_every_file_of_a_folder(tmp_path: Path):
    write_atomic(tmp_path / "a", b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    seen = {sha256_tree(tmp_path)}
    for name, content in (("b/c", b""), ("b/c", b"x"), ("b/d", b"x"), ("a", b"abcd")):
        write_atomic(tmp_path / name, content)
        seen.add(sha256_tree(tmp_path))
    assert len(seen) == 5
    assert sha256_tree(tmp_path) == sha256_tree(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.864, "0.86 seconds"),
        (1, "1 second"),
        (90, "1.5 minutes"),
        (7_200, "2 hours"),
        (86_400, "1 day"),
        (30 * 86_400, "30 days"),
        (4_000 * 86_400, "4,000 days"),
    ],
)
def test_a_length_of_time_is_told_in_the_unit_that_fits(seconds: float, shown: str):
    assert lasting(seconds) == shown


def test_did_you_mean_answers_near_misses_only():
    assert did_you_mean("lables", ["labels", "name"]) == ' (did you mean "labels"?)'
    assert did_you_mean("zzz", ["labels", "name"]) == ""


def test_a_missing_extra_says_the_command_that_installs_it():
    assert "uv sync " in str(MissingExtra("Training", "train")) and "--extra train" in str(
        MissingExtra("Training", "train")
    )


WRITER = """
import sys
from pathlib import Path
from nlp_skills.records import Record

class Big(Record):
    rows: list[str]

path = Path(sys.argv[1])
values = [Big(rows=[letter * 50] * 4000) for letter in sys.argv[2]]
print("ready", flush=True)
turn = 0
for line in sys.stdin:
    for _ in range(int(line)):
        values[turn % len(values)].save(path)
        turn += 1
        print(turn, flush=True)
"""


class Big(Record):
    rows: list[str]


def writer(path: Path, letters: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), letters],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{text}\n")
    child.stdin.flush()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX kill")
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path, suffix: str):
    path = tmp_path / f"big{suffix}"
    chance = random.Random(5)
    for _ in range(5):
        child = writer(path, "ab")
        say(child, "1000")
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 12)):
            child.stdout.readline()
        for _ in range(chance.randrange(20_000)):  # somewhere inside the next write
            pass
        child.kill()
        child.communicate()
        rows = Big.load(path).rows
        assert len(rows) == 4000 and set(rows) in ({"a" * 50}, {"b" * 50})


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
def test_a_private_file_stays_private_and_a_new_one_follows_the_umask(tmp_path: Path):
    private, new = tmp_path / "private.yaml", tmp_path / "new.yaml"
    private.touch()
    private.chmod(0o600)
    before = os.umask(0o027)
    try:
        for path in (private, new):
            Thing(name="a").save(path)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (private, new)] == [0o600, 0o640]


def test_two_writers_at_the_same_moment_leave_the_file_of_one_of_them(tmp_path: Path):
    path = tmp_path / "big.json"
    a, b = writer(path, "a"), writer(path, "b")
    won = set()
    for _ in range(60):
        say(a, "1")
        say(b, "1")
        assert a.stdout is not None and b.stdout is not None
        a.stdout.readline(), b.stdout.readline()
        rows = Big.load(path).rows
        assert len(rows) == 4000 and len(set(rows)) == 1
        won.add(rows[0])
    a.communicate(), b.communicate()
    assert (a.returncode, b.returncode) == (0, 0)
    assert won <= {"a" * 50, "b" * 50}
    assert [p.name for p in tmp_path.iterdir()] == ["big.json"]


def test_an_error_of_a_yaml_file_names_the_line_and_an_item_by_its_name(tmp_path: Path):
    path = tmp_path / "thing.yaml"
    path.write_text(
        "# a thing\nname: a\ncount: many\nparts:\n  - text: b\n    wieght: 2\n  - weight: 1\n",
        encoding="utf-8",
    )
    with pytest.raises(NotValid) as caught:
        Thing.load(path)
    assert str(caught.value) == (
        f"{path}, line 3: count: input should be a valid integer, unable to parse string as an integer, not 'many';"
        ' line 6: part 1: wieght: unknown field (did you mean "weight"?); line 7: part 2: text: missing'
    )


class Share(Record):
    part: float = Field(default=0.5, le=1)
    room: float = Field(default=1, le=20)


def test_per_cent_where_a_share_is_wanted_is_answered_with_the_share():
    with pytest.raises(NotValid, match=r"part: .*, not 80 \(did you mean 0\.8\?\)$"):
        Share.parse({"part": 80}, "it")
    for other in ({"part": 800}, {"room": 80}):
        with pytest.raises(NotValid, match=r", not 80+$"):
            Share.parse(other, "it")
