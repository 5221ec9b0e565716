"""Runs a Go template as Go's text/template does, for prompts: a string is bytes, a mapping is read in sorted order.

What is not here (complex numbers, channels, printf's rarer verbs, methods) raises NotValid: nothing is guessed.
Go itself is the judge of it in tests/deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_skills.deployment.go_template.go_functions import (
    FUNCTIONS,
    field_value,
    is_true,
    shown,
    sorted_items,
)
from nlp_skills.deployment.go_template.go_syntax import Branch, Called, Jump, Operand, Pipe, Template
from nlp_skills.errors import NotValid


def execute(template: Template, data: Mapping[str, Any]) -> str:
    """The template's output. Raises NotValid where Go would stop."""
    run = _Run(template, dict(data))
    run.body(template.body, run.root)
    return b"".join(run.written).decode(errors="replace")


class _Run:
    def __init__(self, template: Template, root: Any) -> None:
        self.root = root
        self.written: list[bytes] = []
        self._template = template
        self._variables: list[tuple[str, list[Any]]] = [("$", [root])]
        self._depth = 0

    def body(self, nodes: list[Any], dot: Any) -> None:
        for node in nodes:
            if isinstance(node, str):
                self.written.append(node.encode())
            elif isinstance(node, Pipe):
                value = self._pipe(node, dot)
                if not node.declared:
                    self.written.append(shown(value))
            elif isinstance(node, Branch):
                self._branch(node, dot)
            elif isinstance(node, Called):
                self._call(node, dot)
            else:
                raise node

    def _call(self, node: Called, dot: Any) -> None:
        body = self._template.defined.get(node.name)
        if body is None or self._depth > 400:
            raise NotValid(
                f"the template calls {node.name!r}, which {'it does not define' if body is None else 'never ends'}"
            )
        value = self._pipe(node.pipe, dot) if node.pipe else None
        outside, self._variables = self._variables, [("$", [value])]
        self._depth += 1
        self.body(body, value)
        self._depth -= 1
        self._variables = outside

    def _branch(self, node: Branch, dot: Any) -> None:
        mark = len(self._variables)
        if node.word == "range":
            self._range(node, dot)
        else:
            value = self._pipe(node.pipe, dot)
            inside = value if node.word == "with" and is_true(value) else dot
            self.body(node.body if is_true(value) else node.otherwise, inside)
        del self._variables[mark:]

    def _range(self, node: Branch, dot: Any) -> None:
        over = self._pipe(Pipe(node.pipe.commands), dot)
        pairs = list(enumerate(over)) if isinstance(over, list) else sorted_items(over)
        for key, value in pairs:
            mark = len(self._variables)
            names = node.pipe.declared
            given = (key, value) if len(names) == 2 else (value,)
            self._variables += [(name, [one]) for name, one in zip(names, given, strict=False)]
            try:
                self.body(node.body, value)
            except Jump as jump:
                if jump.word == "break":
                    return
            finally:
                del self._variables[mark:]
        if not pairs:
            self.body(node.otherwise, dot)

    def _pipe(self, pipe: Pipe, dot: Any) -> Any:
        value: Any = None
        for place, command in enumerate(pipe.commands):
            value = self._command(command, dot, [value] if place else [])
        for name in pipe.declared:
            if pipe.assigns:
                self._slot(name)[0] = value
            else:
                self._variables.append((name, [value]))
        return value

    def _slot(self, name: str) -> list[Any]:
        for known, slot in reversed(self._variables):
            if known == name:
                return slot
        raise NotValid(f"the template reads {name}, which it has not set")

    def _command(self, command: tuple[Operand, ...], dot: Any, last: list[Any]) -> Any:
        first, *rest = command
        if first.kind != "function":
            if rest or last:
                raise NotValid("the template calls something that is no function")
            return self._operand(first, dot)
        if first.value in ("and", "or"):
            return self._until(first.value == "or", rest, dot, last)
        call = FUNCTIONS.get(first.value)
        if call is None:
            raise NotValid(
                f"the template calls {first.value}, which Ollama does not have or nlp-skills does not know"
            )
        try:
            return call(*(self._operand(one, dot) for one in rest), *last)
        except (TypeError, IndexError, KeyError, ValueError) as error:
            raise NotValid(f"{first.value} cannot be called so: {error}") from None

    def _until(self, wanted: bool, rest: list[Operand], dot: Any, last: list[Any]) -> Any:
        value: Any = None
        for one in rest:
            value = self._operand(one, dot)
            if is_true(value) == wanted:
                return value
        return last[0] if last else value

    def _operand(self, operand: Operand, dot: Any) -> Any:
        if operand.kind == "value":
            return operand.value
        if operand.kind == "function":
            return self._command((operand,), dot, [])
        value = dot
        if operand.kind == "variable":
            value = self._slot(operand.value)[0]
        elif operand.kind == "pipe":
            value = self._pipe(operand.value, dot)
        for name in operand.names:
            value = field_value(value, name)
        return value
