"""Which requests a generation consists of, and what each of them says.

    wave 1: as many as the rows need      wave 2: as many as rows were dropped      … until nothing is missing

A wave follows from the answers of the waves before, in the order of the requests and not of their
arrival: the same answers give the same requests, however often the generation was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from nlp_skills.data.example import Example
from nlp_skills.data.sources.generation.journal import Asked, Journal, key_of
from nlp_skills.data.sources.generation.prompt import (
    check_template,
    choose_examples,
    example_pool,
    form,
    render,
    variation,
)
from nlp_skills.data.sources.generation.rows import answer_schema, row_schema
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import NotReady
from nlp_skills.task.task import Task

BOUND = 3
"""At most so many times the requests that the rows need, before it stops with what there is."""

Label: TypeAlias = str | None
"""None: the template has no {label}."""


@dataclass(frozen=True)
class Slot:
    """A request: the how-manieth of its label, and its name in the journal."""

    label: Label
    number: int
    key: str


class Plan:
    """The requests of one source. Raises NotValid for a template or schema that cannot be used."""

    def __init__(self, source: GeneratedSource, train: Path, task: Task, journal: Journal) -> None:
        """`train`: the rows that {examples} are chosen from; there need be none."""
        fields = check_template(source)
        self._source = source
        self._train = train
        self._journal = journal
        self._made: dict[str, Asked] = {}
        self._wants_examples = "examples" in fields and source.examples > 0
        self.row = row_schema(source, labelled="label" in fields)
        self.schema = answer_schema(self.row)
        self.labels: list[Label] = _task_labels(source, task) if "label" in fields else [None]

    @property
    def count(self) -> int:
        """Rows in all."""
        return min(self._source.count, self._source.max_rows or self._source.count)

    def quota(self, label: Label) -> int:
        """Rows of a label: as even as it goes; the first labels take what is left over."""
        share, over = divmod(self.count, len(self.labels))
        return share + (self.labels.index(label) < over)

    def bound(self, label: Label) -> int:
        """Requests for a label, replacements included."""
        return BOUND * -(-self.quota(label) // self._source.rows_per_request)

    def slot(self, label: Label, number: int) -> Slot:
        """The request of that label and number."""
        return Slot(label, number, key_of(self._identity, label, number))

    def slots(self) -> list[Slot]:
        """Every request up to the bound."""
        return [
            self.slot(label, number) for label in self.labels for number in range(1, self.bound(label) + 1)
        ]

    @cached_property
    def finish_key(self) -> str:
        """What is finished, in the journal: these requests for these rows."""
        return key_of(
            self._identity, [self.quota(label) for label in self.labels], self._source.near_duplicates
        )

    @cached_property
    def _identity(self) -> str:
        """Everything that decides what is asked, but for label and number."""
        source = self._source
        return key_of(
            source.provider,
            source.base_url,
            source.model,
            source.prompt_template,
            self.schema,
            source.rows_per_request,
            source.examples if self._wants_examples else 0,
            source.max_output_tokens,
            source.temperature,
            source.seed,
        )

    def wave(self, used: Mapping[Label, int], kept: Mapping[Label, int]) -> dict[Slot, int]:
        """Slot → rows to ask for, as many as are missing; a request that was made before asks for the same again."""
        wave: dict[Slot, int] = {}
        for label in self.labels:
            missing = self.quota(label) - kept[label]
            number = used[label]
            while missing > 0 and number < self.bound(label):
                number += 1
                slot = self.slot(label, number)
                before = self._journal.asked.get(slot.key)
                wave[slot] = before.count if before else min(missing, self._source.rows_per_request)
                missing -= wave[slot]
        order = {label: place for place, label in enumerate(self.labels)}
        return dict(sorted(wave.items(), key=lambda item: (item[0].number, order[item[0].label])))

    def asked(self, slot: Slot, count: int) -> Asked:
        """What the request says: as it was sent first, else made now from the training rows there are."""
        if before := self._journal.asked.get(slot.key):
            return before
        if slot.key not in self._made or self._made[slot.key].count != count:
            self._made[slot.key] = self._make(slot, count)
        return self._made[slot.key]

    def _make(self, slot: Slot, count: int) -> Asked:
        source = self._source
        examples = choose_examples(self._pool, source, slot.label, slot.number)
        request = render(source.prompt_template, count=count, label=slot.label, examples=examples)
        more = variation(source.seed, slot.label, slot.number)
        return Asked("\n\n".join((request.strip(), more, form(self.row, count))), count)

    @cached_property
    def _pool(self) -> list[Example]:
        return example_pool(self._train, self._source) if self._wants_examples else []

    @property
    def lacks_examples(self) -> bool:
        """Whether the template wants to show training rows and there are none."""
        return self._wants_examples and not self._pool


def _task_labels(source: GeneratedSource, task: Task) -> list[Label]:
    if not task.labels:
        raise NotReady(
            f"{source.name}: prompt_template asks for {{label}}, and task.yaml names no labels yet."
            " Write them there (labels: [positive, negative]), or add a source whose rows have them."
        )
    return list(task.labels)
