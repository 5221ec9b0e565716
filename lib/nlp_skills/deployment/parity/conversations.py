"""The conversations that are compared: fixed ones of every kind that a chat has, and rows of the task's test set.

plain   system   multi-turn   other scripts   tools   tool call and result   thinking   row ID …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import render
from nlp_skills.errors import NotValid
from nlp_skills.training.config import TrainConfig

ROWS = 6
"""Of the test set; they are spread over it."""

SYSTEM = Message("system", "You sort messages. Answer with one word.")
ASKED = Message("user", "Where is my parcel?")
ANSWERED = Message("assistant", "It is on its way.")
AGAIN = Message("user", "And the second one?")
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name."},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
CALLED = Message(
    "assistant",
    "",
    tool_calls=[{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Taipei"}}}],
)
RESULT = Message("tool", '{"celsius": 31}', name="get_weather")
THOUGHT = Message("assistant", "<think>\nThe parcel was sent on Monday.\n</think>\n\nIt is on its way.")

FIXED: dict[str, tuple[list[Message], list[dict[str, Any]] | None]] = {
    "plain": ([ASKED], None),
    "system": ([SYSTEM, ASKED], None),
    "multi-turn": ([ASKED, ANSWERED, AGAIN], None),
    "system, multi-turn": ([SYSTEM, ASKED, ANSWERED, AGAIN], None),
    "other scripts": (
        [Message("user", "包裹還沒到 📦 – où est-il ?\n\n\tすみません、café naïve 12345")],
        None,
    ),
    "tools": ([Message("user", "How warm is it in Taipei?")], [WEATHER]),
    "tool call and result": ([Message("user", "How warm is it in Taipei?"), CALLED, RESULT], [WEATHER]),
    "thinking": ([ASKED, THOUGHT, AGAIN], None),
}
"""Name → the turns before an answer, and the tools."""


class Conversation(NamedTuple):
    """What a server is asked, and what the trained model would be given for it."""

    name: str
    example: Example
    ids: list[int]
    text: str


class Trainer:
    """The tokenizer and the settings that a version was trained with."""

    def __init__(self, tokenizer: Any, config: TrainConfig) -> None:
        self.tokenizer = tokenizer
        self.config = config
        self._encoder = TextEncoder(tokenizer)

    def text(self, example: Example) -> str:
        """The prompt as the training rendered it. Raises NotValid for turns that the template does not know."""
        shown = with_prompted_tools(example) if self.config.tools_in_prompt else example
        thinking = self.config.enable_thinking
        return render(self.tokenizer, shown.context, shown.tools, ask=True, thinking=thinking)

    def conversation(self, name: str, example: Example) -> Conversation:
        """With its token ids. Raises NotValid."""
        text = self.text(example)
        return Conversation(name, example, self._encoder.encode([text])[0], text)

    def shown(self, ids: Sequence[int]) -> str:
        """Tokens as text, special ones too."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))


def conversations(trainer: Trainer, rows: Sequence[Example]) -> tuple[list[Conversation], dict[str, str]]:
    """Those that this model can have; of the others, why not."""
    found: list[Conversation] = []
    without: dict[str, str] = {}
    for name, (turns, tools) in FIXED.items():
        if (reason := _cannot(trainer, name, turns, tools)) is not None:
            without[name] = reason
            continue
        try:
            found.append(trainer.conversation(name, _asked(name, turns, tools)))
        except NotValid as error:
            without[name] = str(error)
    found += [trainer.conversation(f"row {row.meta.id}", row) for row in _spread(rows)]
    return found, without


def _cannot(
    trainer: Trainer, name: str, turns: list[Message], tools: list[dict[str, Any]] | None
) -> str | None:
    if name == "thinking" and "think" not in str(trainer.tokenizer.chat_template):
        return "the chat template knows no thinking"
    if tools is None or trainer.config.tools_in_prompt:
        return None
    try:
        same = trainer.text(_asked(name, turns, tools)) == trainer.text(_asked(name, turns, None))
    except NotValid as error:
        return str(error)
    return "the chat template shows the model no tools" if same else None


def _asked(name: str, turns: list[Message], tools: list[dict[str, Any]] | None) -> Example:
    return Example(
        meta=Meta(id=name, source="parity"), messages=[*turns, Message("assistant", "")], tools=tools
    )


def _spread(rows: Sequence[Example]) -> Iterator[Example]:
    """Some rows that ask something, spread over all."""
    asking = [row for row in rows if not row.is_plain_text]
    yield from asking[:: max(1, len(asking) // ROWS)][:ROWS]
