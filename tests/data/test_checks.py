"""A planted defect is found at exactly its rows, and a clean set has nothing to be found."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks import CHECKS
from nlp_skills.data.checks.balance import Balance
from nlp_skills.data.checks.duplicates import Duplicates
from nlp_skills.data.checks.labels import Labels
from nlp_skills.data.checks.leak import Leak
from nlp_skills.data.checks.lines import Lines
from nlp_skills.data.example import Example, Message, Meta, about_entity, encode
from nlp_skills.data.report import Finding, ValidationReport
from nlp_skills.data.validation import check_files
from nlp_skills.task.task import Task

LABELS = ["down", "flat", "up"]
TRAIN, VALID, TEST = "data/train.jsonl", "data/valid.jsonl", "data/test.jsonl"
COUNT = 60

busy = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""The machine may be busy, and every example of hypothesis writes its own files."""


STRUCTURAL = tuple(
    dict.fromkeys(check for family in (Lines, Duplicates, Labels, Balance, Leak) for check in family.checks)
)
"""The checks that this file is about; those of other families are off, and have tests of their own."""


def make_task(type: str = "classification", labels: list[str] = LABELS) -> Task:
    others = {check: "off" for check in CHECKS if check not in STRUCTURAL}
    value = {"name": "t", "type": type, "goal": "Help.", "created": "now", "quality": others}
    return Task.parse({**value, "labels": labels if type == "classification" else []}, "the test")


def row(text: str, label: str | None, **meta: Any) -> Example:
    said = [Message("system", "Help."), Message("user", text), Message("assistant", label or "?")]
    return Example(meta=Meta(id=text, source="s", label=label, **meta), messages=said)


def clean(split: str, count: int = COUNT) -> list[bytes]:
    """Distinct rows in a mixed order."""
    return [encode(row(f"{split} text: no. {n}", LABELS[n % 3])) for n in range(count)]


def check(folder: Path, task: Task, **splits: Iterable[bytes]) -> ValidationReport:
    files = {}
    for split, lines in splits.items():
        path = folder / f"{split}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        files[f"data/{split}.jsonl"] = path
    return check_files(files, task)


def places(finding: Finding) -> list[tuple[str, int]]:
    return [(shown.file, shown.line) for shown in finding.rows]


def only(report: ValidationReport, id: str) -> Finding:
    """The one finding of a report, of this check."""
    assert [finding.check for finding in report.findings] == [id]
    assert report.checks[id] == "found"
    others = {state for check, state in report.checks.items() if check != id and check in STRUCTURAL}
    assert {state for state in others if not state.startswith("does not apply")} <= {"passed"}
    return report.findings[0]


positions = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)


@busy
@given(where=positions, said=st.sampled_from([*LABELS, "sideways", "Up", "up ", ""]), seed=st.integers(0, 9))
def test_an_answer_that_is_not_the_rows_label_is_found_at_exactly_its_rows(
    tmp_path: Path, where: list[int], said: str, seed: int
) -> None:
    rows = [row(f"text: no. {n}", LABELS[(n + seed) % 3]) for n in range(COUNT)]
    for place in where:
        rows[place].messages[-1].content = said  # pyright: ignore[reportOptionalSubscript]
    wrong = [n for n in where if said != rows[n].meta.label]
    report = check(tmp_path, make_task(), train=map(encode, rows))
    found = [finding for finding in report.findings if finding.check == "DATA-LABEL"]
    assert [(finding.level, finding.count) for finding in found] == ([("error", len(wrong))] if wrong else [])
    for finding in found:
        assert places(finding) == [(TRAIN, n + 1) for n in wrong]
        unknown = "" if said in LABELS else ", no label of the task"
        shown = " ".join(f"answer {said!r}{unknown}; label".split())
        assert all(one.text.startswith(shown) for one in finding.rows)


