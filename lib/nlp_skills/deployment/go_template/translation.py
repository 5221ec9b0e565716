"""A chat template as Ollama's Go template: jinja2's syntax tree, read once with the request unknown.

What the trainer always gives is put in (special tokens, add_generation_prompt); what it never gives is undefined;
what the request decides becomes a branch, a loop or a variable. A branch that ends in raise_exception is taken as
never reached: the trainer could not have rendered such a conversation either.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from nlp_skills.deployment.go_template.carried import (
    carried_value,
    common_start,
    empty_value,
    lasting_facts,
    merged_state,
    used_if_any,
    variable_name,
)
from nlp_skills.deployment.go_template.expressions import Expressions
from nlp_skills.deployment.go_template.fields import element
from nlp_skills.deployment.go_template.go_values import assign
from nlp_skills.deployment.go_template.go_words import argument, path
from nlp_skills.deployment.go_template.state import Function, Loop, Macro, Space, State
from nlp_skills.deployment.go_template.template_code import (
    adds_to,
    is_name,
    nodes_of,
    only_raises,
    set_attributes,
    set_values,
    uses_loop,
)
from nlp_skills.deployment.go_template.texts import as_text, plain
from nlp_skills.deployment.go_template.values import (
    CHANGED,
    UNDEFINED,
    Choice,
    Each,
    Equal,
    Formula,
    Is,
    Items,
    Jump,
    NeverReached,
    Node,
    NotTranslatable,
    Out,
    Set,
    Text,
    Thing,
    When,
)

GLOBALS = ("dict", "namespace", "raise_exception", "range", "strftime_now")
"""The functions that transformers gives to every chat template."""


class _Left(Exception):
    """`break` or `continue` ends a branch."""


class _Side(NamedTuple):
    """What one side of a branch comes to; `left` where it ends in `break` or `continue`."""

    state: State
    nodes: tuple[Node, ...]
    left: bool


class Translation(Expressions):
    """Translates one syntax tree; `written` is the output so far, `assumed` what it relied on."""

    def __init__(self, names: Mapping[str, Any], *, tools: bool) -> None:
        """`names` are what the template is given; without `tools` no message calls one."""
        self.state = State({**dict.fromkeys(GLOBALS, Function()), **names})
        self.tools = tools
        self.assumed = {}
        self.numbers = itertools.count(1)
        self._written: list[Node] = []
        self._variables: dict[str, str] = {}
        self._added: list[tuple[int, str]] = []
        self._depth = 0

    def translate(self, tree: Any) -> tuple[Node, ...]:
        """The output of the whole template. Raises NotTranslatable with the line."""
        self._run(tree.body)
        declared = [Set(name, start, declared=True) for name, start in self._variables.items()]
        return (*declared, *self._written)

    def _run(self, body: Iterable[Any]) -> None:
        for node in body:
            statement = getattr(self, f"_do_{type(node).__name__}", None)
            if statement is None:
                raise NotTranslatable(f"line {node.lineno}: Jinja's {type(node).__name__} has no counterpart")
            try:
                statement(node)
            except NotTranslatable as error:
                told = str(error)
                raise type(error)(
                    told if told.startswith("line ") else f"line {node.lineno}: {told}"
                ) from None

    def _captured(self, body: Iterable[Any]) -> tuple[Node, ...]:
        outside, self._written = self._written, []
        try:
            self._run(body)
            return tuple(self._written)
        finally:
            self._written = outside

    def _write(self, value: Any) -> None:
        self._written += as_text(self._now(value)).nodes

    def _do_Output(self, node: Any) -> None:
        for part in node.nodes:
            self._write(self.value(part))

    def _do_CallBlock(self, node: Any) -> None:
        """`{% generation %}`: marks what is trained, writes what stands in it."""
        self._run(node.body)

    def _do_Macro(self, node: Any) -> None:
        self.state.names[node.name] = Macro(node)

    def run(self, macro: Macro, node: Any) -> Any:
        """What a macro writes for a call."""
        if self._depth > 8:
            raise NotTranslatable(f"line {node.lineno}: the macro {macro.node.name} calls itself")
        parameters = [argument.name for argument in macro.node.args]
        given = {
            name: self.value(default)
            for name, default in zip(parameters[::-1], macro.node.defaults[::-1], strict=False)
        }
        given |= dict(zip(parameters, (self.value(one) for one in node.args), strict=False))
        given |= {pair.key: self.value(pair.value) for pair in node.kwargs}
        outside = dict(self.state.names)
        self.state.names.update({name: given.get(name, UNDEFINED) for name in parameters})
        self._depth += 1
        try:
            return plain(Text(self._captured(macro.node.body)))
        finally:
            self._depth -= 1
            self.state.names = outside

    def selected(self, of: Items, *, last: bool) -> Thing:
        """The place of the first or last message of a role is looked for where it is needed."""
        number = next(self.numbers)
        name, index, one = f"at{number}", f"i{number}", f"m{number}"
        self._variables[name] = "0"
        found: tuple[Node, ...] = (Set(name, path(index)), *(() if last else (Jump("break"),)))
        role = f"{path(one)}.Role"
        self._written.append(
            Each(index, one, of.go, (When(Equal(f'eq {role} "{of.chosen}"', role, of.chosen), found, ()),))
        )
        return Thing("message", f"index {argument(of.go)} {path(name)}")

    def _do_Assign(self, node: Any) -> None:
        self._assign(node.target, self.value(node.node))

    def _do_AssignBlock(self, node: Any) -> None:
        self._assign(node.target, plain(Text(self._captured(node.body))))

    def _assign(self, target: Any, value: Any) -> None:
        if type(target).__name__ == "Tuple":
            for one, part in zip(target.items, value, strict=True):
                self._assign(one, part)
        elif type(target).__name__ == "NSRef":
            space = self.state.names.get(target.name)
            if not isinstance(space, Space):
                raise NotTranslatable(
                    f"{target.name}.{target.attr} is set, and {target.name} is no namespace"
                )
            self._keep((space.number, target.attr), value)
        else:
            self.state.names[target.name] = value

    def _keep(self, place: tuple[int, str], value: Any) -> None:
        """A namespace's value: as a Go variable where a loop carries it on."""
        name = variable_name(place)
        if place in self._added:
            self._write(value)
            return
        if name not in self._variables:
            self.state.kept[place] = value
            return
        held = self.state.kept[place]
        self._forget(name)
        self.state.kept[place] = held
        self._written += assign(name, value)
        self.state.facts = {
            fact: holds for fact, holds in self.state.facts.items() if path(name) not in fact.go
        }

    def _forget(self, changed: str) -> None:
        """Whatever stands for what a variable was before it is changed can be read no more."""
        word = repr(path(changed))[1:-1]
        names, kept = self.state.names, self.state.kept
        names.update({key: CHANGED for key, value in names.items() if word in repr(value)})
        kept.update({key: CHANGED for key, value in kept.items() if word in repr(value)})

    def _do_If(self, node: Any) -> None:
        branches = [(node.test, node.body), *((one.test, one.body) for one in node.elif_), (None, node.else_)]
        self._branch(branches)

    def _branch(self, branches: list[tuple[Any, list[Any]]]) -> None:
        (test, body), *others = branches
        if test is None:
            self._run(body)
        elif only_raises(body):
            if others[0][0] is not None or others[0][1]:
                self._branch(others)
        else:
            self._either(self.truth(test), body, others)

    def _either(self, condition: Formula, body: list[Any], others: list[tuple[Any, list[Any]]]) -> None:
        if isinstance(condition, bool):
            self._run(body) if condition else self._branch(others)
            return
        if others[-1][1] and only_raises(others[-1][1]) and len(others) == 1:
            self._run(body)
            return
        before = self.state
        then = self._side(before.branch(condition, True), lambda: self._run(body))
        otherwise = self._side(before.branch(condition, False), lambda: self._branch(others))
        if then is None or otherwise is None:
            self._only(then or otherwise)
            return
        if then.nodes or otherwise.nodes:
            self._written.append(When(condition, then.nodes, otherwise.nodes))
        self.state = before
        if then.left and otherwise.left:
            raise _Left
        if then.left or otherwise.left:
            self.state = otherwise.state if then.left else then.state
        else:
            self.state = merged_state(condition, before, then.state, otherwise.state)

    def _side(self, state: State, run: Callable[[], None]) -> _Side | None:
        """One side of a branch; None where no conversation of the training can come there."""
        outside, self._written, self.state, left = self._written, [], state, False
        try:
            run()
        except _Left:
            left = True
        except NeverReached:
            return None
        finally:
            nodes, self._written = tuple(self._written), outside
        return _Side(self.state, nodes, left)

    def _only(self, side: _Side | None) -> None:
        if side is None:
            raise NeverReached("no conversation can be rendered")
        self._written += side.nodes
        self.state = side.state
        if side.left:
            raise _Left

    def _do_Break(self, _: Any) -> None:
        self._written.append(Jump("break"))
        raise _Left

    def _do_Continue(self, _: Any) -> None:
        self._written.append(Jump("continue"))
        raise _Left

    def _do_For(self, node: Any) -> None:
        over = self.value(node.iter)
        if isinstance(over, Choice):
            over = used_if_any(over) or self._one_list(over)
        if isinstance(over, Choice):
            raise NotTranslatable(f"line {node.lineno}: it loops over one list or another")
        if over is UNDEFINED or over is None:
            self._run(node.else_)
        elif isinstance(over, Items) and not node.else_:
            self._range(node, over)
        elif isinstance(over, list | tuple | str | dict):
            self._unroll(node, list(over))
        else:
            raise NotTranslatable(f"line {node.lineno}: it loops over something that is no list")

    def _one_list(self, over: Choice) -> Any:
        """The messages from a place on that the request decides: one list, so that there is one loop."""
        starts = common_start(over)
        if starts is None:
            return over
        root, start = starts
        name = f"from{next(self.numbers)}"
        self._variables[name] = "0"
        self._written += assign(name, start)
        whole = Items("message", f"slice {argument(root)} {path(name)}")
        for key, value in self.state.names.items():
            if isinstance(value, Choice) and value == over:
                self.state.names[key] = whole
        return whole

    def _unroll(self, node: Any, items: list[Any]) -> None:
        names = dict(self.state.names)
        for place, item in enumerate(items):
            last = place == len(items) - 1
            self._assign(node.target, item)
            self.state.names["loop"] = {
                "index0": place, "index": place + 1, "first": not place, "last": last, "length": len(items),
            }  # fmt: skip
            if node.test is None or self._decided(node):
                self._run(node.body)
            self.state.names = dict(names)
        if not items:
            self._run(node.else_)

    def _decided(self, node: Any) -> bool:
        condition = self.truth(node.test)
        if isinstance(condition, bool):
            return condition
        raise NotTranslatable(f"line {node.lineno}: the request decides what it loops over")

    def _range(self, node: Any, over: Items) -> None:
        if over.mapping and type(node.target).__name__ != "Tuple":
            names: list[Any] = [node.target, None]
        else:
            names = list(node.target.items) if over.mapping else [None, node.target]
        added = self._only_added(node)
        places = self._carried(node) if added is None else []
        for place in places:
            self._declare(place, node)
        outside, number = self.state, next(self.numbers)
        self.state = State(
            dict(outside.names), dict(outside.kept), lasting_facts(outside.facts, self._variables)
        )
        if added is not None:
            self.state.kept[added] = ""
        body = self._range_body(node, over, names, number, added)
        self.state = State(outside.names, self.state.kept, lasting_facts(outside.facts, self._variables))
        if added is None:
            self._written += body
        else:
            self.state.kept[added] = plain(Text((*as_text(outside.kept[added]).nodes, *body)))

    def _range_body(
        self, node: Any, over: Items, names: list[Any], number: int, added: tuple[int, str] | None
    ) -> tuple[Node, ...]:
        index, one = f"i{number}", f"m{number}"
        counter = f"n{number}" if over.mapping and uses_loop(node) else index
        before: list[Node] = []
        if over.mapping:
            self.state.names[names[0].name] = Text((Out(path(index)),))
        if over.backwards:
            item = f"index {argument(over.go)} (len (slice (slice {argument(over.go)} {path(index)}) 1))"
            before.append(Set(one, item, declared=True))
        if names[1] is not None:
            self._assign(names[1], element(over.kind, path(one)))
        self.state.names["loop"] = Loop(over, counter)
        if over.chosen:
            self.state.facts[
                Equal(f'eq {path(one)}.Role "{over.chosen}"', f"{path(one)}.Role", over.chosen)
            ] = True
        if added is not None:
            self._added.append(added)
        outside, self._written = self._written, []
        with contextlib.suppress(_Left):
            self._filtered_body(node)
        body, self._written = tuple(self._written), outside
        if added is not None:
            self._added.remove(added)
        if over.chosen:
            body = (When(Is(f'eq {path(one)}.Role "{over.chosen}"'), body, ()),)
        if counter != index:
            self._variables[counter] = "0"
            body = (*body, Set(counter, f'len (printf "%*s " {path(counter)} "")'))
        loop = Each(index, f"{one}_" if over.backwards else one, over.go, (*before, *body))
        return (Set(counter, "0"), loop) if counter != index else (loop,)

    def _filtered_body(self, node: Any) -> None:
        if node.test is None:
            self._run(node.body)
            return
        if uses_loop(node):
            raise NotTranslatable(
                f"line {node.lineno}: it counts the elements that a loop's `if` lets through"
            )
        self._either(self.truth(node.test), node.body, [(None, [])])

    def _carried(self, node: Any) -> list[tuple[int, str]]:
        """What the loop's body sets in namespaces that were there before it."""
        found = []
        for target in set_attributes(node):
            space = self.state.names.get(target.name)
            if isinstance(space, Space) and (space.number, target.attr) not in found:
                found.append((space.number, target.attr))
        return found

    def _declare(self, place: tuple[int, str], node: Any) -> None:
        """A Go variable for what a namespace holds, with its value before the loop."""
        name = variable_name(place)
        if name in self._variables:
            return
        value = self.state.kept.get(place, UNDEFINED)
        held, start = carried_value(value, set_values(node, place[1]), path(name))
        self._variables[name] = start
        self._written += assign(name, value if value not in (None, UNDEFINED, False) else empty_value(start))
        self.state.kept[place] = held

    def _only_added(self, node: Any) -> tuple[int, str] | None:
        """The text that the loop does nothing to but write on: `ns.text = ns.text + …`."""
        targets = {(target.name, target.attr) for target in set_attributes(node)}
        if len(targets) != 1 or any(nodes_of(node.body, "Output")):
            return None
        ((name, attribute),) = targets
        space = self.state.names.get(name)
        sets = [one for one in nodes_of(node.body, "Assign") if type(one.target).__name__ == "NSRef"]
        if not isinstance(space, Space) or not all(adds_to(one, name, attribute) for one in sets):
            return None
        uses = [
            one for one in nodes_of(node.body, "Getattr") if one.attr == attribute and is_name(one.node, name)
        ]
        return (space.number, attribute) if len(uses) == len(sets) else None
