"""From messages to token ids, and which of them the loss sees: the answers, end token included.

    <|im_start|>user … <|im_end|> <|im_start|>assistant ␤ | billing <|im_end|> | ␤
    ············ not trained ·····························| trained ············| dropped

The boundary is found by rendering prefixes with the model's own chat template, so it holds for
templates without {% generation %} tags. Prompt and answer are tokenised apart, because that is how
the model will meet them when it answers (a merge across the boundary would never happen there).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nlp_skills.data.example import Example, Message
from nlp_skills.data.text_encoder import TextEncoder, end_tokens
from nlp_skills.errors import NotValid, counted
from nlp_skills.records import read_mapping
from nlp_skills.task.version import version_names

IGNORED = -100
"""The label that the loss leaves out (PyTorch's ignore_index)."""

MAX_LENGTH = 1024
"""Tokens that a row may have where no config.yaml says otherwise."""


class NoAnswer(NotValid):
    """A row without an assistant's turn."""


class NoEnd(NotValid):
    """Nothing in the template or the tokenizer ends an answer."""


class TurnsRewritten(NotValid):
    """The template renders an earlier turn otherwise once others follow, so a conversation is no sequence of prefixes."""


@dataclass(frozen=True)
class TokenRow:
    """One example: ids and labels of the same length; IGNORED where nothing is learned."""

    input_ids: list[int]
    labels: list[int]
    end_added: bool = False
    """The template writes no end token after an answer, so the tokenizer's EOS was put there."""

    @property
    def length(self) -> int:
        """Tokens of the whole row."""
        return len(self.input_ids)

    @property
    def trained(self) -> int:
        """How many tokens the loss sees."""
        return len(self.labels) - self.labels.count(IGNORED)


class _Turn(NamedTuple):
    """An assistant's turn as text: all before it, and what it adds."""

    prompt: str
    answer: str


class _Part(NamedTuple):
    """The text before an answer that no earlier part holds, and the answer's ids with their end."""

    gap: str
    answer: list[int]
    end_added: bool


def configured_max_length(task: Path) -> int:
    """max_length of the newest version's config.yaml, or the default: what the next version starts from."""
    for version in reversed(version_names(task)):
        config = task / "versions" / version / "config.yaml"
        if config.is_file():
            settings = read_mapping(config)
            length = settings.get("max_length") if isinstance(settings, dict) else None
            return length if isinstance(length, int) else MAX_LENGTH
    return MAX_LENGTH


def as_dicts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as chat templates expect them: absent parts are absent."""
    keys = ("role", "content", "tool_calls", "tool_call_id", "name")
    return [{k: v for k in keys if (v := getattr(m, k)) is not None} for m in messages]


def render(
    tokenizer: Any, messages: Sequence[Message], tools: list[dict[str, Any]] | None, *, ask: bool
) -> str:
    """The text that the chat template makes; `ask` opens the assistant's turn.

    Raises NotValid for turns that the template does not know: tool calls, or nothing before the answer.
    """
    return _render(tokenizer, as_dicts(messages), tools, ask)


def _render(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, ask: bool
) -> str:
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=ask)
    except (TemplateError, ValueError, TypeError) as error:
        turns = (
            ", ".join(m["role"] + (" with tool calls" if "tool_calls" in m else "") for m in messages)
            or "no turns"
        )
        raise NotValid(
            f"The base model's chat template cannot write a conversation of {turns}: {error}."
            " Choose another base_model, or change the rows."
        ) from None


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of rendered text; the template has written the special tokens already (P06: no second BOS)."""
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def prompt_ids(tokenizer: Any, example: Example) -> list[int]:
    """What the model is given before it answers."""
    return encode_text(tokenizer, render(tokenizer, example.context, example.tools, ask=True))


def answer_ids(tokenizer: Any, example: Example) -> list[int]:
    """The last answer up to and with its end token."""
    messages = as_dicts([*example.context, example.answer])
    turn = _turn(tokenizer, example, messages)
    ids, end_added = _up_to_end(encode_text(tokenizer, turn.answer), end_tokens(tokenizer))
    return [*ids, _end_of(tokenizer, example)] if end_added else ids


def tokenize(tokenizer: Any, example: Example) -> TokenRow:
    """Ids and labels of an example; every assistant turn is trained but those of weight 0, nothing else.

    Raises NotValid where the template cannot be split or an answer is empty.
    """
    found = tokenize_all(TextEncoder(tokenizer), [example])[0]
    if isinstance(found, NotValid):
        raise found
    return found


def tokenize_all(encoder: TextEncoder, examples: Sequence[Example]) -> list[TokenRow | NotValid]:
    """Ids and labels of each example, or why it has none.

    All answers are encoded first: where an answer ends says where the text before the next one begins.
    """
    rows = [_turns(encoder.tokenizer, example) for example in examples]
    answers = iter(encoder.encode([turn.answer for row in rows if isinstance(row, list) for turn in row]))
    parts = [
        _parts(encoder, example, row, [next(answers) for _ in row]) if isinstance(row, list) else row
        for example, row in zip(examples, rows, strict=True)
    ]
    gaps = iter(encoder.encode([part.gap for row in parts if isinstance(row, list) for part in row]))
    return [_joined(row, gaps) if isinstance(row, list) else row for row in parts]


def _turns(tokenizer: Any, example: Example) -> list[_Turn] | NotValid:
    """The assistant's turns as text, or why there are none."""
    if example.messages is None:
        return NotValid(f"Row {example.meta.id} has no messages; preference rows cannot be trained with sft.")
    messages = as_dicts(example.messages)
    answers = (m.role == "assistant" and m.weight != 0 for m in example.messages)
    ends = [place for place, is_answer in enumerate(answers, start=1) if is_answer]
    if not ends:
        return NoAnswer(f"Row {example.meta.id} has no answer to learn from. Add an assistant message.")
    try:
        return [_turn(tokenizer, example, messages[:end]) for end in ends]
    except NotValid as error:
        return error


def _turn(tokenizer: Any, example: Example, messages: list[dict[str, Any]]) -> _Turn:
    prompt = _render(tokenizer, messages[:-1], example.tools, True)
    full = _render(tokenizer, messages, example.tools, False)
    if not full.startswith(prompt):
        raise NotValid(
            f"Row {example.meta.id}: the chat template does not render the answer after its prompt, so the"
            " answer cannot be told from the prompt. Choose another base_model, or drop the earlier turns."
        )
    return _Turn(prompt, full[len(prompt) :])


def _parts(
    encoder: TextEncoder, example: Example, turns: list[_Turn], answers: list[list[int]]
) -> list[_Part] | NotValid:
    """What stands before each answer, and the answer up to its end."""
    parts: list[_Part] = []
    done = ""
    for turn, encoded in zip(turns, answers, strict=True):
        if not turn.prompt.startswith(done):
            return TurnsRewritten(
                f"Row {example.meta.id}: the chat template rewrites earlier turns, so a conversation cannot"
                " be trained as one row. Split it into one row for each answer."
            )
        answer, end_added = _up_to_end(encoded, encoder.end_tokens)
        if end_added:
            try:
                answer.append(_end_of(encoder.tokenizer, example))
            except NotValid as error:
                return error
        parts.append(_Part(turn.prompt[len(done) :], answer, end_added))
        # What the template writes after the end token (a newline) belongs to the next gap.
        done = turn.prompt + _text_up_to_end(turn.answer, answer, encoder.tokenizer)
    return parts


def _joined(parts: list[_Part], gaps: Iterator[list[int]]) -> TokenRow:
    ids: list[int] = []
    labels: list[int] = []
    for part in parts:
        gap = next(gaps)
        ids += gap + part.answer
        labels += [IGNORED] * len(gap) + part.answer
    return TokenRow(ids, labels, end_added=any(part.end_added for part in parts))


def _up_to_end(ids: list[int], closing: set[int]) -> tuple[list[int], bool]:
    """The answer up to its last end token; True where it has none.

    Without one in the labels the model would never stop (P02).
    """
    ends = [place for place, token in enumerate(ids, start=1) if token in closing]
    return (ids[: ends[-1]], False) if ends else (list(ids), True)


def _end_of(tokenizer: Any, example: Example) -> int:
    if tokenizer.eos_token_id is None:
        raise NoEnd(
            f"Row {example.meta.id}: neither the chat template nor the tokenizer has an end token, so the model would"
            " never stop. Choose another base_model."
        )
    return tokenizer.eos_token_id


def _text_up_to_end(answer_text: str, answer: list[int], tokenizer: Any) -> str:
    """The part of the rendered answer that `answer` covers."""
    end = tokenizer.convert_ids_to_tokens(answer[-1])
    return answer_text[: answer_text.rfind(end) + len(end)] if end in answer_text else answer_text


def require_tools_shown(tokenizer: Any, examples: Sequence[Example]) -> None:
    """Raises NotValid when rows declare tools that the chat template leaves out: the model would never see them."""
    for example in examples:
        if example.tools:
            shown, hidden = (
                render(tokenizer, example.context, tools, ask=True) for tools in (example.tools, None)
            )
            if shown == hidden:
                raise NotValid(
                    f"Row {example.meta.id} declares tools, but the base model's chat template does not show tools to"
                    " the model. Choose a base_model whose template does (Qwen, Llama 3.1 and later, Granite)."
                )
            return


def tokenize_rows(
    tokenizer: Any,
    examples: Sequence[Example],
    max_length: int,
    *,
    file: str = "",
    cure: str = "Set max_length to {longest}",
) -> list[TokenRow]:
    """Examples as ids and labels. Raises NotValid naming the rows that are too long: nothing is cut silently.

    `file` and `cure` are words for that error.
    """
    require_tools_shown(tokenizer, examples)
    rows: list[TokenRow] = []
    for found in tokenize_all(TextEncoder(tokenizer), examples):
        if isinstance(found, NotValid):
            raise found
        rows.append(found)
    too_long = [e.meta.id for e, row in zip(examples, rows, strict=True) if len(row.input_ids) > max_length]
    if too_long:
        longest = max(len(row.input_ids) for row in rows)
        raise NotValid(
            f"More tokens than max_length {max_length}: {counted(len(too_long), 'row')}{file} (the longest has"
            f" {longest}; first: {', '.join(too_long[:3])}). The answers would be cut (LEN-CUT)."
            f" {cure.replace('{longest}', str(longest))}, or shorten the rows."
        )
    return rows