@busy
@given(
    where=positions,
    group=st.sampled_from(["own", "none"]),
    pretty=st.booleans(),
)
def test_a_text_of_train_about_another_entity_is_a_leak_whatever_its_group_and_label(
    tmp_path: Path, where: list[int], group: str, pretty: bool
) -> None:
    def rows(split: str, entity: str) -> list[Example]:
        return [
            row(
                about_entity(entity, f"{split} text: no. {n}"),
                LABELS[n % 3],
                entity=entity,
                group=group_of(split, n),
            )
            for n in range(COUNT)
        ]

    def group_of(split: str, n: int) -> str | None:
        return f"{split} {n}" if group == "own" else None

    test = rows("test", "Birch")
    for n in where:
        test[n] = row(
            about_entity("Birch", f"train text: no. {n}"),
            LABELS[(n + 1) % 3],
            entity="Birch",
            group=group_of("x", n),
        )
    lines = [
        json.dumps(json.loads(encode(one)), indent=None).encode() if pretty else encode(one) for one in test
    ]
    task = Task.parse({**make_task().model_dump(mode="json"), "type": "entity_classification"}, "the test")
    report = check(tmp_path, task, train=map(encode, rows("train", "Acme")), test=lines)
    finding = only(report, "SPLIT-LEAK")
    assert (finding.level, finding.count) == ("error", len(where))
    assert finding.message.startswith("The same text as on another side of the split, about another entity: ")
    assert places(finding) == [(TEST, n + 1) for n in where]


def test_an_answer_is_compared_with_its_label_only_where_the_task_has_labels(tmp_path: Path) -> None:
    rows = [encode(row(f"text: no. {n}", "up", origin=None)).replace(b'"up"}]', b'"x"}]') for n in range(9)]
    report = check(tmp_path, make_task("generation"), train=rows)
    assert report.checks["DATA-LABEL"].startswith("does not apply")
    assert "DATA-LABEL" not in {finding.check for finding in report.findings}


def test_a_clean_set_passes_every_check(tmp_path: Path) -> None:
    report = check(tmp_path, make_task(), train=clean("train"), valid=clean("valid"), test=clean("test"))
    assert report.findings == []
    assert {check: report.checks[check] for check in STRUCTURAL} == dict.fromkeys(STRUCTURAL, "passed")
    assert report.passed
    assert report.files == {TRAIN: COUNT, VALID: COUNT, TEST: COUNT}


OPEN = b'{"meta":{"id":"a","source":"s"},"messages":[{"role":"user","content":'
CLOSE = b'},{"role":"assistant","content":"up"}]}'
LABELLED = OPEN.replace(b'"s"}', b'"s","label":"up"}')

