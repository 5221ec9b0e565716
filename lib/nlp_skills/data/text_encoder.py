"""Many texts to token ids, quickly: what stands between special tokens is encoded once and remembered.

    <|im_start|> | system␤Classify …<|im_end|> | ␤<|im_start|> | user␤Where is my card?<|im_end|> | …
    known          known                         known           the only new section of this row

Tokenizers cut a text at its special tokens before anything else, so the sections can be encoded
apart. Where that is not certain the whole text is encoded; the ids are the tokenizer's own either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

REMEMBERED = 1 << 20
"""Characters of sections that are remembered, some 10 MB; then it begins anew."""


END_OF_TURN = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",  # Llama 3.1 after a call of a built-in tool
    "<end_of_turn>",
    "<turn|>",  # Gemma 4
    "<|end|>",
    "<|return|>",  # gpt-oss after the last answer, and the next after a call
    "<|call|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|endoftext|>",
)


class TextEncoder:
    """One tokenizer, and what it has encoded. The template has written the special tokens already (P06)."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.end_tokens = end_tokens(tokenizer)
        # A tokenizer that is written in Python has no backend, and one that takes special tokens apart is not ours to cut.
        fast = getattr(tokenizer, "is_fast", False) and not tokenizer.split_special_tokens
        self._backend: Any = tokenizer.backend_tokenizer if fast else None
        self._known: dict[str, list[int]] = {}
        self.remembered = 0
        """Characters of the sections that are known."""
        self.cuts = sorted(_separators(tokenizer, turn_tokens(tokenizer))) if fast else []
        """The special tokens at which texts are cut; none where they are encoded whole."""
        if self.cuts and not self._agrees():
            self.cuts = []

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, without special tokens of its own."""
        cut = re.compile("(" + "|".join(map(re.escape, self.cuts)) + ")") if self.cuts else None
        parts = [[part for part in cut.split(text) if part] if cut else [text] for text in texts]
        if self.remembered > REMEMBERED:
            self._known, self.remembered = {}, 0
        known = self._known
        new = list({part: None for some in parts for part in some if part not in known})
        for part, ids in zip(new, self._encode_all(new), strict=True):
            known[part] = ids
            self.remembered += len(part)
        return [[token for part in some for token in known[part]] for some in parts]

    def _encode_all(self, texts: list[str]) -> Iterable[list[int]]:
        if self._backend is None:
            return (
                self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else [] for text in texts
            )
        # What another caller may have left behind.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        return (found.ids for found in self._backend.encode_batch_fast(texts, add_special_tokens=False))

    def _agrees(self) -> bool:
        """Whether the sections, encoded apart, are what the tokenizer makes of a whole text (Metaspace may not)."""
        probes = [
            f"a b{first} c\n{second}d  é{first}{first}\n\n中 {second}"
            for first in self.cuts
            for second in self.cuts[:2]
        ]
        whole = [self.tokenizer(probe, add_special_tokens=False)["input_ids"] for probe in probes]
        found = self.encode(probes)
        self._known, self.remembered = {}, 0
        return found == whole


def end_tokens(tokenizer: Any) -> set[int]:
    """Tokens that end an answer: the tokenizer's EOS and the usual end-of-turn tokens it knows."""
    names = END_OF_TURN
    # Asked one by one: the whole vocabulary as a dictionary takes 30 ms each time.
    ids = ((name, tokenizer.convert_tokens_to_ids(name)) for name in names)
    known = {i for name, i in ids if i is not None and tokenizer.convert_ids_to_tokens(i) == name}
    return known if tokenizer.eos_token_id is None else {tokenizer.eos_token_id, *known}


def turn_tokens(tokenizer: Any) -> dict[str, int]:
    """The special tokens that begin, open or end a turn: those the chat template writes, BOS and the end tokens."""
    ends = {*end_tokens(tokenizer), tokenizer.bos_token_id}
    template = str(tokenizer.chat_template or "")
    return {
        token.content: i
        for i, token in tokenizer.added_tokens_decoder.items()
        if token.special and (i in ends or token.content in template)
    }


def _separators(tokenizer: Any, candidates: Iterable[str]) -> list[str]:
    """Those at which any text may be cut: taken as they stand, and never a part of another token."""
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    plain = (
        name
        for name in candidates
        if not (added[name].lstrip or added[name].rstrip or added[name].single_word or added[name].normalized)
    )
    return [name for name in plain if not any(_overlap(name, other) for other in added if other != name)]


def _overlap(token: str, other: str) -> bool:
    """Whether one text could hold both so that they share a character."""
    if token in other or other in token:
        return True
    if token[0] not in other[1:] and other[0] not in token[1:]:
        return False
    return any(
        token.endswith(other[:size]) or other.endswith(token[:size])
        for size in range(1, min(len(token), len(other)))
    )
