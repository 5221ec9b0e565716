"""The targets of tool use, and which of them a run tells something about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nlp_skills.evaluation.results import Interval, Latency
from nlp_skills.evaluation.tool_use.record import Target

SHARES = {
    "tool_selection": ("tool selection accuracy", 0.90),
    "parameter_accuracy": ("parameter accuracy", 0.85),
}
"""Metric → its words, and the share above which it is good enough."""

LATENCIES = ((1.5, 500.0), (7.0, 2000.0))
"""Billions of parameters, and the milliseconds below which an answer should come."""

NEAR = 0.25
"""A model counts as one of that size within this share of it: "7B" models have 6.7 to 8 billion parameters."""

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)\s?([BbMm])(?![A-Za-z])")


def targets(
    metrics: Mapping[str, Interval], latency: Latency | None, billions: float | None, batch_size: int
) -> list[Target]:
    """Every target with what was measured; one that nothing was measured for is `measuring`.

    Latency tells only where each answer was waited for alone (`batch_size` 1).
    """
    found = [_share(words, wanted, metrics.get(name)) for name, (words, wanted) in SHARES.items()]
    alone = latency.p50 if latency is not None and batch_size == 1 else None
    return found + [
        _latency(size, wanted, alone if _is_near(billions, size) else None) for size, wanted in LATENCIES
    ]


def _share(words: str, wanted: float, measured: Interval | None) -> Target:
    told = f"> {wanted:.0%}".replace("%", " %")
    if measured is None:
        return Target(name=words, wanted=told, state="measuring")
    state = "met" if measured.low > wanted else "missed" if measured.high <= wanted else "cannot tell"
    return Target(name=words, wanted=told, value=measured.value, state=state)


def _latency(size: float, wanted: float, measured: float | None) -> Target:
    name, told = f"latency ({size:g}B)", f"< {wanted:,.0f} ms"
    if measured is None:
        return Target(name=name, wanted=told, state="measuring")
    return Target(name=name, wanted=told, value=measured, state="met" if measured < wanted else "missed")


def _is_near(billions: float | None, size: float) -> bool:
    return billions is not None and abs(billions - size) <= NEAR * size


def billions_of(predictor: Any) -> float | None:
    """Billions of parameters: counted where the weights are here, read from the name where it says so (`qwen2.5:7b`)."""
    count = getattr(getattr(predictor, "model", None), "num_parameters", None)
    if count is not None:
        return count() / 1e9
    found = _SIZE.search(predictor.name)
    return None if found is None else float(found[1]) / (1 if found[2] in "Bb" else 1000)
