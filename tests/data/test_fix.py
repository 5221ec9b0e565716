"""A fix removes what its check finds, and changes nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from check_families import real_examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks import CHECKS
from nlp_skills.data.example import Example, Message, Meta, about_entity, encode
from nlp_skills.data.fixes import FIXES, FixCount, apply_fixes
from nlp_skills.data.validation import check_files
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task

LABELS = ["down", "flat", "up"]
SPLITS = ("train", "valid", "test")
COUNT = 60

busy = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
positions = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)


def make_task(type: str = "classification") -> Task:
    labels = LABELS if type == "classification" else []
    value = {"name": "t", "type": type, "goal": "Help.", "created": "now", "labels": labels}
    return Task.parse(value, "the test")


def row(text: str, label: str | None, **meta: Any) -> Example:
    said = [Message("system", "Help."), Message("user", text), Message("assistant", label or "?")]
    return Example(meta=Meta(id="i", source="s", label=label, **meta), messages=said)


def pair(prompt: str, chosen: str, rejected: str) -> bytes:
    return encode(
        Example(
            meta=Meta(id=prompt, source="s"),
            prompt=[Message("user", prompt)],
            chosen=[Message("assistant", chosen)],
            rejected=[Message("assistant", rejected)],
        )
    )


def word(number: int) -> str:
    """A word of its own: numbers alone would be nearly the same text."""
    return "".join("bdfgklmnprst"[int(digit)] + "aeiou"[int(digit) % 5] for digit in f"{number:03}")


def clean(split: str, count: int = COUNT) -> list[bytes]:
    """Distinct rows in a mixed order."""
    texts = [f"{split} {word(n)} says {word(7 * n)} to {word(n + 31)} in {split}" for n in range(count)]
    return [encode(row(text, LABELS[n % 3])) for n, text in enumerate(texts)]


def fix(
    folder: Path, checks: list[str], task: Task | None = None, **splits: list[bytes]
) -> dict[str, FixCount]:
    for name, lines in splits.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return apply_fixes(folder, checks, task or make_task())


def read(folder: Path, split: str = "train") -> list[bytes]:
    return (folder / f"{split}.jsonl").read_bytes().split(b"\n")[:-1]


def state(folder: Path, check: str, task: Task | None = None) -> str:
    """What the check says of the files that are there."""
    files = {f"data/{s}.jsonl": folder / f"{s}.jsonl" for s in SPLITS if (folder / f"{s}.jsonl").is_file()}
    others = dict.fromkeys(set(CHECKS) - {check}, "off")
    return check_files(files, (task or make_task()).with_changes(quality=others)).checks[check]


def done(count: FixCount) -> tuple[int, int]:
    return count.changed, count.dropped


def shown(count: FixCount) -> list[tuple[str, int]]:
    return [(row.file, row.line) for row in count.rows]


OPEN = b'{"meta":{"id":"a","source":"s","label":"up"},"messages":[{"role":"user","content":'
CLOSE = b'},{"role":"assistant","content":"up"}]}'

UNREADABLE = {
    "broken": b'{"meta": {"id": "a"',
    "no object": b"just text",
    "two values for a key": OPEN + b'"y","content":"x"' + CLOSE,
    "nan": OPEN + b"NaN" + CLOSE,
    "surrogate": OPEN + b'"\\ud83d"' + CLOSE,
    "too deep": OPEN + b"[" * 100_000 + b"]" * 100_000 + CLOSE,
    "damaged UTF-8": OPEN + '"夏目漱石「吾輩は猫'.encode() + b'\xe3"' + CLOSE,
}
RESTORED = {
    "byte order mark": (b"\xef\xbb\xbf" + OPEN + b'"x"' + CLOSE, OPEN + b'"x"' + CLOSE),
    "one value twice": (OPEN + b'"x","content":"x"' + CLOSE, OPEN + b'"x"' + CLOSE),
    "a lone accent": (OPEN + b'"caf\xe9"' + CLOSE, OPEN + '"café"'.encode() + CLOSE),
    "another encoding": (
        OPEN + '"这是一条关于股票市场的评论，今天大盘上涨"'.encode("gb18030") + CLOSE,
        OPEN + '"这是一条关于股票市场的评论，今天大盘上涨"'.encode() + CLOSE,
    ),
}


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=UNREADABLE)
@busy
@given(where=positions)
def test_lines_that_cannot_be_read_are_dropped(tmp_path: Path, line: bytes, where: list[int]) -> None:
    lines = clean("train")
    for count, position in enumerate(where):
        lines.insert(position + count, line)
    count = fix(tmp_path, ["DATA-JSON"], train=lines)["DATA-JSON"]
    assert (done(count), read(tmp_path)) == ((0, len(where)), clean("train"))
    assert shown(count) == [("data/train.jsonl", n + extra + 1) for extra, n in enumerate(where)]
    assert state(tmp_path, "DATA-JSON") == "passed"


@pytest.mark.parametrize(("line", "restored"), RESTORED.values(), ids=RESTORED)
@busy
@given(where=positions)
def test_lines_without_doubt_are_restored(
    tmp_path: Path, line: bytes, restored: bytes, where: list[int]
) -> None:
    lines = clean("train")
    expected = list(lines)
    for position in where:
        lines[position], expected[position] = line, restored
    count = fix(tmp_path, ["DATA-JSON"], train=lines)["DATA-JSON"]
    assert done(count) == (len(where), 0)
    assert [json.loads(one) for one in read(tmp_path)] == [json.loads(one) for one in expected]
    assert [one for n, one in enumerate(read(tmp_path)) if n not in where] == [
        one for n, one in enumerate(expected) if n not in where
    ]
    assert state(tmp_path, "DATA-JSON") == "passed"


def test_a_line_whose_encoding_is_in_doubt_is_dropped_and_more_of_them_tell(tmp_path: Path) -> None:
    """è is č in Central Europe's encodings."""
    french = "Les résultats de la société ont été très élevés cette année, déjà"
    lines = [OPEN + f'"{french} {n}"'.encode("cp1252") + CLOSE for n in range(8)]
    assert done(fix(tmp_path, ["DATA-JSON"], train=[*clean("train"), lines[0]])["DATA-JSON"]) == (0, 1)
    assert done(fix(tmp_path, ["DATA-JSON"], train=[*clean("train"), *lines])["DATA-JSON"]) == (8, 0)
    assert read(tmp_path)[-1] == OPEN + f'"{french} 7"'.encode() + CLOSE


