"""Kinds of rows: what they are, which are weak, which got worse, and that chance alone names none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotFound
from nlp_skills.evaluation.paired_answers import compare_predictions
from nlp_skills.evaluation.results import CallMarks, Prediction
from nlp_skills.evaluation.slices import (
    LEAST,
    read_columns,
    score_slices,
    slice_metric,
    slices_of,
    weak_slices,
    worse_slices,
)
from nlp_skills.records import to_json, write_lines
from nlp_skills.task.task import Task, TaskType

TASK = Task(name="news", type=TaskType.CLASSIFICATION, goal="g", metric="macro_f1", created="now")


def example(text: str, **meta: Any) -> Example:
    turns = [Message("user", text), Message("assistant", "x")]
    return Example(meta=Meta(**{"id": text, "source": "s", **meta}), messages=turns)


def rows(kind: str, right: dict[str, list[bool]]) -> list[Prediction]:
    """Rows of each value of a kind, right or wrong as said; all expect the same label."""
    return [
        Prediction(id="", expected="a", predicted="a" if ok else "b", correct=ok, slices={kind: value})
        for value, each in right.items()
        for ok in each
    ]


def test_rows_are_told_apart_by_length_language_source_entity_and_group() -> None:
    pytest.importorskip("py3langid")
    found = slices_of(
        [
            example("The parcel is late and nobody answers the phone today", entity="Acme", group="north"),
            example("包裹很晚才到沒有人接電話", source="other"),
            example("Hm"),
        ]
    )
    assert found == [
        {
            "length": "long (over 12)",
            "language": "en",
            "source": "s",
            "entity": "Acme",
            "group": "north",
        },
        {"length": "medium (up to 12)", "language": "zh-Hant", "source": "other"},
        {"length": "short (up to 2 characters)", "source": "s"},
    ]


def test_rows_of_one_length_have_no_slices_of_length() -> None:
    assert [kinds.get("length") for kinds in slices_of([example("abc"), example("abd"), example("abe")])] == [
        None
    ] * 3


def test_columns_of_the_sources_are_read_from_the_raw_rows(tmp_path: Path) -> None:
    raw = [{"text": "a", "region": "north"}, {"text": "b", "region": ""}, {"text": "c", "region": "south"}]
    write_lines(tmp_path / "data" / "raw" / "s.jsonl", (to_json(row).replace(b"\n", b"") for row in raw))
    examples = [
        Example(meta=Meta(id=text, source="s", line=n), messages=[Message("assistant", text)])
        for n, text in enumerate("abc", start=1)
    ]
    assert read_columns(tmp_path, ["region"], examples) == {
        "a": {"region": "north"},
        "b": {},
        "c": {"region": "south"},
    }
    with pytest.raises(NotFound, match=r"'regoin'.*did you mean \"region\".*Columns: region, text"):
        read_columns(tmp_path, ["regoin"], examples)
    assert read_columns(tmp_path, [], examples) == {}


def test_labels_are_judged_by_their_share_of_right_answers() -> None:
    assert slice_metric(TASK, ["macro_f1", "accuracy"]) == "accuracy"
    qa = Task(name="qa", type=TaskType.QA, goal="g", created="now")
    assert slice_metric(qa, ["token_f1", "exact_match"]) == "token_f1"
    assert slice_metric(qa, ["perplexity"]) == "perplexity"


def test_a_kind_of_rows_that_is_answered_worse_than_the_rest_is_named() -> None:
    found = score_slices(
        TASK, "accuracy", rows("region", {"north": [True] * 60, "south": [True] * 20 + [False] * 20})
    )
    assert [(s.name, s.count, s.score.value, s.rest) for s in found] == [
        ("region=north", 60, 1.0, 0.5),
        ("region=south", 40, 0.5, 1.0),
    ]
    assert [s.name for s in weak_slices(found)] == ["region=south"]


def test_a_kind_of_rows_on_which_the_tuned_model_is_worse_than_the_base_model_is_named() -> None:
    base = rows("language", {"en": [False] * 40, "ja": [True] * 20})
    tuned = rows("language", {"en": [True] * 40, "ja": [False] * 15 + [True] * 5})
    found = score_slices(TASK, "accuracy", tuned, base)
    assert [s.name for s in worse_slices(found)] == ["language=ja"]
    worst = found[1].gain
    assert worst is not None and worst.value == -0.75 and worst.high < 0


def test_few_rows_are_no_kind_of_rows() -> None:
    found = score_slices(
        TASK, "accuracy", rows("region", {"north": [True] * 60, "south": [False] * (LEAST - 1)})
    )
    assert [s.name for s in found] == ["region=north"]


def test_a_metric_that_counts_no_row_of_a_kind_is_not_shown_as_nothing_there() -> None:
    task = Task(name="t", type=TaskType.TOOL_USE, goal="g", metric="irrelevance", created="now")
    some = [
        Prediction(
            id="",
            expected="",
            predicted="",
            correct=True,
            calls=CallMarks(wanted=place % 2 == 0, made=place % 3 == 0, right=True),
            slices={"kind": "calls" if place % 2 == 0 else "none"},
        )
        for place in range(60)
    ]
    found = score_slices(task, "irrelevance", some, some)
    assert [(s.name, s.rest, s.p_rest) for s in found] == [("kind=none", None, None)]
    both = compare_predictions(task, "v1", "v2", some, some)
    assert (both.worse_slices, both.better_slices) == ([], [])


def test_texts_are_judged_by_what_they_can_be_judged_by_whatever_the_task() -> None:
    assert slice_metric(TASK, ["bits_per_byte", "perplexity"]) == "bits_per_byte"


def test_among_many_kinds_of_equal_rows_one_is_named_in_one_of_twenty_sets() -> None:
    chance = np.random.default_rng(1)
    named = 0
    for _ in range(300):
        right = {f"r{n}": list(chance.random(30) < 0.7) for n in range(10)}
        found = score_slices(TASK, "accuracy", rows("region", right))
        named += bool(weak_slices(found) or [s for s in found if s.p_rest is not None and s.p_rest < 0.05])
    assert named <= 24  # 15 on average; three standard deviations more
