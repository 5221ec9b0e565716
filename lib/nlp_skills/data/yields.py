"""What came of each source: rows that could not be used, that repeat others, that stand in the splits; and what to warn of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_skills.data.example import read_examples
from nlp_skills.data.shape import Layout
from nlp_skills.data.snapshot import SourceSnapshot, SplitSnapshot
from nlp_skills.data.sources.file import EMPTY
from nlp_skills.data.sources.formats.unnamed import tell_unnamed
from nlp_skills.data.sources.source import SPLITS, DataSource, DataSources, SplitName
from nlp_skills.data.split import NO_SIDE
from nlp_skills.errors import clip, counted

SHOWN = 5
"""Labels that are none of the task's and are named."""


def count_yields(
    fetched: Mapping[str, SourceSnapshot],
    sources: DataSources,
    converted: Mapping[str, range],
    kept: bytearray,
    sides: bytearray,
) -> dict[str, SourceSnapshot]:
    """The sources as they were fetched, with what came of their rows.

    `converted` are the numbers of a source's rows; `kept` has one byte for each, 0 for those that were dropped for
    others; `sides` is that of choose_sides.
    """
    found: dict[str, SourceSnapshot] = {}
    for source in sources.sources:
        rows = converted[source.name]
        read = min(fetched[source.name].rows, source.max_rows or fetched[source.name].rows)
        found[source.name] = fetched[source.name].with_changes(
            unusable=read - len(rows),
            dropped=kept.count(0, rows.start, rows.stop),
            used=len(rows) - sides.count(NO_SIDE, rows.start, rows.stop),
        )
    return found


def count_again(yields: Mapping[str, SourceSnapshot], data: Path) -> dict[str, SourceSnapshot]:
    """The same after automatic fixes, which may have dropped rows of the split files in the folder."""
    used: Counter[str] = Counter()
    for name in SPLITS:
        used.update(example.meta.source for example in read_examples(data / f"{name}.jsonl"))
    return {name: source.with_changes(used=used[name]) for name, source in yields.items()}


def warn_of(
    yields: Mapping[str, SourceSnapshot],
    splits: Mapping[str, SplitSnapshot],
    sources: DataSources,
    layouts: Mapping[str, Layout],
    labels: Sequence[str],
) -> list[str]:
    """Sentences on what was not used or is not known: sources that gave nothing, columns without a name, labels that
    are none of the task's (`labels`; empty where it has none), sides without a row."""
    barren = [
        _barren(source, yields[source.name], sources)
        for source in sources.sources
        if not yields[source.name].used
    ]
    divided = sum(yields[source.name].used or 0 for source in sources.sources if source.side is None)
    wanted: dict[SplitName, float] = {"train": 1.0, "valid": sources.split.valid, "test": sources.split.test}
    pinned = {source.side for source in sources.sources}
    empty: list[SplitName] = [
        name for name in SPLITS if not splits[name].count and (wanted[name] or name in pinned)
    ]
    return [
        *barren,
        *(sentence for name, found in yields.items() if (sentence := tell_empty(name, found.request))),
        *_unnamed(yields, sources, layouts),
        *unknown_labels(_counts(splits), labels),
        *(_empty(name, wanted[name], divided) for name in empty),
    ]


def tell_empty(source: str, notes: Mapping[str, Any]) -> str | None:
    """A sentence where files of a pattern hold no rows."""
    names = str(notes.get(EMPTY) or "")
    if not names:
        return None
    files = counted(names.count(", ") + 1, "file")
    return f"Source {source}: {files} without rows left out: {clip(names, 200)}."


def _unnamed(
    yields: Mapping[str, SourceSnapshot], sources: DataSources, layouts: Mapping[str, Layout]
) -> list[str]:
    told = (
        tell_unnamed(
            source, yields[source.name].request, layouts[source.name].columns.model_dump(exclude_none=True)
        )
        for source in sources.sources
    )
    return [sentence for sentence in told if sentence]


def _counts(splits: Mapping[str, SplitSnapshot]) -> Counter[str]:
    """Rows by label, over all sides."""
    return sum((Counter(split.label_counts) for split in splits.values()), Counter())


def unknown_labels(counts: Mapping[str, int], labels: Sequence[str]) -> list[str]:
    """A sentence on the labels that are none of the task's; none where the task has no list."""
    unknown = {label: count for label, count in counts.items() if labels and label not in labels}
    if not unknown:
        return []
    often = sorted(unknown, key=lambda label: (-unknown[label], label))
    listed = ", ".join(f"{clip(label, 40)!r} ({counted(unknown[label], 'row')})" for label in often[:SHOWN])
    more = f" and {len(often) - SHOWN:,} more" if len(often) > SHOWN else ""
    one = len(often) == 1
    return [
        f"{listed}{more} {'is' if one else 'are'} not among the labels of task.yaml, so the prompt does not offer"
        f" {'it' if one else 'them'}. Add {'it' if one else 'them'} to labels: there, or mend the label column in the source."
    ]


def _barren(source: DataSource, found: SourceSnapshot, sources: DataSources) -> str:
    start = f"Source {source.name} adds nothing: "
    if not found.rows:
        return f"{start}it has no rows. Check what it asks for in data_source.yaml, or remove it there."
    if found.dropped and found.dropped + found.unusable == found.rows:
        plain = sources.conflicts == "keep" and sources.near_duplicates is None
        like = "repeat" if plain else "repeat, resemble or contradict"
        cure = "Remove it"
        if source.side is not None:
            cure = f"To have them in {source.side}, move it before the others there; or remove it"
        return (
            f"{start}its {counted(found.rows, 'row')} {like} rows of the sources that stand before it in"
            f" data_source.yaml. {cure}."
        )
    if found.unusable == found.rows:
        return f"{start}none of its {counted(found.rows, 'row')} can be used. Set skip_bad_rows: false to see why."
    return (
        f"{start}of its {counted(found.rows, 'row')} none was left after split:, fixes: and the other settings of"
        " data_source.yaml. Ask for more there, or remove it."
    )


def _empty(name: SplitName, wanted: float, divided: int) -> str:
    lost = {
        "train": "Without it nothing can be trained.",
        "valid": "Without it nobody sees when training goes too far.",
        "test": "Without it nothing can be evaluated.",
    }[name]
    if not divided:
        why = f"no row is divided, and no source with side: {name} has rows"
        cure = f"Give a source side: {name}, or leave out side: of one."
    elif wanted * divided < 1:
        asked = f"split: {name} {wanted:g}"
        why = f"{counted(divided, 'row')} {'is' if divided == 1 else 'are'} too few for {asked} of data_source.yaml"
        cure = f"Bring more rows, or ask for a number of them: split: {{{name}: 1}}."
    else:
        why = f"of {counted(divided, 'row')} none could go there: rows of one group, or with one input, stay together"
        cure = "Bring rows of more groups, or other inputs."
    return f"{name} is empty: {why}. {lost} {cure}"