def test_a_row_that_lacks_a_field_and_blank_lines_stay_as_they_are(tmp_path: Path) -> None:
    lines = [b'{"messages":[]}', b"", b"  ", *clean("train")]
    count = fix(tmp_path, list(FIXES), train=lines)
    assert {check: done(one) for check, one in count.items()} == dict.fromkeys(FIXES, (0, 0))
    assert read(tmp_path) == lines


def test_a_line_too_long_to_be_read_is_dropped_or_refused(tmp_path: Path) -> None:
    lines = [*clean("train"), b"[" + b"0," * (9 << 20)]
    with pytest.raises(NotValid, match=r"^data/train.jsonl:61 is longer than 16 MiB.*add DATA-JSON"):
        fix(tmp_path, ["DATA-EMPTY"], train=lines)
    assert done(fix(tmp_path, ["DATA-DUP"], train=lines)["DATA-DUP"]) == (0, 0)
    assert done(fix(tmp_path, ["DATA-JSON"], train=lines)["DATA-JSON"]) == (0, 1)
    assert read(tmp_path) == clean("train")


@busy
@given(where=positions, blank=st.sampled_from(["", " ", "\u200b\n", "　"]), answer=st.booleans())
def test_rows_in_which_nothing_is_said_are_dropped(
    tmp_path: Path, where: list[int], blank: str, answer: bool
) -> None:
    lines = clean("train")
    for n in where:
        turns = [Message("user", "q" if answer else blank), Message("assistant", blank if answer else "up")]
        lines[n] = encode(Example(meta=Meta(id=f"{n}", source="s", label="up"), messages=turns))
    count = fix(tmp_path, ["DATA-EMPTY"], train=lines)["DATA-EMPTY"]
    assert (done(count), shown(count)) == ((0, len(where)), [("data/train.jsonl", n + 1) for n in where])
    assert read(tmp_path) == [line for n, line in enumerate(clean("train")) if n not in where]
    assert state(tmp_path, "DATA-EMPTY") == "passed"


@busy
@given(where=positions)
def test_of_duplicates_the_first_stays(tmp_path: Path, where: list[int]) -> None:
    train, valid = clean("train"), clean("valid")
    count = fix(tmp_path, ["DATA-DUP"], train=[*train, *(train[n] for n in where)], valid=valid)["DATA-DUP"]
    assert (done(count), [line for _, line in shown(count)]) == (
        (0, len(where)),
        [COUNT + n for n in range(1, len(where) + 1)],
    )
    assert (read(tmp_path), read(tmp_path, "valid")) == (train, valid)
    assert state(tmp_path, "DATA-DUP") == "passed"


