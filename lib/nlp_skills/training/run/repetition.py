"""Answers that repeat themselves (RUN-REPEAT): a few prompts of the validation rows are answered at each evaluation.

    share of repeated 4-grams = 1 - different 4-grams / all 4-grams        (seq-rep-4, Welleck et al. 2019, arXiv:1908.04319)

There people write 0.006 and a model that loops 0.44 and more (table 2, greedy). Greedy answers draw no random numbers, so
that a run's bytes do not depend on being looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile
from statistics import fmean
from typing import Any

from nlp_skills.data.example import Example
from nlp_skills.data.text_encoder import end_tokens
from nlp_skills.data.tokens import encode_text, prompt_ids
from nlp_skills.training.run.watch import RunWarning

N = 4
LOOPS = 0.4
PROMPTS = 3
NEW_TOKENS = 64
LOOKED_AT = 30
"""Validation rows among which the prompts are chosen."""
SHARE = 0.05
"""Of a run's time, that may go into looking."""
SHORT = 16
"""Answers below so many tokens have no room to loop."""


def repeated(tokens: Sequence[int], n: int = N) -> float:
    """Share of the n-grams that occurred before, 0 to 1; 0 for fewer than n tokens."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def repetition(answers: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> RunWarning | None:
    """Whether answers (as ids) loop where the rows' own answers do not."""
    long = [answer for answer in answers if len(answer) >= SHORT]
    if len(long) < 2:
        return None
    found, normal = fmean(map(repeated, long)), fmean(map(repeated, references))
    if found < max(LOOPS, 2 * normal):
        return None
    return RunWarning(
        check="RUN-REPEAT",
        message=f"of the 4-grams in {len(long)} answers to validation rows {found:.0%} are repeated (in the rows' own answers"
        f" {normal:.0%}). Make a version with fewer epochs or a lower learning_rate, and see that answers end: nlp-skills"
        " preview-tokens",
    )


class Probe:
    """The prompts of a run that are answered again and again: those of the longest answers among the first rows."""

    def __init__(self, tokenizer: Any, examples: Iterable[Example], thinking: bool | None) -> None:
        pairs = [
            (example, encode_text(tokenizer, example.output_text)) for example in islice(examples, LOOKED_AT)
        ]
        chosen = [
            pair for pair in sorted(pairs, key=lambda pair: -len(pair[1]))[:PROMPTS] if len(pair[1]) >= SHORT
        ]
        self.references = [ids for _, ids in chosen]
        self.prompts = [prompt_ids(tokenizer, example, thinking) for example, _ in chosen]
        self.tokenizer = tokenizer
        self._took = 0.0
        self._looked_at = -math.inf

    def look(self, model: Any) -> RunWarning | None:
        """Answer the prompts and judge the answers; not yet, where that would take more than its share of the time."""
        began = time.monotonic()
        if len(self.prompts) < 2 or SHARE * (began - self._looked_at) < self._took:
            return None
        found = repetition(self._answers(model), self.references)
        self._looked_at = time.monotonic()
        self._took = self._looked_at - began
        return found

    def _answers(self, model: Any) -> list[list[int]]:
        """Greedy answers, up to their ends; the prompts are one batch, padded in front."""
        import torch

        pad = self.tokenizer.pad_token_id
        longest = max(map(len, self.prompts))
        ids = [[pad] * (longest - len(prompt)) + prompt for prompt in self.prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in self.prompts]
        ends = end_tokens(self.tokenizer)
        was = model.training
        model.eval()
        try:
            with torch.no_grad():
                made = model.generate(
                    input_ids=torch.tensor(ids, device=model.device),
                    attention_mask=torch.tensor(mask, device=model.device),
                    max_new_tokens=NEW_TOKENS,
                    do_sample=False,
                    pad_token_id=pad,
                    eos_token_id=sorted(ends),
                )
        finally:
            model.train(was)
        return [list(takewhile(lambda token: token not in ends, row[longest:].tolist())) for row in made]
