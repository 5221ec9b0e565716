"""TRL's fused head, mended from outside: off CUDA it scores every position against the whole vocabulary.

With a tile of the vocabulary for each of 16 rows of 300 tokens that is most of a step, and prompt and
padding are thrown away afterwards. Here the head is given the positions that have a label, as TRL
itself does on CUDA: a hook takes them out of what the body of the model returns, and the figures are put
back into their places. Values and gradients stay the same (tests/training/test_labelled_head.py).
"""

from __future__ import annotations

import types
from typing import Any

from nlp_skills.data.tokens import IGNORED


def score_labels_only(model: Any) -> None:
    """Mend a model that `trl.trainer.utils.add_fused_lm_head` was called with; a PEFT model is looked into."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    fused = inner.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        labels = kwargs.get("labels")
        if not kwargs.get("fused_lm_head") or labels is None or labels.device.type == "cuda":
            return fused(*args, **kwargs)
        following = labels[:, 1:]
        mask = following != IGNORED
        if not mask.any():
            return fused(*args, **kwargs)

        def keep_labelled(_module: Any, _given: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state[:, :-1][mask].unsqueeze(0)
            return output

        hook = self.base_model.register_forward_hook(keep_labelled)
        try:
            scored = fused(*args, **{**kwargs, "labels": None, "shift_labels": following[mask].unsqueeze(0)})
        finally:
            hook.remove()
        for name in ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1"):
            found = getattr(scored, name)
            if found is not None:
                setattr(scored, name, found.new_zeros(mask.shape).masked_scatter(mask, found[0]))
        scored.label_mask = mask
        return scored

    # `generate` reads the signature of the forward that it will call.
    forward.__wrapped__ = getattr(fused, "__func__", fused)  # type: ignore[attr-defined]
    inner.forward = types.MethodType(forward, inner)
