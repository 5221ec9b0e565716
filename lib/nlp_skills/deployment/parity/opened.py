"""Both models, one after the other: what was trained is given back before what is served is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nlp_skills.deployment.parity.conversations import Trainer
from nlp_skills.deployment.parity.endings import ends_of
from nlp_skills.deployment.parity.served import Served, ServedByOllama, ServedFile, ServedFolder
from nlp_skills.deployment.parity.target import Target
from nlp_skills.deployment.parity.weights import NextTokens, next_log_probs, next_tokens_of
from nlp_skills.evaluation.predictors import Predictor, open_predictor
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.evaluation.predictors.ollama import OllamaPredictor
from nlp_skills.records import Progress
from nlp_skills.training.config import TrainConfig

if TYPE_CHECKING:
    import torch


class Opened(NamedTuple):
    """What is served, ready to be asked."""

    served: Served
    predictor: Predictor
    next_tokens: NextTokens
    file: GgufPredictor | None
    precision: str
    """What it computes in."""


@contextmanager
def opened(task: Path, config: TrainConfig, target: Target, trainer: Trainer) -> Iterator[Opened]:
    predictor = open_predictor(task, str(target.path), config=config)
    others: list[Predictor] = []
    try:
        if isinstance(predictor, LocalPredictor):
            folder = ServedFolder(predictor.tokenizer, trainer, ends_of(target.path))
            yield Opened(folder, predictor, next_tokens_of(predictor.model), None, _precision(predictor))
        elif isinstance(predictor, GgufPredictor) and target.ollama is not None:
            model = open_predictor(task, f"ollama/{target.ollama}", config=config)
            others.append(model)
            assert isinstance(model, OllamaPredictor)
            served = ServedByOllama(model, target.ollama, predictor)
            yield Opened(served, model, predictor.next_tokens, predictor, f"{target.quantization} in Ollama")
        else:
            assert isinstance(predictor, GgufPredictor)
            kind = target.quantization or "GGUF"
            yield Opened(
                ServedFile(predictor), predictor, predictor.next_tokens, predictor, f"{kind} in llama.cpp"
            )
    finally:
        for one in (predictor, *others):
            one.close()


def trained_log_probs(
    task: Path, version: str, places: Sequence[Sequence[int]], progress: Progress
) -> tuple[list[torch.Tensor], str]:
    """By the trained model, which is given back before the other one is loaded; and the precision that it computed in."""
    progress(f"{version}: loading what was trained", 0, None)
    predictor = open_predictor(task, version)
    try:
        assert isinstance(predictor, LocalPredictor)
        return next_log_probs(predictor.model, places), _precision(predictor)
    finally:
        predictor.close()


def _precision(predictor: LocalPredictor) -> str:
    model: Any = predictor.model
    return str(model.dtype).removeprefix("torch.")
