"""Is version b better than version a? Better, worse, or cannot tell, and why.

the paired test on their answers (paired_answers.py) ──▶ better, worse, or cannot tell
better, but it has forgotten what its base model knew and a has not, or its harness is at fault ──▶ cannot tell, and that is said
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.marking import deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.noise import noise_floor
from nlp_skills.evaluation.paired_answers import compare_predictions, measured_for_both
from nlp_skills.evaluation.results import EvalResult, Forgetting, Prediction
from nlp_skills.evaluation.significance import bonett_price, paired_test
from nlp_skills.records import Record, read_mapping
from nlp_skills.task.comparison import Comparison, MetricDifference
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, version_folder, version_names


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
    metric = deciding_metric(definition, measured_for_both(definition, rows_a, rows_b))
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
