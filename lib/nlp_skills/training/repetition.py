"""Answers that repeat themselves (RUN-REPEAT): a few prompts of the validation rows are answered at each evaluation.

    share of repeated 4-grams = 1 - different 4-grams / all 4-grams        (seq-rep-4, Welleck et al. 2019, arXiv:1908.04319)

There people write 0.006 and a model that loops 0.44 and more (table 2, greedy). Greedy answers draw no random numbers, so
that a run's bytes do not depend on being looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from nlp_skills.data.example import Example
from nlp_skills.data.tokens import encode_text, prompt_ids
from nlp_skills.training.watch import RunWarning

N = 4
LOOPS = 0.4
PROMPTS = 3
NEW_TOKENS = 64
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
    """The prompts of a run that are answered again and again."""

    def __init__(self, tokenizer: Any, examples: Sequence[Example], thinking: bool | None) -> None:
        asked = [e for e in examples if e.messages is not None or e.chosen is not None]
        pairs = [(e, encode_text(tokenizer, e.output_text)) for e in asked[: 10 * PROMPTS]]
        chosen = sorted(pairs, key=lambda pair: -len(pair[1]))[:PROMPTS]
        self.references = [ids for _, ids in chosen if len(ids) >= SHORT]
        self.prompts = [prompt_ids(tokenizer, e, thinking) for e, ids in chosen if len(ids) >= SHORT]
        self.tokenizer = tokenizer

    def look(self, model: Any) -> RunWarning | None:
        """Answer the prompts, one after the other, and judge the answers."""
        if len(self.prompts) < 2:
            return None
        return repetition([self._answer(model, prompt) for prompt in self.prompts], self.references)

    def _answer(self, model: Any, prompt: list[int]) -> list[int]:
        import torch

        was = model.training
        model.eval()
        try:
            with torch.no_grad():
                given = torch.tensor([prompt], device=model.device)
                made = model.generate(
                    input_ids=given,
                    attention_mask=torch.ones_like(given),
                    max_new_tokens=NEW_TOKENS,
                    do_sample=False,
                    pad_token_id=self.tokenizer.pad_token_id,
                    eos_token_id=self.tokenizer.eos_token_id,
                )
        finally:
            model.train(was)
        return made[0, len(prompt) :].tolist()
