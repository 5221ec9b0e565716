"""Whether two forms of a model say the same: probabilities on a few rows, and the text that they go on with.

    row ──▶ prompt ──▶ greedy text of the one and of the other
              └── answer ──▶ probabilities at each of its tokens: mean KL in nats, the highest ten, the best one

Measured on SmolLM2-135M, mean KL of what was merged against base + adapter, all computed in float32: saved as
float32 1e-8, float16 2e-6, bfloat16 2e-4; rounded to int8 row by row 3e-3, to NF4 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.tokens import answer_ids, encode_text, end_tokens, prompt_ids
from nlp_skills.evaluation.predictors.generation import generate
from nlp_skills.evaluation.predictors.predictor import Decoding
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache
from nlp_skills.training.config import TrainConfig

if TYPE_CHECKING:
    import torch

ROWS = 8
TOKENS = 4096
"""Of all rows together: a processor computes them in float32."""
HIGHEST = 10
GOES_ON = 24
"""Tokens of the greedy text."""


@dataclass(frozen=True)
class Probe:
    """A row as token ids."""

    prompt: list[int]
    answer: list[int]


@dataclass(frozen=True)
class Looked:
    """What a model says to the probes."""

    log_probs: list[torch.Tensor]
    """Of each probe: float32 of shape (tokens of the answer, vocabulary), in nats."""
    greedy: list[list[int]]


@dataclass(frozen=True)
class Difference:
    """How far one model is from the other on the same probes."""

    mean_kl: float
    """Kullback-Leibler divergence from the first, mean over the tokens of the answers, in nats."""
    worst_kl: float
    highest: float
    """The largest difference of log-probabilities among the ten most probable tokens, in nats."""
    other_best: int
    """Tokens at which another one is the most probable."""
    other_texts: int
    tokens: int
    texts: int


def held_out_rows(task: Path) -> list[Example]:
    """Rows that the model was not trained on, where there are any: of test, else valid, else train."""
    files = (task / "data" / f"{split}.jsonl" for split in ("test", "valid", "train"))
    return next((rows for file in files if file.is_file() and (rows := list(read_examples(file)))), [])


def probes(
    tokenizer: Any, rows: Sequence[Example], config: TrainConfig, *, most: int = ROWS, tokens: int = TOKENS
) -> list[Probe]:
    """Up to `most` rows spread over all, as the version's config.yaml shows them to the model."""
    step = max(1, len(rows) // most)
    found: list[Probe] = []
    for row in rows[::step][:most]:
        found.append(_probe(tokenizer, row, config))
        tokens -= len(found[-1].prompt) + len(found[-1].answer)
        if tokens < 0 and len(found) > 1:
            return found[:-1]
    return found


def _probe(tokenizer: Any, row: Example, config: TrainConfig) -> Probe:
    if row.is_plain_text:
        ids = encode_text(tokenizer, row.output_text)
        return Probe(ids[: len(ids) // 2 or 1], ids[len(ids) // 2 or 1 :] or ids[:1])
    shown = with_prompted_tools(row) if config.tools_in_prompt else row
    asked = structs.replace(shown, messages=[*shown.context, shown.answer])
    thinking = config.enable_thinking
    return Probe(prompt_ids(tokenizer, asked, thinking), answer_ids(tokenizer, asked, thinking))


def look(model: Any, tokenizer: Any, asked: Sequence[Probe]) -> Looked:
    """Put the probes to a model of transformers."""
    import torch

    model.eval()
    log_probs = []
    with torch.inference_mode():
        for probe in asked:
            ids = torch.tensor([[*probe.prompt, *probe.answer[:-1]]], device=model.device)
            logits = model(input_ids=ids, logits_to_keep=len(probe.answer)).logits[0]
            log_probs.append(logits.float().log_softmax(dim=-1).cpu())
    if any(
        bool(part.isnan().any()) for part in log_probs
    ):  # `difference` says so; of no numbers nothing can be drawn
        return Looked(log_probs, [[] for _ in asked])
    prompts = [probe.prompt for probe in asked]
    start = PromptCache(model, tokenizer.pad_token_id, prompts)
    how = Decoding(max_new_tokens=GOES_ON, batch_size=len(prompts))
    drawn = generate(model, start, frozenset(end_tokens(tokenizer)), prompts, how)
    return Looked(log_probs, [one[0].ids for one in drawn])


def difference(first: Looked, second: Looked) -> Difference:
    """Of two looks at the same probes. A probability that is no number (nan) is infinitely far."""
    import torch

    a, b = torch.cat(first.log_probs), torch.cat(second.log_probs)
    # Rounding alone can bring it a little below 0, where no divergence is.
    kl = (a.exp() * (a - b)).sum(dim=-1).nan_to_num(nan=float("inf"), posinf=float("inf")).clamp(min=0)
    best = a.topk(HIGHEST, dim=-1).indices
    apart = (a.gather(1, best) - b.gather(1, best)).abs()
    texts = [one != other for one, other in zip(first.greedy, second.greedy, strict=True)]
    return Difference(
        mean_kl=float(kl.mean()),
        worst_kl=float(kl.max()),
        highest=float(apart.max()),
        other_best=int((a.argmax(dim=-1) != b.argmax(dim=-1)).sum()),
        other_texts=sum(texts),
        tokens=len(kl),
        texts=len(texts),
    )
