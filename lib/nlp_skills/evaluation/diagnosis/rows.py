"""What is wrong with which rows stand where: labels that were never trained, few rows, faults that the checks found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nlp_skills.data.fixes import FIXES
from nlp_skills.data.report import Finding
from nlp_skills.errors import counted
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.material import Material, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause, ShownRow, Sure
from nlp_skills.evaluation.paired_answers import TOO_FEW
from nlp_skills.task.task import TaskType

FEW_ROWS, FEW_PAIRS = 50, 30
"""As ADV-FEW-ROWS and ADV-FEW-PAIRS have it (evaluation/advice/rules.yaml)."""
FEW_OF_A_LABEL = 10
TOUCHED = 0.05
"""The share of rows with a warning from which on it may explain a score."""

SAID_ELSEWHERE = ("DATA-FEW", "SPLIT-LEAK")
"""Checks whose subject has a look of its own here, which measures it on this version's rows."""
HARMLESS = ("DATA-PII", "DATA-SECRET", "DATA-STALE", "DATA-OUTLIER")
"""Checks whose findings matter, and lower no score."""


def labels_without_rows(material: Material) -> Iterator[Cause]:
    """LABEL-MISSING: labels that are expected in the test and stand in no training row."""
    predictions, train = material.predictions or [], material.train or []
    trained = Counter(row.output_text for row in train)
    if material.train_count > len(train):  # a sample may lack a rare label
        trained.update(material.snapshot.splits["train"].label_counts)
    tested = Counter(row.expected for row in predictions)
    lost = {label: count for label, count in tested.items() if not trained[label]}
    if not lost:
        return
    rows = [row for row in predictions if row.expected in lost]
    wrong = [row for row in rows if not row.correct]
    total = sum(lost.values())
    names = ", ".join(f"{label!r} ({count})" for label, count in Counter(lost).most_common(5))
    certain = total >= 5 or total >= 0.01 * len(predictions)
    yield name_cause(
        material,
        "LABEL-MISSING",
        f"No training row has the label {names}, which {counted(total, 'test row')} expect: {len(wrong)} of them are wrong.",
        "strong" if certain else "some",
        [
            figure(f"training rows of {', '.join(map(repr, lost))}", 0, material.train_file),
            figure("test rows that expect it", total, material.split_file),
            figure("of them right", len(rows) - len(wrong), material.predictions_file),
        ],
        rows=(show_prediction(material, row) for row in wrong or rows),
        share=len(wrong) / max(1, len(material.wrong)),
    )


def few_rows(material: Material) -> Iterator[Cause]:
    """FEW-ROWS: fewer rows than anything can be learned from, in all or of a label."""
    rows = material.train_count
    least, kind = (
        (FEW_PAIRS, "pair") if material.definition.type is TaskType.PREFERENCE else (FEW_ROWS, "training row")
    )
    if rows < least:
        yield name_cause(
            material,
            "FEW-ROWS",
            f"{counted(rows, kind)} are too few to learn from; {least} are the least.",
            "some",
            [figure("training rows", rows, material.train_file)],
        )
        return
    if not material.definition.type.has_labels:
        return
    counts = material.snapshot.splits["train"].label_counts
    few = {label: count for label, count in counts.items() if 0 < count < FEW_OF_A_LABEL}
    if few:
        wrong = [row for row in material.wrong if row.expected in few]
        rarest = min(few, key=lambda label: (few[label], label))
        yield name_cause(
            material,
            "FEW-ROWS",
            f"{counted(len(few), 'label')} have fewer than {FEW_OF_A_LABEL} training rows (the rarest, {rarest!r}, has"
            f" {few[rarest]}); {len(wrong)} of {len(material.wrong)} wrong rows are theirs.",
            "some" if len(wrong) >= 5 else "weak",
            [
                figure(f"training rows of {label!r}", count, "data_snapshot.json")
                for label, count in sorted(few.items(), key=lambda item: item[1])[:5]
            ],
            rows=(show_prediction(material, row) for row in wrong),
            share=len(wrong) / max(1, len(material.wrong)),
        )


def few_test_rows(material: Material) -> Iterator[Cause]:
    """FEW-TEST-ROWS: so few that no figure of the test says anything."""
    tested = len(material.predictions or [])
    if tested < TOO_FEW:
        yield name_cause(
            material,
            "FEW-TEST-ROWS",
            f"{counted(tested, 'test row')} decide nothing: with fewer than {TOO_FEW} the score moves by chance.",
            "some",
            [figure("test rows", tested, material.predictions_file)],
        )


def faults_of_rows(material: Material) -> Iterator[Cause]:
    """DATA-CONFLICT and DATA-FAULT: what validate_data found, errors first."""
    report = material.report
    if report is None:
        return
    total = max(1, sum(report.files.values()))
    by_check: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.level != "info" and finding.check not in SAID_ELSEWHERE + HARMLESS:
            by_check.setdefault(finding.check, []).append(finding)
    for check, findings in by_check.items():
        touched = sum(finding.count for finding in findings)
        is_error = any(finding.level == "error" for finding in findings)
        cures = list(dict.fromkeys(finding.fix for finding in findings))
        fixed = check in FIXES and any("fix-data" in cure for cure in cures)
        yield name_cause(
            material,
            "DATA-CONFLICT" if check == "DATA-CONFLICT" else "DATA-FAULT",
            f"{check}: {findings[0].message}",
            _sureness(is_error, touched / total),
            [figure(f"{check} ({f.level}), rows", f.count, "data/validation.json") for f in findings[:3]],
            rows=[
                ShownRow(file=row.file, id=f"line {row.line}", text=row.text)
                for finding in findings
                for row in finding.rows
            ],
            share=min(1.0, touched / total),
            to_read=touched,
            command=f"nlp-skills fix-data {{task}} --checks {check}" if fixed else None,
            cure="; ".join(cures),
        )


def _sureness(is_error: bool, share: float) -> Sure:
    if is_error:
        return "strong" if share >= TOUCHED else "some"
    return "some" if share >= TOUCHED else "weak"
