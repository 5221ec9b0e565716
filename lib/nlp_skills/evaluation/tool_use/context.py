"""Tokens of tool definitions in the real prompts of a model: those of the rows, or of the user's own tools.

Counted is what the chat template really writes; where it shows no tools, what they take in the system prompt.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_skills.base_model import local_tokenizer
from nlp_skills.data.example import Example, Message, Meta, read_examples
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.tokens import render
from nlp_skills.data.turns import to_tools
from nlp_skills.errors import NotReady
from nlp_skills.evaluation.tool_use.context_cost import ContextCost, Count, context_cost, tool_name
from nlp_skills.evaluation.tool_use.own_tools import read_tools
from nlp_skills.evaluation.tool_use.record import Calling
from nlp_skills.records import to_json, write_atomic
from nlp_skills.task.task import Task
from nlp_skills.training.version_model import original_model

MOST_SETS = 1000
"""Sets of tools that are counted: writing one by the chat template takes a millisecond or more."""
SAVED = Path("configs") / "tools.json"


def measure_context(
    task: Path,
    *,
    tools: str | None = None,
    model: str | None = None,
    window: int | None = None,
    save: bool = False,
) -> ContextCost:
    """Count the tokens of tool definitions in a model's prompt: those of `tools`, or those that the rows offer.

    `model` is a base model's reference (the task's when left out), `window` its context where it is served with another
    than its own. `save` keeps the definitions in configs/tools.json. Raises NotReady where no tools are known.
    """
    offered = [(read_tools(tools, task), 1)] if tools is not None else _offered(task)
    definitions = _largest_of_each_name([some for some, _ in offered])
    name, revision = original_model(task, model or Task.load(task / "task.yaml").base_model)
    tokenizer, _, positions = local_tokenizer(name, revision)
    calling, count = _counter(tokenizer, definitions)
    if save:
        write_atomic(task / SAVED, to_json(definitions))
    return context_cost(
        definitions,
        _some_of(offered),
        count,
        _used(task, definitions),
        window or positions,
        model=name,
        calling=calling,
        source=tools or "the tools that the rows offer",
        saved=SAVED.as_posix() if save else None,
    )


def _counter(tokenizer: Any, tools: Sequence[Mapping[str, Any]]) -> tuple[Calling, Count]:
    """How a prompt's tokens are counted: with the template's own tools where it shows them."""

    def native(listed: Sequence[Mapping[str, Any]]) -> int:
        return _length(tokenizer, _asking(listed))

    def prompted(listed: Sequence[Mapping[str, Any]]) -> int:
        return _length(tokenizer, with_prompted_tools(_asking(listed)))

    if native(tools[:1]) > native([]):
        return "native", native
    return "prompted", prompted


def _asking(tools: Sequence[Mapping[str, Any]]) -> Example:
    turns = [Message("user", "?"), Message("assistant", "")]
    return Example(
        meta=Meta("context", "context"), messages=turns, tools=[dict(tool) for tool in tools] or None
    )


def _length(tokenizer: Any, example: Example) -> int:
    text = render(tokenizer, example.context, example.tools, ask=True)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _rows(task: Path) -> Iterator[Example]:
    for split in ("train", "valid", "test"):
        file = task / "data" / f"{split}.jsonl"
        if file.is_file():
            yield from read_examples(file)


def _offered(task: Path) -> list[tuple[list[dict[str, Any]], int]]:
    """Tools that stand in one prompt, with the number of rows that offer just these. Raises NotReady where none does."""
    sets: dict[str, list[dict[str, Any]]] = {}
    rows = Counter[str]()
    for row in _rows(task):
        if tools := to_tools(row.tools) if row.tools else None:
            key = json.dumps(tools)
            rows[key] += 1
            sets.setdefault(key, tools)
    if not sets:
        raise NotReady(
            f"{task.name}: no row of its data offers tools. Name them: --tools .mcp.json#SERVER, a URL, an OpenAPI file or a"
            " JSON list."
        )
    return [(sets[key], count) for key, count in rows.items()]


def _some_of(
    offered: list[tuple[list[dict[str, Any]], int]],
) -> list[tuple[list[dict[str, Any]], int]]:
    """Of very many sets the longest ones, which decide what fits, and a seeded sample."""
    if len(offered) <= MOST_SETS:
        return offered
    by_length = sorted(offered, key=lambda some: len(json.dumps(some[0])), reverse=True)
    longest = by_length[: MOST_SETS // 20]
    return [*longest, *random.Random(13).sample(by_length[len(longest) :], MOST_SETS - len(longest))]


def _largest_of_each_name(offered: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every tool once; rows may describe the same one in several ways."""
    found: dict[str, dict[str, Any]] = {}
    for tool in (tool for some in offered for tool in some):
        known = found.setdefault(tool_name(tool), tool)
        if len(json.dumps(tool)) > len(json.dumps(known)):
            found[tool_name(tool)] = tool
    return list(found.values())


def _used(task: Path, tools: Sequence[Mapping[str, Any]]) -> Counter[str] | None:
    """How often each tool is called in the data; None where none of them is: the data are about others."""
    called = Counter(
        call.get("function", call)["name"]
        for row in _rows(task)
        for message in row.messages or []
        for call in message.tool_calls or []
    )
    return called if any(called[tool_name(tool)] for tool in tools) else None
