"""REWARDS: how good an answer is, for grpo; each takes the answer's text and the row, and gives a number.

A function of your own stands in a file of the task folder and is named `rewards.py:polite` in config.yaml:

    def polite(answer: str, example) -> float:
        return 1.0 if "please" in answer.lower() else 0.0

It is your code and runs with your rights. The hash of its file is kept in config.yaml as
`rewards_sha256`, and a run refuses a file that has changed. Several rewards are added up.
Answers to one prompt that all have the same reward teach nothing, so the rewards here are graded.
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from nlp_skills.data.checks.tool_schemas import argument_problems
from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import Calls, is_call, read_calls
from nlp_skills.errors import NotFound, NotValid, did_you_mean
from nlp_skills.records import sha256_file

Reward: TypeAlias = Callable[[str, Example], float]

LONGEST = 2.0
"""Times as long as the row's own answer: so long costs nothing."""


def exact_answer(answer: str, example: Example) -> float:
    """1 for the row's own answer, up to white space at the ends; a tool call counts as its JSON value."""
    if example.answer.tool_calls:
        return float(read_calls(answer).calls == _reference(example))
    return float(answer.strip() == (example.answer.content or "").strip())


def label(answer: str, example: Example) -> float:
    """1 for the row's label, 0.5 where only upper and lower case differ."""
    wanted, given = (example.meta.label or "").strip(), answer.strip()
    return 1.0 if given == wanted else 0.5 * (given.casefold() == wanted.casefold())


def valid_json(answer: str, example: Example) -> float:  # noqa: ARG001 (every reward takes the row)
    """1 for an object or a list in JSON and nothing else, 0.5 where other text stands around it."""
    try:
        return float(isinstance(json.loads(answer), dict | list))
    except (ValueError, RecursionError):
        pass
    start = min((place for sign in "{[" if (place := answer.find(sign)) >= 0), default=-1)
    try:
        return 0.5 if start >= 0 and json.JSONDecoder().raw_decode(answer, start) else 0.0
    except (ValueError, RecursionError):
        return 0.0


def valid_tool_call(answer: str, example: Example) -> float:
    """From 0, no call, to 1, the row's own calls; where the row answers in words, 1 for words and 0 for a call.

    Each call earns a fifth for its form (half of it with other text around), a fifth for a tool that is declared, a fifth
    for arguments that fit its schema, a fifth for the right tool, and a share of the last fifth for each
    argument that is as in the row.
    """
    found, wanted = read_calls(answer), _reference(example)
    if not wanted:
        return float(not found.calls and bool(answer.strip()))
    earned = 0.0
    for place, call in enumerate(found.calls):
        right = wanted[place] if place < len(wanted) else None
        earned += _worth(call, right, example, found)
    return earned / max(len(wanted), len(found.calls))


def length_limit(answer: str, example: Example) -> float:
    """0 up to twice as long as the row's own answer, then falling to -1 at four times (after DAPO, arXiv:2503.14476)."""
    own = max(len(example.output_text), 1)
    return -min(1.0, max(0.0, (len(answer) / own - LONGEST) / LONGEST))


def _worth(call: dict[str, Any], right: dict[str, Any] | None, example: Example, found: Calls) -> float:
    """What one call earns, 0.1 to 1."""
    tools = {_function(tool).get("name"): _function(tool) for tool in example.tools or []}
    worth = 0.2 if found.alone else 0.1
    if call["name"] not in tools:
        return worth
    worth += 0.2
    if not argument_problems(call["arguments"], tools[call["name"]].get("parameters")):
        worth += 0.2
    if right is not None and call["name"] == right["name"]:
        worth += 0.2 + 0.2 * _equal_share(call["arguments"], right["arguments"])
    return worth


def _equal_share(given: dict[str, Any], wanted: dict[str, Any]) -> float:
    names = given.keys() | wanted.keys()
    if not names:
        return 1.0
    equal = sum(name in given and name in wanted and given[name] == wanted[name] for name in names)
    return equal / len(names)


