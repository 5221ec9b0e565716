"""How well tools are called, as metrics: the right tool, its parameters, the whole call, and no call where none fits.

tool_selection      rows that expect calls: exactly the expected tools are called                    target > 90 %
parameter_accuracy  parameters of the calls whose tool is right: given as expected                   target > 85 %
call_accuracy       all rows: every call right and none too many, or rightly none
irrelevance         rows that expect no call: none is made
format_errors       all rows: a call is begun that cannot be read (less is better)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nlp_skills.evaluation.metrics.metric import Metric, ratio
from nlp_skills.evaluation.results import CallMarks, Prediction
from nlp_skills.evaluation.tool_use.marks import marks_of

if TYPE_CHECKING:
    import numpy as np

Share = Callable[[CallMarks], tuple[int, int]]
"""What a row contributes: how many are right, of how many."""


def marks(row: Prediction) -> CallMarks:
    """The row's own marks, where its judge has made them; otherwise those of its texts."""
    return row.calls if row.calls is not None else marks_of(row.expected, row.predicted)


def _share(words: str, one: Share, *, higher_is_better: bool = True) -> Metric:
    """Right ones over all of them; rows without any do not count."""

    def statistics(rows: Sequence[Prediction]) -> np.ndarray:
        import numpy as np

        return np.array([one(marks(row)) for row in rows], dtype=np.float64).reshape(-1, 2)

    def applies(rows: Sequence[Prediction]) -> bool:
        return any(one(marks(row))[1] for row in rows)

    return Metric(words, statistics, ratio, higher_is_better=higher_is_better, applies=applies)


TOOL_CALLS: dict[str, Metric] = {
    "call_accuracy": _share("call accuracy", lambda m: (int(m.right), 1)),
    "tool_selection": _share(
        "tool selection accuracy", lambda m: (int(m.selected), 1) if m.wanted else (0, 0)
    ),
    "parameter_accuracy": _share("parameter accuracy", lambda m: (m.right_parameters, m.parameters)),
    "irrelevance": _share(
        "irrelevance detection", lambda m: (int(not m.made), 1) if m.wanted is False else (0, 0)
    ),
    "format_errors": _share("format errors", lambda m: (int(m.unreadable), 1), higher_is_better=False),
}
