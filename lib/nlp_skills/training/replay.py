"""Replay: general rows mixed in with a task's own, so that the model forgets less of what it could (P10).

data/train.jsonl   9 rows ─┐
                           ├─ one epoch of 10 rows (replay_share 0.1)
replay_file        1 row  ─┘   drawn by the seed, the same for equal settings
"""

from __future__ import annotations

import random
from pathlib import Path

from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.training.config import TrainConfig


def replay_sha256(task: Path, replay_file: str | None) -> str | None:
    """The hash of the file that a version replays; None without one. Raises NotFound, NotValid for a bad file."""
    if replay_file is None:
        return None
    path = _inside(task, replay_file)
    if not sum(1 for _ in read_examples(path)):  # all of them: a broken row is told now, not in the run
        raise NotValid(f"replay_file: {path} has no rows.")
    return sha256_file(path)


def read_replay(task: Path, config: TrainConfig, rows: int) -> list[Example]:
    """The rows that are replayed beside `rows` training rows: as many as make up replay_share of both together.

    All there are when the file has fewer. Raises NotValid when it is no longer the file that the version was made for.
    """
    if config.replay_file is None:
        return []
    path = _inside(task, config.replay_file)
    if config.replay_sha256 is not None and sha256_file(path) != config.replay_sha256:
        raise NotValid(
            f"{task.name}: {config.replay_file} is not the file that the version was made for (its hash differs)."
            f" Make a new version with: nlp-skills create-version {task.name}"
        )
    found = list(read_examples(path))
    wanted = round(rows * config.replay_share / (1 - config.replay_share))
    return random.Random(config.seed).sample(found, min(max(1, wanted), len(found)))


def _inside(task: Path, name: str) -> Path:
    path = (task / name).resolve()
    if not path.is_relative_to(task.resolve()):
        raise NotValid(
            f"replay_file: {name} is outside the task folder. Copy it there, for example to data/."
        )
    if not path.is_file():
        raise NotFound(
            f"replay_file: {task / name} does not exist. Put general rows there, in the shape of data/train.jsonl."
        )
    return path
