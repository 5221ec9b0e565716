"""What a generation would still cost: for the person who has to agree to it."""

from __future__ import annotations

from nlp_skills.errors import counted
from nlp_skills.records import Record


class Estimate(Record):
    """What a generation would still cost."""

    source: str
    provider: str
    model: str
    answered: int
    """Requests in the journal; they cost nothing any more."""
    requests: int
    """To be sent now."""
    most_requests: int
    """Of them and those that replace rows which are dropped."""
    most_tokens: int
    """Input and output at the worst: prompts by their bytes, every answer as long as it may be."""
    most_usd: float | None
    """None: no price is given."""
    spent_tokens: int
    """Up to now, by every generation of this source."""
    spent_usd: float | None
    free: bool
    """The model runs on your own machines."""
    budget: str | None = None
    """What ends it earlier."""
    warnings: list[str] = []
    """What whoever decides should know: a budget that may not be enough, a key that is not set."""

    def __str__(self) -> str:
        """Lines for the person who decides."""
        usd = "no price is given" if self.most_usd is None else f"{self.most_usd:,.4f} USD"
        before = "an unknown price" if self.spent_usd is None else f"{self.spent_usd:,.4f} USD"
        lines = [
            f"{self.source} would send {counted(self.requests, 'request')} to {self.provider} ({self.model}), at most"
            f" {self.most_requests:,} with those that replace dropped rows.",
            f"At the worst: {self.most_tokens:,} tokens, {usd}.",
            f"Answered before, and not paid again: {counted(self.answered, 'request')}.",
            f"Spent so far: {self.spent_tokens:,} tokens, {before}.",
            *([f"It ends before {self.budget}."] if self.budget else []),
            *self.warnings,
        ]
        return "\n".join(lines)
