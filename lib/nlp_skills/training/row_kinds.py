"""Whether a method can learn from the rows of a task: asked when a version is made, row by row, with the line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import NotValid, counted
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.rewards import require_rows

SPLITS = ("train", "valid")
_SHOWN = 5


def is_pair(example: Example) -> bool:
    """A better and a worse answer to the same prompt."""
    return bool(example.chosen and example.rejected)


def is_marked(example: Example) -> bool:
    """An answer that is marked good (label true) or bad (false)."""
    return example.messages is not None and example.meta.label in ("true", "false")


def has_marked_rows(task: Path, definition: Task) -> bool:
    """Whether a preference task's rows are single answers that are marked, by the first one."""
    if definition.type is not TaskType.PREFERENCE:
        return False
    return any(is_marked(example) for _, example in _first(task))


def _first(task: Path) -> Iterator[tuple[int, Example]]:
    for row in enumerate(read_examples(task / "data" / "train.jsonl"), start=1):
        yield row
        return


def require_learnable(task: Path, definition: Task, config: TrainConfig) -> None:
    """Raises NotValid naming the lines that the method cannot learn from, and what can be done about them."""
    for split in SPLITS:
        file = task / "data" / f"{split}.jsonl"
        if not file.is_file():
            continue
        if definition.type is TaskType.PREFERENCE:
            _require_preferences(task.name, file, config)
        elif config.method == "grpo":
            require_rows(config.rewards, list(read_examples(file)))


def _require_preferences(name: str, file: Path, config: TrainConfig) -> None:
    of_pairs = config.method in ("dpo", "orpo")
    wrong = [
        line
        for line, example in enumerate(read_examples(file), start=1)
        if not (is_pair(example) or (is_marked(example) and not of_pairs))
    ]
    if not wrong:
        return
    lines = ", ".join(map(str, wrong[:_SHOWN])) + (", …" if len(wrong) > _SHOWN else "")
    if of_pairs:
        reason = f"no pairs of a better and a worse answer, which {config.method} learns from"
        cure = "Answers that are marked good or bad are learned with --method kto; or bring pairs."
    else:
        reason = "neither pairs nor answers that are marked good or bad (label true or false)"
        cure = "Regenerate the data from a source that has one of both."
    raise NotValid(
        f"{name}: {counted(len(wrong), 'row')} of data/{file.name} (line {lines}): {reason}. {cure}"
    )
