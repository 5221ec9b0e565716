"""A fix removes what its check finds, and changes nothing else."""

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.example import Example, Message, Meta, encode
from nlp_skills.data.fixes import apply_fixes
from nlp_skills.task.task import Task

LABELS = ["down", "flat", "up"]
COUNT = 30

busy = settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
positions = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)


def make_task(type: str = "classification") -> Task:
    labels = LABELS if type == "classification" else []
    value = {"name": "t", "type": type, "goal": "Help.", "created": "now", "labels": labels}
    return Task.parse(value, "the test")


def row(text: str, label: str | None, **meta: Any) -> Example:
    said = [Message("system", "Help."), Message("user", text), Message("assistant", label or "?")]
    return Example(meta=Meta(id=text, source="s", label=label, **meta), messages=said)


def clean(split: str, count: int = COUNT) -> list[bytes]:
    """Distinct rows in a mixed order."""
    return [encode(row(f"{split} text: no. {n}", LABELS[n % 3])) for n in range(count)]


def write(folder: Path, **splits: list[bytes]) -> None:
    for name, lines in splits.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def read(folder: Path, split: str) -> list[bytes]:
    return (folder / f"{split}.jsonl").read_bytes().split(b"\n")[:-1]


@busy
@given(where=positions)
def test_of_duplicates_the_first_stays(tmp_path: Path, where: list[int]) -> None:
    train, valid = clean("train"), clean("valid")
    write(tmp_path, train=[*train, *(train[n] for n in where)], valid=valid)
    counts = apply_fixes(tmp_path, ["DATA-DUP"], make_task())
    assert (counts["DATA-DUP"].changed, counts["DATA-DUP"].dropped) == (0, len(where))
    assert [shown.line for shown in counts["DATA-DUP"].rows] == [COUNT + n for n in range(1, len(where) + 1)]
    assert (read(tmp_path, "train"), read(tmp_path, "valid")) == (train, valid)
