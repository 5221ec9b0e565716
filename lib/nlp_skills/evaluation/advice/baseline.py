"""What needs no fine-tuning, measured before anything is trained: `benchmarks/advise.json`.

TF-IDF answers every validation row, which takes a moment; the base model a sample of them.
"""

from __future__ import annotations

import random
from pathlib import Path

from nlp_skills.base_model import require_training, resolve_base_model
from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.baselines import tfidf_classifier, tfidf_neighbour
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.marking import mark
from nlp_skills.evaluation.predictors import Answered, predict
from nlp_skills.evaluation.predictors.local import load_local
from nlp_skills.evaluation.results import Score
from nlp_skills.evaluation.scoring import score
from nlp_skills.records import Progress, Record, sha256_file
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.environment import free_cores


class AdviceBaseline(Record):
    """The prompted base model on some rows of the validation split, and TF-IDF on all of them."""

    base_model: str
    split: str
    data_sha256: str
    rows: int
    """That the base model was asked; each score has its own `count`."""
    seed: int
    baseline: dict[str, Score]

    @staticmethod
    def place(task: Path) -> Path:
        """Where it lies in a task's folder."""
        return task / "benchmarks" / "advise.json"


def measure_baseline(
    task: Path, definition: Task, rows: int, seed: int, progress: Progress
) -> AdviceBaseline:
    """Ask the base model some validation rows; the test rows stay unseen.

    Raises NotReady without such rows, NotValid for preferences, whose rows have no one right answer.
    """
    if definition.type is TaskType.PREFERENCE:
        raise NotValid(
            f"{task.name}: rows of a preference task have no one right answer that a prompted model could be held"
            f" against. Ask without --baseline: nlp-skills advise {task.name}"
        )
    require_training()
    file = task / "data" / "valid.jsonl"
    every = list(read_examples(file)) if file.is_file() else []
    train = list(read_examples(task / "data" / "train.jsonl")) if every else []
    if not every or not train:
        raise NotReady(
            f"{task.name} has no validation rows to ask the base model. Make them with: nlp-skills regenerate-data"
            f" {task.name}, with split.valid above 0 in data_source.yaml."
        )
    asked = random.Random(seed).sample(every, rows) if len(every) > rows else every
    import torch

    torch.set_num_threads(free_cores())
    found = AdviceBaseline(
        base_model=definition.base_model,
        split="valid",
        data_sha256=sha256_file(file),
        rows=len(asked),
        seed=seed,
        baseline={
            "tfidf": _tfidf(definition, train, every),
            "prompted_base": _prompted(definition, train, asked, progress),
        },
    )
    return found.save(AdviceBaseline.place(task))


def _tfidf(definition: Task, train: list[Example], asked: list[Example]) -> Score:
    answers = (tfidf_classifier if definition.type.has_labels else tfidf_neighbour)(train, asked)
    return score(definition, mark(definition, asked, [Answered(text) for text in answers]), "TF-IDF")


def _prompted(definition: Task, train: list[Example], asked: list[Example], progress: Progress) -> Score:
    progress("loading the base model", 0, None)
    loaded = load_local(resolve_base_model(definition.base_model), None)
    answered = predict(loaded, asked, choose_decoding(definition, train, asked), progress=progress)
    return score(definition, mark(definition, asked, answered), loaded.name)
