"""Is a set of calls right? BFCL's comparison by syntax tree, without running anything.

    functions  [{"name": "area", "parameters": {"type": "dict", "properties": {…}, "required": […]}}]
    calls      [Call("area", {"base": 10, "height": 5})]
    answers    [{"area": {"base": [10], "height": [5], "unit": ["units", ""]}}]     every accepted value; "": may be left out

A verdict is that of BFCL's own checker (bfcl-eval 2026.3.23, ast_checker.py), also where it is generous: strings are
compared without case, blanks and `,./-_*^`; an empty list passes where a list may be left out. Where that checker
stops with an exception, the calls are wrong here and the fault has a name. How often they differ: docs/bfcl.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.schema_types import SYNTAXES, Language, Syntax

Fault = Literal[
    "wrong_count",
    "wrong_tool",
    "missing_parameter",
    "unexpected_parameter",
    "wrong_type",
    "wrong_value",
    "bad_schema",
    "no_call",
    "unwanted_call",
]
"""What is wrong with an answer."""

Answer = Mapping[str, Mapping[str, Sequence[Any]]]
"""One expected call: tool → parameter → every accepted value."""


class Verdict(NamedTuple):
    """Whether calls are right; otherwise what is wrong, as a name and in words."""

    right: bool
    fault: Fault | None = None
    message: str = ""


RIGHT = Verdict(True)
_PUNCTUATION = re.compile(r"[ ,./\-_*^]")


def score_calls(
    functions: Sequence[Mapping[str, Any]],
    calls: Sequence[Call],
    answers: Sequence[Answer],
    *,
    parallel: bool = False,
    language: Language = "python",
) -> Verdict:
    """Whether the calls are the expected ones; several calls may come in any order where `parallel`.

    Without `parallel` exactly one call is expected. Answers are matched one by one with the first call that fits.
    """
    wanted = len(answers) if parallel else 1
    if not calls:
        return Verdict(False, "no_call", f"no call, {wanted} expected")
    if len(calls) != wanted:
        return Verdict(False, "wrong_count", f"{len(calls)} calls, {wanted} expected")
    left = list(calls)
    for answer in answers[:wanted]:
        function = _function(functions, next(iter(answer)))
        if function is None:
            return Verdict(False, "bad_schema", f"the expected tool {next(iter(answer))!r} is not offered")
        verdicts = [score_call(function, call, answer, language) for call in left]
        right = next((i for i, verdict in enumerate(verdicts) if verdict.right), None)
        if right is None:
            return _nearest(verdicts)
        del left[right]
    return RIGHT


def score_nothing(calls: Sequence[Call], *, wanted: bool) -> Verdict:
    """For rows without expected calls: none may be made (irrelevance), or any (`wanted`, relevance)."""
    if wanted:
        return RIGHT if calls else Verdict(False, "no_call", "no call, though a tool fits")
    return Verdict(False, "unwanted_call", f"calls {calls[0].name}, though no tool fits") if calls else RIGHT


def _function(functions: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((function for function in functions if function["name"] == name), None)


def _nearest(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several wrong calls the one of the right tool tells most."""
    return next((verdict for verdict in verdicts if verdict.fault != "wrong_tool"), verdicts[0])


def score_call(
    function: Mapping[str, Any], call: Call, answer: Answer, language: Language = "python"
) -> Verdict:
    """Whether one call is the expected one."""
    if call.name != function["name"]:
        return Verdict(False, "wrong_tool", f"{call.name!r} is called, {function['name']!r} expected")
    accepted = next(iter(answer.values()))
    parameters = function.get("parameters", {})
    properties = parameters.get("properties", {})
    for name in parameters.get("required", ()):
        if name not in call.arguments:
            return Verdict(False, "missing_parameter", f"{name!r} is required and missing")
    for name, value in call.arguments.items():
        if name not in properties or name not in accepted:
            return Verdict(False, "unexpected_parameter", f"{name!r} is not expected")
        verdict = score_value(name, value, properties[name], accepted[name], language)
        if not verdict.right:
            return verdict
    for name, values in accepted.items():
        if name not in call.arguments and "" not in values:
            return Verdict(False, "missing_parameter", f"{name!r} is missing")
    return RIGHT


