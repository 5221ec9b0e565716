"""Tool calls in an answer while it is said: text goes out as it comes until a call may have begun.

Let me look.  {"name": "get_weather", …}
streamed      held back, read at the end: the usual ways of writing calls are those that the evaluation reads
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nlp_skills.deployment.serving.backend import Piece
from nlp_skills.evaluation.tool_use.replies import read_reply

_BEGINS = re.compile(r"[{\[<`]|\A\s*[A-Za-z_][\w.]*(?:\(|\Z)")
"""JSON, a tag, a code block, or a function's name at the very beginning."""

_THINKING = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


class CallStream:
    """The text and the calls of one answer to a request with tools."""

    def __init__(self, offered: Sequence[str]) -> None:
        """`offered` are the tools' names."""
        self._offered = offered
        self._text = ""
        self._out = 0

    def add(self, text: str) -> str:
        """What is certain to be no call; what the model thinks first is none."""
        self._text += text
        thought = _THINKING.match(self._text)
        start = thought.end() if thought else 0
        begins = _BEGINS.search(self._text[start:])
        return self._up_to(start + begins.start() if begins else len(self._text))

    def end(self) -> tuple[str, list[dict[str, Any]]]:
        """The rest of the text, and the calls in OpenAI's form; where there are calls, they are the rest.

        What calls none of the tools that are offered is text.
        """
        calls = read_reply(self._text).calls
        if not any(call.name in self._offered for call in calls):
            return self._up_to(len(self._text)), []
        return "", [_call_form(call.name, call.arguments) for call in calls]

    def read(self, piece: Piece) -> Piece:
        """The piece with what is certain to be text; the last one with the rest and the calls."""
        text, found = self.add(piece.text), []
        if piece.finish:
            rest, found = self.end()
            text += rest
        calls = [{"index": place, **call} for place, call in enumerate(found)]
        return replace(piece, text=text, calls=calls, finish="tool_calls" if calls else piece.finish)

    def _up_to(self, end: int) -> str:
        told, self._out = self._text[self._out : end], max(self._out, end)
        return told


def _call_form(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
