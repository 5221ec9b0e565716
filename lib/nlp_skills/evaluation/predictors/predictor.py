"""What answers: one interface, whatever the model is and wherever it runs.

base model   adapter   merged model   GGUF file   Ollama name   URL
     └──────────┴───────────┬───────────┴───────────┴───────────┘
                        Predictor ── answer, score_choices ──▶ Answered
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import Field

from nlp_skills.data.example import Example
from nlp_skills.records import Progress, Record


@dataclass(frozen=True)
class Answered:
    """One answer, and what it took."""

    text: str
    """Without special tokens and the blanks around it; tool calls as `Example.output_text` writes them."""
    scores: dict[str, float] | None = None
    """Label → probability (they sum to 1), where labels were scored."""
    log_prob: float | None = None
    """Of what was said, all tokens together, in nats; only where the interface tells it."""
    milliseconds: float | None = None
    """Of this row; of rows that share a batch, the batch's time divided by its rows; of a request from sending to
    answer, while as many others are under way as `Decoding.batch_size` allows."""
    prompt_sha256: str = ""
    """Of the token ids or the text that the model was given: the first 16 hexadecimal digits."""
    prompt_tokens: int | None = None
    tokens: int | None = None
    """Tokens of the answer, its end included; of several samples all of them together."""
    cut: bool = False
    """Whether the answer ran into its limit of tokens."""
    samples: tuple[str, ...] = ()
    """Every answer that was drawn, `text` the first of them; none where only one was asked for."""


class Decoding(Record):
    """How answers are chosen: the most probable of `labels`, or generated up to `max_new_tokens`."""

    labels: list[str] | None = None
    max_new_tokens: int = 0
    batch_size: int = Field(ge=1)
    """Rows that are answered together; requests that are under way at once where another program answers."""
    samples: int = Field(default=1, ge=1)
    """Answers to each row that is generated."""
    temperature: float = Field(default=0.0, ge=0)
    """0: the most probable token, always (greedy)."""
    seed: int = 13
    """Of the draws, where the temperature is above 0."""

    def describe(self) -> dict[str, str | int | float | bool]:
        """For results.json."""
        if self.labels is not None:
            return {"method": "label scoring", "labels": len(self.labels), "batch_size": self.batch_size}
        limits = {"max_new_tokens": self.max_new_tokens, "batch_size": self.batch_size}
        if self.temperature == 0:
            return {"method": "greedy", **limits}
        drawn = {"samples": self.samples, "temperature": self.temperature, "seed": self.seed}
        return {"method": "sampling", **limits, **drawn}


class Predictor(Protocol):
    """A model that is ready to answer."""

    @property
    def name(self) -> str:
        """What it is, in words."""
        ...

    @property
    def identity(self) -> str:
        """What tells it from any other model, weights included where they are known: kept answers belong to it."""
        ...

    @property
    def can_score(self) -> bool:
        """Whether it gives the probability of a choice, so that labels can be scored."""
        ...

    def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
        """`Answered.prompt_sha256` of each row, before it is asked."""
        ...

    def answer(
        self, examples: Sequence[Example], how: Decoding, progress: Progress
    ) -> Iterator[tuple[int, Answered]]:
        """Index and answer of every row, in any order, as they come.

        Raises NotValid for labels where it cannot score, RunFailed where the program that answers does not.
        """
        ...

    def score_choices(
        self, examples: Sequence[Example], choices: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """The log-probability of each of a row's own choices as its answer, end token included (nats).

        Raises NotValid with the cure where the interface gives none.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; it does not answer any more."""
        ...
