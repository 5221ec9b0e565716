"""DATA-ROLES for tools: calls of tools that the row does not offer, arguments that break their schema,
results of calls that were never made.

What is judged of the arguments, and what is not, says `tool_schemas.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.checks.tool_schemas import argument_problems, schema_problem, short
from nlp_skills.data.example import Example, Message
from nlp_skills.data.report import Finding
from nlp_skills.errors import did_you_mean

_SCHEMA_CURE = (
    "Write the tool's parameters as a JSON Schema: type, properties, and required as a list of names"
)


class ToolCalls:
    """Compares the calls of each row with the tools that it offers."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-ROLES",)

    def __init__(self, _context: Context, /) -> None:
        self._tallies = [
            Tally(
                "DATA-ROLES",
                "error",
                "A call of a tool that the row does not offer: {rows}.",
                "Add the tool to the row's tools, or correct the name in the call",
            ),
            Tally(
                "DATA-ROLES",
                "error",
                "Arguments that break the tool's schema: {rows}.",
                "Correct the arguments, or the tool's parameters where these are wrong",
            ),
            Tally(
                "DATA-ROLES",
                "error",
                "A tool result that belongs to no call before it: {rows}.",
                "Give the result the tool_call_id of its call, or add the call",
            ),
            Tally(
                "DATA-ROLES",
                "warning",
                "Calls in rows that offer no tools: {rows}.",
                "Add the tools to the rows: the model is to learn which of those offered to call",
            ),
            Tally("DATA-ROLES", "warning", "A tool whose schema cannot be judged by: {rows}.", _SCHEMA_CURE),
        ]

    def see(self, rows: Rows) -> None:
        """Take in the next rows."""
        for line, example in zip(rows.lines, rows.examples, strict=True):
            if example.tools or _has_calls(example):
                for tally, problems in zip(self._tallies, call_problems(example), strict=True):
                    if problems:
                        tally.add(rows.file, line, "; ".join(problems))

    def merge(self, later: ToolCalls) -> None:
        """Take in what another process has seen of later rows."""
        for tally, other in zip(self._tallies, later._tallies, strict=True):
            tally.merge(other)

    def findings(self) -> list[Finding]:
        """One finding for each kind of fault that was met."""
        return [finding for tally in self._tallies for finding in tally.findings()]

    def not_run(self) -> dict[str, str]:
        """Without calls there is nothing to find; the order of turns is looked at in any case."""
        return {}


def _has_calls(example: Example) -> bool:
    return any(turn.tool_calls or turn.role == "tool" for turn in _turns(example))


def _turns(example: Example) -> list[Message]:
    if example.messages is not None:
        return example.messages
    return [*(example.prompt or []), *(example.chosen or []), *(example.rejected or [])]


def call_problems(example: Example) -> tuple[list[str], list[str], list[str], list[str], list[str]]:
    """What is wrong with a row's calls: unknown tools, arguments, results, no tools at all, schemas."""
    offered = {name: tool for tool in example.tools or [] if (name := _name(tool)) is not None}
    unknown: list[str] = []
    wrong: list[str] = []
    schemas: list[str] = []
    calls = [call for turn in _turns(example) for call in turn.tool_calls or []]
    for call in calls:
        name, arguments = _name(call), _part(call, "arguments", {})
        if name is None:
            unknown.append("a call without a name")
        elif example.tools and name not in offered:
            unknown.append(f"{name!r} is not offered{did_you_mean(name, offered)}")
        elif not isinstance(arguments, dict):
            wrong.append(f"{name}: the arguments are no object but {short(arguments)}")
        elif name in offered:
            parameters = _part(offered[name], "parameters")
            if parameters is None:
                wrong += [f"{name} takes no arguments, but has {short(arguments)}"] if arguments else []
            elif problem := schema_problem(parameters):
                schemas.append(f"{name}: {problem}")
            else:
                wrong += [f"{name}: {problem}" for problem in argument_problems(arguments, parameters)]
    missing = [f"calls {_name(calls[0])!r}"] if calls and not example.tools else []
    return unknown, wrong, list(_lost_results(example)), missing, schemas


def _lost_results(example: Example) -> Iterator[str]:
    """Tool results that name a call which was not made before them; their order is judged elsewhere."""
    made: set[str] = set()
    for number, turn in enumerate(_turns(example), start=1):
        made |= {call["id"] for call in turn.tool_calls or [] if isinstance(call.get("id"), str)}
        if turn.role == "tool" and turn.tool_call_id and turn.tool_call_id not in made:
            yield f"turn {number}: no call has the id {turn.tool_call_id!r}"


def _part(item: dict[str, Any], name: str, default: Any = None) -> Any:
    """A part of a call or a tool, which stands in `function` or beside its name."""
    function = item.get("function", item)
    return function.get(name, default) if isinstance(function, dict) else None


def _name(item: dict[str, Any]) -> str | None:
    name = _part(item, "name")
    return name if isinstance(name, str) and name else None
