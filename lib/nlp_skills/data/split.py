"""Dividing examples into train, valid and test: seeded, by group, with the labels' shares kept.

A row's place follows from a hash of the seed and its group, not from its position in the file, so
rows that are added later move few others. Rows of one group (a headline's entities, a thread's
messages), and rows with the same input, are never on two sides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import xxhash

from nlp_skills.data.example import Example
from nlp_skills.data.sources.source import SPLITS, SplitName, SplitSettings
from nlp_skills.errors import NotValid


def split_examples(examples: Sequence[Example], settings: SplitSettings) -> dict[SplitName, list[Example]]:
    """Every example on one side; each side in a seeded order, not sorted by label.

    Raises NotValid when the sides that are asked for leave nothing to train on.
    """
    groups = _groups(examples)
    sizes = _sizes(len(examples), settings)
    strata: dict[str | None, list[str]] = defaultdict(list)
    for key, rows in groups.items():
        label = (
            Counter(examples[i].meta.label for i in rows).most_common(1)[0][0] if settings.stratify else None
        )
        strata[label].append(key)
    chosen: dict[SplitName, list[str]] = {name: [] for name in SPLITS}
    for keys in strata.values():
        keys.sort(key=lambda key: _order(settings.seed, key))
    for name in ("test", "valid", "train"):
        counts = {label: sum(len(groups[k]) for k in keys) for label, keys in strata.items()}
        share = _shares(counts, sizes[name])
        for label, keys in strata.items():
            taken, strata[label] = _fill(keys, groups, share[label])
            chosen[name] += taken
    if settings.train is None:
        # Groups that fitted nowhere (larger than what was left to fill) are trained on.
        chosen["train"] += [key for keys in strata.values() for key in keys]
    sides: dict[SplitName, list[Example]] = {}
    for name, keys in chosen.items():
        rows = [i for key in keys for i in groups[key]]
        rows.sort(key=lambda i: _order(settings.seed, f"row {i} {examples[i].meta.id}"))
        sides[name] = [examples[i] for i in rows]
    if not sides["train"]:
        raise NotValid(
            f"data_source.yaml: split: valid {settings.valid:g} and test {settings.test:g} leave no row of"
            f" {len(examples)} to train on. Ask for less."
        )
    return sides


def _order(seed: int, key: str) -> str:
    return xxhash.xxh3_128_hexdigest(f"{seed} {key}".encode())


def _groups(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Rows that have to stay together: the same group (of any source), or the same input (which joins groups)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    inputs = [f"input {_asked(example)}" for example in examples]
    for example, key in zip(examples, inputs, strict=True):
        if example.meta.group is not None:
            a, b = sorted((root(key), root(f"group {example.meta.group}")))
            parent[b] = a
    groups: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(inputs):
        groups[root(key)].append(index)
    return groups


def _asked(example: Example) -> str:
    """Identity of the input without the system prompt: another instruction moves no row to another side."""
    turns = [message for message in example.context if message.role != "system"]
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(turns))


def _sizes(total: int, settings: SplitSettings) -> dict[SplitName, int]:
    """Rows a side: below 1 a share of the rows that are used, otherwise a number.

    Where train is a number, not all rows are used: 1,500 to train on and a share of 0.1 for valid
    mean 1,500 of 0.9, however many rows the file has.
    """
    used = total
    if settings.train is not None and settings.train >= 1:
        asked = (settings.train, settings.valid, settings.test)
        shares = sum(value for value in asked if value < 1)
        if shares < 1:
            used = min(total, round(sum(value for value in asked if value >= 1) / (1 - shares)))

    def size(value: float) -> int:
        return round(used * value) if value < 1 else int(value)

    test, valid = size(settings.test), size(settings.valid)
    if test + valid >= total:
        raise NotValid(
            f"data_source.yaml: split: valid {settings.valid:g} and test {settings.test:g} take {test + valid}"
            f" rows, but there are only {total}. Ask for less, or bring more data."
        )
    train = total - test - valid if settings.train is None else size(settings.train)
    return {"train": min(train, total - test - valid), "valid": valid, "test": test}


def _shares(strata: dict[str | None, int], size: int) -> dict[str | None, int]:
    """How many of `size` rows each stratum gives: largest remainders, so that the sum comes out exact."""
    total = sum(strata.values())
    exact = {label: count * min(size, total) / max(1, total) for label, count in strata.items()}
    shares = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (shares[label] - exact[label], str(label)))
    for label in by_remainder[: min(size, total) - sum(shares.values())]:
        shares[label] += 1
    return shares


def _fill(keys: Iterable[str], groups: dict[str, list[int]], size: int) -> tuple[list[str], list[str]]:
    """The first groups that fit into `size` rows, and the others."""
    taken: list[str] = []
    rest: list[str] = []
    room = size
    for key in keys:
        if len(groups[key]) <= room:
            taken.append(key)
            room -= len(groups[key])
        else:
            rest.append(key)
    return taken, rest
