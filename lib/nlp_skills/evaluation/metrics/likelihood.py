"""Plain text: how well a model foresees it (continued pre-training).

bits per byte   -log2 p(text) / bytes of the text, over all texts: comparable between tokenizers
perplexity      exp(-ln p(text) / tokens), over all texts: comparable between models of one tokenizer
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nlp_skills.evaluation.metrics.metric import Metric, ratio
from nlp_skills.evaluation.results import Prediction

if TYPE_CHECKING:
    import numpy as np


def has_likelihood(rows: Sequence[Prediction]) -> bool:
    """Whether every row is a text with its probability."""
    return bool(rows) and all(row.log_prob is not None for row in rows)


def _bits(rows: Sequence[Prediction]) -> np.ndarray:
    """Bits and bytes of each text: shape (rows, 2)."""
    import numpy as np

    return np.array([(-(r.log_prob or 0.0) / math.log(2), len(r.expected.encode("utf-8"))) for r in rows])


def _nats(rows: Sequence[Prediction]) -> np.ndarray:
    """Nats and tokens of each text: shape (rows, 2)."""
    import numpy as np

    return np.array([(-(r.log_prob or 0.0), r.tokens or 0) for r in rows], dtype=np.float64)


def _perplexity(sums: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.exp(sums[..., 0] / sums[..., 1])


LIKELIHOOD: dict[str, Metric] = {
    "bits_per_byte": Metric(
        "bits per byte",
        _bits,
        ratio,
        higher_is_better=False,
        applies=has_likelihood,
    ),
    "perplexity": Metric("perplexity", _nats, _perplexity, higher_is_better=False, applies=has_likelihood),
}
