"""From messages to token ids, and which of them the loss sees: the answers, end token included.

    <|im_start|>user … <|im_end|> <|im_start|>assistant ␤ | billing <|im_end|> | ␤
    ············ not trained ·····························| trained ············| dropped

The boundary is found by rendering prefixes with the model's own chat template, so it holds for
templates without {% generation %} tags. Prompt and answer are tokenised apart, because that is how
the model will meet them when it answers (a merge across the boundary would never happen there).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import structs

from nlp_skills.data.example import Example, Message
from nlp_skills.data.text_encoder import TextEncoder, end_tokens
from nlp_skills.errors import NotValid, counted
from nlp_skills.records import read_mapping
from nlp_skills.task.version import newest_version, version_names

IGNORED = -100
"""The label that the loss leaves out (PyTorch's ignore_index)."""

MAX_LENGTH = 2048
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
    apart: bool = False
    """One answer of a conversation whose earlier turns the template rewrites, so that each answer has its own row."""

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
    length = _configured(task, "max_length")
    return length if isinstance(length, int) else MAX_LENGTH


def configured_tools_in_prompt(task: Path) -> bool:
    """tools_in_prompt of the newest version's config.yaml."""
    return _configured(task, "tools_in_prompt") is True


def configured_thinking(task: Path) -> bool | None:
    """enable_thinking of the newest version's config.yaml; None: the template's own default."""
    thinking = _configured(task, "enable_thinking")
    return thinking if isinstance(thinking, bool) else None


def _configured(task: Path, field: str) -> Any:
    newest = newest_version(task)
    names = version_names(task)
    for version in (*([newest] if newest else []), *reversed(names)):
        config = task / "versions" / version / "config.yaml"
        if config.is_file():
            settings = read_mapping(config)
            return settings.get(field) if isinstance(settings, dict) else None
    return None


def as_dicts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as chat templates expect them: absent parts are absent."""
    keys = ("role", "content", "tool_calls", "tool_call_id", "name")
    return [{k: v for k in keys if (v := getattr(m, k)) is not None} for m in messages]


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    tools: list[dict[str, Any]] | None,
    *,
    ask: bool,
    thinking: bool | None = None,
) -> str:
    """The text that the chat template makes; `ask` opens the assistant's turn.

    `thinking` is `enable_thinking` of config.yaml; None: the template's own default. Raises NotValid for turns that
    the template does not know: tool calls, or nothing before the answer.
    """
    return _render(tokenizer, as_dicts(messages), tools, ask, thinking)


def _render(
    tokenizer: Any,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    ask: bool,
    thinking: bool | None,
) -> str:
    from jinja2 import TemplateError

    given = {} if thinking is None else {"enable_thinking": thinking}
    try:
        return tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=ask, **given
        )
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


def prompt_ids(tokenizer: Any, example: Example, thinking: bool | None = None) -> list[int]:
    """What the model is given before it answers."""
    text = render(tokenizer, example.context, example.tools, ask=True, thinking=thinking)
    return encode_text(tokenizer, text)


def answer_ids(tokenizer: Any, example: Example, thinking: bool | None = None) -> list[int]:
    """The last answer up to and with its end token."""
    messages = as_dicts([*example.context, example.answer])
    turn = _turn(tokenizer, example, messages, thinking)
    ids, end_added = _up_to_end(tokenizer, encode_text(tokenizer, turn.answer), end_tokens(tokenizer))
    return [*ids, _end_of(tokenizer, example)] if end_added else ids


def tokenize(tokenizer: Any, example: Example, thinking: bool | None = None) -> TokenRow:
    """Ids and labels of an example; every assistant turn is trained but those of weight 0, nothing else.

    Raises NotValid where the template cannot be split or an answer is empty.
    """
    found = tokenize_all(TextEncoder(tokenizer), [example], thinking)[0]
    if isinstance(found, NotValid):
        raise found
    return found


def tokenize_all(
    encoder: TextEncoder, examples: Sequence[Example], thinking: bool | None = None
) -> list[TokenRow | NotValid]:
    """Ids and labels of each example, or why it has none.

    All answers are encoded first: where an answer ends says where the text before the next one begins.
    """
    rows = [_turns(encoder.tokenizer, example, thinking) for example in examples]
    answers = iter(encoder.encode([turn.answer for row in rows if isinstance(row, list) for turn in row]))
    parts = [
        _parts(encoder, example, row, [next(answers) for _ in row]) if isinstance(row, list) else row
        for example, row in zip(examples, rows, strict=True)
    ]
    gaps = iter(encoder.encode([part.gap for row in parts if isinstance(row, list) for part in row]))
    return [_joined(row, gaps) if isinstance(row, list) else row for row in parts]


def answers_apart(example: Example) -> list[Example]:
    """The conversation once for each answer that is learned, up to it and with no other answer learned.

    That is what the model is given and says there, also where the template rewrites earlier turns.
    """
    turns = example.messages or []
    given = [structs.replace(m, weight=0.0) if m.role == "assistant" else m for m in turns]
    return [
        structs.replace(example, messages=[*given[:place], turns[place]])
        for place in (place for place, message in enumerate(turns) if _is_learned(message))
    ]


def _is_learned(message: Message) -> bool:
    return message.role == "assistant" and message.weight != 0


def _turns(tokenizer: Any, example: Example, thinking: bool | None) -> list[_Turn] | NotValid:
    """The assistant's turns as text, or why there are none."""
    if example.messages is None:
        return NotValid(f"Row {example.meta.id} has no messages; preference rows cannot be trained with sft.")
    messages = as_dicts(example.messages)
    ends = [place for place, message in enumerate(example.messages, start=1) if _is_learned(message)]
    if not ends:
        return NoAnswer(f"Row {example.meta.id} has no answer to learn from. Add an assistant message.")
    try:
        return [_turn(tokenizer, example, messages[:end], thinking) for end in ends]
    except NotValid as error:
        return error


def _turn(tokenizer: Any, example: Example, messages: list[dict[str, Any]], thinking: bool | None) -> _Turn:
    prompt = _render(tokenizer, messages[:-1], example.tools, True, thinking)
    full = _render(tokenizer, messages, example.tools, False, thinking)
    if not full.startswith(prompt):
        cure = (
            " Choose another base_model, or drop the earlier turns."
            if thinking is None
            else f" It may have reasoning that enable_thinking: {str(thinking).lower()} has no room for, or lack it."
        )
        raise NotValid(
            f"Row {example.meta.id}: the chat template does not render the answer after its prompt, so the"
            f" answer cannot be told from the prompt.{cure}"
        )
    answer = full[len(prompt) :]
    for call in messages[-1].get("tool_calls", ()):
        name = str(call.get("function", call).get("name", ""))
        if name not in answer:
            raise NotValid(
                f"Row {example.meta.id} calls the tool {name!r}, but the base model's chat template leaves tool calls"
                " out of an answer. Choose a base_model whose template writes them (Qwen, Llama 3.1 and later,"
                " Granite)."
            )
    return _Turn(prompt, answer)


def _parts(
    encoder: TextEncoder, example: Example, turns: list[_Turn], answers: list[list[int]]
) -> list[_Part] | NotValid:
    """What stands before each answer, and the answer up to its end."""
    parts: list[_Part] = []
    done = ""
    for turn, encoded in zip(turns, answers, strict=True):
        if not turn.prompt.startswith(done):
            return TurnsRewritten(
                f"Row {example.meta.id}: the chat template rewrites earlier turns, so the conversation cannot"
                " be trained as one row; each answer needs a row of its own."
            )
        answer, end_added = _up_to_end(encoder.tokenizer, encoded, encoder.end_tokens)
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


def _up_to_end(tokenizer: Any, ids: list[int], closing: set[int]) -> tuple[list[int], bool]:
    """The answer up to its last end token; True where it has none.

    Without one in the labels the model would never stop (P02). Where a template closes the turn and after it the
    whole text (Phi-3: `<|end|>\\n<|endoftext|>`), the answer ends with the turn: there the model stops.
    """
    ends = [place for place, token in enumerate(ids, start=1) if token in closing]
    if not ends:
        return list(ids), True
    end = ends.pop()
    while ends and ids[ends[-1] - 1] != ids[end - 1]:
        between = ids[ends[-1] : end - 1]
        if between and tokenizer.decode(between).strip():
            break
        end = ends.pop()
    return ids[:end], False


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
                    " the model. Set tools_in_prompt: true, which lists them in the system prompt, or choose a base_model whose"
                    " template shows them (Qwen, Llama 3.1 and later, Granite)."
                )
            return


