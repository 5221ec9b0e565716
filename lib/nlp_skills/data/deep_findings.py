"""What a look at every row found, kept by a later validation of the same data that looks at a sample.

Of more than 200,000 rows the hook, and whoever does not ask for `--deep`, looks at a sample; what was
found in all of them holds as long as the data and what the checks were made with are the same.
"""

from __future__ import annotations

from nlp_skills.data.checks.rows import Context
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.token_findings import CHECKS, told_with


def looked_with(context: Context) -> str:
    """What decides about findings in rows beside the rows: the task's type, language, base model and thresholds."""
    task = context.task
    asked = ", ".join(f"{check} {value}" for check, value in sorted(task.quality.items())) or "no thresholds"
    return f"{task.type}, language {task.language or 'not named'}, {task.base_model}, {asked}"


def known_deep(before: ValidationReport | None, data_sha256: str, context: Context) -> frozenset[str]:
    """The checks that have looked at every row of these data, with the settings of today."""
    if before is None or before.data_sha256 != data_sha256 or before.deep_with != looked_with(context):
        return frozenset()
    gone = CHECKS if before.tokens != told_with(context) else frozenset[str]()
    return frozenset(before.deep) - gone
