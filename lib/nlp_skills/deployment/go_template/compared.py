"""The translated template beside the trainer's: where they differ, and what Ollama does otherwise on its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nlp_skills.deployment.go_template.chat_template import ChatTemplate
from nlp_skills.deployment.go_template.go_syntax import Template
from nlp_skills.deployment.go_template.probes import (
    WEATHER,
    Probe,
    assistant,
    calling,
    result,
    user,
)
from nlp_skills.deployment.go_template.request import ollama_request, render
from nlp_skills.errors import NotValid, clip

AROUND = 24
"""Characters that are shown on each side of a difference."""

SHOWN = 3
"""Names of tools in a sentence."""


def differing(
    chat: ChatTemplate, template: Template, probes: Iterable[Probe]
) -> tuple[Probe, str, str] | None:
    """The first conversation that Ollama renders otherwise, with the trainer's prompt and Ollama's."""
    for probe in map(chat.ordered, probes):
        for think in (None, True, False) if chat.follows else (None,):
            wanted = chat.rendered(probe, **({} if think is None else {"enable_thinking": think}))
            if wanted is None:
                continue  # the training has no such conversation either
            found = _of_ollama(template, probe, think)
            if found != wanted.text:
                return probe, wanted.text, found
    return None


def _of_ollama(template: Template, probe: Probe, think: bool | None) -> str:
    try:
        return render(template, ollama_request(probe.messages, probe.tools, think=think))
    except NotValid as error:
        return f"no prompt: {error}"


def difference(probe: Probe, wanted: str, found: str) -> str:
    """Where two prompts part, in words."""
    place = next(
        (i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b),
        min(len(wanted), len(found)),
    )
    start = max(0, place - AROUND)
    shown = [clip(text[start:], 2 * AROUND) for text in (wanted, found)]
    return (
        f"the conversation {probe.name!r} differs at character {place}: the trainer writes {shown[0]!r}, Ollama would"
        f" write {shown[1]!r}"
    )


def limits_of(chat: ChatTemplate, template: Template, *, tools: bool) -> Iterator[str]:
    """What Ollama does to a request before any template sees it, where it changes this model's prompt."""
    for sentence, probe in (*_LIMITS, *(_TOOL_LIMITS if tools else ())):
        if differing(chat, template, [probe]) is not None:
            yield sentence
    if tools:
        keys = [key for key in chat.order["property"] if key in ("type", "description", "enum")]
        yield f"the keys of a tool's parameter are always shown in the order {', '.join(keys)}"
    if tools and not chat.calls_are_read_back():
        yield (
            "the model's tool calls are not JSON with a name and arguments, so Ollama hands them back as text; a PARSER"
            " of Ollama's own may read them"
        )


def tools_shown_otherwise(
    chat: ChatTemplate, template: Template, tools: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Which of the tools that the model was trained with Ollama shows it in other words, and the first difference."""
    functions = [tool.get("function", tool) for tool in tools]
    probes = [
        Probe(one["name"], [user("a")], [{"type": "function", "function": dict(one)}]) for one in functions
    ]
    rendered = [(probe, chat.rendered(probe), _of_ollama(template, probe, None)) for probe in probes]
    wrong = [(p, wanted.text, found) for p, wanted, found in rendered if wanted and wanted.text != found]
    if wrong:
        names = ", ".join(probe.name for probe, _, _ in wrong[:SHOWN])
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        probe, wanted, found = wrong[0]
        yield f"of the tools in the rows {names}{more} {'is' if len(wrong) == 1 else 'are'} shown otherwise: {difference(probe, wanted, found)}"


def _tool(properties: Mapping[str, Any], **others: Any) -> list[dict[str, Any]]:
    parameters = {"type": "object", "properties": dict(properties), **others}
    return [{"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}}]


def _called(arguments: dict[str, Any]) -> Probe:
    return Probe("call", [user("a"), calling(("get_weather", arguments)), result("b")], [WEATHER])


_LIMITS = (
    ("two messages of one role in a row are joined into one, with an empty line between", Probe("two", [user("a"), user("b")])),
    (
        "reasoning that a client sends back as text (<think>…</think>) is not taken out of earlier answers; Ollama's own"
        " `thinking` field is",
        Probe("thinking text", [user("a"), assistant("<think>\nb\n</think>\n\nc"), user("d")]),
    ),
)  # fmt: skip
_TEXT = {"type": "string", "description": "d"}
_TOOL_LIMITS = (
    ("a tool's parameters are listed in alphabetical order", Probe("order", [user("a")], _tool({"b": _TEXT, "a": _TEXT}))),
    ("a tool call's arguments are listed in alphabetical order", _called({"unit": "celsius", "city": "x"})),
    ("a whole number that is written as 2.0 in a tool call becomes 2", _called({"days": 2.0})),
    (
        "of a parameter's schema only type, description, enum, items, properties, required and anyOf are shown",
        Probe("keys", [user("a")], _tool({"a": {**_TEXT, "default": "x"}})),
    ),
    ("an empty list of required parameters is left out", Probe("required", [user("a")], _tool({"a": _TEXT}, required=[]))),
)  # fmt: skip
