"""What is asked of the model: the template with its fields filled in, a variation, and the form of the answer.

    prompt_template ─{count}{label}{examples}─▶ request ─▶ + variation ─▶ + "Answer with one JSON object …"

Only these three names in single braces are fields, so JSON in a template stays as it is; to show the
model a word in braces, double them: {{customer}} becomes {customer}.

Models that are asked the same thing often write the same few rows. So each request is told how its
rows should differ from those of the others where the template leaves that open: length, tone and
kind of case, chosen by the seed (attributed prompts: Yu et al., Large Language Model as Attributed
Training Data Generator, NeurIPS 2023).
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import xxhash

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.sources.generation.rows import SCALARS
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import NotValid, clip, did_you_mean

FIELDS = ("count", "label", "examples")
_FIELD = re.compile(r"\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>[A-Za-z_]\w*)\}")
_POOL = 1_000
"""Training rows that examples are chosen from."""
_SHOWN = 1_500
"""Characters of an example that are shown."""

LENGTHS = ("a few words long", "one sentence long", "two or three sentences long", "a paragraph long")
TONES = ("plain", "formal", "casual", "terse", "emotional", "wordy")
CASES = (
    "everyday cases",
    "unusual cases",
    "hard cases that a quick reader would get wrong",
    "cases with names, numbers and dates",
    "cases as people really type them, with abbreviations and small mistakes",
)


def check_template(source: GeneratedSource) -> set[str]:
    """The fields that the template uses. Raises NotValid for an unknown one, or without {count}."""
    used = {match["name"] for match in _FIELD.finditer(source.prompt_template) if match["name"]}
    for name in sorted(used - set(FIELDS)):
        raise NotValid(
            f"{source.name}: prompt_template: {{{name}}} is no field{did_you_mean(name, FIELDS)}; there are"
            f" {', '.join(f'{{{field}}}' for field in FIELDS)}. To show the model the word in braces, write"
            f" {{{{{name}}}}}."
        )
    if "count" not in used:
        raise NotValid(
            f"{source.name}: prompt_template: {{count}} is missing. Say with it how many rows to write,"
            ' for example: "Write {count} customer reviews of a phone."'
        )
    return used


def render(template: str, *, count: int, label: str | None, examples: Sequence[Example]) -> str:
    """The template with its fields filled in; braces of what is filled in mean nothing."""
    values = {"count": str(count), "label": label or "", "examples": show(examples)}

    def value(match: re.Match[str]) -> str:
        return f"{{{match['literal']}}}" if match["literal"] else values[match["name"]]

    return _FIELD.sub(value, template)


def show(examples: Sequence[Example]) -> str:
    """Training rows as the model sees them in a prompt."""
    return "\n\n".join(
        f"Input: {clip(example.input_text, _SHOWN)}\nAnswer: {clip(example.output_text, _SHOWN)}"
        for example in examples
    )


def variation(seed: int, label: str | None, number: int) -> str:
    """How the rows of one request should differ from those of the others."""
    draw = xxhash.xxh3_64_intdigest(f"{seed} {label} {number}".encode())
    draw, length = divmod(draw, len(LENGTHS))
    draw, tone = divmod(draw, len(TONES))
    case = CASES[draw % len(CASES)]
    return (
        f"This is part {number} of a larger set. Where the request above leaves it open, write {case}, in a"
        f" {TONES[tone]} tone, mostly {LENGTHS[length]}, in the language of the request. Make the rows differ from"
        " each other and from what first comes to mind."
    )


def form(row: dict[str, Any], count: int) -> str:
    """How the answer has to look, for providers that are not held to a schema too."""
    fields = {
        name: field["type"] if set(field) == {"type"} and field["type"] in SCALARS else field
        for name, field in row["properties"].items()
    }
    rows = "1 row" if count == 1 else f"{count} rows"
    return (
        f'Answer with one JSON object {{"rows": […]}} that holds {rows} and with nothing else. The fields of a row:'
        f" {json.dumps(fields, ensure_ascii=False)}"
    )


def example_pool(train: Path, source: GeneratedSource) -> list[Example]:
    """Training rows to choose examples from, none that this source has written; empty without training data."""
    if not source.examples or not train.is_file():
        return []
    others = (example for example in read_examples(train) if example.meta.source != source.name)
    return _drawn(others, _POOL, str(source.seed))


def choose_examples(
    pool: Sequence[Example], source: GeneratedSource, label: str | None, number: int
) -> list[Example]:
    """The examples of one request: of its label, where there are any with it."""
    same = [example for example in pool if example.meta.label == label] if label is not None else []
    return _drawn(same or pool, source.examples, f"{source.seed} {label} {number}")


def _drawn(examples: Iterable[Example], count: int, draw: str) -> list[Example]:
    return heapq.nsmallest(
        count, examples, key=lambda example: xxhash.xxh3_128_hexdigest(f"{draw} {example.meta.id}".encode())
    )
