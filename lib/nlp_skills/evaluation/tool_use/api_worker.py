"""The API classes of bfcl-eval in a process of their own: a program that imports nothing of this library.

    python -I -B api_worker.py <folder of bfcl_eval>      a line of JSON in, a line of JSON out

    {"do": "open", "key": "model 1", "classes": ["MathAPI"], "modules": ["math_api"], "config": {…}, "long_context": false}
    {"do": "run", "key": "model 1", "calls": [{"name": "add", "positional": [], "arguments": {"a": 1, "b": 2}}]}
    {"do": "differences", "key": "model 1", "other": "truth 1"}
    {"do": "close", "key": "model 1"}

What a call answers, errors included, is text as bfcl-eval's multi_turn_utils.py writes it. Nothing is evaluated: a call is a
method's name and values.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import sys
from typing import Any

PACKAGE = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
STATELESS = ("MathAPI",)
REFUSED = ("kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run")
"""Names that the reference does not call, whatever they are."""
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What wrong arguments make the classes raise; the text of it is the call's answer."""

sessions: dict[str, dict[str, Any]] = {}
"""Key → class → its instance."""


def open_session(
    key: str, classes: list[str], modules: list[str], config: dict[str, Any], long_context: bool
) -> dict[str, Any]:
    """Instances of the classes in the state of the beginning."""
    session = {}
    for name, module in zip(classes, modules, strict=True):
        instance = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)()
        if name not in STATELESS:
            instance._load_scenario(copy.deepcopy(config.get(name, {})), long_context=long_context)
        session[name] = instance
    sessions[key] = session
    return {}


def run(key: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """What each call answers."""
    methods = {
        name: method
        for instance in sessions[key].values()
        for name, method in inspect.getmembers(instance, inspect.ismethod)
        if not name.startswith("_")
    }
    return {"results": [answer(methods, **call) for call in calls]}


def answer(methods: dict[str, Any], name: str, positional: list[Any], arguments: dict[str, Any]) -> str:
    """The text that a call gives back."""
    if name in REFUSED:
        return f"Error during execution: Function call {name} is not allowed."
    if name not in methods:
        return f"Error during execution: name '{name}' is not defined"
    try:
        value = methods[name](*positional, **arguments)
    except FAULTS as error:
        return f"Error during execution: {error}"
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        try:
            return json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            return str(value)
    return str(value)


def differences(key: str, other: str) -> dict[str, Any]:
    """Public attributes that are not equal: class → attribute → both as text."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, theirs in sessions[other].items():
        ours = sessions[key][name]
        for attribute, value in vars(theirs).items():
            if not attribute.startswith("_") and getattr(ours, attribute) != value:
                both = [str(getattr(ours, attribute))[:300], str(value)[:300]]
                found.setdefault(name, {})[attribute] = both
    return {"differences": found}


def close(key: str) -> dict[str, Any]:
    """Forget a session."""
    sessions.pop(key, None)
    return {}


COMMANDS = {"open": open_session, "run": run, "differences": differences, "close": close}


def main() -> None:
    """Answer until the input ends."""
    sys.path.insert(0, sys.argv[1])
    # What the classes print must not stand between the answers.
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            told = COMMANDS[asked.pop("do")](**asked)
        except ModuleNotFoundError as error:
            told = {"missing": error.name}
        out.write(json.dumps(told) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
