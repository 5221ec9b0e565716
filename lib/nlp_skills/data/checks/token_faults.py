"""What can be wrong with one row as its tokens: each fault belongs to a check, with its level and its cure.

What the training would refuse, and what nothing later would notice, is an error; what another base_model or
max_length mends and the training does all the same is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from msgspec.structs import replace

from nlp_skills.base_model import LocalTokenizer
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.example import Example, Message
from nlp_skills.data.report import Level
from nlp_skills.data.text_encoder import TextEncoder, turn_tokens
from nlp_skills.data.tokens import (
    IGNORED,
    NoAnswer,
    NoEnd,
    TokenRow,
    TurnsRewritten,
    render,
)
from nlp_skills.errors import NotValid, counted

THINK = "<think>"


class Kind(NamedTuple):
    """One kind of fault: `message` and `fix` as in a Tally."""

    check: str
    level: Level
    message: str
    fix: str


OTHER_MODEL = "Set base_model in task.yaml to an instruct model whose chat template does (SmolLM2-Instruct, Qwen, Llama 3)"
TOOLS_NOT_SHOWN = (
    "The base model's chat template shows no tools to the model, so the training refuses rows that have them"
)
"""How the message of that finding begins: a version with tools_in_prompt is not concerned."""
KINDS: dict[str, Kind] = {
    "no end": Kind(
        "TOK-EOS",
        "error",
        "Neither the chat template nor the tokenizer ends an answer, so the model would never stop: {rows}.",
        OTHER_MODEL,
    ),
    "end added": Kind(
        "TOK-EOS",
        "warning",
        "The chat template writes no end token after an answer: {rows}. The training puts the tokenizer's EOS there;"
        " another program that renders with this template does not.",
        OTHER_MODEL,
    ),
    "token in an answer": Kind(
        "TOK-EOS",
        "error",
        "A special token stands literally in an answer, where the model learns to stop or to open another turn: {rows}.",
        "Delete these tokens from the answers at their source; the chat template writes them where they belong",
    ),
    "token in a question": Kind(
        "TOK-EOS",
        "warning",
        "A special token stands literally in a text that the model is given, where it ends that turn (prompt injection):"
        " {rows}.",
        "Delete these tokens at their source, or write them differently, for example with a blank inside",
    ),
    "two beginnings": Kind(
        "TOK-BOS",
        "error",
        "The text begins with more than one BOS token: {rows}.",
        "Delete the token from the rows' text; where it is not there, the chat template writes it twice: take another"
        " base_model, or correct its chat_template.jinja",
    ),
    "no beginning": Kind(
        "TOK-BOS",
        "warning",
        "The tokenizer begins every text with BOS and the chat template writes none: {rows}.",
        "Ask the model's authors which is right, or set base_model in task.yaml to a model where the two agree",
    ),
    "no embedding": Kind(
        "TOK-RESIZE",
        "error",
        "The tokenizer makes tokens that the base model's embedding has no row for: {rows}.",
        "Delete the added tokens from the rows, or take a base_model whose embedding was resized for its tokenizer",
    ),
    "prompt trained": Kind(
        "MASK-RATIO",
        "error",
        "The chat template has no generation prompt, so the header of an answer would be trained as if it were said:"
        " {rows}.",
        OTHER_MODEL,
    ),
    "padding trained": Kind(
        "MASK-RATIO",
        "error",
        "An answer holds the padding token, which would be trained: {rows}.",
        "Delete the token (or the characters that the tokenizer does not know) from these answers",
    ),
    "no answer": Kind(
        "MASK-EMPTY",
        "error",
        "Nothing of the row would be trained, for it has no assistant's turn: {rows}.",
        "Add the answer, or delete these rows",
    ),
    "tools not shown": Kind(
        "MASK-EMPTY",
        "error",
        f"{TOOLS_NOT_SHOWN}: {{rows}}.",
        "Set base_model in task.yaml to one whose template does (Qwen2.5-Instruct, Qwen3, Llama 3.1 and later,"
        " Granite), or have tools and calls written as text: nlp-skills create-version {task} --settings"
        " tools_in_prompt=true",
    ),
    "not written": Kind(
        "MASK-EMPTY",
        "error",
        "The base model's chat template cannot write the row as prompt and answer, so the training refuses it: {rows}.",
        "Set base_model in task.yaml to one whose chat template can, or change the rows",
    ),
    "turns rewritten": Kind(
        "TMPL-THINK",
        "warning",
        "The reasoning template drops the reasoning of earlier turns, so the training makes a row of each answer, which"
        " repeats what is before it: {rows}.",
        "Leave it so, or split long conversations into shorter ones",
    ),
    "reasoning dropped": Kind(
        "TMPL-THINK",
        "warning",
        "The chat template leaves the reasoning out, so the model would not learn it: {rows}.",
        "Set base_model in task.yaml to a reasoning model, or delete the reasoning from the rows",
    ),
}


@dataclass
class TokenModel:
    """A base model's tokenizer, and what its template does; made once in each process."""

    local: LocalTokenizer
    encoder: TextEncoder = field(init=False)

    def __post_init__(self) -> None:
        tokenizer = self.tokenizer = self.local.tokenizer
        self.encoder = TextEncoder(tokenizer)
        template = str(tokenizer.chat_template)
        self.reasoning = THINK in template or "enable_thinking" in template
        self.adds_bos = tokenizer.bos_token_id is not None and (
            tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
        )
        self.has_generation_prompt = _has_generation_prompt(tokenizer)
        self.shows_tools = _shows_tools(tokenizer)
        self.too_many_tokens = self.local.embedding_rows is not None and (
            max(0, len(tokenizer) - self.local.embedding_rows)
        )
        names = sorted(turn_tokens(tokenizer), key=len, reverse=True)
        self.literal = re.compile("|".join(map(re.escape, names))) if names else None


