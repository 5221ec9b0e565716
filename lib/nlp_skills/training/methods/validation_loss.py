"""The validation loss with its standard error: how much of a difference between two checkpoints is chance.

eval_loss      the mean over all labelled tokens: the same whatever the batches are
eval_loss_se   its standard error over rows
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nlp_skills.training.preflight.out_of_memory import while_evaluating


def mean_and_error(parts: Sequence[tuple[float, float]]) -> tuple[float, float | None]:
    """Mean and standard error of a ratio, from (sum of losses, weight) of each row.

    The error is that of a ratio estimator (Cochran 1977, Sampling Techniques, chapter 6); None for a single row.
    """
    weight = sum(w for _, w in parts)
    if not weight:
        return 0.0, None
    mean = sum(loss for loss, _ in parts) / weight
    count = len(parts)
    if count < 2:
        return mean, None
    spread = sum((loss - mean * w) ** 2 for loss, w in parts)
    return mean, math.sqrt(spread * count / (count - 1)) / weight


class ValidationLoss:
    """Stands before a trainer of TRL in the list of bases; a trainer that knows its rows notes them with `note_rows`."""

    _parts: list[tuple[float, float]]

    def note_rows(self, losses: Any, weights: Any) -> None:
        """Sums of losses and their weights (labelled tokens), one for each row of the batch at hand."""
        self._parts.extend(zip(losses.tolist(), weights.tolist(), strict=True))

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Where the rows of a batch are not told apart, the batch counts as one part."""
        before = len(self._parts)
        found = super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        if len(self._parts) == before and found[0] is not None:
            rows = next(len(value) for value in inputs.values() if hasattr(value, "shape"))
            self._parts.append((float(found[0]) * rows, float(rows)))
        return found

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's, with the exact loss and its error among the metrics."""
        self._parts = []
        with while_evaluating():
            output = super().evaluation_loop(*args, **kwargs)  # type: ignore[misc]
        name = f"{kwargs.get('metric_key_prefix', 'eval')}_loss"
        if name in output.metrics and (parts := self._gathered()):
            mean, error = mean_and_error(parts)
            output.metrics[name] = mean
            if error is not None:
                output.metrics[f"{name}_se"] = error
        return output

    def _gathered(self) -> list[tuple[float, float]]:
        accelerator: Any = self.accelerator  # type: ignore[attr-defined]
        if accelerator.num_processes == 1:
            return self._parts
        from accelerate.utils import gather_object

        return gather_object(self._parts)
