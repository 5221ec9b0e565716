"""From messages to token ids, and which of them the loss sees: the answers, end token included.

    <|im_start|>user … <|im_end|> <|im_start|>assistant ␤ | billing <|im_end|> | ␤
    ············ not trained ·····························| trained ············| dropped

The boundary is found by rendering prefixes with the model's own chat template, so it holds for
templates without {% generation %} tags. Prompt and answer are tokenised apart, because that is how
the model will meet them when it answers (a merge across the boundary would never happen there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.example import Example, Message
from nlp_skills.errors import NotValid, counted

IGNORED = -100
"""The label that the loss leaves out (PyTorch's ignore_index)."""


@dataclass(frozen=True)
class TokenRow:
    """One example: ids and labels of the same length; IGNORED where nothing is learned."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        """How many tokens the loss sees."""
        return sum(label != IGNORED for label in self.labels)


def as_dicts(messages: list[Message]) -> list[dict[str, Any]]:
    """Messages as chat templates expect them: absent parts are absent."""
    keys = ("role", "content", "tool_calls", "tool_call_id", "name")
    return [{k: v for k in keys if (v := getattr(m, k)) is not None} for m in messages]


def render(tokenizer: Any, messages: list[Message], tools: list[dict[str, Any]] | None, *, ask: bool) -> str:
    """The text that the chat template makes; `ask` opens the assistant's turn.

    Raises NotValid for turns that the template does not know: tool calls, or nothing before the answer.
    """
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(
            as_dicts(messages), tools=tools, tokenize=False, add_generation_prompt=ask
        )
    except (TemplateError, ValueError) as error:
        turns = (
            ", ".join(m.role + (" with tool calls" if m.tool_calls else "") for m in messages) or "no turns"
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
    messages = [*example.context, example.answer]
    prompt = render(tokenizer, example.context, example.tools, ask=True)
    full = render(tokenizer, messages, example.tools, ask=False)
    return _answer(tokenizer, prompt, full, example)


def _answer(tokenizer: Any, prompt: str, full: str, example: Example) -> list[int]:
    if not full.startswith(prompt):
        raise NotValid(
            f"Row {example.meta.id}: the chat template does not render the answer after its prompt, so the"
            " answer cannot be told from the prompt. Choose another base_model, or drop the earlier turns."
        )
    ids = encode_text(tokenizer, full[len(prompt) :])
    closing = end_tokens(tokenizer)
    ends = [i for i, token in enumerate(ids) if token in closing]
    if ends:
        return ids[: ends[-1] + 1]
    # A template without an end token: without one in the labels the model would never stop (P02).
    return [*ids, tokenizer.eos_token_id]


def end_tokens(tokenizer: Any) -> set[int]:
    """Tokens that end an answer: the tokenizer's EOS and the usual end-of-turn tokens it knows."""
    names = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>")
    # Asked one by one: the whole vocabulary as a dictionary takes 30 ms each time.
    ids = ((name, tokenizer.convert_tokens_to_ids(name)) for name in names)
    known = (i for name, i in ids if i is not None and tokenizer.convert_ids_to_tokens(i) == name)
    return {tokenizer.eos_token_id, *known}


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


def tokenize(tokenizer: Any, example: Example) -> TokenRow:
    """Ids and labels of an example; every assistant turn is trained, nothing else.

    Raises NotValid where the template cannot be split or an answer is empty.
    """
    messages = example.messages
    if messages is None:
        raise NotValid(f"Row {example.meta.id} has no messages; preference rows cannot be trained with sft.")
    ids: list[int] = []
    labels: list[int] = []
    done = ""
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = render(tokenizer, messages[:index], example.tools, ask=True)
        full = render(tokenizer, messages[: index + 1], example.tools, ask=False)
        if not prompt.startswith(done):
            raise NotValid(
                f"Row {example.meta.id}: the chat template rewrites earlier turns, so a conversation cannot"
                " be trained as one row. Split it into one row for each answer."
            )
        gap = encode_text(tokenizer, prompt[len(done) :])
        answer = _answer(tokenizer, prompt, full, example)
        ids += gap + answer
        labels += [IGNORED] * len(gap) + answer
        # What the template writes after the end token (a newline) belongs to the next gap.
        done = prompt + _text_up_to_end(full[len(prompt) :], answer, tokenizer)
    if not any(label != IGNORED for label in labels):
        raise NotValid(f"Row {example.meta.id} has no answer to learn from. Add an assistant message.")
    return TokenRow(ids, labels)


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
    rows = [tokenize(tokenizer, example) for example in examples]
    too_long = [e.meta.id for e, row in zip(examples, rows, strict=True) if len(row.input_ids) > max_length]
    if too_long:
        longest = max(len(row.input_ids) for row in rows)
        raise NotValid(
            f"More tokens than max_length {max_length}: {counted(len(too_long), 'row')}{file} (the longest has"
            f" {longest}; first: {', '.join(too_long[:3])}). The answers would be cut (LEN-CUT)."
            f" {cure.replace('{longest}', str(longest))}, or shorten the rows."
        )
    return rows


def _text_up_to_end(answer_text: str, answer: list[int], tokenizer: Any) -> str:
    """The part of the rendered answer that `answer` covers."""
    end = tokenizer.convert_ids_to_tokens(answer[-1])
    return answer_text[: answer_text.rfind(end) + len(end)] if end in answer_text else answer_text