def _has_generation_prompt(tokenizer: Any) -> bool:
    question = [Message("user", "a")]
    try:
        texts = {render(tokenizer, question, None, ask=ask) for ask in (True, False)}
    except NotValid:  # a template that wants a system prompt: nothing can be said
        return True
    return len(texts) == 2


def _shows_tools(tokenizer: Any) -> bool:
    function = {"name": "find", "description": "", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    try:
        shown, hidden = (render(tokenizer, [Message("user", "a")], t, ask=True) for t in (tools, None))
    except NotValid:  # a template that wants something else: the rows themselves will tell
        return True
    return shown != hidden


def uses_tools(example: Example) -> bool:
    """Whether a row offers tools, calls one or holds a result."""
    return bool(example.tools) or any(m.tool_calls or m.role == "tool" for m in example.messages or ())


def tallies() -> dict[str, Tally]:
    """One for each kind of fault."""
    return {name: Tally(*kind) for name, kind in KINDS.items()}


def conversations(example: Example, *, judged: bool = False) -> list[Example]:
    """The row as it is learned from: a preference is two conversations, of which only the last answer is learned.

    `judged`: so are rows of one answer, which is marked good or bad (kto).
    """
    if example.messages is not None:
        turns = [*_given(example.messages[:-1]), *example.messages[-1:]]
        return [replace(example, messages=turns)] if judged else [example]
    answers = [answer for answer in (example.chosen, example.rejected) if answer]
    given = _given(example.prompt or ())
    return [Example(meta=example.meta, messages=[*given, *answer], tools=example.tools) for answer in answers]


def _given(turns: Sequence[Message]) -> list[Message]:
    """Turns before the answer that is judged: none of them is learned (weight 0)."""
    return [replace(turn, weight=0.0) if turn.role == "assistant" else turn for turn in turns]


def faults(model: TokenModel, example: Example, found: TokenRow | NotValid) -> Iterator[tuple[str, str]]:
    """(kind, what to show) for everything that is wrong with a conversation and its tokens."""
    yield from _literal_tokens(model, example)
    if isinstance(found, NotValid):
        yield _refused(model, found), str(found)
        return
    if found.end_added:
        yield "end added", example.output_text
    yield from _beginnings(model, example, found)
    if model.too_many_tokens and max(found.input_ids) >= (model.local.embedding_rows or 0):
        beyond = {token for token in found.input_ids if token >= (model.local.embedding_rows or 0)}
        yield "no embedding", " ".join(model.tokenizer.convert_ids_to_tokens(sorted(beyond)))
    yield from _wrongly_trained(model, example, found)


def _refused(model: TokenModel, reason: NotValid) -> str:
    if isinstance(reason, TurnsRewritten) and model.reasoning:
        return "turns rewritten"
    return (
        "no answer"
        if isinstance(reason, NoAnswer)
        else "no end"
        if isinstance(reason, NoEnd)
        else "not written"
    )


def _literal_tokens(model: TokenModel, example: Example) -> Iterator[tuple[str, str]]:
    if model.literal is None:
        return
    for message in example.messages or ():
        if message.content and (token := model.literal.search(message.content)):
            kind = "token in an answer" if message.role == "assistant" else "token in a question"
            yield kind, f"{token[0]} in: {message.content[max(0, token.start() - 40) : token.end() + 80]}"


def _beginnings(model: TokenModel, example: Example, found: TokenRow) -> Iterator[tuple[str, str]]:
    bos, count = model.tokenizer.bos_token_id, 0
    if bos is None:
        return
    while count < len(found.input_ids) and found.input_ids[count] == bos:
        count += 1
    if count > 1:
        yield "two beginnings", f"{counted(count, 'time')} {model.tokenizer.bos_token}: {example.input_text}"
    elif count < model.adds_bos:
        yield "no beginning", example.input_text


def _wrongly_trained(model: TokenModel, example: Example, found: TokenRow) -> Iterator[tuple[str, str]]:
    pad = model.tokenizer.pad_token_id
    # Where pad is an end token it belongs into the labels; batches are masked by place, not by token (P02).
    if pad is not None and pad not in model.encoder.end_tokens and pad in found.labels:
        yield "padding trained", example.output_text
    said = [m.content or "" for m in example.messages or () if m.role == "assistant" and m.weight != 0]
    if not model.has_generation_prompt:
        for content, text in zip(said, _trained_texts(model, found), strict=False):
            before, has, _ = text.partition(content.strip())
            if has and before.strip():
                yield "prompt trained", f"{before.strip()} before: {content}"
                break
    if any(THINK in content for content in said):
        learned = "".join(_trained_texts(model, found)).count(THINK)
        if learned < sum(content.count(THINK) for content in said):
            yield "reasoning dropped", example.output_text


def _trained_texts(model: TokenModel, found: TokenRow) -> list[str]:
    """The text of each answer, as the labels have it."""
    runs = [
        list(labels) for learns, labels in groupby(found.labels, lambda label: label != IGNORED) if learns
    ]
    return [model.tokenizer.decode(run) for run in runs]


def hazard(model: TokenModel) -> str | None:
    """What is wrong with the tokenizer whatever the rows say: TOK-RESIZE, in words."""
    if not model.too_many_tokens:
        return None
    rows, tokens = model.local.embedding_rows, len(model.tokenizer)
    return f"The tokenizer has {tokens:,} tokens and the base model's embedding {rows:,} rows (vocab_size of config.json)"
