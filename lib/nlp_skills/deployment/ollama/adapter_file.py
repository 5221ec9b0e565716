"""A version's adapter as a GGUF file, and its base model as another: several versions share one base model in Ollama.

Ollama would convert the files of an adapter itself, but turns over the wrong matrix of Llama's attention and knows no
other architecture than Llama and Gemma 2 (convert/convert_llama_adapter.go of 0.33). Here the conversion is llama.cpp's.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, cache_folder, local_files, require_training
from nlp_skills.deployment.gguf.convert import PACKAGE, convert, run_worker
from nlp_skills.errors import NotValid, clip
from nlp_skills.locks import locked
from nlp_skills.records import Progress, clear_unfinished, sha256_tree, unfinished

BASE_TYPE = "f16"

_PLAIN = {
    "use_dora": "DoRA's magnitudes",
    "modules_to_save": "whole modules beside the matrices",
    "trainable_token_indices": "trained tokens",
    "rank_pattern": "ranks that differ by layer",
    "alpha_pattern": "scales that differ by layer",
    "lora_bias": "biases",
    "fan_in_fan_out": "weights that are stored turned over",
    "target_parameters": "parameters that are no linear layer",
}
"""Fields of adapter_config.json that say more than a LoRA in a GGUF file can."""


def write_adapter(base: BaseModelFiles, adapter: Path, file: Path, progress: Progress) -> None:
    """Write the GGUF `file` of an adapter's folder, in 32 bits.

    Raises NotValid for an adapter that is more than a plain LoRA, or of a model that the converter does not know.
    """
    require_training()
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    alpha = lora_alpha(config)
    package = PACKAGE.fetch(progress)
    progress("writing the adapter as GGUF", 0, None)
    worker = Path(__file__).with_name("adapter_worker.py")
    said = run_worker(worker, file, package, base_folder(base), adapter, file, alpha)
    if said is not None:
        raise NotValid(
            f"The adapter {adapter} cannot be written as GGUF: {clip(said[-1] if said else 'it said nothing', 400)}."
            " Merge it, and take merged or a quantization instead."
        )


def lora_alpha(config: dict[str, Any]) -> float:
    """The alpha that llama.cpp divides by r. Raises NotValid for what is no plain LoRA.

    rsLoRA scales by alpha / sqrt(r) (Kalajdzievski 2023, arXiv:2312.03732): its alpha is told as alpha x sqrt(r).
    """
    more = [words for field, words in _PLAIN.items() if config.get(field)]
    if config.get("bias", "none") != "none":
        more.append("biases")
    if config.get("peft_type") != "LORA" or more:
        what = ", ".join(more) or f"the kind {config.get('peft_type')}"
        raise NotValid(
            f"The adapter has {what}, which a LoRA in a GGUF file cannot hold. Merge it, and take merged or a quantization"
            " instead: nlp-skills merge-version"
        )
    return float(config["lora_alpha"]) * (math.sqrt(config["r"]) if config.get("use_rslora") else 1.0)


def base_gguf(base: BaseModelFiles, progress: Progress) -> Path:
    """The base model as a GGUF file of 16 bits, made once and kept in the cache."""
    folder = base_folder(base)
    file = cache_folder() / "gguf" / f"{base.weights_sha256 or sha256_tree(folder)}-{BASE_TYPE}.gguf"
    with locked(file.with_suffix(".lock"), f"converts {base.name}", progress):
        clear_unfinished(file)
        if not file.is_file():
            staged = unfinished(file)
            try:
                convert(folder, staged, BASE_TYPE, base.name, progress)
                staged.replace(file)
            finally:
                staged.unlink(missing_ok=True)
    return file


def base_folder(base: BaseModelFiles) -> Path:
    """Where the base model's files lie on this machine. Raises NotReady for a Hub model that is not in the Hub's cache."""
    path = Path(base.path)
    return path if path.is_dir() else Path(local_files(base.name, base.revision).path)