FAULTS = {
    "broken": (b'{"meta": {"id": "a"', "DATA-JSON", "Not valid JSON"),
    "no object": (b"just text", "DATA-JSON", "Not valid JSON"),
    "duplicate key": (LABELLED + b'"y","content":"x"' + CLOSE, "DATA-JSON", "The same key twice"),
    "spaced duplicate key": (
        LABELLED.replace(b'"id":"a"', b'"id" : "b" , "id" : "a"') + b'"x"' + CLOSE,
        "DATA-JSON",
        "The same key twice",
    ),
    "nan": (OPEN + b"NaN" + CLOSE, "DATA-JSON", "NaN or Infinity"),
    "infinity": (OPEN + b"-Infinity" + CLOSE, "DATA-JSON", "NaN or Infinity"),
    "latin-1": (OPEN + b'"caf\xe9"' + CLOSE, "DATA-JSON", "Not UTF-8"),
    "bom": (b"\xef\xbb\xbf" + LABELLED + b'"x"' + CLOSE, "DATA-JSON", "byte order mark"),
    "surrogate": (OPEN + b'"\\ud83d"' + CLOSE, "DATA-JSON", "Half a character"),
    "too deep": (OPEN + b"[" * 100_000 + b"]" * 100_000 + CLOSE, "DATA-JSON", "Nested too deeply"),
    "control character": (OPEN + b'"a\tb"' + CLOSE, "DATA-JSON", "Not valid JSON"),
    "missing": (b'{"messages":[]}', "DATA-SCHEMA", "A missing field"),
    "unknown": (LABELLED + b'"x","loss_weight":1' + CLOSE, "DATA-SCHEMA", "not known"),
    "wrong type": (OPEN + b"7" + CLOSE, "DATA-SCHEMA", "wrong type"),
    "an array": (b"[1, 2]", "DATA-SCHEMA", "wrong type"),
    "no messages": (b'{"meta":{"id":"a","source":"s"}}', "DATA-SCHEMA", "No question with an answer"),
    "empty messages": (
        b'{"meta":{"id":"a","source":"s"},"messages":[]}',
        "DATA-SCHEMA",
        "No question with an answer",
    ),
    "no answer": (
        b'{"meta":{"id":"a","source":"s"},"messages":[{"role":"user","content":"x"}]}',
        "DATA-ROLES",
        "No answer at the end",
    ),
    "no content": (OPEN + b"null" + CLOSE, "DATA-SCHEMA", "No question with an answer"),
    "unknown role": (
        (OPEN + b'"x"' + CLOSE).replace(b'"user"', b'"narrator"'),
        "DATA-SCHEMA",
        "No question with an answer",
    ),
    "chosen without rejected": (
        b'{"meta":{"id":"a","source":"s"},"prompt":[{"role":"user","content":"x"}],'
        b'"chosen":[{"role":"assistant","content":"y"}]}',
        "DATA-SCHEMA",
        "No question with an answer",
    ),
}


@pytest.mark.parametrize(("line", "id", "message"), FAULTS.values(), ids=FAULTS)
@busy
@given(where=positions)
def test_a_faulty_line_is_found_where_it_stands(
    tmp_path: Path, line: bytes, id: str, message: str, where: list[int]
) -> None:
    lines = clean("train")
    for count, position in enumerate(where):
        # Distinct texts: only the fault itself shall be found.
        lines.insert(position + count, line.replace(b'"x"', b'"x%d"' % count))
    finding = only(check(tmp_path, make_task(), train=lines), id)
    assert message in finding.message
    assert finding.level == "error"
    assert places(finding) == [(TRAIN, position + count + 1) for count, position in enumerate(where)]
    assert all(shown.text for shown in finding.rows)


def test_null_fields_and_other_writings_are_no_fault(tmp_path: Path) -> None:
    plain = [json.loads(line) for line in clean("train")]
    for value in plain:
        value["tools"] = None
        value["messages"][1]["content"] += ': "quoted": é 台北 😀'
    lines = [json.dumps(value, indent=None, separators=(" , ", " : ")).encode() + b"\r" for value in plain]
    assert check(tmp_path, make_task(), train=[b"", *lines, b"  "]).findings == []


def test_a_duplicate_is_found_however_it_is_written(tmp_path: Path) -> None:
    lines = clean("train")
    value = json.loads(lines[7])
    value["meta"] = {"source": "elsewhere", "id": "another", "label": value["meta"]["label"]}
    value["messages"] = [dict(reversed(turn.items())) for turn in value["messages"]]
    lines.append(json.dumps(value, indent=None).encode())
    finding = only(check(tmp_path, make_task(), train=lines), "DATA-DUP")
    assert places(finding) == [(TRAIN, COUNT + 1)]
    assert finding.rows[0].text == "as data/train.jsonl:8: train text: no. 7"


@busy
@given(where=positions)
def test_exactly_the_planted_duplicates_are_found(tmp_path: Path, where: list[int]) -> None:
    lines = clean("train")
    lines += [lines[position] for position in where]
    finding = only(check(tmp_path, make_task(), train=lines), "DATA-DUP")
    assert (finding.level, finding.count) == ("warning", len(where))
    assert places(finding) == [(TRAIN, COUNT + n) for n in range(1, len(where) + 1)]


