"""DATA-LANG: rows in another language than the task's, and which languages there are.

What the user says is looked at: an answer in another language may well be what was asked for.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.rows import Context, Rows, look_at_each
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.example import Example
from nlp_skills.data.language import contradicts, detect_language, knows
from nlp_skills.data.report import DoesNotApply, Finding
from nlp_skills.errors import MissingExtra

UNTOLD = "(cannot be told)"
"""Names, numbers, code, short and mixed texts."""


class Language:
    """Counts the languages, and the rows that are certainly not in the task's."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-LANG",)

    def __init__(self, context: Context, /) -> None:
        self._expected = context.task.language
        self._languages: dict[str, Counter[str]] = {}
        self._others: Counter[str] = Counter()
        self._wrong = Tally(
            "DATA-LANG",
            "warning",
            "",
            "Translate or delete these rows at their source; where they are wanted, write quality: {DATA-LANG: off}"
            " into task.yaml",
        )
        self._why_not: str | None = None
        try:
            if self._expected is None:
                self._why_not = DoesNotApply("task.yaml names no language (language: en, zh-Hant, ja …)")
            elif not knows(self._expected):
                self._why_not = f"texts in {self._expected!r} cannot be told from others"
            self._missing = False
        except MissingExtra as error:
            self._why_not, self._missing = str(error), True

    def see(self, rows: Rows) -> None:
        """Tell the language of the next rows."""
        if not self._missing and (missing := look_at_each(rows, self._look)):
            self._why_not, self._missing = self._why_not or missing, True

    def _look(self, file: str, line: int, example: Example) -> None:
        text = example.input_text or example.output_text
        language = detect_language(text)
        self._languages.setdefault(split_of(file), Counter())[language or UNTOLD] += 1
        if not self._why_not and contradicts(self._expected or "", text, language):
            self._others[language or UNTOLD] += 1
            self._wrong.add(file, line, f"{language}: {text}")

    def merge(self, later: Language) -> None:
        """Take in what was counted of later rows."""
        self._why_not = self._why_not or later._why_not
        self._others += later._others
        self._wrong.merge(later._wrong)
        for side, counts in later._languages.items():
            self._languages[side] = self._languages.get(side, Counter()) + counts

    def findings(self) -> list[Finding]:
        """At most one, with the languages that it found."""
        ranked = sorted(self._others.items(), key=lambda item: (-item[1], item[0]))
        some = ", ".join(f"{language} {count:,}" for language, count in ranked[:5])
        self._wrong.message = f"In another language than the task's, {self._expected}: {{rows}} ({some})."
        return [] if self._why_not else self._wrong.findings()

    def not_run(self) -> dict[str, str]:
        """It needs a language in task.yaml, and py3langid."""
        return {"DATA-LANG": self._why_not} if self._why_not else {}

    def distributions(self) -> dict[str, dict[str, int]]:
        """`languages train`: language → rows, the most frequent first."""
        return {
            f"languages {side}": dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
            for side, counts in self._languages.items()
            if counts
        }
