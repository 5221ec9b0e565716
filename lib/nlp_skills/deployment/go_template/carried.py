"""What is carried from one turn of a loop to the next, and what holds after a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp_skills.deployment.go_template.formulas import choose
from nlp_skills.deployment.go_template.go_words import path
from nlp_skills.deployment.go_template.state import State
from nlp_skills.deployment.go_template.values import (
    CHANGED,
    FORMULAS,
    UNDEFINED,
    Choice,
    Formula,
    Is,
    Items,
    NotTranslatable,
    Number,
    Out,
    Text,
    Thing,
)


def used_if_any(over: Choice) -> Items | None:
    """A list that is used only where it is not empty."""
    then = over.then
    absent = over.otherwise is UNDEFINED or over.otherwise is None or over.otherwise == []
    return then if isinstance(then, Items) and absent and over.condition == Is(then.go) else None


def variable_name(place: tuple[int, str]) -> str:
    """The Go variable of what a namespace holds."""
    number, name = place
    return f"{name}_{number}"


def carried_value(value: Any, settings: list[Any], go: str) -> tuple[Any, str]:
    """What a variable is worth in a loop, and its value before it has one."""
    if isinstance(value, Thing | Items | list | dict):
        raise NotTranslatable("it carries a message or a list from one turn to the next")
    kinds = [value, *settings]
    if any(isinstance(one, Number) or (isinstance(one, int) and not isinstance(one, bool)) for one in kinds):
        return Number(go), "0"
    if all(one in (None, UNDEFINED) or isinstance(one, FORMULAS) for one in kinds) and True in [
        isinstance(one, FORMULAS) for one in settings
    ]:
        return Is(go), "false"
    return Text((Out(go),)), '""'


def empty_value(start: str) -> Any:
    """What a variable holds that has had no value yet."""
    return {"false": False, "0": 0, '""': ""}[start]


def lasting_facts(facts: Mapping[Is, bool], variables: Mapping[str, str]) -> dict[Is, bool]:
    """What stays true in a loop and after it: nothing about variables."""
    return {
        fact: holds for fact, holds in facts.items() if not any(path(name) in fact.go for name in variables)
    }


def common_start(over: Any) -> tuple[str, Any] | None:
    """The list of messages that a choice of slices is about, and where it begins."""
    if isinstance(over, Items) and over.kind == "message" and not over.backwards and not over.chosen:
        whole = path("", "Messages")
        if over.go == whole:
            return whole, 0
        found, places = over.go, 0
        while found.startswith("slice "):
            found, _, step = found.removeprefix("slice ").rpartition(" ")
            if not step.isdigit():
                return None
            places += int(step)
            found = found.removeprefix("(").removesuffix(")") if found.startswith("(") else found
        return (whole, places) if found == whole else None
    if isinstance(over, Choice):
        then, otherwise = common_start(over.then), common_start(over.otherwise)
        if then and otherwise and then[0] == otherwise[0]:
            return then[0], choose(over.condition, then[1], otherwise[1])
    return None


def merged_state(condition: Formula, before: State, then: State, otherwise: State) -> State:
    """What holds after a branch."""

    def both(first: dict[Any, Any], second: dict[Any, Any]) -> dict[Any, Any]:
        keys = [*first, *(key for key in second if key not in first)]
        return {
            key: _chosen(condition, first.get(key, UNDEFINED), second.get(key, UNDEFINED)) for key in keys
        }

    facts = {
        fact: holds
        for fact, holds in before.facts.items()
        if then.facts.get(fact) == holds == otherwise.facts.get(fact)
    }
    return State(both(then.names, otherwise.names), both(then.kept, otherwise.kept), facts)


def _chosen(condition: Formula, first: Any, second: Any) -> Any:
    if first is second:
        return first
    return CHANGED if CHANGED in (first, second) else choose(condition, first, second)