@busy
@given(where=positions, twice=st.booleans())
def test_all_rows_of_a_contradicted_input_are_dropped(tmp_path: Path, where: list[int], twice: bool) -> None:
    lines = clean("train")
    texts = [json.loads(line)["messages"][1]["content"] for line in lines]
    others = [encode(row(texts[n], LABELS[(n + 1) % 3])) for n in where]
    count = fix(tmp_path, ["DATA-CONFLICT"], train=[*lines, *others, *(others if twice else [])])[
        "DATA-CONFLICT"
    ]
    assert done(count) == (0, (3 if twice else 2) * len(where))
    assert read(tmp_path) == [line for n, line in enumerate(lines) if n not in where]
    assert state(tmp_path, "DATA-CONFLICT") == "passed"


def test_a_test_that_agrees_with_itself_wins_against_train(tmp_path: Path) -> None:
    same, other = encode(row("the question", "up")), encode(row("the question", "down"))
    count = fix(
        tmp_path, ["DATA-CONFLICT"], train=[*clean("train"), same], test=[*clean("test"), other, other]
    )
    assert done(count["DATA-CONFLICT"]) == (0, 1)
    assert (read(tmp_path), read(tmp_path, "test")) == (clean("train"), [*clean("test"), other, other])


def test_pairs_are_dropped_where_the_same_answers_are_judged_both_ways(tmp_path: Path) -> None:
    task = make_task("preference")
    kept = [pair("q", "a", "c"), pair("r", "b", "a")]
    lines = [pair("q", "a", "b"), kept[0], pair("q", "b", "a"), kept[1]]
    assert done(fix(tmp_path, ["DATA-CONFLICT"], task, train=lines)["DATA-CONFLICT"]) == (0, 2)
    assert read(tmp_path) == kept
    assert state(tmp_path, "DATA-CONFLICT", task) == "passed"


@busy
@given(where=positions, side=st.sampled_from(["valid", "test"]), same=st.booleans())
def test_leaks_leave_train_and_the_test_is_not_touched(
    tmp_path: Path, where: list[int], side: str, same: bool
) -> None:
    splits = {split: clean(split) for split in SPLITS}
    texts = [json.loads(line)["messages"][1]["content"] for line in splits["train"]]
    splits[side] += [
        splits["train"][n] if same else encode(row(texts[n], LABELS[(n + 1) % 3])) for n in where
    ]
    before = {split: list(lines) for split, lines in splits.items()}
    count = fix(tmp_path, ["SPLIT-LEAK"], **splits)["SPLIT-LEAK"]
    assert (done(count), shown(count)) == ((0, len(where)), [("data/train.jsonl", n + 1) for n in where])
    assert read(tmp_path) == [line for n, line in enumerate(before["train"]) if n not in where]
    assert [read(tmp_path, split) for split in ("valid", "test")] == [before["valid"], before["test"]]
    assert state(tmp_path, "SPLIT-LEAK") == "passed"


def test_a_text_of_test_goes_from_train_whatever_the_entity_that_it_is_about_there(tmp_path: Path) -> None:
    def about(entity: str, text: str) -> bytes:
        return encode(row(about_entity(entity, text), "up", entity=entity, group=f"{entity} {text}"))

    text = "Acme overtakes Birch in the north"
    train = [*clean("train"), about("Acme", text)]
    count = fix(tmp_path, ["SPLIT-LEAK"], train=train, test=[*clean("test"), about("Birch", text)])
    assert done(count["SPLIT-LEAK"]) == (0, 1)
    assert read(tmp_path) == train[:-1]
    assert state(tmp_path, "SPLIT-LEAK") == "passed"


@busy
@given(where=positions)
def test_groups_and_near_copies_of_the_test_leave_train_and_valid(tmp_path: Path, where: list[int]) -> None:
    test = [
        encode(row(f"test {word(n)} {word(3 * n)} {word(5 * n)}", "up", group=f"g{n}")) for n in range(COUNT)
    ]
    grouped = [
        encode(row(f"group {word(n)} {word(9 * n)} {word(4 * n)}", "up", group=f"g{n}")) for n in where
    ]
    long = " ".join(word(n) for n in range(40))
    test.append(encode(row(f"{long} the end", "up")))
    near = [encode(row(f"{long} the end!!", "up")), encode(row(f"{long} an end", "up"))]
    train, valid = clean("train"), clean("valid")
    count = fix(
        tmp_path, ["SPLIT-LEAK"], train=[*train, *grouped, near[0]], valid=[*valid, near[1]], test=test
    )
    assert done(count["SPLIT-LEAK"]) == (0, len(where) + 2)
    assert [read(tmp_path, split) for split in SPLITS] == [train, valid, test]
    assert state(tmp_path, "SPLIT-LEAK") == "passed"


