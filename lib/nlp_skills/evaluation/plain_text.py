"""Plain text has no question and no answer: what is measured is how probable a model finds it.

Texts are cut into pieces as the training cuts them (methods/cpt.py), so that no token is left out and none counts twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nlp_skills.data.example import Example
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors import Predictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.evaluation.results import Prediction
from nlp_skills.records import Progress
from nlp_skills.training.config import TrainConfig


def foresee(
    predictor: Predictor, examples: Sequence[Example], config: TrainConfig, progress: Progress
) -> list[Prediction]:
    """Each text with its log-probability. A row is `correct` in no sense, so none is.

    Raises NotValid for a model that does not run in this process: only there each token's probability is to be had.
    """
    if not isinstance(predictor, LocalPredictor):
        raise NotValid(
            f"{predictor.name} gives no probability for each token of a text. Measure a version, an adapter or a merged"
            " model in a folder instead."
        )
    rows = []
    for number, example in enumerate(examples):
        started = time.perf_counter()
        total, tokens = _log_prob(predictor, example, config)
        rows.append(
            Prediction(
                id=example.meta.id,
                expected=example.output_text,
                predicted="",
                correct=False,
                log_prob=total,
                tokens=tokens,
                milliseconds=(time.perf_counter() - started) * 1000,
            )
        )
        progress(f"{predictor.name}: reading texts", number + 1, len(examples))
    return rows


def _log_prob(predictor: LocalPredictor, example: Example, config: TrainConfig) -> tuple[float, int]:
    """Nats and number of the tokens that are predicted: all but the first."""
    import torch

    from nlp_skills.training.methods.cpt import tokenize

    model: Any = predictor.model
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for piece in tokenize(predictor.tokenizer, [example], config):
            ids = torch.tensor([piece.input_ids], device=model.device)
            if ids.shape[1] < 2:
                continue
            logits = model(input_ids=ids).logits[0, :-1].float().log_softmax(dim=-1)
            total += float(logits.gather(1, ids[0, 1:, None]).sum())
            tokens += ids.shape[1] - 1
    return total, tokens
