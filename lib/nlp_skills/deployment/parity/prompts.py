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

COUNTS = "the tokens of a prompt as it is really read"


def compare_prompts(
    trainer: Trainer, asked: Sequence[Conversation], served: Served
) -> tuple[list[Rendering], list[Difference], dict[str, str]]:
    """Every conversation; of each cause the first difference; and what could not be compared, with its reason."""
    renderings: list[Rendering] = []
    found: dict[Cause, list[Difference]] = {}
    uncounted: list[str] = []
    for one in asked:
        try:
            prompt = served.prompt(one.example)
            differs = difference(trainer, one, prompt, served.where)
            uncounted += [one.name] if served.counts and prompt.counted is None else []
        except NotValid as error:
            differs = _refused(one, served, str(error))
        equal = differs is None
        renderings.append(
            Rendering(conversation=one.name, where=served.where, tokens=len(one.ids), equal=equal)
        )
        if differs is not None:
            found.setdefault(differs.cause, []).append(differs)
    why = f"{served.where} did not say how many it read of: {', '.join(uncounted)}."
    return renderings, [some[0] for some in found.values()], {COUNTS: why} if uncounted else {}


def _refused(asked: Conversation, served: Served, why: str) -> Difference:
    """Tools, or thinking, that the model was trained with."""
    cause: Cause = "dropped tool block" if asked.example.tools else "wrong template"
    return Difference(cause=cause, says=why, where=served.where, conversation=asked.name)


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