@busy
@given(where=positions)
def test_exactly_the_planted_conflicts_are_found(tmp_path: Path, where: list[int]) -> None:
    others = [encode(row(f"train text: no. {n}", LABELS[(n + 1) % 3])) for n in where]
    finding = only(check(tmp_path, make_task(), train=clean("train") + others), "DATA-CONFLICT")
    assert (finding.level, finding.count) == ("warning", len(where))
    assert places(finding) == [(TRAIN, COUNT + n) for n in range(1, len(where) + 1)]


def test_a_conflicting_row_that_stands_twice_is_a_duplicate_too(tmp_path: Path) -> None:
    other = encode(row("train text: no. 0", "up"))
    report = check(tmp_path, make_task(), train=[*clean("train"), other, other])
    assert [(f.check, f.count) for f in report.findings] == [("DATA-DUP", 1), ("DATA-CONFLICT", 2)]


@busy
@given(where=positions, side=st.sampled_from(["valid", "test"]), same=st.booleans())
def test_exactly_the_planted_leaks_are_found(tmp_path: Path, where: list[int], side: str, same: bool) -> None:
    splits = {"train": clean("train"), "valid": clean("valid"), "test": clean("test")}
    splits[side] += [
        splits["train"][n] if same else encode(row(f"train text: no. {n}", LABELS[(n + 1) % 3]))
        for n in where
    ]
    report = check(tmp_path, make_task(), **splits)
    finding = next(finding for finding in report.findings if finding.check == "SPLIT-LEAK")
    assert (finding.level, finding.count, report.passed) == ("error", len(where), False)
    assert places(finding) == [(f"data/{side}.jsonl", COUNT + n) for n in range(1, len(where) + 1)]
    assert {f.check for f in report.findings} == {"SPLIT-LEAK"} | (set() if same else {"DATA-CONFLICT"})


@busy
@given(where=positions)
def test_rows_of_a_group_on_two_sides_are_found(tmp_path: Path, where: list[int]) -> None:
    train = [encode(row(f"train {n}", LABELS[n % 3], group=f"g{n // 2}")) for n in range(COUNT)]
    test = [
        encode(row(f"test {n}", LABELS[n % 3], group=f"g{n if n in where else n + COUNT}")) for n in range(30)
    ]
    planted = [n for n in where if n < 30]
    report = check(tmp_path, make_task(), train=train, test=test)
    if not planted:
        assert report.findings == []
        return
    finding = only(report, "SPLIT-LEAK")
    assert finding.message.startswith("Of a group that also stands on another side of the split: ")
    assert places(finding) == [(TEST, n + 1) for n in planted]


def test_there_is_no_leak_to_look_for_in_one_file(tmp_path: Path) -> None:
    report = check(tmp_path, make_task(), train=clean("train"))
    assert report.checks["SPLIT-LEAK"] == (
        "does not apply: only data/train.jsonl has rows, so there is nothing to compare it with"
    )
    assert report.passed


@busy
@given(where=positions)
def test_labels_that_the_task_does_not_know_are_errors(tmp_path: Path, where: list[int]) -> None:
    lines = clean("train")
    for n in where:
        lines[n] = encode(row(f"train text: no. {n}", "upp"))
    report = check(tmp_path, make_task(), train=lines)
    finding = report.findings[0]
    assert (finding.check, finding.level, finding.count) == ("DATA-LABEL", "error", len(where))
    assert "'upp', which the task does not know (did you mean \"up\"?)" in finding.message
    assert places(finding) == [(TRAIN, n + 1) for n in where]


@busy
@given(where=positions)
def test_exactly_the_rows_without_a_label_are_errors(tmp_path: Path, where: list[int]) -> None:
    lines = clean("train")
    for n in where:
        lines[n] = encode(row(f"train text: no. {n}", None))
    finding = only(check(tmp_path, make_task(), train=lines), "DATA-LABEL")
    assert (finding.level, finding.count) == ("error", len(where))
    assert places(finding) == [(TRAIN, n + 1) for n in where]


