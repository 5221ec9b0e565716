"""`results.json` and `predictions.jsonl`: how good a model is, how sure we are, and on which rows."""

from __future__ import annotations

from typing import Literal

import msgspec

from nlp_skills.records import Record


class Interval(Record):
    """A value with its 95 % confidence interval (significance.py says of which kind)."""

    value: float
    low: float
    high: float


class LabelScore(Record):
    """One label's precision, recall and F1."""

    precision: float
    recall: float
    f1: float
    support: int


class Latency(Record):
    """Milliseconds for one row, measured while evaluating (batched rows share their batch's time)."""

    p50: float
    p95: float
    p99: float


class Score(Record):
    """How one predictor did on the split: a baseline or the tuned model."""

    metrics: dict[str, Interval]
    per_label: dict[str, LabelScore] = {}
    confusion: dict[str, dict[str, int]] = {}
    """expected → predicted → rows; zero cells are left out."""
    count: int
    latency: Latency | None = None
    model: str | None = None
    """What made the predictions, in words."""
    gain: Interval | None = None
    """Of a baseline: how much better the tuned model is on the metric that decides, paired row by row; above 0 is
    better, also where less is better (perplexity)."""
    p_value: float | None = None
    """Of a baseline: that the gain is chance; paired test, corrected for the number of baselines (Holm)."""


class SliceScore(Record):
    """How the tuned model did on one kind of rows."""

    by: str
    """label, length, language, source, entity, group, or a column that task.yaml names under `slices`."""
    value: str
    count: int
    score: Interval
    """The result's `slice_metric` on these rows."""
    rest: float | None = None
    """The same on all other rows."""
    p_rest: float | None = None
    """That it differs from the rest by chance (not paired), corrected for the number of slices (Holm)."""
    gain: Interval | None = None
    """How much better than the prompted base model, on the same rows."""
    p_gain: float | None = None
    """That the gain is chance (paired), corrected for the number of slices (Holm)."""

    @property
    def name(self) -> str:
        """`language=zh-Hant`."""
        return f"{self.by}={self.value}"


class Forgetting(Record):
    """General questions, answered by the base model and by the tuned one (forgetting.py)."""

    count: int
    base: Interval
    """Share of right answers."""
    tuned: Interval
    change: Interval
    """`tuned - base`, paired question by question."""
    p_value: float
    verdict: Literal["kept", "forgotten", "cannot tell"]
    reason: str
    lost: list[str] = []
    """Questions that only the base model answers rightly."""
    won: list[str] = []
    """Questions that only the tuned model answers rightly."""


class Sanity(Record):
    """Whether these numbers speak of the model at all, or of how it was asked and marked (sane.py)."""

    verdict: Literal["ok", "harness error", "cannot tell"]
    reason: str
    unreadable: float
    """Share of the answers that are none at all: no label, no JSON, no call, nothing."""
    known: int = 0
    """Training rows that were asked through the same way."""
    known_right: int = 0


class CalibrationBin(Record):
    """Answers of like confidence: how sure the model was, and how often it was right."""

    count: int
    right: float
    confidence: float


class EvalResult(Score):
    """`results.json`: the tuned model beside what needs no fine-tuning."""

    split: str
    data_sha256: str
    """Of the split's file."""
    metric: str | None = None
    """The one that decides; None in results that were written before it was recorded."""
    target: float | None = None
    """What the task asked of that metric when this was measured; None where it has no target."""
    baseline: dict[str, Score] = {}
    """`majority`, `tfidf`, `prompted_base`, `few_shot`, `endpoint`."""
    generation: dict[str, str | int | float | bool] = {}
    """How answers were chosen: label scoring, or greedy decoding and its limits."""
    slice_metric: str | None = None
    slices: list[SliceScore] = []
    forgetting: Forgetting | None = None
    sane: Sanity | None = None
    calibration: list[CalibrationBin] = []
    """From the least sure answers to the surest; empty where no labels were scored."""
    memory_mb: float | None = None
    """Peak memory of the process while it answered; of the GPU where it answers there."""
    not_measured: dict[str, str] = {}
    """What was left out → why, and what to do."""


class CallMarks(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A row's calls beside the expected ones."""

    wanted: bool | None
    """Whether a call was right; None where any call is as good as another."""
    made: bool
    """Whether a call was made that could be read."""
    right: bool
    selected: bool = False
    """Whether the expected tools were called, each as often as expected."""
    parameters: int = 0
    """Parameters of the calls whose tool is right: given, or expected and missing."""
    right_parameters: int = 0
    unreadable: bool = False
    """Whether a call was begun that cannot be read."""
    fault: str = ""
    """What is wrong, as tool_use/ast_scorer.py names it, or `unreadable`."""
    message: str = ""
    """The same in words."""


class Prediction(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of predictions.jsonl: what was asked, what came back, and whether it is right."""

    id: str
    input: str = ""
    """The user's turns."""
    expected: str
    answers: list[str] = []
    """Further right answers, where there are several (SQuAD)."""
    predicted: str
    correct: bool
    """As the task's type judges a row (marking.py)."""
    scores: dict[str, float] | None = None
    """Choice → probability, where choices were scored: labels, or chosen and rejected."""
    log_prob: float | None = None
    """Of a plain text, all its tokens together, in nats (plain_text.py)."""
    samples: list[str] = []
    """Every answer that was drawn, where there were several."""
    passed: list[bool] = []
    """Of each of them, whether the row's own tests passed."""
    judged: float | None = None
    """What a judge gave the answer, 0 to 1 (metrics/judge.py)."""
    calls: CallMarks | None = None
    """Of tool use, where they are not those of the two texts (tool_use/marks.py)."""
    slices: dict[str, str] = {}
    """What kind of row it is: source, language, length, entity … (slices.py)."""
    prompt_sha256: str = ""
    """Of the token ids or the text that the model was given: the first 16 hexadecimal digits."""
    prompt_tokens: int | None = None
    tokens: int | None = None
    """Tokens of the answer, its end included."""
    milliseconds: float | None = None
    cut: bool = False
    """Whether the answer ran into its limit of tokens."""
