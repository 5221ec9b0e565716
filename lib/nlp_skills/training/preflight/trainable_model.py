"""The base model as a run wants it: in 4 bits, in full precision where all weights are trained, with packed rows apart.

lora, dora     bfloat16 where that is fast; the adapter in float32
qlora          nf4 with double quantisation (Dettmers et al. 2023); the adapter in float32
none           float32: an update of a bfloat16 weight below 0.4 % of it would be lost
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_skills.base_model import (
    BaseModelFiles,
    compute_dtype,
    load_base_model,
    local_files,
    require_training,
)
from nlp_skills.errors import MissingExtra, NotReady, NotValid, did_you_mean
from nlp_skills.training.config import TrainConfig

FLASH = "flash_attention_2"


def load_trainable_model(files: BaseModelFiles, config: TrainConfig, longest: int | None = None) -> Any:
    """The model on the device that is there; `longest` is the longest row in tokens, where it is known.

    Raises NotValid for target modules that it does not have, before any weight is read.
    """
    if isinstance(config.target_modules, list):
        require_modules(files, config.target_modules)
    if config.packing:
        require_separating_attention()
    model = load_base_model(
        files,
        "float32" if config.peft == "none" else config.dtype,
        longest,
        attention=FLASH if config.packing else None,
        quantization=_four_bits(config) if config.peft == "qlora" else None,
        in_parts=config.num_processes > 1 and config.distributed != "ddp",
    )
    _keep_four_bits_as_they_are(model)
    return model


def _keep_four_bits_as_they_are(model: Any) -> None:
    """bitsandbytes 0.50 would repack the weights for its processor kernel in the first validation, for good.

    Rounded otherwise than in training before it, and refused where a layer is narrower than a block of 64.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _four_bits(config: TrainConfig) -> Any:
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("Training with 4-bit weights (qlora)", "train")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype(config.dtype),
    )


def require_separating_attention() -> None:
    """Raises NotValid where packed rows would look at each other, or gain nothing (P24): without flash attention."""
    require_training()
    import torch
    from transformers.utils.import_utils import is_flash_attn_2_available

    if not torch.cuda.is_available():
        raise NotValid(
            "packing: there is no CUDA GPU here. Without flash attention the rows of a pack would look at each other,"
            " or cost as much as one long row. Leave packing out: rows of like length share a batch anyway."
        )
    if not is_flash_attn_2_available():
        raise NotValid(
            "packing: the package flash-attn is not installed, and other attention does not keep the rows of a pack"
            " apart at a gain. Install it, or leave packing out: rows of like length share a batch anyway."
        )


def require_target_modules(config: TrainConfig) -> None:
    """Raises NotValid naming the target modules that the base model does not have (P29); reads no weights.

    Says nothing about a Hub model that is not on this machine: the run asks again.
    """
    if find_spec("transformers") is None:
        return
    try:
        files = local_files(config.base_model, config.base_revision)
    except NotReady:
        return
    if (Path(files.path) / "config.json").is_file():
        require_modules(files, list(config.target_modules))


def require_modules(files: BaseModelFiles, wanted: list[str]) -> None:
    """Raises NotValid naming the first of the wanted modules that the base model does not have."""
    linear = linear_modules(files)
    last = sorted({name.rsplit(".", 1)[-1] for name in linear} - {"lm_head"})
    for target in wanted:
        if target == "lm_head":
            raise NotValid(
                "target_modules: lm_head takes no adapter, because the loss reads its weights directly."
                f" Choose from: {', '.join(last)}."
            )
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            raise NotValid(
                f"target_modules: {files.name} has no linear module {target!r}{did_you_mean(target, last)}. Choose"
                f" from: {', '.join(last)}, or leave it at all-linear."
            )


def linear_modules(files: BaseModelFiles) -> list[str]:
    """The names of the base model's linear modules, from its config.json alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(files.path, revision=files.revision)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    kinds = (torch.nn.Linear, _conv1d())
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def _conv1d() -> Any:
    """What GPT-2 calls its linear modules."""
    from transformers.pytorch_utils import Conv1D

    return Conv1D
