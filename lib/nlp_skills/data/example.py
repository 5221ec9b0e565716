"""An example: one line of data/{train,valid,test}.jsonl, in the field's chat format.

    {"messages": [{"role": "system", …}, {"role": "user", …}, {"role": "assistant", …}],
     "meta": {"id": "support-17", "source": "support", "line": 18, "label": "billing"}}

Preference rows carry `prompt`, `chosen` and `rejected` (lists of messages) instead of `messages`.
Rows are msgspec structs: a file is read line by line in constant memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import write_lines


class Message(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One turn. `content` may be None only where there are tool calls."""

    role: str
    content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    weight: float | None = None
    """0: an answer that stands in the row but is not learned from, as in OpenAI's fine-tuning files."""


class Meta(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Where a row comes from and what it is about; never shown to the model."""

    id: str
    source: str
    line: int = 0
    """1-based line in data/raw/<source>.jsonl."""
    label: str | None = None
    entity: str | None = None
    group: str | None = None
    answers: list[str] | None = None
    """Further right answers beside the one that is learned (SQuAD)."""
    tests: str | None = None
    """Python that runs after the answer, which is code, and fails where it is wrong."""
    origin: dict[str, Any] | None = None
    """Where the row was found or how it was made: url, file and line, model, prompt hash, cost …"""


class Example(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A row that can be trained on."""

    meta: Meta
    messages: list[Message] | None = None
    tools: list[dict[str, Any]] | None = None
    prompt: list[Message] | None = None
    chosen: list[Message] | None = None
    rejected: list[Message] | None = None

    @property
    def context(self) -> list[Message]:
        """What the model is given: everything before the last answer."""
        return self.messages[:-1] if self.messages is not None else (self.prompt or [])

    @property
    def answer(self) -> Message:
        """What the model has to say."""
        return (self.messages or self.chosen or [])[-1]

    @property
    def input_text(self) -> str:
        """The user's turns as one text: what checks and baselines look at."""
        return "\n".join(m.content or "" for m in self.context if m.role != "system")

    @property
    def output_text(self) -> str:
        """The last answer as text; tool calls as their JSON."""
        if self.answer.tool_calls:
            return msgspec.json.encode(self.answer.tool_calls).decode()
        return self.answer.content or ""

    @property
    def is_plain_text(self) -> bool:
        """Whether nothing is asked: text to go on from (continued pre-training), with a system prompt or without."""
        return not _without_system(self.context)

    def content_hash(self) -> str:
        """Identity of what the model sees (xxh3_128), whatever the row is called."""
        seen = (self.messages, self.tools, self.prompt, self.chosen, self.rejected)
        return xxhash.xxh3_128_hexdigest(msgspec.json.encode(seen))

    def input_hash(self) -> str:
        """Identity of what the model is given, without the answer; of a text without a question, of the text."""
        if self.is_plain_text:
            return self.content_hash()
        return xxhash.xxh3_128_hexdigest(msgspec.json.encode((self.context, self.tools)))

    def asked_hash(self) -> str:
        """Identity of the input without the system prompt, which another instruction changes; see input_hash.

        Of a row about an entity it is that of its text, whatever the entity: it decides who stays on one side."""
        if self.is_plain_text:
            return self.said_hash()
        asked = _without_system(self.context)
        if (text := text_about(self.meta.entity, asked[-1].content)) is not None:
            asked = [*asked[:-1], Message(asked[-1].role, text)]
        return xxhash.xxh3_128_hexdigest(msgspec.json.encode(asked))

    def said_hash(self) -> str:
        """Identity of input and answer without the system prompt: the row, wherever it stands in its source."""
        turns = _without_system(self.messages if self.messages is not None else self.prompt or [])
        return xxhash.xxh3_128_hexdigest(msgspec.json.encode((turns, self.chosen, self.rejected)))


def about_entity(entity: str, text: str) -> str:
    """What the user says in a row that is about an entity of a text."""
    return f"Entity: {entity}\nText: {text}"


def text_about(entity: str | None, said: str | None) -> str | None:
    """The text again, out of what `about_entity` gives; None where it is not that."""
    head = about_entity(entity, "") if entity else None
    return said[len(head) :] if head and said and said.startswith(head) else None


def _without_system(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.role != "system"]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Example)


def encode(example: Example) -> bytes:
    """The line's bytes."""
    return _encoder.encode(example)


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of a split file, one by one.

    Raises NotFound when there is no file, NotValid naming the first bad line.
    """
    if not path.is_file():
        raise NotFound(
            f"{path} does not exist. Make it with: nlp-skills regenerate-data {path.parent.parent.name}"
        )
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                task = path.parent.parent.name
                raise NotValid(f"{path}:{number}: {error}. Run: nlp-skills validate-data {task}") from None


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write a split file atomically; returns the number of rows."""
    return write_lines(path, map(encode, examples))