@busy
@given(where=positions, spelling=st.sampled_from(["Up", " up", "UP\u200b", "\uff55\uff50"]))
def test_a_known_label_in_another_spelling_is_named(tmp_path: Path, where: list[int], spelling: str) -> None:
    lines = clean("train")
    for n in where:
        lines[n] = encode(row(f"train text: no. {n}", spelling))
    finding = check(tmp_path, make_task(), train=lines).findings[0]
    assert (finding.check, finding.level, finding.count) == ("DATA-LABEL", "error", len(where))
    assert 'which the task does not know (a spelling of "up")' in finding.message
    assert places(finding) == [(TRAIN, n + 1) for n in where]


@busy
@given(where=positions, separator=st.sampled_from(["-", "_", "  ", " - "]))
def test_one_label_in_two_spellings_is_found_without_a_list_of_labels(
    tmp_path: Path, where: list[int], separator: str
) -> None:
    labels = ["credit card" if n % 2 else "loan" for n in range(2 * COUNT)]
    for n in where:
        labels[2 * n + 1] = f"Credit{separator}Card"
    lines = [encode(row(f"text {n}", label)) for n, label in enumerate(labels)]
    report = check(tmp_path, make_task(labels=[]), train=lines)
    [finding] = [finding for finding in report.findings if finding.check == "DATA-LABEL"]
    assert finding.message.startswith(f"The label 'credit card' is also written 'Credit{separator}Card': ")
    assert (finding.level, finding.count) == ("warning", len(where))
    assert places(finding) == [(TRAIN, 2 * n + 2) for n in where]


def test_numbers_and_signs_are_labels_of_their_own(tmp_path: Path) -> None:
    labels = ["-1", "1", "+1", "1.5", "15", "c", "c++"]
    lines = [encode(row(f"text {n}", labels[n % 7])) for n in range(140)]
    assert check(tmp_path, make_task(labels=[]), train=lines).findings == []


def test_the_rows_of_labels_beyond_twenty_are_counted_together(tmp_path: Path) -> None:
    lines = [encode(row(f"text {n}", f"strange {chr(97 + n)}{n}")) for n in range(23)]
    report = check(tmp_path, make_task(), train=[*clean("train"), *lines])
    unknown = [finding for finding in report.findings if finding.check == "DATA-LABEL"]
    assert [finding.count for finding in unknown] == [1] * 20 + [3]
    assert unknown[-1].message == "3 more labels that the task does not know: 3 rows."
    assert places(unknown[-1]) == [(TRAIN, COUNT + 21), (TRAIN, COUNT + 22), (TRAIN, COUNT + 23)]


BLANKS = st.text(alphabet=" \t\n\u00a0\u3000\u200b\ufeff\u2800\u3164\u0000\u007f\u2060", max_size=8)


@busy
@given(where=positions, blank=BLANKS, role=st.sampled_from(["user", "assistant"]), other=st.booleans())
def test_exactly_the_blank_turns_are_found(
    tmp_path: Path, where: list[int], blank: str, role: str, other: bool
) -> None:
    lines = clean("train")
    for n in where:
        said = [Message("user", f"text {n}"), Message("assistant", "up")]
        said[role == "assistant"].content = blank
        # `other`: among rows that are told apart one by one, not read as columns.
        before = [Message("user", "你好", name="x" if other else None), Message("assistant", "hi")]
        lines[n] = encode(Example(meta=Meta(f"{n}", "s", label="up"), messages=[*before, *said]))
    report = check(tmp_path, make_task(), train=lines)
    [finding] = [finding for finding in report.findings if finding.check == "DATA-EMPTY"]
    level = "error" if role == "assistant" else "warning"
    assert (finding.level, finding.count) == (level, len(where))
    assert [(r.line, r.text) for r in finding.rows] == [
        (n + 1, f"turn {4 if role == 'assistant' else 3}, of '{role}', is blank") for n in where
    ]