def tokenize_rows(
    tokenizer: Any,
    examples: Sequence[Example],
    max_length: int,
    *,
    thinking: bool | None = None,
    file: str = "",
    cure: str = "Set max_length to {longest}",
) -> list[TokenRow]:
    """Examples as ids and labels. Raises NotValid naming the rows that are too long: nothing is cut silently.

    A conversation whose earlier turns the template rewrites gives a row for each answer, marked as `apart`.
    `file` and `cure` are words for the error.
    """
    require_tools_shown(tokenizer, examples)
    encoder = TextEncoder(tokenizer)
    named: list[tuple[str, TokenRow]] = []
    for example, found in zip(examples, tokenize_all(encoder, examples, thinking), strict=True):
        rows = tokenize_apart(encoder, example, thinking) if isinstance(found, TurnsRewritten) else [found]
        for row in rows:
            if isinstance(row, NotValid):
                raise row
            named.append((example.meta.id, row))
    too_long = list(dict.fromkeys(name for name, row in named if row.length > max_length))
    if too_long:
        longest = max(row.length for _, row in named)
        raise NotValid(
            f"More tokens than max_length {max_length}: {counted(len(too_long), 'row')}{file} (the longest has"
            f" {longest}; first: {', '.join(too_long[:3])}). The answers would be cut (LEN-CUT)."
            f" {cure.replace('{longest}', str(longest))}, or shorten the rows."
        )
    return [row for _, row in named]


def tokenize_apart(
    encoder: TextEncoder, example: Example, thinking: bool | None = None
) -> list[TokenRow | NotValid]:
    """A row for each answer of a conversation whose earlier turns the template rewrites (TurnsRewritten)."""
    found = tokenize_all(encoder, answers_apart(example), thinking)
    return [replace(row, apart=True) if isinstance(row, TokenRow) else row for row in found]
