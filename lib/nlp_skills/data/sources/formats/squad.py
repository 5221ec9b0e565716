"""SQuAD: questions about a paragraph, whose answers are spans of it, or nothing (version 2.0).

    {"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"question": …, "answers": […]}]}]}]}

The nested file is https://rajpurkar.github.io/SQuAD-explorer/; as a table (Parquet, a hub dataset) a
row has `answers` of `text` and `answer_start`, which are lists side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.sources.fetch import ORIGIN

OTHERS = "other_answers"
"""The column of the other right answers; any table may have it, a list of texts in each row."""
UNANSWERABLE = "unanswerable"
"""What is to be said to a question that the context does not answer, as Flan and T5 say it."""


@dataclass(frozen=True)
class Answer:
    """The first answer to a question, and what goes to `meta.origin` with it."""

    text: Any
    origin: dict[str, Any]
    """`answer_start`: its offset in the context, in characters; `unanswerable`: there is none."""
    others: tuple[str, ...] = ()
    """Other texts that are right too."""


def is_squad(document: dict[str, Any]) -> bool:
    """Whether a JSON document is nested as SQuAD's files are."""
    data = document.get("data")
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and "paragraphs" in data[0]


def squad_rows(articles: list[Any]) -> Iterator[dict[str, Any]]:
    """One row a question, with its first answer."""
    for article in _dicts(articles):
        for paragraph in _dicts(article.get("paragraphs")):
            for question in _dicts(paragraph.get("qas")):
                answer = _answer_of(question)
                yield {
                    "context": paragraph.get("context"),
                    "question": question.get("question"),
                    "answer": answer.text,
                    "id": question.get("id"),
                    "title": article.get("title"),
                    **({OTHERS: list(answer.others)} if answer.others else {}),
                    **({ORIGIN: answer.origin} if answer.origin else {}),
                }


def _answer_of(question: dict[str, Any]) -> Answer:
    answers = _dicts(question.get("answers"))
    if not answers:
        return _nothing() if question.get("is_impossible") is True else Answer(None, {})
    return _answer([a.get("text") for a in answers], answers[0].get("answer_start"))


def first_answer(cell: Any) -> Answer | None:
    """The first answer of a cell that holds SQuAD's `answers`; None for any other cell."""
    if isinstance(cell, dict) and isinstance(cell.get("text"), list) and "answer_start" in cell:
        starts = cell["answer_start"] if isinstance(cell["answer_start"], list) else []
        return _answer(cell["text"], starts[0] if starts else None) if cell["text"] else _nothing()
    if isinstance(cell, list) and cell and isinstance(cell[0], dict) and "answer_start" in cell[0]:
        return _answer([answer.get("text") for answer in _dicts(cell)], cell[0]["answer_start"])
    return None


def _answer(texts: list[Any], start: Any) -> Answer:
    """The first of several answers; a text that stands there twice is one."""
    others = dict.fromkeys(t for t in texts[1:] if isinstance(t, str) and t.strip() and t != texts[0])
    return Answer(texts[0], {"answer_start": start} if isinstance(start, int) else {}, tuple(others))


def _nothing() -> Answer:
    return Answer(UNANSWERABLE, {"unanswerable": True})


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
