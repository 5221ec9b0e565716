"""Why a prompt is another one where it is served: the first token that differs, and what that means.

trained   <bos> | <|im_start|> user ␤ Where …
served    <bos> | <bos> | <|im_start|> user …        double BOS
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nlp_skills.deployment.parity.conversations import Conversation, Trainer
from nlp_skills.deployment.parity.report import Cause, Difference

AROUND = 6
"""Tokens that are shown from the first that differs."""


class Prompt(NamedTuple):
    """A conversation as it is served."""

    text: str
    ids: list[int]
    counted: int | None = None
    """The tokens of the prompt when it was really asked, as the server counts them."""


def difference(trainer: Trainer, asked: Conversation, served: Prompt, where: str) -> Difference | None:
    """What is served otherwise, and why; None where every token is the same."""
    cause = _cause(trainer, asked, served)
    if cause is None:
        return None
    ids = _as_run(asked, served)
    place = next((n for n, (a, b) in enumerate(zip(asked.ids, ids, strict=False)) if a != b), None)
    place = min(len(asked.ids), len(ids)) if place is None else place
    return Difference(
        cause=cause,
        says=_SAYS[cause],
        where=where,
        conversation=asked.name,
        position=place,
        trained=trainer.shown(asked.ids[place : place + AROUND]),
        served=trainer.shown(ids[place : place + AROUND]),
    )


def _as_run(asked: Conversation, served: Prompt) -> list[int]:
    """The served tokens, with the BOS that only the count tells of."""
    if served.ids == asked.ids and served.counted == len(asked.ids) + 1:
        return [*served.ids[:1], *served.ids]
    return served.ids


def _cause(trainer: Trainer, asked: Conversation, served: Prompt) -> Cause | None:
    bos = trainer.tokenizer.bos_token_id
    extra = _leading(served.ids, bos) - _leading(asked.ids, bos)
    if served.ids == asked.ids or (extra > 0 and served.ids[extra:] == asked.ids):
        # What the server has counted decides: it may cut a BOS that it would write twice, or add one of its own.
        more = extra if served.counted is None else served.counted - len(asked.ids)
        return None if more == 0 else "double BOS" if more > 0 else "cut prompt"
    if served.ids[1:] == asked.ids or served.ids == asked.ids[1:]:
        return "other BOS"
    if any(asked.text.count(name) > served.text.count(name) for name in _tools(asked)):
        return "dropped tool block"
    return "other vocabulary" if served.text == asked.text else "wrong template"


def _leading(ids: Sequence[int], bos: int | None) -> int:
    """How often BOS stands at the beginning."""
    return next((n for n, token in enumerate(ids) if token != bos), len(ids))


def _tools(asked: Conversation) -> list[str]:
    return [tool.get("function", tool)["name"] for tool in asked.example.tools or []]


_SAYS: dict[Cause, str] = {
    "double BOS": "The token that begins a text stands there twice: the template writes it and the server adds it."
    " Take it out of the template that is served.",
    "other BOS": "The token that begins a text is there on one side only. Set tokenizer.ggml.add_bos_token of the file"
    " as the trainer does it, by exporting it again.",
    "cut prompt": "The server has left a part of the prompt out: its window is too small. Raise num_ctx.",
    "dropped tool block": "The tools do not reach the model: the template that is served leaves them out. Serve the"
    " chat template that it was trained with.",
    "wrong template": "The text is another one: what is served has not the chat template that it was trained with."
    " Export it again, or make the Modelfile of this version's template.",
    "other vocabulary": "The same text gives other tokens: vocabulary, special tokens or pre-tokenizer of the file are"
    " not the tokenizer's. Export it again with the tokenizer that it was trained with.",
}
