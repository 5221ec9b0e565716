"""Solved rows before the question: which, in which order, and how many."""

from pathlib import Path

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import prompt_ids
from nlp_skills.evaluation.few_shot import choose_shots, fitting_shots, with_shots
from nlp_skills.task.task import Task, TaskType
from small_model import save_small_model

LABELS = Task(name="news", type=TaskType.CLASSIFICATION, goal="g", created="now")
TEXTS = Task(name="texts", type=TaskType.QA, goal="g", created="now")


def row(text: str, answer: str) -> Example:
    turns = [Message("system", "Sort."), Message("user", text), Message("assistant", answer)]
    return Example(meta=Meta(id=text, source="s"), messages=turns)


TRAIN = [row(f"text {n}", "abc"[min(n % 4, 2)]) for n in range(40)]


def test_one_row_of_each_label_in_turn_the_same_every_time() -> None:
    shots = choose_shots(LABELS, TRAIN)
    assert [shot.output_text for shot in shots] == ["c", "a", "b", "c"]
    assert choose_shots(LABELS, TRAIN[::-1]) == shots
    many = [row(f"text {n}", f"label {n % 20}") for n in range(100)]
    assert len({shot.output_text for shot in choose_shots(LABELS, many)}) == 8
    assert len(choose_shots(TEXTS, TRAIN)) == 4


def test_solved_rows_stand_as_turns_between_the_system_prompt_and_the_question() -> None:
    shown = with_shots(row("question", "b"), [row("one", "a"), row("two", "b")])
    assert [(m.role, m.content) for m in shown.messages or []] == [
        ("system", "Sort."),
        ("user", "one"),
        ("assistant", "a"),
        ("user", "two"),
        ("assistant", "b"),
        ("user", "question"),
        ("assistant", "b"),
    ]


def test_as_many_solved_rows_as_the_context_holds(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(save_small_model(tmp_path / "m"))
    test, shots = [row("a question of some length", "b")], choose_shots(LABELS, TRAIN)
    for positions in (100, 150, 1000):
        fitting = fitting_shots(shots, test, tokenizer, positions, room=10)
        assert fitting == shots[: len(fitting)]
        assert len(prompt_ids(tokenizer, with_shots(test[0], fitting))) + 10 <= positions
    assert fitting_shots(shots, test, tokenizer, 1000, room=10) == shots
    assert fitting_shots(shots, test, tokenizer, None, room=10) == shots
