"""The conversations that a translated template is measured with: one of each kind, and many drawn by a fixed seed.

Texts begin and end with blanks, hold other scripts and what templates and JSON are written with: whatever a template
trims, escapes or looks for shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple


class Probe(NamedTuple):
    """A conversation in the trainer's form, before an answer."""

    name: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


TEXTS = (
    "How warm is it in Taipei?",
    "  two blanks before, a line after\n",
    "\n\t包裹還沒到 📦 – où est-il ?\u3000",
    'a "quote", a \\, {{ braces }}, {% a tag %}, <b>&amp;</b> and 3 > 2',
    "one\n\ntwo\r\n three",
    "x",
)
DRAWN = 60

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The weather of a city: "warm" > 20 & <rain>, 天氣.',
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name."},
                "days": {"type": "array", "items": {"type": "integer"}},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
STOP: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "stop",
        "description": "Stop.",
        "parameters": {"type": "object", "properties": {}},
    },
}


def system(text: str) -> dict[str, Any]:
    """A system message."""
    return {"role": "system", "content": text}


def user(text: str) -> dict[str, Any]:
    """A question."""
    return {"role": "user", "content": text}


def assistant(text: str, reasoning: str = "") -> dict[str, Any]:
    """An answer."""
    return {"role": "assistant", "content": text, **({"reasoning_content": reasoning} if reasoning else {})}


def calling(*calls: tuple[str, dict[str, Any]], text: str = "", reasoning: str = "") -> dict[str, Any]:
    """An answer that calls tools."""
    made = [
        {"id": f"call{n:05d}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls, start=1)
    ]
    return {**assistant(text, reasoning), "tool_calls": made}


def result(text: str, name: str = "get_weather", call: int = 1) -> dict[str, Any]:
    """What a tool answered."""
    return {"role": "tool", "content": text, "name": name, "tool_call_id": f"call{call:05d}"}


ONE = ("get_weather", {"city": "台北 <A&B>\n", "days": [1, 2]})
TWO = ("stop", {})


def plain_probes() -> Iterator[Probe]:
    """Without tools and without reasoning."""
    for place, text in enumerate(TEXTS, start=1):
        yield Probe(f"plain {place}", [user(text)])
        yield Probe(f"system {place}", [system(text), user(TEXTS[0])])
        yield Probe(f"multi-turn {place}", [user(text), assistant(text), user(text)])
    yield Probe("empty system", [system(""), user(TEXTS[0])])
    yield Probe(
        "system, multi-turn",
        [system(TEXTS[1]), user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
    )


def tool_probes() -> Iterator[Probe]:
    """With tools: declared, called, answered."""
    tools = [WEATHER, STOP]
    yield Probe("tools", [user("a")], tools)
    yield Probe("one tool", [user(TEXTS[1])], [WEATHER])
    yield Probe("tools, system", [system(TEXTS[1]), user("a")], tools)
    yield Probe("tools, multi-turn", [user("a"), assistant("b"), user("c")], tools)
    called = [user("a"), calling(ONE), result('{"celsius": 31}')]
    yield Probe("tool call and result", called, tools)
    yield Probe("tool call and result, system", [system("s"), *called], tools)
    yield Probe("tool call with text", [user("a"), calling(ONE, text="I look. "), result("31\n")], tools)
    yield Probe("answer after a tool result", [*called, assistant("31"), user("c")], tools)
    yield Probe("another call after a result", [*called, calling(TWO), result("", "stop")], tools)
    two = [user("a"), calling(ONE, TWO), result("31"), result("done", "stop", 2)]
    yield Probe("two calls at once", two, tools)
    yield Probe("two calls at once, then an answer", [*two, assistant("so"), user("d")], tools)


def thinking_probes(tools: bool) -> Iterator[Probe]:
    """With reasoning in earlier answers."""
    thought = assistant("b", "I think\nso. ")
    yield Probe("reasoning in an earlier answer", [user("a"), thought, user("c")])
    yield Probe("reasoning in two answers", [user("a"), thought, user("c"), assistant("d", "hm"), user("e")])
    if tools:
        steps = [user("a"), calling(ONE, reasoning="look"), result("31")]
        yield Probe("reasoning before a tool call", steps, [WEATHER])
        yield Probe(
            "reasoning before two tool calls",
            [*steps, calling(TWO, reasoning="stop"), result("", "stop")],
            [WEATHER],
        )


def drawn_probes(tools: bool, thinking: bool, seed: int = 17) -> Iterator[Probe]:
    """Conversations of random shape."""
    draw = random.Random(seed)
    for number in range(1, DRAWN + 1):
        with_tools = tools and draw.random() < 0.6
        messages = [system(draw.choice(TEXTS))] if draw.random() < 0.5 else []
        for _ in range(draw.randint(0, 3)):
            messages += [user(draw.choice(TEXTS)), *_answer(draw, with_tools, thinking)]
        messages.append(user(draw.choice(TEXTS)))
        if with_tools and draw.random() < 0.4:
            messages += _calls(draw, thinking)
        yield Probe(f"drawn {number}", messages, [WEATHER, STOP] if with_tools else None)


def _answer(draw: random.Random, tools: bool, thinking: bool) -> list[dict[str, Any]]:
    steps = _calls(draw, thinking) if tools and draw.random() < 0.5 else []
    return [*steps, assistant(draw.choice(TEXTS), _reasoning(draw, thinking))]


def _calls(draw: random.Random, thinking: bool) -> list[dict[str, Any]]:
    calls = draw.choice(((ONE,), (TWO,), (ONE, TWO)))
    text = draw.choice(("", "", draw.choice(TEXTS)))
    results = [result(draw.choice(TEXTS), name, number) for number, (name, _) in enumerate(calls, start=1)]
    return [calling(*calls, text=text, reasoning=_reasoning(draw, thinking)), *results]


def _reasoning(draw: random.Random, thinking: bool) -> str:
    return draw.choice(("", "so ", "\nbecause\n of it")) if thinking else ""
