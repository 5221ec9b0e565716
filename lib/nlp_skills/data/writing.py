"""The split files: converted lines written in their order, and what a snapshot says of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.identity import Identities
from nlp_skills.data.snapshot import SplitSnapshot, in_buckets
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.data.split import order_rows
from nlp_skills.records import Progress, sha256_file, write_lines


@dataclass
class Lines:
    """The converted rows, read by their number."""

    stream: BinaryIO
    known: Identities

    def line(self, row: int) -> bytes:
        """With its end."""
        self.stream.seek(self.known.at[row])
        return self.stream.read(self.known.size[row])

    def example(self, row: int) -> Example:
        """The row itself."""
        return msgspec.json.decode(self.line(row), type=Example)


def write_splits(
    lines: Lines, sides: bytearray, staging: Path, progress: Progress
) -> dict[str, SplitSnapshot]:
    """Write the rows of each side into its file, read again one by one; what is not on a side is left out."""
    found: dict[str, SplitSnapshot] = {}
    known = lines.known
    for place, name in enumerate(SPLITS):
        progress(f"writing {name}", place, len(SPLITS))
        rows = order_rows(known, (row for row, side in enumerate(sides) if side == place))
        file = staging / f"{name}.jsonl"
        write_lines(file, (lines.line(row)[:-1] for row in rows))
        labels = Counter(known.label[row] for row in rows)
        found[name] = SplitSnapshot(
            sha256=sha256_file(file),
            count=len(rows),
            label_counts={label: labels[code] for label, code in sorted(known.codes.items()) if labels[code]},
            lengths=in_buckets(Counter(known.characters[row] for row in rows)),
        )
    return found


def describe_split(file: Path) -> SplitSnapshot:
    """What a snapshot says of a split file, read row by row."""
    labels: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    count = 0
    for example in read_examples(file):
        count += 1
        lengths[len(example.input_text)] += 1
        if example.meta.label is not None:
            labels[example.meta.label] += 1
    return SplitSnapshot(
        sha256=sha256_file(file),
        count=count,
        label_counts=dict(sorted(labels.items())),
        lengths=in_buckets(lengths),
    )
