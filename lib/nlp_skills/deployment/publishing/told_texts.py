"""What people have written of a task, as others may read it on a card: no secret, no personal data, no place on a machine.

goal, descriptions, system prompt ──▶ a secret? refused ──▶ personal data, paths ──▶ masked, and a note says so
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.excerpt import find_sensitive
from nlp_skills.data.secret import hide
from nlp_skills.data.sensitive import Span, apart, mask
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task

FIELDS = ("goal", "input_description", "output_description")
"""Of task.yaml: what a card tells."""

_PATH = re.compile(r"(?:(?:/(?:home|Users|root)/|[A-Za-z]:\\+Users\\+)[^\s\"'`<>|;,)]*)")


def told_task(task: Task, places: Iterable[str], notes: list[str]) -> Task:
    """The task as a card tells it. Raises NotValid for a secret."""
    texts = {name: text for name in FIELDS if (text := getattr(task, name))}
    told = {name: told_text(text, f"task.yaml: {name}", places, notes) for name, text in texts.items()}
    return task.model_copy(update=told)


def told_text(text: str, where: str, places: Iterable[str], notes: list[str]) -> str:
    """The text as a card tells it; `notes` gets a sentence for what is masked. Raises NotValid for a secret.

    `places`: paths of this machine, the longest first.
    """
    if found := find_secrets(text):
        raise NotValid(
            f"{where} holds a secret ({found[0].kind}), and the card would show it. Take it out; if the model was trained"
            " with it, make it worthless first, for the model can repeat it."
        )
    spans = apart([*_paths(text, places), *find_sensitive(text)])
    if spans:
        kinds = ", ".join(dict.fromkeys(span.kind for span in spans))
        notes.append(f"{where}: the card masks what others should not read ({kinds}).")
    return hide(mask(text, spans))


def _paths(text: str, places: Iterable[str]) -> list[Span]:
    known = [re.compile(re.escape(place) + r"(?:[/\\][^\s\"'`<>|;,)]*)?") for place in places]
    return [
        Span(match.start(), match.end(), "path of a machine")
        for pattern in (*known, _PATH)
        for match in pattern.finditer(text)
    ]
