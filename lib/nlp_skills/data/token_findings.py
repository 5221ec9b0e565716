"""What a validation found in the tokens, kept by a later one of the same data that leaves the tokens out.

The hook validates after every edit and has no time for tokens; what a full validation found in them
holds as long as the data, the base model, max_length and the thresholds are the same.
"""

from __future__ import annotations

from nlp_skills.data.checks import TOKENS
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.report import NOT_RUN, ValidationReport

CHECKS = frozenset(check for family in TOKENS for check in family.checks)
"""The ids of the checks of tokens."""


def told_with(context: Context) -> str:
    """What decides about findings in tokens beside the rows: base model, the settings of the training and the task's thresholds.

    A tokenizer that is exchanged under the same name is not noticed.
    """
    asked = {check: value for check, value in context.task.quality.items() if check in CHECKS}
    thresholds = ", ".join(f"{check} {value}" for check, value in sorted(asked.items())) or "no thresholds"
    tools = ", tools_in_prompt" if context.tools_in_prompt else ""
    thinking = "" if context.enable_thinking is None else f", enable_thinking {context.enable_thinking}"
    return f"{context.task.base_model}, max_length {context.max_length}, {thresholds}{tools}{thinking}"


def known_tokens(before: ValidationReport | None, data_sha256: str, context: Context) -> frozenset[str]:
    """The checks of tokens of which the report before says what still holds; none where it is of something else."""
    if before is None or before.data_sha256 != data_sha256 or before.tokens != told_with(context):
        return frozenset()
    # What could not run may run by now: it is left out, which says how to have it run.
    return frozenset(
        check for check, state in before.checks.items() if check in CHECKS and not state.startswith(NOT_RUN)
    )
