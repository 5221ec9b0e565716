"""Every conversation where it is served, beside the trainer's; and what a file says of its own weights."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nlp_skills.deployment.parity.causes import difference
from nlp_skills.deployment.parity.conversations import Conversation, Trainer
from nlp_skills.deployment.parity.report import Cause, Difference, Rendering
from nlp_skills.deployment.parity.served import Served
from nlp_skills.deployment.parity.target import Target
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors.gguf import GgufPredictor


def compare_prompts(
    trainer: Trainer, asked: Sequence[Conversation], served: Served
) -> tuple[list[Rendering], list[Difference]]:
    """Every conversation; of each cause the first difference."""
    renderings: list[Rendering] = []
    found: dict[Cause, list[Difference]] = {}
    for one in asked:
        differs = _one_prompt(trainer, one, served)
        equal = differs is None
        renderings.append(
            Rendering(conversation=one.name, where=served.where, tokens=len(one.ids), equal=equal)
        )
        if differs is not None:
            found.setdefault(differs.cause, []).append(differs)
    return renderings, [some[0] for some in found.values()]


def _one_prompt(trainer: Trainer, asked: Conversation, served: Served) -> Difference | None:
    try:
        return difference(trainer, asked, served.prompt(asked.example), served.where)
    except NotValid as error:  # it refuses tools, or thinking, that the model was trained with
        cause: Cause = "dropped tool block" if asked.example.tools else "wrong template"
        return Difference(cause=cause, says=str(error), where=served.where, conversation=asked.name)


_FORMS = (
    (r"^all ", ""),
    (r" \(guessed\)$", ""),
    (r" - medium$", "_m"),
    (r" - small$", "_s"),
    (r" - large$", "_l"),
)


def other_quantization(task: str, target: Target, file: GgufPredictor | None) -> list[Difference]:
    """What the file says of itself, beside what it was made as."""
    if file is None or target.quantization is None:
        return []
    said = file.quantization.lower()
    for form, short in _FORMS:
        said = re.sub(form, short, said)
    if said == target.quantization.lower():
        return []
    says = (
        f"The file says that it is {file.quantization}, and it was to be {target.quantization}. Export it again:"
        f" nlp-skills export-model {task} --quantization {target.quantization}"
    )
    return [Difference(cause="other quantisation", says=says, where="the file's weights")]
