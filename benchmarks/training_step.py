"""What our loss, sampler and attention bring over TRL's own, on the same rows, model and steps.

    uv run --all-extras python benchmarks/training_step.py [--rows 96] [--threads 1]

Both train a LoRA of rank 16 on SmolLM2-135M for one epoch of the quickstart's rows, batch 8, loss on the answers
only. "TRL" is SFTTrainer with its defaults on prompt/completion rows; its gradient checkpointing is turned off in
"TRL, no checkpointing", which is the fairer comparison for a model this small. Tokens are real ones, without padding;
the clock starts after the first step. Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HELD_OUT = 48
WAYS = ("ours", "TRL, no checkpointing", "TRL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.way:
        print(json.dumps(measure(choice.way, choice.rows, choice.threads)))
        return
    results = {}
    for way in WAYS:
        command = [
            sys.executable,
            __file__,
            "--way",
            way,
            "--rows",
            str(choice.rows),
            "--threads",
            str(choice.threads),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(choice.threads), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        results[way] = json.loads(done.stdout.splitlines()[-1])
    print("| way | real tokens/s | CPU s for 1,000 tokens | padding | held-out loss | peak GB | ours is |")
    print("|---|---|---|---|---|---|---|")
    ours = results["ours"]["tokens_per_second"]
    for way, found in results.items():
        print(
            f"| {way} | {found['tokens_per_second']:.0f} | {found['cpu_seconds']:.2f} | {found['padding']:.0%} |"
            f" {found['loss']:.3f} | {found['peak_gb']:.1f} | {ours / found['tokens_per_second']:.1f} x |"
        )


def measure(way: str, rows: int, threads: int) -> dict[str, float]:
    import resource

    import torch

    from nlp_skills.base_model import load_base_model, load_tokenizer, resolve_base_model
    from nlp_skills.data.tokens import tokenize

    torch.set_num_threads(threads)
    files = resolve_base_model("smollm2-135m-instruct")
    tokenizer = load_tokenizer(files)
    examples = sample_examples(rows)
    tokenized = [tokenize(tokenizer, example) for example in examples]
    longest = max(len(row.input_ids) for row in tokenized)
    with tempfile.TemporaryDirectory() as folder:
        if way == "ours":
            from nlp_skills.training.config import TrainConfig
            from nlp_skills.training.methods.sft import build_trainer

            model = load_base_model(files, "auto", longest)
            config = TrainConfig(epochs=1, save_steps=10_000)
            trainer: Any = build_trainer(config, model, tokenizer, {"train": tokenized}, Path(folder), [])
        else:
            trainer = plain_trl(files.path, tokenizer, examples, folder, checkpointing=way == "TRL")
        clock = Clock(trainer)
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    held_out = [tokenize(tokenizer, example) for example in sample_examples(rows + HELD_OUT)[rows:]]
    return {**clock.figures(), "loss": answer_loss(trainer.model, held_out), "peak_gb": peak}


def answer_loss(model: Any, rows: list[Any]) -> float:
    """Mean cross-entropy of the answers' tokens, end token included: the same measure for every way."""
    import torch

    model.eval()
    total = count = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for row in rows:
            logits = model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].float()
            labels = torch.tensor(row.labels[1:])
            total += float(
                torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
            )
            count += row.trained
    return total / count


class Clock:
    """Counts tokens and time from the second step on, around the trainer's own step."""

    def __init__(self, trainer: Any) -> None:
        self.tokens = self.places = 0
        self.wall = self.cpu = 0.0
        self.steps = 0
        step = trainer.training_step

        def timed(model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
            real, places = int(inputs["attention_mask"].sum()), inputs["input_ids"].numel()
            wall, cpu = time.perf_counter(), time.process_time()
            loss = step(model, inputs, *more, **named)
            self.steps += 1
            if self.steps > 1:
                self.wall += time.perf_counter() - wall
                self.cpu += time.process_time() - cpu
                self.tokens += real
                self.places += places
            return loss

        trainer.training_step = timed

    def figures(self) -> dict[str, float]:
        return {
            "tokens_per_second": self.tokens / self.wall,
            "cpu_seconds": 1000 * self.cpu / self.tokens,
            "padding": 1 - self.tokens / self.places,
        }


def sample_examples(rows: int) -> list[Any]:
    """The quickstart's messages as it trains on them."""
    from nlp_skills.data.example import Example, Message, Meta
    from nlp_skills.data.sample import SUPPORT_MESSAGES
    from nlp_skills.data.sources.file import read_file
    from nlp_skills.pipeline import QUICKSTART_INSTRUCTION

    made = []
    for line, row in read_file(SUPPORT_MESSAGES):
        turns = (("system", QUICKSTART_INSTRUCTION), ("user", row["message"]), ("assistant", row["topic"]))
        made.append(
            Example(meta=Meta(f"support-{line}", "support"), messages=[Message(*turn) for turn in turns])
        )
    return made[:rows]


def plain_trl(path: str, tokenizer: Any, examples: list[Any], folder: str, *, checkpointing: bool) -> Any:
    """TRL as its documentation shows it: prompt and completion, bfloat16, everything else by default."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from nlp_skills.data.tokens import as_dicts

    rows = [{"prompt": as_dicts(e.messages[:-1]), "completion": as_dicts(e.messages[-1:])} for e in examples]
    arguments = SFTConfig(
        output_dir=folder,
        num_train_epochs=1,
        learning_rate=2e-4,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        per_device_train_batch_size=8,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        dataloader_pin_memory=False,
        gradient_checkpointing=checkpointing,
        disable_tqdm=True,
        seed=13,
    )
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(path),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


if __name__ == "__main__":
    main()
