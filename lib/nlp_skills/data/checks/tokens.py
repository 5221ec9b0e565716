"""What the loss would see: LEN-CUT, TOK-EOS, TOK-BOS, TOK-RESIZE, MASK-RATIO, MASK-EMPTY, TMPL-THINK.

    row → chat template → ids and labels, as the training makes them → faults (token_faults.py)

Needs the base model's tokenizer on this machine; nothing is downloaded.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from functools import lru_cache
from typing import ClassVar

from nlp_skills.base_model import local_tokenizer
from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.checks.token_faults import (
    KINDS,
    THINK,
    TokenModel,
    conversations,
    faults,
    hazard,
    tallies,
    uses_tools,
)
from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.report import Finding
from nlp_skills.data.snapshot import in_buckets
from nlp_skills.data.tokens import TokenRow, TurnsRewritten, tokenize_all, tokenize_apart
from nlp_skills.errors import NlpSkillsError, counted
from nlp_skills.task.task import TaskType


@lru_cache(maxsize=2)
def load_token_model(base_model: str) -> TokenModel:
    """A base model's tokenizer, read once in each process. Raises what local_tokenizer raises."""
    return TokenModel(local_tokenizer(base_model))


class Tokens:
    """Makes tokens of every row once, and looks at them for each check."""

    checks: ClassVar[tuple[str, ...]] = (
        "LEN-CUT",
        *dict.fromkeys(kind.check for kind in KINDS.values()),
    )

    def __init__(self, context: Context, /) -> None:
        self._base_model = context.task.base_model
        self._max_length = context.max_length
        self._judged = context.task.type is TaskType.PREFERENCE
        self._tools_in_prompt = context.tools_in_prompt
        self._thinking = context.enable_thinking
        self._faults = tallies()
        self._cut, self._absent = (Tally("LEN-CUT", "warning", "", "") for _ in range(2))
        self._reasoning, self._without = (Tally("TMPL-THINK", "warning", "", "") for _ in range(2))
        self._lengths: dict[str, array[int]] = {}
        """By file: tokens of each row, the longer one of a preference."""
        self._hazard: str | None = None
        self._positions: int | None = None
        self._not_run: dict[str, str] = {}
        try:
            model = load_token_model(self._base_model)
        except NlpSkillsError as error:
            self._not_run = dict.fromkeys(self.checks, str(error))
        else:
            self._hazard = hazard(model)
            self._positions = model.local.positions
            if model.local.embedding_rows is None:
                self._not_run["TOK-RESIZE"] = f"the config.json of {self._base_model} has no vocab_size"

    def see(self, rows: Rows) -> None:
        """Take in the next rows."""
        if len(self._not_run) == len(self.checks):
            return
        model = load_token_model(self._base_model)
        parts = [conversations(example, judged=self._judged) for example in rows.examples]
        if self._tools_in_prompt:
            parts = [[with_prompted_tools(part) for part in row] for row in parts]
        found = iter(tokenize_all(model.encoder, [part for row in parts for part in row], self._thinking))
        for line, example, row in zip(rows.lines, rows.examples, parts, strict=True):
            tokens = [(part, next(found)) for part in row]
            told: dict[str, str] = {}
            for part, result in tokens:
                if uses_tools(part) and not model.shows_tools:
                    told["tools not shown"] = part.input_text
                    continue
                for kind, text in faults(model, part, result):
                    told.setdefault(kind, text)
            for kind, text in told.items():
                self._faults[kind].add(rows.file, line, text)
            made = [
                row
                for part, result in tokens
                for row in (
                    tokenize_apart(model.encoder, part, self._thinking)
                    if isinstance(result, TurnsRewritten)
                    else [result]
                )
            ]
            self._measure(rows.file, line, example, [row for row in made if isinstance(row, TokenRow)])
            self._note_reasoning(rows.file, line, row)

    def _measure(self, file: str, line: int, example: Example, rows: list[TokenRow]) -> None:
        if not rows:
            return
        longest = max(rows, key=lambda row: len(row.input_ids))
        length, limit = len(longest.input_ids), self._max_length
        self._lengths.setdefault(file, array("I")).append(length)
        if length > limit:
            kept = TokenRow(longest.input_ids[:limit], longest.labels[:limit]).trained
            tally = self._cut if kept else self._absent
            tally.add(
                file,
                line,
                f"{length:,} tokens, {longest.trained - kept} of the answer cut: {example.input_text}",
            )

    def _note_reasoning(self, file: str, line: int, row: list[Example]) -> None:
        said = [m.content or "" for part in row for m in part.messages or () if m.role == "assistant"]
        if said:
            tally = self._reasoning if any(THINK in content for content in said) else self._without
            tally.add(file, line, said[-1])

    def merge(self, later: Tokens) -> None:
        """Take in what another process has seen of later rows."""
        for kind, tally in self._faults.items():
            tally.merge(later._faults[kind])
        for mine, theirs in zip(self._own(), later._own(), strict=True):
            mine.merge(theirs)
        for file, lengths in later._lengths.items():
            self._lengths.setdefault(file, array("I")).extend(lengths)

    def _own(self) -> tuple[Tally, ...]:
        return self._cut, self._absent, self._reasoning, self._without

    def findings(self) -> list[Finding]:
        """What was found, after the last row."""
        found = [finding for tally in self._faults.values() for finding in tally.findings()]
        return [*self._too_long(), *found, *self._mixed(), *self._resize()]

    def _too_long(self) -> list[Finding]:
        count = self._cut.count + self._absent.count
        if not count:
            return []
        lengths = sorted(length for file in self._lengths.values() for length in file)
        p95, p99, longest = (_quantile(lengths, share) for share in (0.95, 0.99, 1.0))
        keeps = "all rows" if p99 == longest else f"99 % of the rows, {longest:,} all"
        room = min(longest, self._positions or longest)
        beyond = sum(length > room for length in lengths)
        message = (
            f"Longer than max_length {self._max_length:,}: {counted(count, 'row')}; the answer would be cut in"
            f" {self._cut.count:,} and missing in {self._absent.count:,}. p95 is {p95:,} tokens, p99 {p99:,}:"
            f" max_length {p99:,} keeps {keeps}."
        )
        if beyond:
            message += f" {self._base_model} can look back on {room:,} tokens only; longer: {counted(beyond, 'row')}."
        return [
            Finding(
                check="LEN-CUT",
                level="warning",
                message=message,
                count=count,
                rows=[*self._absent.rows, *self._cut.rows][:5],
                fix="Shorten these rows, or make a version that takes them:"
                f" nlp-skills create-version {{task}} --max-length {room}",
            )
        ]

    def _mixed(self) -> list[Finding]:
        """Reasoning in some rows only: the model will sometimes think aloud, and nobody can tell when."""
        rarer = min(self._reasoning, self._without, key=lambda tally: tally.count)
        if not rarer.count:
            return []
        total = self._reasoning.count + self._without.count
        share = self._reasoning.count / total
        message = (
            f"{self._reasoning.count:,} of {counted(total, 'row')} ({share:.0%}) answer with reasoning (<think>) and"
            " the others without, so the model will do now one and now the other."
        )
        fix = "Decide for one: delete the reasoning from all rows, or keep only rows that have it"
        return [
            Finding(
                check="TMPL-THINK",
                level="warning",
                message=message,
                count=rarer.count,
                rows=rarer.rows,
                fix=fix,
            )
        ]

    def _resize(self) -> list[Finding]:
        if not self._hazard or self._faults["no embedding"].count:
            return []
        message = f"{self._hazard}; no row uses the tokens beyond."
        fix = "Keep the added tokens out of the rows, or take a base_model whose embedding was resized for its tokenizer"
        return [Finding(check="TOK-RESIZE", level="warning", message=message, count=0, fix=fix)]

    def not_run(self) -> dict[str, str]:
        """Without the tokenizer nothing can be said."""
        return self._not_run

    def distributions(self) -> dict[str, dict[str, int]]:
        """`tokens train` …: tokens of a row → rows; buckets of 100, from 1,000 of 1,000, from 10,000 of 10,000."""
        return {
            f"tokens {split_of(file)}": in_buckets(Counter(lengths))
            for file, lengths in self._lengths.items()
        }


def _quantile(ordered: list[int], share: float) -> int:
    """The smallest length that this share of the rows does not exceed (nearest rank)."""
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]