def _reference(example: Example) -> list[dict[str, Any]]:
    calls = [call for call in example.answer.tool_calls or [] if is_call(call)]
    return [{key: call["function"].get(key, {}) for key in ("name", "arguments")} for call in calls]


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    inner = tool.get("function", tool)
    return inner if isinstance(inner, dict) else {}


REWARDS: dict[str, Reward] = {
    "exact_answer": exact_answer,
    "label": label,
    "valid_json": valid_json,
    "valid_tool_call": valid_tool_call,
    "length_limit": length_limit,
}
"""Name in config.yaml → the function."""


def require_rows(rewards: Sequence[str], examples: Sequence[Example]) -> None:
    """Raises NotValid naming the first row that lacks what a reward goes by."""
    for example in examples:
        if "label" in rewards and example.meta.label is None:
            raise NotValid(f"rewards: label goes by the row's label, and row {example.meta.id} has none.")
        if "valid_tool_call" in rewards and not example.tools:
            raise NotValid(
                f"rewards: valid_tool_call goes by the row's tools, and row {example.meta.id} has none."
            )


def rewards_sha256(rewards: Sequence[str], folder: Path) -> dict[str, str]:
    """The hash of each file of the task folder that a reward comes from.

    Raises NotFound, or NotValid for a file that is no Python or lacks the function.
    """
    found: dict[str, str] = {}
    for name in rewards:
        if name in REWARDS:
            continue
        file, _, function = name.partition(":")
        if not function or not file.endswith(".py"):
            raise NotValid(
                f"rewards: there is no reward {name!r}{did_you_mean(name, REWARDS)}. Choose from: {', '.join(REWARDS)},"
                " or write rewards.py:function for one in the task folder."
            )
        path = (folder / file).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise NotValid(f"rewards: {file} is outside the task folder. Copy it there.")
        if not path.is_file():
            raise NotFound(f"rewards: {folder / file} does not exist. Write the function {function} there.")
        _require_function(path, file, function)
        found[file] = sha256_file(path)
    return found


def _require_function(path: Path, file: str, function: str) -> None:
    """Raises NotValid for a file that is no Python or does not name the function at its top level; it is not run for that."""
    try:
        body = ast.parse(path.read_bytes(), filename=str(path)).body
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        told = error.msg if isinstance(error, SyntaxError) else str(error)
        raise NotValid(f"rewards: {file} is no valid Python: {told}{line}. Mend it there.") from None
    names = {name for statement in body for name in _named_by(statement)}
    if function not in names and "*" not in names:
        raise NotValid(
            f"rewards: {path} has no function {function}{did_you_mean(function, names)}. Write it there:"
            f" def {function}(answer, example) -> float."
        )


def _named_by(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at a file's top level, or in its if and try blocks, gives something to."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    else:
        for part in ast.walk(statement):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id
            elif isinstance(part, ast.FunctionDef):
                yield part.name


def load_rewards(rewards: Sequence[str], expected: dict[str, str], folder: Path) -> list[Reward]:
    """The functions, each with its name; `expected` are the hashes that the version was made with.

    Raises NotValid for a file that has changed since, or without the function.
    """
    now = rewards_sha256(rewards, folder)
    for file, digest in expected.items():
        if now.get(file) != digest:
            raise NotValid(
                f"rewards: {file} is not the file that the version was made with (its hash differs). Make a new version."
            )
    return [REWARDS[name] if name in REWARDS else _own(name, folder) for name in rewards]


def _own(name: str, folder: Path) -> Reward:
    file, _, function = name.partition(":")
    found: Reward | None = getattr(_module(folder / file), function, None)
    if found is None or not callable(found):
        raise NotValid(f"rewards: {folder / file} has no function {function}.")
    return found


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"nlp_skills_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NotValid(f"rewards: {path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 (the user's own code: whatever it raises, the file is named)
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise NotValid(
            f"rewards: {path} cannot be imported: {told}. Mend it and make a new version."
        ) from None
    return module
