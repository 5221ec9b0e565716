"""BFCL v4: the questions of a category, with the tools that are offered and the answers that are right.

    simple_python  simple_java  simple_javascript  multiple  parallel  parallel_multiple  irrelevance
    live_simple  live_multiple  live_parallel  live_parallel_multiple  live_irrelevance  live_relevance
    multi_turn_base  multi_turn_miss_func  multi_turn_miss_param  multi_turn_long_context

Patil et al., The Berkeley Function Calling Leaderboard, ICML 2025. Web search and memory need services and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_skills.errors import NotValid, did_you_mean
from nlp_skills.evaluation.tool_use.ast_scorer import Answer, Verdict, score_calls, score_nothing
from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.schema_types import Language

SINGLE_TURN = (
    "simple_python", "simple_java", "simple_javascript", "multiple", "parallel", "parallel_multiple", "irrelevance",
    "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance",
)  # fmt: skip
MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")

GROUPS: dict[str, tuple[str, ...]] = {
    "single_turn": SINGLE_TURN,
    "non_live": tuple(name for name in SINGLE_TURN if not name.startswith("live_")),
    "live": tuple(name for name in SINGLE_TURN if name.startswith("live_")),
    "multi_turn": MULTI_TURN,
    "all": (*SINGLE_TURN, *MULTI_TURN),
}
"""Names for several categories, as BFCL groups them."""

API_FILES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
"""API class → the file of its functions, and its module."""


@dataclass(frozen=True)
class Question:
    """A row of a single-turn category."""

    id: str
    category: str
    messages: list[dict[str, str]]
    functions: list[dict[str, Any]]
    """As the data set writes them: types of Python, Java or JavaScript."""
    answers: list[Answer] = field(default_factory=list)
    """None where no call is right (irrelevance), or any (relevance)."""

    @property
    def language(self) -> Language:
        """Whose values the arguments are."""
        return language_of(self.category)

    def judge(self, calls: Sequence[Call]) -> Verdict:
        """Whether these calls are right."""
        if self.category.endswith("relevance"):
            return score_nothing(calls, wanted=self.category == "live_relevance")
        parallel = "parallel" in self.category
        return score_calls(self.functions, calls, self.answers, parallel=parallel, language=self.language)


@dataclass(frozen=True)
class Scenario:
    """A row of a multi-turn category: what the user says in each turn, and the calls that fulfil it."""

    id: str
    category: str
    turns: list[list[dict[str, str]]]
    """Messages; none in a turn that only brings tools that were held back."""
    classes: list[str]
    """The API classes whose functions are offered."""
    config: dict[str, Any]
    """Their state at the beginning, by class."""
    truth: list[list[str]]
    """The calls of each turn as Python code; none where the request cannot be fulfilled yet."""
    functions: list[dict[str, Any]]
    held_back: dict[int, list[dict[str, Any]]]
    """Functions that are offered only from a turn on."""

    @property
    def long_context(self) -> bool:
        """Whether the API classes answer at length."""
        return "long_context" in self.category


def language_of(category: str) -> Language:
    """Java and JavaScript have a category each; all others are Python."""
    return (
        "java" if category == "simple_java" else "javascript" if category == "simple_javascript" else "python"
    )


def category_names(asked: Sequence[str]) -> list[str]:
    """Categories, groups resolved, each once, in the data set's order. Raises NotValid for an unknown one."""
    known = (*GROUPS["all"], *GROUPS)
    for name in asked:
        if name not in known:
            raise NotValid(
                f"BFCL has no category {name!r}{did_you_mean(name, known)}. Categories: {', '.join(GROUPS['all'])};"
                f" groups: {', '.join(GROUPS)}."
            )
    chosen = {category for name in asked for category in GROUPS.get(name, (name,))}
    return [name for name in GROUPS["all"] if name in chosen]


def read_questions(package: Path, category: str) -> list[Question]:
    """The rows of a single-turn category."""
    data = package / "bfcl_eval" / "data"
    answers = {row["id"]: row["ground_truth"] for row in read_lines(data, category, answers=True)}
    return [question(row, category, answers.get(row["id"], [])) for row in read_lines(data, category)]


def question(row: Mapping[str, Any], category: str, answers: list[Answer]) -> Question:
    """A row as a question; BFCL nests the messages one level deeper, for turns."""
    messages = [message for turn in row["question"] for message in turn]
    return Question(row["id"], category, messages, row["function"], answers)


def read_scenarios(package: Path, category: str) -> list[Scenario]:
    """The rows of a multi-turn category."""
    data = package / "bfcl_eval" / "data"
    answers = {row["id"]: row["ground_truth"] for row in read_lines(data, category, answers=True)}
    documents = {
        name: list(_lines(data / "multi_turn_func_doc" / f"{file}.json")) for name, file in API_FILES.items()
    }
    return [_scenario(row, category, answers[row["id"]], documents) for row in read_lines(data, category)]


def _scenario(
    row: Mapping[str, Any],
    category: str,
    truth: list[list[str]],
    documents: Mapping[str, list[dict[str, Any]]],
) -> Scenario:
    functions = [function for name in row["involved_classes"] for function in documents[name]]
    names = {int(turn): held for turn, held in row.get("missed_function", {}).items()}
    held_back = {turn: [f for f in functions if f["name"] in held] for turn, held in names.items()}
    absent = {name for held in names.values() for name in held}
    return Scenario(
        id=row["id"],
        category=category,
        turns=row["question"],
        classes=row["involved_classes"],
        config=row["initial_config"],
        truth=truth,
        functions=[function for function in functions if function["name"] not in absent],
        held_back=held_back,
    )


def read_lines(data: Path, category: str, *, answers: bool = False) -> Iterator[dict[str, Any]]:
    """The rows of a category's file, or of its answers; nothing where it has none."""
    folder = data / "possible_answer" if answers else data
    yield from _lines(folder / f"BFCL_v4_{category}.json")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        with path.open(encoding="utf-8") as stream:
            yield from (json.loads(line) for line in stream if line.strip())
