"""The rows of a run: those that its version was made for, as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.replay import read_replay


@dataclass(frozen=True)
class SplitRows:
    """A split's examples, and the rows that a method has made of them (several of one example, sometimes)."""

    examples: list[Example]
    rows: list[Any]
    left_out: tuple[str, ...] = ()
    """Ids of examples that are longer than the ladder (ladder.py) allows."""


def check_data_unchanged(task: Path, snapshot: DataSnapshot, version: str) -> None:
    """Raises NotValid when a split is no longer the one that the version was made for."""
    for name, split in snapshot.splits.items():
        file = task / "data" / f"{name}.jsonl"
        if not file.is_file() or sha256_file(file) != split.sha256:
            raise NotValid(
                f"{task.name}: data/{name}.jsonl is not the file that {version} was made for (its hash differs)."
                f" Make a new version with: nlp-skills create-version {task.name}"
            )


def read_rows(
    method: Any, tokenizer: Any, task: Path, config: TrainConfig, allowed: int | None = None
) -> dict[str, SplitRows]:
    """The rows of `train` (replayed rows behind them) and `valid` as tokens, as the method's module wants them.

    Raises NotValid naming the rows that are too long: nothing is cut silently. Examples with more than `allowed`
    tokens are left out.
    """
    train = list(read_examples(task / "data" / "train.jsonl"))
    if not train:
        raise NotValid(
            f"{task.name}: data/train.jsonl has no rows. Run: nlp-skills regenerate-data {task.name}"
        )
    train += read_replay(task, config, len(train))
    try:
        valid = list(read_examples(task / "data" / "valid.jsonl"))
    except NotFound:
        valid = []
    splits = {"train": train, "valid": valid}
    return {
        split: _tokenized(method, tokenizer, task, split, found, config, allowed)
        for split, found in splits.items()
    }


def _tokenized(
    method: Any,
    tokenizer: Any,
    task: Path,
    split: str,
    examples: Sequence[Example],
    config: TrainConfig,
    allowed: int | None,
) -> SplitRows:
    cure = (
        f"Make a version that takes them: nlp-skills create-version {task.name} --max-length {{longest}}"
        " --per-device-train-batch-size 2 (long rows need memory)"
    )
    words = {"file": f" of data/{split}.jsonl", "cure": cure}
    rows = method.tokenize(tokenizer, examples, config, **words)
    if allowed is None or all(row.length <= allowed for row in rows):
        return SplitRows(list(examples), rows)
    each = [method.tokenize(tokenizer, [example], config, **words) for example in examples]
    fits = [all(row.length <= allowed for row in made) for made in each]
    return SplitRows(
        [example for example, kept in zip(examples, fits, strict=True) if kept],
        [row for made, kept in zip(each, fits, strict=True) if kept for row in made],
        tuple(example.meta.id for example, kept in zip(examples, fits, strict=True) if not kept),
    )
