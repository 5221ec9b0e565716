"""Compress a model and compare it with what it was: a program that imports nothing of this library.

python worker.py GIVEN, a JSON file: {"kind": gptq | onnx, "model": folder, "out": folder, "result": file,
"calibration": [[token ids]], "probes": [{"prompt": [ids], "answer": [ids]}]}

Written to "result": "begun" as soon as its libraries are there, and at the end how far `out` is from `model`.
"""

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

BITS = 4
GROUPS = (128, 64, 32)
"""Weights that share a scale: as many as divide the rows of every matrix."""


def main() -> None:
    """Do what the file says."""
    given = json.loads(Path(sys.argv[1]).read_bytes())
    result = Path(given["result"])
    make = MAKERS[given["kind"]]
    model, out = Path(given["model"]), Path(given["out"])
    import torch
    from transformers import AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained
    whole = load(model, dtype=torch.float32).eval()
    result.write_text(json.dumps({"begun": True}), encoding="utf-8")
    before = look(whole, given["probes"])
    made = make(whole, model, out, given)
    result.write_text(json.dumps(difference(before, look(made, given["probes"]))), encoding="utf-8")


def look(model: Any, probes: list[dict[str, list[int]]]) -> Any:
    """Log-probabilities at every token of the answers: float32 of shape (tokens, vocabulary), in nats."""
    import torch

    parts = []
    with torch.inference_mode():
        for probe in probes:
            ids = torch.tensor([[*probe["prompt"], *probe["answer"][:-1]]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
            parts.append(torch.as_tensor(logits[-len(probe["answer"]) :]).float().log_softmax(dim=-1))
    return torch.cat(parts)


def difference(a: Any, b: Any) -> dict[str, float | int]:
    """Kullback-Leibler divergence from the first in nats, and at how many tokens another one is the most probable."""
    # Rounding alone can bring it a little below 0, where no divergence is.
    kl = (a.exp() * (a - b)).sum(dim=-1).nan_to_num(nan=1e9, posinf=1e9).clamp(min=0)
    other = int((a.argmax(dim=-1) != b.argmax(dim=-1)).sum())
    return {
        "mean_kl": float(kl.mean()),
        "worst_kl": float(kl.max()),
        "other_best_token": other,
        "tokens": len(kl),
    }


def quantise(whole: Any, model: Path, out: Path, given: dict[str, Any]) -> Any:
    """GPTQ, four bits a weight, by llm-compressor; the saved folder, loaded again."""
    del model
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    scheme = import_module("compressed_tensors.quantization")
    modifiers = import_module("llmcompressor.modifiers.quantization")
    linear = [m for name, m in whole.named_modules() if hasattr(m, "in_features") and "lm_head" not in name]
    group = next((size for size in GROUPS if all(m.in_features % size == 0 for m in linear)), None)
    if group is None:
        raise SystemExit(f"the rows of its matrices are no multiple of {GROUPS[-1]}, which 4-bit groups need")
    weights = scheme.QuantizationArgs(num_bits=BITS, type="int", strategy="group", group_size=group)
    groups = {"group_0": scheme.QuantizationScheme(targets=["Linear"], weights=weights)}
    modifier = modifiers.GPTQModifier(config_groups=groups, ignore=["lm_head"])
    ids = given["calibration"]
    rows = Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]})
    longest = max(map(len, ids))
    import_module("llmcompressor").oneshot(
        model=whole, dataset=rows, recipe=[modifier], max_seq_length=longest, num_calibration_samples=len(ids)
    )
    whole.save_pretrained(out, save_compressed=True)
    load: Any = AutoModelForCausalLM.from_pretrained
    return load(out).eval()


def export_onnx(whole: Any, model: Path, out: Path, given: dict[str, Any]) -> Any:
    """An ONNX graph with its cache as input and output, run by onnxruntime."""
    del whole, given
    exporter, runtime = import_module("optimum.exporters.onnx"), import_module("optimum.onnxruntime")
    exporter.main_export(str(model), output=out, task="text-generation-with-past", do_validation=False)
    return runtime.ORTModelForCausalLM.from_pretrained(out)


MAKERS: dict[str, Callable[[Any, Path, Path, dict[str, Any]], Any]] = {
    "gptq": quantise,
    "onnx": export_onnx,
}

if __name__ == "__main__":
    main()
