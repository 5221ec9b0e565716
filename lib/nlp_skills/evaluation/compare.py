"""Is version b better than version a? Better, worse, or cannot tell, and why."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.metrics import METRICS as FUNCTIONS
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.significance import difference, mcnemar
from nlp_skills.records import read_mapping
from nlp_skills.task.comparison import ChangedRow, Comparison, MetricDifference
from nlp_skills.task.task import METRICS, Task
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
    if [(r.id, r.input, r.expected) for r in rows_a] != [(r.id, r.input, r.expected) for r in rows_b]:
        raise NotValid(
            f"{task.name}: {a} and {folder_b.name} were tested on different rows, so their numbers cannot be compared."
            f" Train {a}'s settings again on today's data:"
            f" nlp-skills create-version {task.name} --parent {a}, then nlp-skills train-model {task.name}"
        )
    comparison = compare_predictions(definition, folder_a.name, folder_b.name, rows_a, rows_b)
    config_a, config_b = (read_mapping(f / "config.yaml") for f in (folder_a, folder_b))
    data_a, data_b = (read_mapping(f / "data_snapshot.json")["source_hash"] for f in (folder_a, folder_b))
    keys = [*config_a, *(key for key in config_b if key not in config_a)]
    return comparison.model_copy(
        update={
            "config_changes": {
                key: (config_a.get(key), config_b.get(key))
                for key in keys
                if config_a.get(key) != config_b.get(key)
            },
            "data_changed": data_a != data_b,
        }
    )


def compare_predictions(
    task: Task, a: str, b: str, rows_a: list[Prediction], rows_b: list[Prediction]
) -> Comparison:
    """The comparison from two lists of predictions on the same rows in the same order."""
    metrics = {}
    for name in METRICS[task.type]:
        gain = difference(name, rows_a, rows_b)
        metrics[name] = MetricDifference(
            a=FUNCTIONS[name].measure(rows_a),
            b=FUNCTIONS[name].measure(rows_b),
            difference=gain.value,
            low=gain.low,
            high=gain.high,
        )
    pairs = list(zip(rows_a, rows_b, strict=True))
    fixed = [_changed(x, y) for x, y in pairs if y.correct and not x.correct]
    broken = [_changed(x, y) for x, y in pairs if x.correct and not y.correct]
    verdict, reason = _verdict(
        task.chosen_metric, metrics[task.chosen_metric], len(pairs), len(fixed), len(broken)
    )
    return Comparison.model_validate(
        {
            "task": task.name,
            "a": a,
            "b": b,
            "metrics": metrics,
            "count": len(pairs),
            "fixed": len(fixed),
            "broken": len(broken),
            "p_value": mcnemar(len(fixed), len(broken)),
            "verdict": verdict,
            "reason": reason,
            "fixed_rows": fixed[:ROWS_SHOWN],
            "broken_rows": broken[:ROWS_SHOWN],
        }
    )


def _changed(a: Prediction, b: Prediction) -> ChangedRow:
    return ChangedRow(id=a.id, input=a.input, expected=a.expected, a=a.predicted, b=b.predicted)


def _verdict(metric: str, found: MetricDifference, count: int, fixed: int, broken: int) -> tuple[str, str]:
    """The interval of the chosen metric's difference decides; few rows decide nothing."""
    numbers = (
        f"{metric} {found.a:.3f} → {found.b:.3f} ({found.difference:+.3f}, 95 % interval {found.low:+.3f} to"
        f" {found.high:+.3f}) on {count} rows, {fixed} fixed and {broken} broken"
    )
    if count < TOO_FEW:
        return "cannot tell", f"{numbers}: fewer than {TOO_FEW} test rows decide nothing."
    if found.low > 0:
        return "better", f"{numbers}: the whole interval lies above zero."
    if found.high < 0:
        return "worse", f"{numbers}: the whole interval lies below zero."
    return "cannot tell", f"{numbers}: the interval includes zero, so chance may explain the difference."
