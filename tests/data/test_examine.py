"""The pass over the examples: every usable row once, or a sample that follows from the rows alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from nlp_skills.data.checks.examine import AT_ONCE, Examined, examine_rows
from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.example import Example, Message, Meta, encode
from nlp_skills.data.partitions import Scan, Where
from nlp_skills.data.report import Finding
from nlp_skills.records import silent
from nlp_skills.task.task import Task

COUNT = 3_000
FILES = ("data/train.jsonl", "data/test.jsonl")


@dataclass
class Seen:
    """A family that remembers what it was shown."""

    context: Context
    rows: list[tuple[str, int, str]] = field(default_factory=list)
    checks: ClassVar[tuple[str, ...]] = ("SEEN",)

    def see(self, rows: Rows) -> None:
        assert 0 < len(rows.lines) == len(rows.examples) <= AT_ONCE
        for line, example in zip(rows.lines, rows.examples, strict=True):
            self.rows.append((rows.file, line, example.meta.id))

    def merge(self, later: "Seen") -> None:
        self.rows += later.rows

    def findings(self) -> list[Finding]:
        return []

    def not_run(self) -> dict[str, str]:
        return {}


def write(folder: Path) -> Context:
    """Rows of which every tenth line is none: broken, blank, or without an answer."""
    files = {}
    for file in FILES:
        lines = []
        for n in range(COUNT):
            said = [Message("user", f"{file} {n}"), Message("assistant", "a")]
            lines.append(
                encode(Example(meta=Meta(f"{n + 1}", "s"), messages=said[: 1 if n % 30 == 20 else 2]))
            )
            if n % 30 in (0, 10):
                lines[n] = b"{" if n % 30 else b" "
        files[file] = folder / Path(file).name
        files[file].write_bytes(b"\n".join(lines))
    value = {"name": "t", "type": "generation", "goal": "Help.", "created": "now"}
    return Context(Task.parse(value, "the test"), files)


def look(context: Context, size: int, sample: int, where: Where = "here", deep: bool = False) -> Examined:
    parts = list(Scan(context.files, size))
    rows = len(FILES) * COUNT * 9 // 10
    return examine_rows([Seen], context, parts, rows, silent, deep=deep, where=where, sample=sample)


def seen(examined: Examined) -> list[tuple[str, int, str]]:
    [family] = examined.families
    assert isinstance(family, Seen)
    assert len(family.rows) == examined.rows
    return family.rows


@pytest.mark.parametrize("deep", [True, False])
def test_every_usable_row_is_seen_once_under_its_own_line(tmp_path: Path, deep: bool) -> None:
    context = write(tmp_path)
    examined = look(context, 10_000, 100 if deep else 10_000, deep=deep)
    assert seen(examined) == [(file, n, str(n)) for file in FILES for n in range(1, COUNT + 1) if n % 10 != 1]
    assert not examined.sampled


def test_a_sample_does_not_depend_on_partitions_or_processes(tmp_path: Path) -> None:
    context = write(tmp_path)
    sample = look(context, 10_000, 1_000)
    assert sample.sampled
    assert 900 < sample.rows < 1_100
    rows = seen(sample)
    assert all(id == str(line) for _, line, id in rows)
    for size in (1_000, 1 << 20):
        assert seen(look(context, size, 1_000)) == rows
    larger = seen(look(context, 10_000, 2_000))
    assert set(rows) < set(larger)


def test_without_partitions_the_families_are_there_and_have_seen_nothing(tmp_path: Path) -> None:
    examined = examine_rows([Seen], write(tmp_path), [], 0, silent, deep=False, where="here")
    assert seen(examined) == []
