"""The noise floor: by how much two runs differ that differ in nothing but their seed.

Two single results of the same settings lie within 1.96 √2 standard deviations of each other 95 % of the time (the
repeatability limit of ISO 5725-6), if the deviation is known. Estimated from two runs the limit holds in 70 % of cases,
from three in 81 %, from five in 88 %, from eight in 92 %; wide enough for 95 % it would be six times as wide with two
runs and hide every real gain. So the number of runs stands beside it. A smaller difference between two versions is not
called real, whatever the test over rows says: that one only knows which rows were drawn, not which of many equally good
runs was.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import variance

from nlp_skills.evaluation.results import EvalResult
from nlp_skills.records import read_mapping
from nlp_skills.task.comparison import Noise
from nlp_skills.task.version import version_names


def noise_floor(task: Path, metric: str, data_sha256: str) -> Noise | None:
    """From all versions that were tested on these rows; None where no two differ in their seed alone."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    for name in version_names(task):
        folder = task / "versions" / name
        if not (folder / "results.json").is_file():
            continue
        result = EvalResult.load(folder / "results.json")
        if result.data_sha256 == data_sha256 and metric in result.metrics:
            groups[settings_but_seed(folder)][name] = result.metrics[metric].value
    return spread_of([values for values in groups.values() if len(values) > 1])


def settings_but_seed(folder: Path) -> str:
    """Everything that decides a run but the seed."""
    config = {key: value for key, value in read_mapping(folder / "config.yaml").items() if key != "seed"}
    return f"{sorted(config.items())} {read_mapping(folder / 'data_snapshot.json')['source_hash']}"


def spread_of(groups: Sequence[Mapping[str, float]]) -> Noise | None:
    """The floor from groups of runs with equal settings, their variances pooled; never below what was seen."""
    if not groups:
        return None
    freedom = sum(len(group) - 1 for group in groups)
    pooled = sum((len(group) - 1) * variance(group.values()) for group in groups) / freedom
    seen = max(max(group.values()) - min(group.values()) for group in groups)
    return Noise(
        floor=max(1.96 * math.sqrt(2 * pooled), seen),
        deviation=math.sqrt(pooled),
        versions=[name for group in groups for name in group],
    )
