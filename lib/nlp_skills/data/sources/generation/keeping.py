"""Which of the rows that came back are kept, in the order of the requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_skills.data.sources.fetch import ORIGIN
from nlp_skills.data.sources.generation.budget import cost_of, price_of
from nlp_skills.data.sources.generation.journal import Answered, Asked, sha256_text
from nlp_skills.data.sources.generation.novelty import Neighbours, compared, copies
from nlp_skills.data.sources.generation.plan import Label, Plan, Slot
from nlp_skills.data.sources.generation.rows import read_rows
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task


@dataclass(frozen=True)
class Candidate:
    """A row that fits its schema, and the text that it is compared by."""

    label: Label
    row: dict[str, Any]
    text: str


class Keeping:
    """The rows that are kept, by label, and why others were not."""

    def __init__(self, source: GeneratedSource, plan: Plan, folder: Path, task: Task) -> None:
        self._source = source
        self._price = price_of(source)
        self._plan = plan
        self._folder = folder
        self._task = task
        self._layout: Any = None
        self._kept: list[Candidate] = []
        self._verdicts: dict[str, str | None] = {}
        self.counts: dict[Label, int] = dict.fromkeys(plan.labels, 0)
        self.dropped: Counter[str] = Counter()
        """By reason: rows, or whole answers that were refused, cut or no JSON."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """In the order of the requests."""
        return [candidate.row for candidate in self._kept]

    def answered_rows(
        self, slot: Slot, prompt: str, answer: Answered
    ) -> tuple[list[dict[str, Any]], Counter[str]]:
        """The rows of one answer that fit their schema, with label and origin; and what was wrong."""
        if answer.stopped == "refused":
            return [], Counter(refused=1)
        cut = answer.stopped == "cut"
        found, wrong = read_rows(answer.text, self._plan.row, cut=cut)
        label = {} if slot.label is None else {"label": slot.label}
        origin = {ORIGIN: self._origin(slot, prompt, answer, len(found))}
        return [{**row, **label, **origin} for row in found], Counter(wrong) + Counter(cut=int(cut))

    def require_layout(self, rows: list[dict[str, Any]]) -> Any:
        """How the rows become examples; better known after the first answer than after the last.

        Raises NotValid when they cannot.
        """
        from nlp_skills.data.layout import detect_layout  # it knows the sources, and so this module

        try:
            return detect_layout(rows, self._source.columns, self._task.type)
        except NotValid as error:
            raise NotValid(
                f"{self._source.name}: the rows that the model writes cannot be used: {error} (or change schema)."
                " Nothing more was asked."
            ) from None

    def take(
        self, wave: Mapping[Slot, Asked], answers: Mapping[str, Answered], ahead: Iterable[Slot] = ()
    ) -> int:
        """Keep what is new of a wave's answers; returns how many rows that is.

        `ahead`: answered requests of later waves, so that the existing rows are read once for all of them.
        """
        found: list[tuple[Slot, dict[str, Any]]] = []
        for slot, asked in wave.items():
            rows, wrong = self.answered_rows(slot, asked.prompt, answers[slot.key])
            self.dropped += wrong
            found += [(slot, row) for row in rows]
        if found and self._layout is None:
            self._layout = self.require_layout([row for _, row in found])
        candidates, wrong = self._candidates(found)
        self.dropped += wrong
        later = [(slot, row) for slot in ahead for row in self.answered_rows(slot, "", answers[slot.key])[0]]
        self._judge(candidates + self._candidates(later)[0])
        before = len(self._kept)
        self._keep_new(candidates)
        return len(self._kept) - before

    def _origin(self, slot: Slot, prompt: str, answer: Answered, rows: int) -> dict[str, Any]:
        """Tokens and cost are the row's share of its request."""
        total = cost_of(answer, self._price)
        return {
            "provider": self._source.provider,
            "model": answer.model,
            "prompt_sha256": sha256_text(prompt),
            "request": slot.number,
            "tokens": round(total.tokens / max(1, rows), 1),
            "cost_usd": None if total.usd is None else round(total.usd / max(1, rows), 9),
        }

    def _candidates(
        self, found: Iterable[tuple[Slot, dict[str, Any]]]
    ) -> tuple[list[Candidate], Counter[str]]:
        """(the rows that become examples, how many do not and why)."""
        from nlp_skills.data.format import to_example  # it knows the sources, and so this module

        usable: list[Candidate] = []
        wrong: Counter[str] = Counter()
        labels = self._task.labels if self._task.type.has_labels else []
        for slot, row in found if self._layout else ():
            try:
                example = to_example(row, self._layout, task=self._task, source=self._source.name, line=1)
            except NotValid:
                wrong["unusable"] += 1
                continue
            if labels and example.meta.label not in labels:
                wrong["unknown_label"] += 1
                continue
            usable.append(Candidate(slot.label, row, compared(example)))
        return usable, wrong

    def _judge(self, candidates: Iterable[Candidate]) -> None:
        """Compare texts that are new here with the rows there are."""
        texts = list({c.text: None for c in candidates if c.text not in self._verdicts})
        found = copies(texts, self._folder, self._source.name, self._source.near_duplicates)
        self._verdicts.update({text: found.get(number) for number, text in enumerate(texts)})

    def _keep_new(self, candidates: list[Candidate]) -> None:
        threshold = self._source.near_duplicates
        start = len(self._kept)
        index = Neighbours([c.text for c in (*self._kept, *candidates)], threshold)
        kept = set(range(start))
        for number, candidate in enumerate(candidates):
            if verdict := self._verdicts[candidate.text]:
                self.dropped[verdict] += 1
            elif kept & index.of(candidate.text).keys():
                self.dropped["repeats"] += 1
            elif self.counts[candidate.label] < self._plan.quota(candidate.label):
                kept.add(start + number)
                self.counts[candidate.label] += 1
                self._kept.append(candidate)
