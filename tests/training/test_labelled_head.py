"""TRL's fused head on the labelled positions only: the same figures and the same gradients."""

from pathlib import Path
from typing import Any

import pytest

from small_model import save_small_model


def batch() -> dict[str, Any]:
    import torch

    ids = torch.randint(0, 256, (4, 20), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[0, 15:] = mask[2, 9:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    for row, prompt in enumerate((5, 11, 2, 19)):
        labels[row, :prompt] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def scored(model: Any) -> tuple[dict[str, Any], list[Any]]:
    """The figures of a batch, and the gradients of a loss on them."""
    model.zero_grad()
    out = model(**batch(), fused_lm_head=True)
    (out.log_probs.sum(dim=1).pow(2).sum() + out.loss).backward()
    return dict(out), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("adapter", [False, True])
def test_figures_and_gradients_are_those_of_trl(tmp_path: Path, adapter: bool) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from nlp_skills.training.methods.labelled_head import score_labels_only

    model: Any = AutoModelForCausalLM.from_pretrained(save_small_model(tmp_path))
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    if adapter:
        made: Any = LoraConfig(target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, made)
    theirs, their_gradients = scored(model)
    score_labels_only(model)
    ours, our_gradients = scored(model)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert ours["log_probs"].shape == (4, 19)
    for one, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    plain = model(**{k: v for k, v in batch().items() if k != "labels"}).logits
    assert plain.shape == (4, 20, model.config.vocab_size), "without the fused head the model is as it was"