@pytest.mark.parametrize("text", ["0", "…", "¿", "👍", "\u200b好", " x ", "\u0301"])
def test_a_text_of_which_anything_can_be_seen_is_not_blank(tmp_path: Path, text: str) -> None:
    lines = [*clean("train"), encode(row(text, "up")), encode(row("y", text))]
    report = check(tmp_path, make_task(labels=[]), train=lines)
    assert report.checks["DATA-EMPTY"] == "passed"


def test_a_preference_may_reject_silence_but_not_choose_it(tmp_path: Path) -> None:
    lines = [preference("a", "good", " "), preference("b", "\n", "bad"), preference(" ", "good", "bad")]
    report = check(tmp_path, make_task("preference"), train=lines)
    assert [(f.check, f.level, places(f)) for f in report.findings] == [
        ("DATA-EMPTY", "error", [(TRAIN, 2)]),
        ("DATA-EMPTY", "warning", [(TRAIN, 1), (TRAIN, 3)]),
    ]


ORDERS = {
    "a system turn in the middle": ("u a s u a", "turn 3: a system turn that is not the first"),
    "two system turns": ("s s u a", "turn 2: a system turn that is not the first"),
    "two questions": ("s u u a", "turn 3: a turn of 'user' after one of 'user'"),
    "two answers": ("u a a", "turn 3: a turn of 'assistant' after one of 'assistant'"),
    "the assistant first": ("s a u a", "the assistant speaks before the user"),
    "a result without a call": ("u a t a", "turn 3: a tool result that follows no tool call"),
    "a result at the start": ("t u a", "turn 1: a tool result that follows no tool call"),
    "a question before the answer": ("u c t u a", "turn 4: a turn of 'user' after one of 'tool'"),
}
ROLE = {"s": "system", "u": "user", "a": "assistant", "t": "tool", "c": "assistant"}


def conversation(order: str, text: str) -> bytes:
    said = [
        Message(
            ROLE[letter],
            f"{text} {n}",
            tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {}}}]
            if letter == "c"
            else None,
        )
        for n, letter in enumerate(order.split())
    ]
    return encode(Example(meta=Meta(text, "s"), messages=said))


@pytest.mark.parametrize(("order", "reason"), ORDERS.values(), ids=ORDERS)
@busy
@given(where=positions)
def test_exactly_the_rows_in_another_order_are_found(
    tmp_path: Path, order: str, reason: str, where: list[int]
) -> None:
    lines = [conversation("s u a", f"text {n}") for n in range(COUNT)]
    for n in where:
        lines[n] = conversation(order, f"text {n}")
    report = check(tmp_path, make_task("generation"), train=lines)
    [finding] = [finding for finding in report.findings if finding.message.startswith("Turns in an order")]
    assert (finding.check, finding.level, finding.count) == ("DATA-ROLES", "warning", len(where))
    assert [(r.line, r.text) for r in finding.rows] == [(n + 1, reason) for n in where]


@pytest.mark.parametrize(
    "order", ["u a", "s u a u a u a", "u c t a", "s u c t t c t a u a", "u c", "s a", "a"]
)
def test_an_order_that_templates_know_is_no_fault(tmp_path: Path, order: str) -> None:
    lines = [conversation(order, f"text {n}") for n in range(COUNT)]
    report = check(tmp_path, make_task("generation"), train=lines)
    assert [f for f in report.findings if f.message.startswith("Turns in an order")] == []


