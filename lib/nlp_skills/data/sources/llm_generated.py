"""The `llm_generated` source: rows that a language model writes, none of them paid twice.

    template, labels, seed ──▶ requests ──▶ those not in the journal are sent ──▶ rows ──▶ new ones are kept
                                  ▲                                                             │
                                  └─────────── as many more as rows are missing ◀───────────────┘

A request has a name: the SHA-256 of everything in data_source.yaml that decides what is asked, its
label and its number. Its prompt (with the training rows it shows) is written into the journal before it
is sent for the first time and from then on never made anew; its answer is on the disk before a row of
it is used. So a generation that is killed goes on where it was and gives the rows of an undisturbed one,
one that is finished costs nothing however often it is regenerated, and a higher `count` pays for the
difference. Another prompt, model, schema, seed or size of requests is another generation.

What a kill can cost: a request that had left and whose answer was not on the disk yet is sent again, at
most `parallel` of them. It carries the same Idempotency-Key, and is the same to the letter; a gateway
that honours the key bills it once. The APIs of Anthropic and OpenAI do not promise that, so with them
such a request may be billed a second time; ollama bills nothing. The budget counts it as paid in any case.

Never a copy of the test split: rows that are equal or similar to one of data/valid.jsonl,
data/test.jsonl, or of another source that is read before this one, are dropped. On the very first
regeneration it is not known yet which rows of the other sources will be tested with: rows that resemble any
of them are dropped, and SPLIT-LEAK reports what is near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.sources.fetch import Fetch, Row
from nlp_skills.data.sources.generation.budget import (
    Budget,
    Cost,
    affordable,
    budget_text,
    cost,
    cost_of,
    is_free,
    price_of,
    require_limit,
    spent,
    worst_cost,
)
from nlp_skills.data.sources.generation.estimate import Estimate
from nlp_skills.data.sources.generation.journal import Answered, Journal, sha256_text
from nlp_skills.data.sources.generation.keeping import Keeping
from nlp_skills.data.sources.generation.place import is_own_machine, missing_key, shown_url
from nlp_skills.data.sources.generation.plan import Plan, Slot
from nlp_skills.data.sources.generation.sending import Letter, Sending
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import NotReady, NotValid, RunFailed, counted
from nlp_skills.task.task import Task

BARREN = 3
"""So many answers without a row that can be used, and none with one, end a generation before more is paid."""
_SAMPLE = 200


def read(source: GeneratedSource, fetch: Fetch) -> Iterator[Row]:
    """The rows that the model writes, in the order of the requests; `_origin` says who wrote each, and its cost.

    A preview sends nothing and gives the first rows of the journal. Raises NotValid for a template, schema or
    budget that cannot be used; NotReady without confirmation where it would cost money (with the estimate), without
    a key, and for a preview without rows (with the first prompt); RunFailed when the provider or the budget ends it,
    or nothing that it wrote can be used.
    """
    generation = Generation(source, fetch)
    rows = generation.preview() if fetch.preview else generation.run()
    fetch.notes.update(generation.notes())
    yield from enumerate(rows, start=1)


def estimate(source: GeneratedSource, fetch: Fetch) -> Estimate:
    """What reading the source would still cost. Sends nothing; raises as read does for what cannot be used."""
    generation = Generation(source, fetch)
    generation.replay()
    return generation.estimate()


@dataclass(frozen=True)
class Ahead:
    """What can be said of a source before anything is sent."""

    note: str
    """What it would cost, and its first prompt."""
    warnings: list[str]


def look_ahead(source: GeneratedSource, fetch: Fetch, others: Sequence[str]) -> Ahead:
    """For a source that has no rows yet. `others` are the sources that are read before it, by name.

    What those will give, labels and rows to show, is announced where it is not there yet. Raises as read does for what
    cannot be used.
    """
    try:
        generation = Generation(source, fetch)
    except NotReady as error:  # the task has no labels yet
        if not others:
            return Ahead("", [str(error)])
        return Ahead(
            f"The labels for {{label}} are taken from {', '.join(others)} when the data are regenerated (without"
            " confirmation), which says then what this source would cost.",
            [],
        )
    generation.replay()
    found = generation.estimate()
    parts = [
        str(found.with_changes(warnings=[])),
        f"The first prompt would be:\n\n{generation.first_prompt()}",
    ]
    warnings = found.warnings
    if generation.lacks_examples and others:
        warnings = [warning for warning in warnings if warning != generation.no_examples()]
        parts.insert(1, f"{{examples}} are taken from {', '.join(others)}, which are read first.")
    return Ahead("\n".join(parts), warnings)


class Generation:
    """One reading of a generated source: waves of requests, until no row is missing or the bound is reached."""

    def __init__(self, source: GeneratedSource, fetch: Fetch) -> None:
        if source.provider == "anthropic" and source.temperature is not None:
            raise NotValid(
                f"{source.name}: temperature: anthropic has no such setting any more; take it out. Requests differ by"
                " their examples and by the kind of rows they ask for."
            )
        self._price = price_of(source)
        require_limit(source, self._price)
        self._source = source
        self._fetch = fetch
        task = Task.load(fetch.task / "task.yaml")
        if fetch.labels and not task.labels:
            task = task.with_changes(labels=fetch.labels)
        self._privacy = task.constraints.privacy
        self._journal = Journal(fetch.cache(source.name) / "journal.jsonl")
        self._plan = Plan(source, fetch.examples or fetch.task / "data" / "train.jsonl", task, self._journal)
        self._keeping = Keeping(source, self._plan, fetch.task, task)
        self._slots: list[Slot] = []
        self._stuck = False

    def run(self) -> list[dict[str, Any]]:
        """The rows; what the journal does not hold is sent."""
        self.replay()
        if self._missing():
            if not (self._fetch.confirm or is_free(self._price)):
                raise NotReady(
                    f"This costs money, so it has to be confirmed.\n{self.estimate()}\nTo go ahead:"
                    f" nlp-skills regenerate-data {self._fetch.task.name} --confirm (as a tool: confirm=true)."
                )
            if missing := missing_key(self._source):
                raise NotReady(missing)
            for warning in self.estimate().warnings:
                self._fetch.tell(f"Warning: {warning}")
            with self._journal.writing():
                self._send_missing()
        if not self._keeping.rows:
            raise RunFailed(self._nothing_kept())
        return self._keeping.rows

    def replay(self) -> None:
        """Take the rows of all waves that the journal holds in full."""
        ahead = [slot for slot in self._plan.slots() if slot.key in self._journal.answers]
        while (wave := self._wave()) and all(slot.key in self._journal.answers for slot in wave):
            self._take(wave, ahead)
            ahead = []

    def _wave(self) -> dict[Slot, int]:
        """The next requests with the rows they ask for; none where a wave before has brought nothing new."""
        if self._stuck:
            return {}
        used = dict.fromkeys(self._plan.labels, 0)
        for slot in self._slots:
            used[slot.label] = slot.number
        return self._plan.wave(used, self._keeping.counts)

    def _missing(self) -> list[Letter]:
        """What has to be sent next; nothing once the generation has been finished."""
        if self._plan.finish_key in self._journal.finished:
            return []
        wave = self._wave()
        return [
            Letter(slot.key, self._plan.asked(slot, count))
            for slot, count in wave.items()
            if slot.key not in self._journal.answers
        ]

    def _take(self, wave: dict[Slot, int], ahead: list[Slot] | None = None) -> None:
        asked = {slot: self._plan.asked(slot, count) for slot, count in wave.items()}
        new = self._keeping.take(asked, self._journal.answers, ahead or [])
        self._stuck = not new and bool(self._slots)
        self._slots += wave

    def _send_missing(self) -> None:
        budget = Budget(self._source, spent(self._journal, self._price))
        sending = Sending(self._source, self._plan.schema, self._journal, budget)
        while letters := self._missing():
            wave = self._wave()
            sending.send(letters, self._watch(wave, len(letters)))
            self._take(wave)
        self._journal.finish(self._plan.finish_key)

    def _watch(self, wave: dict[Slot, int], total: int) -> Callable[[Answered], None]:
        """Looks at each answer of a wave as it comes, and ends what would only cost money."""
        slots = {slot.key: slot for slot in wave}
        wrong: Counter[str] = Counter()
        done, usable = 0, bool(self._keeping.rows)

        def use(answer: Answered) -> None:
            nonlocal done, usable
            done += 1
            prompt = self._journal.asked[answer.key].prompt
            rows, reasons = self._keeping.answered_rows(slots[answer.key], prompt, answer)
            if rows and not usable:
                self._keeping.require_layout(rows)
                usable = True
            wrong.update(reasons)
            if done >= BARREN and not usable:
                raise RunFailed(self._barren(done, wrong))
            self._fetch.progress(f"generating {self._source.name}: requests", done, total)

        for key in slots.keys() & self._journal.answers.keys():
            use(self._journal.answers[key])
        return use

    def estimate(self) -> Estimate:
        """Of what is still to be sent."""
        letters, source = self._missing(), self._source
        slots = self._plan.slots()
        answered = sum(slot.key in self._journal.answers for slot in slots)
        most = len(slots) - answered if letters else 0
        costs = [
            worst_cost(source, self._price, letter.asked.prompt, self._plan.schema) for letter in letters
        ]
        worst = max(costs, key=lambda one: one.tokens).times(most) if costs else cost(self._price, 0, 0)
        before = spent(self._journal, self._price)
        return Estimate(
            source=source.name,
            provider=source.provider,
            model=source.model,
            answered=answered,
            requests=len(letters),
            most_requests=most,
            most_tokens=worst.tokens,
            most_usd=worst.usd,
            spent_tokens=before.tokens,
            spent_usd=before.usd,
            free=is_free(self._price),
            budget=budget_text(source) or None,
            warnings=self._warnings(letters, costs, before) if letters else [],
        )

    def _warnings(self, letters: list[Letter], costs: list[Cost], before: Cost) -> list[str]:
        """Before anything is paid: who would see the rows, and what may come to nothing."""
        found = [self.no_examples()] if self._plan.lacks_examples else []
        if (
            self._privacy
            and "{examples}" in self._source.prompt_template
            and not is_own_machine(self._source)
        ):
            found.append(
                f"{self._source.name}: task.yaml says of the data: {self._privacy}. {shown_url(self._source)} would see"
                " the rows that {examples} shows. Name a model on a machine of yours (base_url), or take {examples} out."
            )
        total = sum(costs, Cost())
        buys = affordable(self._source, before, max(costs, key=lambda one: one.tokens))
        if buys is not None and buys < len(letters):
            if not buys and not before.tokens:
                raise NotValid(self._pays_for_nothing(costs))
            rows = sum(letter.asked.count for letter in letters[:buys])
            wanted = sum(letter.asked.count for letter in letters)
            worst = f"{total.tokens:,} tokens" if total.usd is None else str(total)
            found.append(
                f"{self._source.name}: {budget_text(self._source)} may not be enough. The {len(letters):,} requests"
                f" can cost up to {worst}; what is left of the budget pays in any case for {buys:,} of them, that is"
                f" {rows:,} of {wanted:,} rows. Answers are often shorter than max_output_tokens"
                f" ({self._source.max_output_tokens:,}): lower it, ask for less (count), or raise the budget."
            )
        missing = missing_key(self._source)
        return [*found, missing] if missing else found

    def _pays_for_nothing(self, costs: list[Cost]) -> str:
        first = max(costs, key=lambda one: one.tokens)
        worst = (
            f"{first.tokens:,} tokens" if first.usd is None or self._source.budget_usd is None else str(first)
        )
        return (
            f"{self._source.name}: {budget_text(self._source)} does not pay for a single request, which can cost up to"
            f" {worst}. Raise the budget, or lower max_output_tokens ({self._source.max_output_tokens:,}) and"
            f" rows_per_request ({self._source.rows_per_request})."
        )

    def first_prompt(self) -> str:
        """What the first request would say."""
        wave = self._plan.wave(dict.fromkeys(self._plan.labels, 0), self._keeping.counts)
        first, count = next(iter(wave.items()))
        return self._plan.asked(first, count).prompt

    @property
    def lacks_examples(self) -> bool:
        """Whether the template wants to show training rows and there are none."""
        return self._plan.lacks_examples

    def preview(self) -> list[dict[str, Any]]:
        """The first rows that were generated so far, with repeats among them."""
        wave = self._plan.wave(dict.fromkeys(self._plan.labels, 0), self._keeping.counts)
        rows: list[dict[str, Any]] = []
        for slot in wave:
            if len(rows) < _SAMPLE and (answer := self._journal.answers.get(slot.key)):
                prompt = self._journal.asked[slot.key].prompt
                rows += self._keeping.answered_rows(slot, prompt, answer)[0]
        if not rows:
            raise NotReady(
                f"{self._source.name} has no rows yet, and a preview sends nothing.\n{self.estimate()}\nThe first prompt"
                f" would be:\n\n{self.first_prompt()}"
            )
        return rows[:_SAMPLE]

    def notes(self) -> dict[str, str | int | float | None]:
        """For the snapshot: the same for the same answers, whenever they were paid."""
        answers = [self._journal.answers[slot.key] for slot in self._slots]
        costs = [cost_of(answer, self._price) for answer in answers]
        total = sum(costs, Cost())
        rows = len(self._keeping.rows)
        missing = {"missing": self._plan.count - rows} if self._slots and rows < self._plan.count else {}
        return {
            "provider": self._source.provider,
            "model": self._source.model,
            "prompt_template_sha256": sha256_text(self._source.prompt_template),
            "requests": len(answers),
            "input_tokens": sum(answer.input_tokens for answer in answers),
            "output_tokens": sum(answer.output_tokens for answer in answers),
            "cost_usd": None if total.usd is None else round(total.usd, 6),
            **{f"dropped_{reason}": count for reason, count in sorted(self._keeping.dropped.items())},
            **missing,
        }

    def _barren(self, done: int, wrong: Counter[str]) -> str:
        return (
            f"{self._source.name}: the first {counted(done, 'answer')} hold no row that can be used ({_listed(wrong)}),"
            " so no more is asked. Where answers are cut, raise max_output_tokens or lower rows_per_request; where they"
            " are refused or no JSON, change prompt_template or model."
        )

    def _nothing_kept(self) -> str:
        return (
            f"{self._source.name}: of {counted(len(self._slots), 'request')} no row could be kept"
            f" ({_listed(self._keeping.dropped)}). Change prompt_template, schema or model."
        )

    def no_examples(self) -> str:
        """What to say where {examples} has nothing to show."""
        return (
            f"{self._source.name}: {{examples}} stays empty: there are no training rows of other sources. To show"
            " the model some, add a source that has them."
        )


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items())) or "empty answers"
