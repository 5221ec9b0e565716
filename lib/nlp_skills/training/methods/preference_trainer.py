"""What TRL's preference trainers do otherwise here: our tokens, batches of like length, exact held-out figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Sampler

from nlp_skills.training.methods.labelled_head import score_labels_only
from nlp_skills.training.methods.length_buckets import LengthBucketSampler
from nlp_skills.training.methods.precision import bfloat16_products, keep_adapter_in_float32
from nlp_skills.training.methods.whole_checkpoints import WholeCheckpoints


class PreferenceTrainer(WholeCheckpoints):
    """Stands before DPOTrainer or KTOTrainer in the list of bases."""

    lengths: Sequence[int] = ()
    """Tokens of each training row."""
    ref_model: Any
    model: Any
    _metrics: Any

    def mend(self, lengths: Sequence[int]) -> None:
        """Called once the trainer is made: rows by length, a head that scores answers only, adapters as they were."""
        self.lengths = lengths
        keep_adapter_in_float32(self.model)
        score_labels_only(self.model)
        if self.ref_model is not None:
            score_labels_only(self.ref_model)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        """The rows are tokens already, cut apart where data/tokens.py proves it."""
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002
        return LengthBucketSampler(self.lengths, self.args.train_batch_size, self.args.seed)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's loss; see bfloat16_products."""
        with bfloat16_products(self.model, model, self.args.device):
            return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Each figure counts as often as its batch has rows: a short last batch would weigh too much."""
        figures = self._metrics["eval"]
        before = {name: len(values) for name, values in figures.items()}
        found = super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        rows = len(inputs["label"]) if "label" in inputs else _pairs(inputs)
        for name, values in figures.items():
            if len(values) == before.get(name, 0) + 1:
                values.extend(values[-1:] * (rows - 1))
        return found


def _pairs(inputs: Any) -> int:
    """DPO has both answers one below the other, ORPO apart."""
    return len(inputs["chosen_input_ids"]) if "chosen_input_ids" in inputs else len(inputs["input_ids"]) // 2
