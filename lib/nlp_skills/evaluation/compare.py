"""Is version b better than version a? Better, worse, or cannot tell, and why.

too few rows ──▶ cannot tell        smaller than the noise between seeds ──▶ cannot tell
paired test, corrected for all versions that were tried against a ──▶ better, worse, or cannot tell
better, but it has forgotten what its base model knew and a has not, or its harness is at fault ──▶ cannot tell, and that is said
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.errors import NotReady, NotValid, counted
from nlp_skills.evaluation.figures import show_gain, show_p, show_value
from nlp_skills.evaluation.marking import applicable_metrics, deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.metric import Metric
from nlp_skills.evaluation.noise import noise_floor
from nlp_skills.evaluation.results import EvalResult, Forgetting, Interval, Prediction
from nlp_skills.evaluation.significance import (
    SIGNIFICANT,
    bonett_price,
    difference_of,
    holm,
    mcnemar,
    paired_test,
    paired_test_of,
    together,
)
from nlp_skills.evaluation.slices import groups_of, slice_metric
from nlp_skills.records import Record, read_mapping
from nlp_skills.task.comparison import (
    ChangedRow,
    Comparison,
    MetricDifference,
    Noise,
    SliceChange,
)
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, version_folder, version_names

ROWS_SHOWN = 20
TOO_FEW = 30
"""Below this many test rows no difference is called one."""


def read_predictions(folder: Path) -> list[Prediction]:
    """predictions.jsonl of a version. Raises NotReady when it was not evaluated."""
    file = folder / "predictions.jsonl"
    if not file.is_file():
        raise NotReady(
            f"{folder.parent.parent.name} {folder.name} was not evaluated."
            f" Run: nlp-skills evaluate-version {folder.parent.parent.name} --version {folder.name}"
        )
    decoder = msgspec.json.Decoder(Prediction)
    rows = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            rows.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            raise NotValid(
                f"{file}:{number}: {error}. Make it again with:"
                f" nlp-skills evaluate-version {folder.parent.parent.name} --version {folder.name}"
            ) from None
    return rows


def compare_versions(task: Path, a: str | None = None, b: str | None = None) -> Comparison:
    """Compare two evaluated versions on the same test rows, paired row by row.

    b defaults to the newest version, a to b's parent. Raises NotReady when one was not evaluated,
    NotValid when they were tested on different rows.
    """
    folder_b = version_folder(task, b)
    a = a or Version.load(folder_b / "lineage.yaml").parent
    if a is None:
        raise NotValid(
            f"{task.name} {folder_b.name} has no parent to compare with. Versions: {', '.join(version_names(task))}."
        )
    folder_a = version_folder(task, a)
    definition = Task.load(task / "task.yaml")
    rows_a, rows_b = read_predictions(folder_a), read_predictions(folder_b)
    if not same_rows(rows_a, rows_b):
        raise NotValid(
            f"{task.name}: {a} and {folder_b.name} were tested on different rows, so their numbers cannot be compared."
            f" Train {a}'s settings again on today's data:"
            f" nlp-skills create-version {task.name} --parent {a}, then nlp-skills train-model {task.name}"
        )
    results = [EvalResult.load(f / "results.json") for f in (folder_a, folder_b)]
    metric = deciding_metric(definition, _measured_for_both(definition, rows_a, rows_b))
    comparison = compare_predictions(
        definition,
        folder_a.name,
        folder_b.name,
        rows_a,
        rows_b,
        rivals=_rivals(task, folder_a, folder_b, metric, rows_a),
        noise=noise_floor(task, metric, results[1].data_sha256),
    )
    config_a, config_b = (read_mapping(f / "config.yaml") for f in (folder_a, folder_b))
    data_a, data_b = (read_mapping(f / "data_snapshot.json")["source_hash"] for f in (folder_a, folder_b))
    keys = [*config_a, *(key for key in config_b if key not in config_a)]
    changed = {
        key: (config_a.get(key), config_b.get(key)) for key in keys if config_a.get(key) != config_b.get(key)
    }
    same_base = not changed.keys() & {"base_model", "base_revision"}
    verdict, reason = _with_records(comparison, *results)
    return comparison.model_copy(
        update={
            "config_changes": changed,
            "data_changed": data_a != data_b,
            "forgetting": _forgetting(results[0].forgetting, results[1].forgetting) if same_base else None,
            "figures": _figures(folder_a, folder_b, *results),
            "verdict": verdict,
            "reason": reason,
        }
    )


def same_rows(a: Sequence[Prediction], b: Sequence[Prediction]) -> bool:
    """Whether both have answered the same rows, in the same order."""
    return [(r.id, r.input, r.expected) for r in a] == [(r.id, r.input, r.expected) for r in b]


def _rivals(
    task: Path, folder_a: Path, folder_b: Path, metric: str, rows_a: Sequence[Prediction]
) -> list[float]:
    """p-values of the other versions that were made from a and tested on the same rows: one of many seems better by chance."""
    if Version.load(folder_b / "lineage.yaml").parent != folder_a.name:
        return []
    found = []
    for name in version_names(task):
        folder = task / "versions" / name
        if folder == folder_b or not (folder / "predictions.jsonl").is_file():
            continue
        if Version.load(folder / "lineage.yaml").parent == folder_a.name:
            rows = read_predictions(folder)
            if same_rows(rows_a, rows) and METRICS[metric].applies(rows):
                found.append(paired_test(metric, rows_a, rows))
    return found


def compare_predictions(
    task: Task,
    a: str,
    b: str,
    rows_a: list[Prediction],
    rows_b: list[Prediction],
    *,
    rivals: Sequence[float] = (),
    noise: Noise | None = None,
) -> Comparison:
    """The comparison from two lists of predictions on the same rows in the same order.

    `rivals`: p-values of other versions against a. Raises ValueError for lists of different length.
    """
    names = _measured_for_both(task, rows_a, rows_b)
    metric = deciding_metric(task, names)
    tables = {name: together(name, rows_a, rows_b) for name in names}
    metrics = {name: _difference(METRICS[name], *table) for name, table in tables.items()}
    pairs = list(zip(rows_a, rows_b, strict=True))
    fixed = [_changed(x, y) for x, y in pairs if y.correct and not x.correct]
    broken = [_changed(x, y) for x, y in pairs if x.correct and not y.correct]
    p = holm([paired_test_of(METRICS[metric], *tables[metric]), *rivals])[0]
    verdict, reason = _verdict(
        metric, metrics[metric], len(pairs), len(fixed), len(broken), p, 1 + len(rivals), noise
    )
    by = slice_metric(task, names)
    worse, better = _slices(task, METRICS[by], rows_a, rows_b, tables[by])
    if worse:
        reason += f" It got worse on {', '.join(s.name for s in worse)}."
    return Comparison.model_validate(
        {
            "task": task.name,
            "a": a,
            "b": b,
            "metric": metric,
            "metrics": metrics,
            "count": len(pairs),
            "fixed": len(fixed),
            "broken": len(broken),
            "p_value": mcnemar(len(fixed), len(broken)),
            "p_metric": p,
            "against": 1 + len(rivals),
            "verdict": verdict,
            "reason": reason,
            "noise": noise,
            "worse_slices": worse,
            "better_slices": better,
            "fixed_rows": fixed[:ROWS_SHOWN],
            "broken_rows": broken[:ROWS_SHOWN],
        }
    )


def _measured_for_both(task: Task, a: Sequence[Prediction], b: Sequence[Prediction]) -> list[str]:
    """The metrics that the answers of both can be judged by."""
    return [name for name in applicable_metrics(task, b) if METRICS[name].applies(a)]


def _difference(metric: Metric, a: Any, b: Any) -> MetricDifference:
    """From what each row contributes in a and in b."""
    gain = difference_of(metric, a, b)
    return MetricDifference(
        a=float(metric.value(a.sum(axis=0))),
        b=float(metric.value(b.sum(axis=0))),
        difference=gain.value,
        low=gain.low,
        high=gain.high,
    )


def _changed(a: Prediction, b: Prediction) -> ChangedRow:
    return ChangedRow(id=a.id, input=a.input, expected=a.expected, a=a.predicted, b=b.predicted)


def _slices(
    task: Task, metric: Metric, a: Sequence[Prediction], b: Sequence[Prediction], tables: tuple[Any, Any]
) -> tuple[list[SliceChange], list[SliceChange]]:
    """The kinds of rows that got worse, and those that got better, the largest change first."""
    groups = {
        group: (tables[0][places], tables[1][places])
        for group, places in groups_of(task, b).items()
        if all(metric.applies([rows[i] for i in places]) for rows in (a, b))
    }
    p_values = holm([paired_test_of(metric, *side) for side in groups.values()])
    changes = [
        SliceChange(
            **_difference(metric, *side).model_dump(),
            name=f"{kind}={value}",
            count=side[0].shape[0],
            p_value=p,
        )
        for ((kind, value), side), p in zip(groups.items(), p_values, strict=True)
        if p < SIGNIFICANT
    ]
    sign = 1 if metric.higher_is_better else -1
    changes.sort(key=lambda change: sign * change.difference)
    return (
        [c for c in changes if sign * c.difference < 0],
        [c for c in reversed(changes) if sign * c.difference > 0],
    )


def _verdict(
    metric: str,
    found: MetricDifference,
    count: int,
    fixed: int,
    broken: int,
    p: float,
    against: int,
    noise: Noise | None,
) -> tuple[str, str]:
    """The paired test of the chosen metric decides; few rows and differences as seeds make decide nothing."""
    gain = Interval(value=found.difference, low=found.low, high=found.high)
    numbers = f"{metric} {show_value(found.a)} → {show_value(found.b)} ({show_gain(gain)}) on {counted(count, 'row')}, {fixed} fixed and {broken} broken"
    tested = f"paired test {show_p(p)}" + (
        f", corrected for {against} versions that were tried" if against > 1 else ""
    )
    if count < TOO_FEW:
        return "cannot tell", f"{numbers}: fewer than {TOO_FEW} test rows decide nothing."
    if p >= SIGNIFICANT:
        return "cannot tell", f"{numbers}: {tested}, so chance may explain the difference."
    if noise is not None and abs(found.difference) < noise.floor:
        return (
            "cannot tell",
            f"{numbers}: {tested}, but another seed alone changes it by up to {noise.floor:.3f}"
            f" ({counted(len(noise.versions), 'run')}: {', '.join(noise.versions)}).",
        )
    seeds = " How much another seed alone would change was not measured."
    if noise is not None:
        seeds = f" Another seed alone changes it by less: by up to {noise.floor:.3f}, as {counted(len(noise.versions), 'run')} tell."
    up = found.difference > 0
    verdict = "better" if up == METRICS[metric].higher_is_better else "worse"
    return verdict, f"{numbers}: {tested}, so it is not chance in the choice of rows.{seeds}"


def _with_records(found: Comparison, a: EvalResult, b: EvalResult) -> tuple[str, str]:
    """The verdict after what only results.json knows: faults of the harness, and what was forgotten."""
    faults = [
        f"{name}: {result.sane.reason}"
        for name, result in ((found.a, a), (found.b, b))
        if result.sane is not None and result.sane.verdict == "harness error"
    ]
    if faults:
        return "cannot tell", f"{found.reason} But the measurement is at fault. {' '.join(faults)}"
    forgot = b.forgetting is not None and b.forgetting.verdict == "forgotten"
    forgot_before = a.forgetting is not None and a.forgetting.verdict == "forgotten"
    if forgot and not forgot_before and b.forgetting is not None:
        verdict = "cannot tell" if found.verdict == "better" else found.verdict
        return (
            verdict,
            f"{found.reason} But {found.b} has forgotten what its base model knew. {b.forgetting.reason}",
        )
    return found.verdict, found.reason


def _forgetting(a: Forgetting | None, b: Forgetting | None) -> MetricDifference | None:
    """The general questions of both, paired: each was compared with the same base model's answers."""
    if a is None or b is None or a.base != b.base or a.count != b.count:
        return None
    lost_a, lost_b, won_a, won_b = map(set, (a.lost, b.lost, a.won, b.won))
    up = len(lost_a - lost_b) + len(won_b - won_a)
    down = len(lost_b - lost_a) + len(won_a - won_b)
    change = bonett_price(up, down, a.count)
    return MetricDifference(
        a=a.tuned.value, b=b.tuned.value, difference=change.value, low=change.low, high=change.high
    )


class _Spent(Record):
    """The part of job.json that is compared."""

    seconds: float | None = None
    usd: float | None = None


def _figures(folder_a: Path, folder_b: Path, a: EvalResult, b: EvalResult) -> dict[str, tuple[float, float]]:
    """What both versions cost in time, memory and money, as far as it was measured for both."""
    costs = [_spent(folder) for folder in (folder_a, folder_b)]
    measured = {
        "latency_p50_ms": [r.latency.p50 if r.latency else None for r in (a, b)],
        "latency_p95_ms": [r.latency.p95 if r.latency else None for r in (a, b)],
        "memory_mb": [r.memory_mb for r in (a, b)],
        "train_seconds": [cost.seconds for cost in costs],
        "usd": [cost.usd for cost in costs],
    }
    return {
        name: (of_a, of_b) for name, (of_a, of_b) in measured.items() if of_a is not None and of_b is not None
    }


def _spent(folder: Path) -> _Spent:
    file = folder / "job.json"
    cost = (read_mapping(file).get("cost") or {}) if file.is_file() else {}
    return _Spent(seconds=cost.get("seconds"), usd=cost.get("usd"))