def test_rows_of_one_kind_have_the_same_identity_as_among_others(tmp_path: Path) -> None:
    """A block of one kind is read column by column; one odd row in it, and all are read one by one."""
    for order in ("u a", "s u a", "s u a u a", "s a", "u u a"):
        lines = [conversation(order, f"text {n % 20}") for n in range(40)]
        alike = check(tmp_path, make_task("generation"), train=lines, test=[*lines, b" "])
        mixed = check(tmp_path, make_task("generation"), train=lines, test=[b" ", *lines, b"{}"])
        pick = ("DATA-DUP", "DATA-CONFLICT", "SPLIT-LEAK")
        counts = [(f.check, f.count) for f in alike.findings if f.check in pick]
        assert counts == [(f.check, f.count) for f in mixed.findings if f.check in pick]
        assert [c for c in counts if c[0] == "SPLIT-LEAK"] == [("SPLIT-LEAK", 40)]
        assert alike.distributions["characters train"] == mixed.distributions["characters train"]


def test_rare_absent_and_outweighed_labels_are_warnings(tmp_path: Path) -> None:
    texts = [("up" if n % 20 else "down") for n in range(100)]
    report = check(
        tmp_path, make_task(), train=[encode(row(f"t{n}", label)) for n, label in enumerate(texts)]
    )
    assert [(f.check, f.level, f.count, f.message) for f in report.findings] == [
        ("DATA-BALANCE", "warning", 0, "Labels of the task without a row in train: flat."),
        ("DATA-BALANCE", "warning", 5, "Labels with fewer than 10 rows in train: down (5)."),
        (
            "DATA-BALANCE",
            "warning",
            95,
            "The largest label in train, up (95 rows), is more than 10 times the smallest, down (5).",
        ),
    ]
    assert report.passed


def test_rows_sorted_by_label_are_noticed_and_shuffled_ones_are_not(tmp_path: Path) -> None:
    lines = sorted(clean("train"), key=lambda line: json.loads(line)["meta"]["label"])
    finding = only(check(tmp_path, make_task(), train=lines), "DATA-ORDER")
    assert finding.message == (
        "data/train.jsonl is ordered by label: the label changes 2 times, "
        "where about 40 changes are expected in shuffled rows."
    )


@busy
@given(st.permutations(range(COUNT)))
def test_an_order_by_chance_is_no_order(tmp_path: Path, order: list[int]) -> None:
    lines = clean("train")
    labels = [LABELS[n % 3] for n in order]
    runs = 1 + sum(a != b for a, b in pairwise(labels))
    report = check(tmp_path, make_task(), train=[lines[n] for n in order])
    assert (report.checks["DATA-ORDER"] == "found") == (runs < 41 / 2)


def preference(prompt: str, chosen: str, rejected: str) -> bytes:
    return encode(
        Example(
            meta=Meta(id=prompt + chosen, source="s"),
            prompt=[Message("user", prompt)],
            chosen=[Message("assistant", chosen)],
            rejected=[Message("assistant", rejected)],
        )
    )


def test_preferences_conflict_only_when_the_same_answers_are_judged_the_other_way(tmp_path: Path) -> None:
    lines = [
        preference("q", "a", "b"),
        preference("q", "a", "c"),
        preference("q", "b", "a"),
        preference("r", "b", "a"),
    ]
    finding = only(check(tmp_path, make_task("preference"), train=lines), "DATA-CONFLICT")
    assert places(finding) == [(TRAIN, 3)]
    assert finding.rows[0].text == "the opposite judgement of data/train.jsonl:1: q"


def test_an_answer_that_is_called_good_and_bad_conflicts(tmp_path: Path) -> None:
    lines = [
        encode(
            Example(
                meta=Meta("i", "s", label=mark), messages=[Message("user", "q"), Message("assistant", answer)]
            )
        )
        for answer, mark in [("a", "true"), ("b", "false"), ("a", "false"), ("b", "false")]
    ]
    report = check(tmp_path, make_task("preference"), train=lines)
    assert [(f.check, places(f)) for f in report.findings] == [
        ("DATA-DUP", [(TRAIN, 4)]),
        ("DATA-CONFLICT", [(TRAIN, 3)]),
    ]


