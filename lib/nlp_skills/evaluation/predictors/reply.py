"""What a model said as the text of an answer, and the name of the prompt that it was given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import read_calls
from nlp_skills.data.turns import to_tool_calls


def reply_text(example: Example, said: str) -> str:
    """The answer without blanks around it; one to a row with tools that is nothing but calls, as `calls_text`.

    Calls that stand in other words, or are no JSON, stay as the model wrote them.
    """
    if example.tools:
        calls = read_calls(said)
        if calls.calls and calls.alone:
            return calls_text(calls.calls)
    return said.strip()


def calls_text(calls: Sequence[dict[str, Any]]) -> str:
    """Tool calls as `Example.output_text` writes them: a JSON list in OpenAI's form, arguments as an object."""
    forms = [{**form, "id": None} for form in to_tool_calls(list(calls), "the answer")]
    return msgspec.json.encode([{k: v for k, v in form.items() if v is not None} for form in forms]).decode()


def prompt_hash(prompt: Sequence[int] | str) -> str:
    """The first 16 hexadecimal digits of SHA-256 over the token ids, or over the text."""
    text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
