"""`results.json` and `predictions.jsonl`: how good a model is, how sure we are, and on which rows."""

from __future__ import annotations

import msgspec

from nlp_skills.records import Record


class Interval(Record):
    """A value with its 95 % confidence interval (percentile bootstrap over rows)."""

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
    """Of a baseline: how much better the tuned model is on the task's metric (paired bootstrap over rows)."""


class EvalResult(Score):
    """`results.json`: the tuned model beside what needs no fine-tuning."""

    split: str
    data_sha256: str
    """Of the split's file."""
    baseline: dict[str, Score] = {}
    """`majority`, `tfidf`, `prompted_base`."""
    generation: dict[str, str | int | float | bool] = {}
    """How answers were chosen: label scoring, or greedy decoding and its limits."""


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
