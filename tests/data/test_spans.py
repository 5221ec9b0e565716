"""Offsets are compared with the text that they were counted in."""

import json
from pathlib import Path
from typing import Any

import pytest
from check_families import chat, lines, make_task, over_rows, real_examples
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.checks.spans import Spans
from nlp_skills.data.example import Example

TASK = make_task("extraction")
COUNT = 30
places = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)
TEXT = "In 1843 {name} wrote the first program in London."


def spans(text: str, *names: str, shift: int = 0, inclusive: int = 0) -> list[dict[str, Any]]:
    found = [(name, text.index(name) + shift) for name in names]
    return [{"text": n, "label": "X", "start": at, "end": at + len(n) - inclusive} for n, at in found]


def clean(count: int = COUNT) -> list[Example]:
    rows = []
    for n in range(count):
        text = TEXT.format(name=f"Ada {n} 愛達😀")
        found = {"entities": spans(text, f"Ada {n} 愛達😀", "London", inclusive=n % 2)}
        question = text if n % 3 else f"Extract names and places.\nAnswer in JSON.\n{text}"
        rows.append(chat(question, json.dumps(found, ensure_ascii=False)))
    return rows


def test_offsets_that_match_pass_wherever_the_text_begins() -> None:
    found = over_rows(Spans, clean(), TASK)
    assert (found.findings(), found.not_run()) == ([], {})


@given(where=places, shift=st.sampled_from([-2, -1, 1, 3]))
def test_exactly_the_planted_shifts_are_found(where: list[int], shift: int) -> None:
    rows = clean()
    for n in where:
        text = TEXT.format(name=f"Ada {n}")
        rows[n] = chat(text, json.dumps(spans(text, f"Ada {n}", shift=shift)))
    (finding,) = over_rows(Spans, rows, TASK).findings()
    assert (finding.check, finding.level, finding.count) == ("DATA-SPAN", "error", len(where))
    assert lines(finding) == [n + 1 for n in where]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"text": "Ada", "start": 9, "end": 12}, "from 9 to 12 stands ' it', not 'Ada': Ada wrote it."),
        ({"text": "Adam", "start": 0, "end": 4}, "from 0 to 4 stands 'Ada ', not 'Adam': Ada wrote it."),
        ({"text": "Ada", "start": 0, "end": 9}, "from 0 to 9 stands 'Ada wrote', not 'Ada': Ada wrote it."),
        (
            {"label": "PER", "start": 0, "end": 40},
            "40 is behind the end of the text, which has 13 characters",
        ),
        ({"label": "PER", "start": 5, "end": 2}, "from 5 to 2 is no part of a text"),
        ({"label": "PER", "start": -1, "end": 2}, "from -1 to 2 is no part of a text"),
    ],
)
def test_the_reason_names_what_stands_there(found: dict[str, Any], reason: str) -> None:
    (finding,) = over_rows(Spans, [chat("Ada wrote it.", json.dumps([found]))], TASK).findings()
    assert finding.rows[0].text == reason


def test_other_objects_with_a_start_and_an_end_are_no_spans() -> None:
    answers = [
        '{"start": 9, "end": 17}',
        '{"start": "9:00", "end": "17:00", "text": "x"}',
        "{broken",
        "[1, 2]",
    ]
    found = over_rows(Spans, [chat("from nine to five", answer) for answer in answers], TASK)
    assert (found.findings(), found.not_run()) == ([], {"DATA-SPAN": "no row has offsets or an entity"})


def test_a_squad_answer_has_to_stand_where_it_is_said_to() -> None:
    question = "Ada was born in London.\n\nWhere was she born?"
    rows = [
        chat(question, "London", origin={"answer_start": 16}),
        chat(question, "London", origin={"answer_start": 17}),
        chat(f"Read this.\n{question}", "London", origin={"answer_start": 16}),
        chat(question, "unanswerable", origin={"unanswerable": True}),
    ]
    (finding,) = over_rows(Spans, rows, make_task("qa")).findings()
    assert lines(finding) == [2]


@given(where=places)
def test_entities_that_the_text_does_not_hold_are_warnings(where: list[int]) -> None:
    rows = [
        chat(f"Entity: ACME {n}\nText: The shares of Ａｃｍｅ  {n} rose.", "up", "up", entity=f"ACME {n}")
        for n in range(COUNT)
    ]
    task = make_task("entity_classification", labels=["up"])
    assert over_rows(Spans, rows, task).findings() == []
    for n in where:
        rows[n] = chat("Entity: ACEM\nText: The shares of Acme rose.", "up", "up", entity="ACEM")
    (finding,) = over_rows(Spans, rows, task).findings()
    assert (finding.level, finding.count, lines(finding)) == ("warning", len(where), [n + 1 for n in where])
    assert finding.rows[0].text == "'ACEM' in: The shares of Acme rose."


def test_the_offsets_of_a_real_reading_set_are_right(shared_data: Path) -> None:
    examples = real_examples(shared_data / "instruction_chat" / "drcd_dev_subset_zh_hant.json", "qa")
    found = over_rows(Spans, examples, make_task("qa"))
    assert (len(examples), found.findings(), found.not_run()) == (1594, [], {})
    for example in examples[:20]:
        (example.meta.origin or {})["answer_start"] += 1
    (finding,) = over_rows(Spans, examples, make_task("qa")).findings()
    assert (finding.count, lines(finding)) == (20, [1, 2, 3, 4, 5])


def test_real_entities_garbled_by_a_replacement_are_found(shared_data: Path) -> None:
    """In SEntFiN's flattened form "Holding" became "neutraling" and "Russell" "Rusnegative" in the entities."""
    examples = real_examples(
        shared_data / "finance_sentiment" / "sentfin_entity.jsonl", "entity_classification"
    )
    task = make_task("entity_classification", labels=["positive", "neutral", "negative"])
    (finding,) = over_rows(Spans, examples, task).findings()
    assert (finding.count, lines(finding)) == (19, [344, 1240, 1601, 2318, 2424])
    assert finding.rows[2].text.startswith("'Frank Rusnegative Company' in: London Stock Exchange")