@busy
@given(where=positions)
def test_of_nearly_equal_rows_the_first_stays(tmp_path: Path, where: list[int]) -> None:
    texts = [" ".join(word(n * COUNT + k) for k in range(20)) for n in range(COUNT)]
    lines = [encode(row(text, "up")) for text in texts]
    copies = [encode(row(f"{texts[n].upper()} again", "up")) for n in where]
    count = fix(tmp_path, ["DATA-NEARDUP"], train=[*lines, *copies])["DATA-NEARDUP"]
    assert (done(count), [line for _, line in shown(count)]) == (
        (0, len(where)),
        [COUNT + n for n in range(1, len(where) + 1)],
    )
    assert read(tmp_path) == lines
    assert state(tmp_path, "DATA-NEARDUP") == "passed"


@busy
@given(where=positions, variant=st.sampled_from(["UP", " up ", "Up\u200b", "ｕｐ"]))
def test_labels_get_the_tasks_spelling(tmp_path: Path, where: list[int], variant: str) -> None:
    lines = clean("train")
    expected = list(lines)
    for n in where:
        lines[n], expected[n] = encode(row(f"row {word(n)}", variant)), encode(row(f"row {word(n)}", "up"))
    count = fix(tmp_path, ["DATA-LABEL"], train=lines)["DATA-LABEL"]
    assert (done(count), shown(count)) == ((len(where), 0), [("data/train.jsonl", n + 1) for n in where])
    assert read(tmp_path) == expected
    assert state(tmp_path, "DATA-LABEL") == "passed"


def test_a_label_that_is_no_spelling_of_one_stays(tmp_path: Path) -> None:
    lines = [*clean("train"), encode(row("a text", "upp")), encode(row("another", None))]
    assert done(fix(tmp_path, ["DATA-LABEL"], train=lines)["DATA-LABEL"]) == (0, 0)
    assert read(tmp_path) == lines


@busy
@given(where=positions)
def test_garbled_texts_are_repaired(tmp_path: Path, where: list[int]) -> None:
    lines = clean("train")
    expected = list(lines)
    for n in where:
        text = f"le café {word(n)} était “fermé”"
        lines[n] = encode(row(text.encode().decode("latin-1"), "up"))
        expected[n] = encode(row(text, "up"))
    count = fix(tmp_path, ["DATA-MOJIBAKE"], train=lines)["DATA-MOJIBAKE"]
    assert (done(count), shown(count)) == ((len(where), 0), [("data/train.jsonl", n + 1) for n in where])
    assert read(tmp_path) == expected
    assert state(tmp_path, "DATA-MOJIBAKE") == "passed"


SECRET = "AKIAQ3EGRZ7LPX2MVWTN"


@busy
@given(where=positions)
def test_personal_data_are_masked_in_every_turn(tmp_path: Path, where: list[int]) -> None:
    lines = clean("train")
    for n in where:
        call = {
            "type": "function",
            "function": {"name": "f", "arguments": {"to": "erika.maier@acme-mail.de"}},
        }
        turns = [
            Message("user", f"{word(n)}: write to erika.maier@acme-mail.de"),
            Message("assistant", tool_calls=[call]),
            Message("tool", "sent"),
            Message("assistant", "Sent to erika.maier@acme-mail.de."),
        ]
        lines[n] = encode(Example(meta=Meta(id=f"{n}", source="s", label="up"), messages=turns))
    count = fix(tmp_path, ["DATA-PII"], train=lines)["DATA-PII"]
    assert done(count) == (len(where), 0)
    assert [(one.before, one.after) for one in count.rows] == [
        (f"{word(n)}: write to [email address]", f"{word(n)}: write to <email address>") for n in where
    ]
    for n in where:
        turns = json.loads(read(tmp_path)[n])["messages"]
        assert turns[0]["content"] == f"{word(n)}: write to <email address>"
        assert turns[1]["tool_calls"][0]["function"]["arguments"] == {"to": "<email address>"}
        assert turns[3]["content"] == "Sent to <email address>."
    assert [line for n, line in enumerate(read(tmp_path)) if n not in where] == [
        line for n, line in enumerate(lines) if n not in where
    ]
    assert state(tmp_path, "DATA-PII") == "passed"


