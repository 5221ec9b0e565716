"""How many rows each side of a split gets, and how many of them each label gives."""

from __future__ import annotations

from nlp_skills.data.sources.source import SplitName, SplitSettings
from nlp_skills.errors import NotValid


def side_sizes(total: int, settings: SplitSettings) -> dict[SplitName, int]:
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


def label_shares(strata: dict[str | None, int], size: int) -> dict[str | None, int]:
    """How many of `size` rows each stratum gives: largest remainders, so that the sum comes out exact."""
    total = sum(strata.values())
    exact = {label: count * min(size, total) / max(1, total) for label, count in strata.items()}
    shares = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (shares[label] - exact[label], str(label)))
    for label in by_remainder[: min(size, total) - sum(shares.values())]:
        shares[label] += 1
    return shares


def largest_group(sizes: dict[SplitName, int]) -> int:
    """Rows that may be kept together for being similar: more would be hard to put on a small side."""
    asked = [sizes[name] for name in ("valid", "test") if sizes[name]]
    return max(2, min(asked, default=sizes["train"]) // 10)
