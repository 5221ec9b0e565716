"""The rows of a run: those that its version was made for, as tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_skills.data.example import read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.replay import read_replay


def check_data_unchanged(task: Path, snapshot: DataSnapshot, version: str) -> None:
    """Raises NotValid when a split is no longer the one that the version was made for."""
    for name, split in snapshot.splits.items():
        file = task / "data" / f"{name}.jsonl"
        if not file.is_file() or sha256_file(file) != split.sha256:
            raise NotValid(
                f"{task.name}: data/{name}.jsonl is not the file that {version} was made for (its hash differs)."
                f" Make a new version with: nlp-skills create-version {task.name}"
            )


def tokenize_split(method: Any, tokenizer: Any, task: Path, split: str, config: TrainConfig) -> list[Any]:
    """The split's rows as tokens, as the method's module wants them; the training rows with those that are replayed.

    Raises NotValid naming the rows that are too long: nothing is cut silently.
    """
    try:
        examples = list(read_examples(task / "data" / f"{split}.jsonl"))
    except NotFound:
        if split == "train":
            raise
        return []
    if split == "train":
        examples += read_replay(task, config, len(examples))
    cure = (
        f"Make a version that takes them: nlp-skills create-version {task.name} --max-length {{longest}}"
        " --per-device-train-batch-size 2 (long rows need memory)"
    )
    return method.tokenize(tokenizer, examples, config, file=f" of data/{split}.jsonl", cure=cure)
