"""Calls written as code: `[area(base=10, height=5), area(base=1)]`, `f(x=new int[]{1, 2})`.

A value is Python's where it is a Python literal or plain arithmetic; a name or an expression stays the text
that it is. Of Java and JavaScript every value stays text, without its quotes. Arguments without a name are dropped,
as BFCL's decoder drops them: which parameter is meant cannot be known.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.schema_types import Language

_CALL = re.compile(r"\s*([A-Za-z_][\w.\-]*)\s*\((.*)\)\s*", re.DOTALL)
_ARGUMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*(.*\S)\s*", re.DOTALL)
_OPEN, _CLOSE, _QUOTES = "([{", ")]}", "\"'"
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def read_function_calls(text: str, language: Language = "python") -> list[Call] | None:
    """The calls that a text consists of, in a list or not; None where it holds anything else."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    parts = [part for part in split(text, ",;\n") if part.strip()]
    calls = [_call(part, language) for part in parts]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def split(text: str, separators: str) -> list[str]:
    """The text at its separators, but for those in quotes or brackets."""
    parts, start, depth, quote, place = [], 0, 0, "", 0
    while place < len(text):
        character = text[place]
        if quote:
            if character == "\\":
                place += 1
            elif character == quote:
                quote = ""
        elif character in _QUOTES:
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
        elif character in separators and depth == 0:
            parts.append(text[start:place])
            start = place + 1
        place += 1
    return [*parts, text[start:]]


def _call(text: str, language: Language) -> Call | None:
    found = _CALL.fullmatch(text)
    if found is None:
        return None
    named = [_ARGUMENT.fullmatch(part) for part in split(found[2], ",") if part.strip()]
    read = _python_value if language == "python" else _unquoted
    return Call(found[1], {argument[1]: read(argument[2]) for argument in named if argument})


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES else text


def _python_value(text: str) -> Any:
    """A literal's value, the result of plain arithmetic, or the text."""
    try:
        tree = ast.parse(text, mode="eval").body
        return _computed(tree) if isinstance(tree, ast.BinOp) else _literal(tree)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, MemoryError, RecursionError):
        return text


def _literal(node: ast.expr) -> Any:
    """A literal; names and calls within lists and dictionaries are their text."""
    match node:
        case ast.List(elts=items):
            return [_literal(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_literal(item) for item in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_literal(k): _literal(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.Constant() | ast.UnaryOp():
            return ast.literal_eval(node)
    return ast.unparse(node)


def _computed(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_computed(node.left), _computed(node.right))
    value = ast.literal_eval(node)
    if isinstance(value, int | float):
        return value
    raise ValueError("no number")