def test_rows_with_other_tools_are_other_rows(tmp_path: Path) -> None:
    def offer(name: str) -> bytes:
        said = [Message("user", "q"), Message("assistant", tool_calls=[{"name": name}])]
        return encode(Example(meta=Meta("i", "s"), messages=said, tools=[{"name": name}]))

    task = make_task("tool_use")
    assert check(tmp_path, task, train=[offer("f"), offer("g")]).findings == []
    assert only(check(tmp_path, task, train=[offer("f"), offer("f")]), "DATA-DUP").count == 1


def test_plain_texts_have_no_input_in_common(tmp_path: Path) -> None:
    lines = [
        encode(
            Example(
                meta=Meta("i", "s"), messages=[Message("system", "Write."), Message("assistant", f"text {n}")]
            )
        )
        for n in (1, 2, 1)
    ]
    assert places(only(check(tmp_path, make_task("generation"), train=lines), "DATA-DUP")) == [(TRAIN, 3)]


def test_checks_of_labels_do_not_run_where_there_are_none(tmp_path: Path) -> None:
    report = check(tmp_path, make_task("generation"), train=clean("train"))
    assert report.checks["DATA-BALANCE"] == "does not apply: a task of type generation has no labels"
    assert report.checks["DATA-ORDER"] == report.checks["DATA-BALANCE"]
    assert report.findings == []


def test_a_line_longer_than_any_model_reads_is_a_warning(tmp_path: Path) -> None:
    lines = [*clean("train"), encode(row("x" * (1 << 20), "up")), encode(row("y", "up"))]
    finding = only(check(tmp_path, make_task(), train=lines), "DATA-JSON")
    assert (finding.level, places(finding)) == ("warning", [(TRAIN, COUNT + 1)])


def test_a_file_without_line_ends_is_not_read_into_memory(tmp_path: Path) -> None:
    huge = b"[" + b"0," * (9 << 20)
    finding = only(check(tmp_path, make_task(), train=[*clean("train"), huge, *clean("more")]), "DATA-JSON")
    assert places(finding) == [(TRAIN, COUNT + 1)]
    assert finding.message == "So long that it was not read: 1 row."


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_the_last_line_counts_with_and_without_line_end(tmp_path: Path, ending: bytes) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join(clean("train")) + ending)
    assert check_files({TRAIN: path}, make_task()).files == {TRAIN: COUNT}


def test_every_json_test_file_as_a_line_is_reported_by_line(tmp_path: Path, shared_data: Path) -> None:
    """nst/JSONTestSuite: y_ has to parse, so it is only no example; n_ is no JSON; i_ may be either."""
    files = sorted((shared_data / "awkward" / "json_test_suite").iterdir())
    contents = [(path.name, path.read_bytes()) for path in files]
    lines = [(name, data) for name, data in contents if b"\n" not in data and data.strip()]
    assert len(lines) > 290
    for name, data in lines:
        report = check(tmp_path, make_task(), train=[*clean("train"), data, *clean("more")])
        found = {(finding.check, tuple(places(finding))) for finding in report.findings}
        here = ((TRAIN, COUNT + 1),)
        if name.startswith("n_"):
            assert found == {("DATA-JSON", here)}, name
        elif name.startswith("y_"):
            expected = {("DATA-SCHEMA", here)}
            assert found == (expected | {("DATA-JSON", here)} if "duplicated_key" in name else expected), name
        else:
            assert found in ({("DATA-JSON", here)}, {("DATA-SCHEMA", here)}), name
        assert not report.passed


@busy
@given(st.lists(st.binary(max_size=40).filter(lambda data: b"\n" not in data), max_size=6))
def test_any_bytes_give_a_report(tmp_path: Path, lines: list[bytes]) -> None:
    report = check(tmp_path, make_task(), train=lines)
    bad = [line for line in lines if line.strip()]
    assert sum(f.count for f in report.findings if f.check in ("DATA-JSON", "DATA-SCHEMA")) >= len(bad)
    assert ValidationReport.parse(json.loads(report.to_bytes()), "the report") == report