def test_a_number_that_tells_a_card_becomes_a_text(tmp_path: Path) -> None:
    call = {
        "type": "function",
        "function": {"name": "pay", "arguments": {"card": 4556737586899855, "sum": 3}},
    }
    turns = [Message("user", "pay"), Message("assistant", tool_calls=[call])]
    line = encode(Example(meta=Meta(id="i", source="s"), messages=turns))
    assert done(fix(tmp_path, ["DATA-PII"], train=[line])["DATA-PII"]) == (1, 0)
    assert read(tmp_path) == [line.replace(b"4556737586899855", b'"<card number>"')]


@busy
@given(where=positions)
def test_secrets_are_masked_and_never_shown(tmp_path: Path, where: list[int]) -> None:
    lines = clean("train")
    for n in where:
        lines[n] = encode(row(f"{word(n)}: my key is {SECRET}, please", "up"))
    count = fix(tmp_path, ["DATA-SECRET"], train=lines)["DATA-SECRET"]
    assert (done(count), shown(count)) == ((len(where), 0), [("data/train.jsonl", n + 1) for n in where])
    assert SECRET not in count.model_dump_json() + (tmp_path / "train.jsonl").read_text("utf-8")
    assert state(tmp_path, "DATA-SECRET") == "passed"


@busy
@given(where=positions)
def test_pairs_of_equal_answers_are_dropped(tmp_path: Path, where: list[int]) -> None:
    task = make_task("preference")
    lines = [pair(f"question {word(n)}", f"good {word(n)}", "bad") for n in range(COUNT)]
    kept = [line for n, line in enumerate(lines) if n not in where]
    for n in where:
        lines[n] = pair(f"question {word(n)}", "the same", " the  same")
    count = fix(tmp_path, ["PREF-SAME"], task, train=lines)["PREF-SAME"]
    assert (done(count), shown(count)) == ((0, len(where)), [("data/train.jsonl", n + 1) for n in where])
    assert read(tmp_path) == kept
    assert state(tmp_path, "PREF-SAME", task) == "passed"


def test_a_clean_set_stays_as_it_is_to_the_byte(tmp_path: Path) -> None:
    splits = {split: clean(split) for split in SPLITS}
    counts = fix(tmp_path, list(FIXES), **splits)
    assert counts == dict.fromkeys(FIXES, FixCount())
    assert {split: read(tmp_path, split) for split in SPLITS} == splits
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.jsonl", "train.jsonl", "valid.jsonl"]


REAL = {
    "preference/dpo_en_demo.json": (
        "preference",
        {"DATA-MOJIBAKE": (1, 0), "DATA-DUP": (0, 3), "SPLIT-LEAK": (0, 2)},
    ),
    "tool_use/glaive_toolcall_en_demo.json": (
        "tool_use",
        {"DATA-DUP": (0, 23), "DATA-CONFLICT": (0, 2), "SPLIT-LEAK": (0, 12)},
    ),
}


@pytest.mark.parametrize(("file", "type", "expected"), [(file, *known) for file, known in REAL.items()])
def test_real_rows_are_mended_once(
    tmp_path: Path, shared_data: Path, file: str, type: str, expected: dict[str, tuple[int, int]]
) -> None:
    lines = [encode(example) for example in real_examples(shared_data / file, type)]
    cut = len(lines) * 4 // 5
    counts = fix(tmp_path, list(FIXES), make_task(type), train=lines[:cut], test=lines[cut:])
    assert {check: done(count) for check, count in counts.items() if count != FixCount()} == expected
    once = {split: read(tmp_path, split) for split in ("train", "test")}
    assert apply_fixes(tmp_path, FIXES, make_task(type)) == dict.fromkeys(FIXES, FixCount())
    assert {split: read(tmp_path, split) for split in ("train", "test")} == once
    assert not [check for check in FIXES if state(tmp_path, check, make_task(type)) == "found"]


def test_every_fix_belongs_to_a_check() -> None:
    assert set(FIXES) <= set(CHECKS)


def test_a_check_without_a_fix_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(NotValid) as error:
        fix(tmp_path, ["DATA-DUPP"], train=clean("train"))
    assert str(error.value) == (
        'DATA-DUPP has no automatic fix (did you mean "DATA-DUP"?). Fixable are: DATA-JSON, DATA-MOJIBAKE,'
        " DATA-SECRET, DATA-PII, DATA-LABEL, DATA-EMPTY, PREF-SAME, DATA-DUP, DATA-CONFLICT, SPLIT-LEAK,"
        " DATA-NEARDUP."
    )
