"""The rows of a run: those that its version was made for, as tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotValid
from nlp_skills.records import sha256_file
from nlp_skills.training.compact_rows import CompactRows
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.answer_pairs import too_long
from nlp_skills.training.replay import read_replay

CHUNK = 1000
"""Examples that are made into tokens together."""
UNLIMITED = 1 << 40
"""Tokens; the rows that are too long are counted here, over all chunks."""


@dataclass(frozen=True)
class StoredExamples:
    """The examples of a split, read from its file each time; those that were added stand behind them."""

    file: Path
    added: Sequence[Example] = ()
    without: frozenset[str] = frozenset()
    """Ids that are left out."""

    def __iter__(self) -> Iterator[Example]:
        stored = read_examples(self.file) if self.file.is_file() else ()
        return (example for example in chain(stored, self.added) if example.meta.id not in self.without)


@dataclass(frozen=True)
class SplitRows:
    """A split's examples, and the rows that a method has made of them (several of one example, sometimes)."""

    examples: Iterable[Example]
    rows: Sequence[Any]
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
    train, valid = task / "data" / "train.jsonl", task / "data" / "valid.jsonl"
    count = sum(1 for _ in read_examples(train))
    if not count:
        raise NotValid(
            f"{task.name}: data/train.jsonl has no rows. Run: nlp-skills regenerate-data {task.name}"
        )
    splits = {
        "train": StoredExamples(train, read_replay(task, config, count)),
        "valid": StoredExamples(valid),
    }
    cure = f"Make a version that takes them: nlp-skills create-version {task.name} --max-length {{longest}}"
    return {
        split: _tokenized(partial(method.tokenize, tokenizer), found, config, allowed, split, cure)
        for split, found in splits.items()
    }


def _tokenized(
    tokenize: Callable[..., list[Any]],
    examples: StoredExamples,
    config: TrainConfig,
    allowed: int | None,
    split: str,
    cure: str,
) -> SplitRows:
    """A chunk of examples after the other, so that only the compact rows are kept."""
    words = {"file": f" of data/{split}.jsonl", "cure": cure}
    # cpt cuts its texts by max_length; elsewhere longer rows are an error.
    unlimited = config if config.method == "cpt" else config.with_changes(max_length=UNLIMITED)
    limit = min(config.max_length, config.max_length if allowed is None else allowed)
    rows: CompactRows[Any] = CompactRows()
    long: dict[str, int] = {}
    left_out: list[str] = []
    for chunk in batched(examples, CHUNK):
        made = tokenize(chunk, unlimited, **words)
        if all(row.length <= limit for row in made):
            rows.extend(made)
            continue
        for example in chunk:
            alone = tokenize([example], unlimited, **words)
            longest = max(row.length for row in alone)
            if longest > config.max_length:
                long[example.meta.id] = longest
            elif longest > limit:
                left_out.append(example.meta.id)
            else:
                rows.extend(alone)
    if long:
        raise too_long(list(long), max(long.values()), config.max_length, **words)
    return SplitRows(replace(examples, without=frozenset(left_out)), rows, tuple(left_out))


def batched(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Lists of that many, the last one shorter (itertools has it from Python 3.12 on)."""
    rest = iter(examples)
    while chunk := list(islice(rest, size)):
        yield chunk