def score_value(
    name: str, value: Any, schema: Mapping[str, Any], accepted: Sequence[Any], language: Language = "python"
) -> Verdict:
    """Whether a value has the parameter's type and is one of the accepted ones."""
    syntax = SYNTAXES[language]
    kind = str(schema.get("type"))
    if kind not in syntax.types:
        return Verdict(False, "bad_schema", f"{name!r} has the type {kind}, which {language} does not know")
    items = _items(schema, kind, syntax)
    if items is not None and items not in syntax.types:
        return Verdict(False, "bad_schema", f"the items of {name!r} have the type {items}")
    if syntax.convert is not None:
        if not isinstance(value, str):
            return _wrong_type(name, value, f"{language} text")
        value = syntax.convert(value, kind, items)
    elif kind in ("float", "number") and type(value) is int:
        if abs(value) > sys.float_info.max:
            return _wrong_value(name, value, accepted)
        value = float(value)
    elif kind == "tuple" and isinstance(value, tuple):
        value = list(value)
    wanted, inner = syntax.types[kind], syntax.types[items] if items else None
    types = _first_type(accepted)
    if not _fits(value, wanted, inner, accepted):
        return _wrong_type(name, value, f"{kind} of {items}" if items else kind)
    plain = types not in (None, wanted) or type(value) is not wanted  # a variable's name stands for the value
    compare = _equal if plain else _comparison(wanted, inner)
    return RIGHT if compare(value, accepted) else _wrong_value(name, value, accepted)


def _items(schema: Mapping[str, Any], kind: str, syntax: Syntax) -> str | None:
    """The type of a list's elements where the language looks at them; `None` as text where the schema has none."""
    if kind not in syntax.with_items:
        return None
    items = schema.get("items")
    return str(items.get("type")) if isinstance(items, Mapping) else "None"


def _first_type(accepted: Sequence[Any]) -> type | None:
    """The type of the first accepted value that is no sign for an omission."""
    return next((type(value) for value in accepted if value != ""), None)


def _fits(value: Any, wanted: type, inner: type | None, accepted: Sequence[Any]) -> bool:
    """Whether the type is right: the schema's, or that of the accepted values (a variable's name for a number)."""
    if type(value) is not wanted:
        return type(value) is _first_type(accepted)
    if inner is None:
        return True
    return any(
        not isinstance(option, list) or all(_fits(item, inner, None, option) for item in value)
        for option in accepted
    )


def _comparison(wanted: type, inner: type | None) -> Callable[[Any, Sequence[Any]], bool]:
    if wanted is dict:
        return _is_one_of_dicts
    if wanted is list:
        return _is_one_of_dict_lists if inner is dict else _is_one_of_lists
    return _is_one_of_strings if wanted is str else _equal


def _equal(value: Any, accepted: Sequence[Any]) -> bool:
    return value in accepted


def normal(value: Any) -> Any:
    """A string as it is compared; anything else as it is."""
    return _PUNCTUATION.sub("", value).lower().replace("'", '"') if isinstance(value, str) else value


def _is_one_of_strings(value: str, accepted: Sequence[Any]) -> bool:
    return normal(value) in [normal(option) for option in accepted if isinstance(option, str)]


def _is_one_of_lists(value: list[Any], accepted: Sequence[Any]) -> bool:
    """Texts in the list are compared as texts are; what is nested deeper has to be equal.

    `""` among the accepted values is an empty list here: an empty list passes where the list may be left out.
    """
    options = [option for option in accepted if isinstance(option, list | str)]
    return [normal(item) for item in value] in [[normal(item) for item in option] for option in options]


def _is_one_of_dicts(value: Mapping[str, Any], accepted: Sequence[Any]) -> bool:
    return any(_matches(value, option) for option in accepted if isinstance(option, Mapping))


def _matches(value: Mapping[str, Any], option: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a dictionary has only accepted values, and every key that may not be left out."""
    return all(
        key in option and normal(item) in [normal(accepted) for accepted in _options(option[key])]
        for key, item in value.items()
    ) and all(key in value or "" in _options(accepted) for key, accepted in option.items())


def _options(accepted: Any) -> Sequence[Any]:
    """The accepted values of a key; none where the data set names a value without a list around it."""
    return accepted if isinstance(accepted, list | str) else ()


def _is_one_of_dict_lists(value: list[Any], accepted: Sequence[Any]) -> bool:
    """The dictionaries have to come in the order of an accepted list; `""` is an empty one."""
    return any(
        len(value) == len(option)
        and all(
            isinstance(item, Mapping) and isinstance(wanted, Mapping) and _matches(item, wanted)
            for item, wanted in zip(value, option, strict=True)
        )
        for option in accepted
        if isinstance(option, list | str)
    )


def _wrong_type(name: str, value: Any, wanted: str) -> Verdict:
    return Verdict(False, "wrong_type", f"{name!r} is {type(value).__name__} {value!r:.80}, not {wanted}")


def _wrong_value(name: str, value: Any, accepted: Sequence[Any]) -> Verdict:
    return Verdict(False, "wrong_value", f"{name!r} is {value!r:.80}, not one of {accepted!r:.120}")
