"""Predicted beside measured peak memory of a training process, one process for each configuration.

    uv run --all-extras python benchmarks/memory.py [--threads 1] [--only NAME …] [--write FILE.json]

On a processor: SmolLM2-135M, resident memory (VmHWM). On a CUDA machine: random weights in the shapes of Qwen models
of 0.6 to 4 billion parameters, the GPU's peak. Each run does two optimiser steps on made-up rows of like length (the
fullest moment is in the second, when the optimiser's state is there and gradients are accumulated), through the same
code as a version's run; the estimate sees the lengths of the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

STEPS = 2

CPU: dict[str, dict[str, Any]] = {
    "lora, 8 x 128": {"per_device_train_batch_size": 8, "length": 128},
    "lora, 8 x 512": {"per_device_train_batch_size": 8, "length": 512},
    "lora, 8 x 512, checkpointing": {
        "per_device_train_batch_size": 8,
        "length": 512,
        "gradient_checkpointing": True,
    },
    "lora, 2 x 1024": {"per_device_train_batch_size": 2, "length": 1024},
    "lora rank 64, 4 x 256": {"per_device_train_batch_size": 4, "length": 256, "lora_r": 64},
    "dora, 4 x 256": {"per_device_train_batch_size": 4, "length": 256, "peft": "dora"},
    "full, 4 x 256": {"per_device_train_batch_size": 4, "length": 256, "peft": "none"},
    "qlora, 4 x 256": {"per_device_train_batch_size": 4, "length": 256, "peft": "qlora"},
    "lora float32, 4 x 256": {"per_device_train_batch_size": 4, "length": 256, "dtype": "float32"},
}

QWEN_06B = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
}
QWEN_17B = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
}
QWEN_4B = {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32}

CUDA: dict[str, dict[str, Any]] = {
    f"{name}, {words}": {"shape": shape, **settings}
    for name, shape in (("0.6B", QWEN_06B), ("1.7B", QWEN_17B), ("4B", QWEN_4B))
    for words, settings in {
        "lora, 4 x 1024": {"per_device_train_batch_size": 4, "length": 1024},
        "lora, 8 x 2048, checkpointing": {
            "per_device_train_batch_size": 8,
            "length": 2048,
            "gradient_checkpointing": True,
        },
        "qlora, 4 x 1024, checkpointing": {
            "per_device_train_batch_size": 4,
            "length": 1024,
            "gradient_checkpointing": True,
            "peft": "qlora",
        },
        "full, 2 x 1024, checkpointing": {
            "per_device_train_batch_size": 2,
            "length": 1024,
            "gradient_checkpointing": True,
            "peft": "none",
        },
    }.items()
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--write", type=Path, help="the measured figures as JSON")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.measure:
        print(json.dumps(measure(json.loads(choice.measure), choice.threads)))
        return
    found = {}
    configurations = CUDA if has_cuda() else CPU
    print("| run | predicted MiB | measured MiB | predicted / measured |\n|---|---|---|---|")
    for name, settings in configurations.items():
        if choice.only and name not in choice.only:
            continue
        environment = {**os.environ, "OMP_NUM_THREADS": str(choice.threads), "HF_HUB_OFFLINE": "1"}
        command = [
            sys.executable,
            __file__,
            "--threads",
            str(choice.threads),
            "--measure",
            json.dumps(settings),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            print(f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} |", flush=True)
            continue
        found[name] = json.loads(done.stdout.splitlines()[-1])
        predicted, measured = found[name]["predicted"], found[name]["measured"]
        print(f"| {name} | {predicted:,.0f} | {measured:,.0f} | {predicted / measured:.2f} |", flush=True)
        if choice.write:
            choice.write.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def has_cuda() -> bool:
    """Asked in a process of its own: a benchmark that holds the GPU would count itself."""
    code = "import torch; print(torch.cuda.is_available())"
    return (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        ).stdout.strip()
        == "True"
    )


def measure(settings: dict[str, Any], threads: int) -> dict[str, Any]:
    """Two steps of the configuration in this process; MiB predicted, measured, and on the way."""
    import torch
    import transformers

    from nlp_skills.base_model import (
        compute_device,
        compute_dtype,
        load_tokenizer,
        resolve_base_model,
    )
    from nlp_skills.training.config import TrainConfig
    from nlp_skills.training.environment import peak_memory_mb
    from nlp_skills.training.methods import load_method
    from nlp_skills.training.planning.memory import estimate_memory, longest_batch
    from nlp_skills.training.planning.model_shape import model_shape
    from nlp_skills.training.planning.row_lengths import RowLength
    from nlp_skills.training.preflight.trainable_model import load_trainable_model

    settings = dict(settings)
    length, shape = settings.pop("length"), settings.pop("shape", None)
    torch.set_num_threads(threads)
    torch.manual_seed(13)
    method = load_method(settings.get("method", "sft"))
    files = resolve_base_model("smollm2-135m-instruct")
    tokenizer = load_tokenizer(files)
    stages = {"imports": resident_mb()}
    with tempfile.TemporaryDirectory() as folder:
        if shape:
            files = files.with_changes(path=str(random_model(Path(folder) / "model", shape)))
        config = TrainConfig(
            base_model=files.path if shape else files.name,
            epochs=1,
            save_steps=10_000,
            max_length=length,
            **settings,
        )
        batches = STEPS * config.gradient_accumulation_steps
        rows = made_up_rows(batches * config.per_device_train_batch_size, length)
        transformers.set_seed(config.seed)
        longest = [RowLength(row.length, row.trained) for row in sorted(rows, key=lambda row: -row.length)]
        device: Any = compute_device()
        dtype = str(compute_dtype(config.dtype)).removeprefix("torch.")
        batch = longest_batch(longest, config)
        predicted = estimate_memory(model_shape(config.base_model), config, batch, device, dtype)
        model = load_trainable_model(files, config, length)
        stages["loaded"], stages["peak at loading"] = resident_mb(), peak_memory_mb()[0]
        trainer = method.build_trainer(config, model, tokenizer, {"train": rows}, Path(folder), [])
        stages["built"] = resident_mb()
        trainer.train()
    memory, gpu = peak_memory_mb()
    stages["trained"] = resident_mb()
    return {
        "predicted": predicted.peak_mb,
        "measured": gpu or memory,
        "parts": predicted.parts,
        "moment": predicted.moment,
        "stages": stages,
    }


def made_up_rows(count: int, length: int) -> list[Any]:
    """Rows of random words, of nearly `length` tokens as the longest of a real set are; the last eighth is the answer."""
    import random

    from nlp_skills.data.tokens import IGNORED, TokenRow

    draw = random.Random(13)
    rows = []
    for number in range(count):
        size = length if number == 0 else draw.randint(length * 15 // 16, length)
        ids = [draw.randint(3, 40_000) for _ in range(size)]
        answer = size // 8
        rows.append(TokenRow(ids, [IGNORED] * (size - answer) + ids[size - answer :]))
    return rows


def resident_mb() -> float:
    """Resident memory now; 0 where the system does not say it in /proc."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0.0
    line = next(row for row in status.read_text().splitlines() if row.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def random_model(folder: Path, shape: dict[str, Any]) -> Path:
    """A Qwen3 of that shape with random weights in bfloat16, and SmolLM2's tokenizer's vocabulary size or more."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(**shape, num_key_value_heads=8, head_dim=128, vocab_size=151_936)
    with torch.device("cuda"):
        model: Any = Qwen3ForCausalLM(config)
        model = model.to(torch.bfloat16)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return folder


if __name__ == "__main__":
    main()
