"""A training step here beside plain TRL and LLaMA-Factory: the same rows, model, adapter and number of steps.

    uv run --all-extras python benchmarks/training.py [--rows 128] [--threads 1] [--ways ours,TRL]

Each trains a LoRA of rank 16 on SmolLM2-135M for one epoch of the quickstart's rows, batch 8, loss on the answers only,
in a process of its own. Tokens are real ones, without padding; the clock starts after the first step. The held-out loss
is measured by the same code for all.

    ours                             bfloat16 weights, labelled columns only, length buckets, what a task gets by default
    TRL                              SFTTrainer with its defaults on prompt and completion
    TRL, no checkpointing            the same without gradient checkpointing, fairer for a model this small
    LLaMA-Factory                    its examples' LoRA settings on a processor (float32, checkpointing)
    LLaMA-Factory, bf16              the same with bf16, which its own log recommends
    LLaMA-Factory, no checkpointing  disable_gradient_checkpointing: the fastest of its documented settings here, with
                                     or without bf16 (the row says which)

LLaMA-Factory pins older versions of everything: uv installs it into an environment of its own, with the same torch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HELD_OUT = 48
LLAMA_FACTORY = "llamafactory==0.9.5"
OURS = ("ours", "TRL", "TRL, no checkpointing")
FACTORY: dict[str, dict[str, Any]] = {
    "LLaMA-Factory": {},
    "LLaMA-Factory, bf16": {"bf16": True},
    "LLaMA-Factory, no checkpointing": {"disable_gradient_checkpointing": True},
    "LLaMA-Factory, bf16, no checkpointing": {"bf16": True, "disable_gradient_checkpointing": True},
}
WAYS = (*OURS, *FACTORY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", default=";".join(WAYS), help="separated by ;")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--judge", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.judge:
        print(json.dumps(judge(choice.folder / "out", choice.rows)))
    elif choice.way in FACTORY:
        print(json.dumps(measure_factory(choice.folder, FACTORY[choice.way], choice.threads)))
    elif choice.way:
        print(json.dumps(measure(choice.way, choice.rows, choice.threads)))
    else:
        compare(choice.ways.split(";"), choice.rows, choice.threads)


def compare(ways: list[str], rows: int, threads: int) -> None:
    """Run each way in its own process and print the table."""
    results = {way: figures(way, rows, threads) for way in ways}
    print("| way | real tokens/s | CPU s for 1,000 tokens | padding | held-out loss | peak GB | ours is |")
    print("|---|---|---|---|---|---|---|")
    ours = results["ours"]["tokens_per_second"]
    for way, found in results.items():
        print(
            f"| {way} | {found['tokens_per_second']:.0f} | {found['cpu_seconds']:.2f} | {found['padding']:.0%} |"
            f" {found['loss']:.3f} | {found['peak_gb']:.1f} | {ours / found['tokens_per_second']:.1f} x |"
        )


def figures(way: str, rows: int, threads: int) -> dict[str, float]:
    """What a process of this way measured."""
    asked = ["--way", way, "--rows", str(rows), "--threads", str(threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    if way in OURS:
        return answer([sys.executable, __file__, *asked], environment)
    with tempfile.TemporaryDirectory() as folder:
        lay_out_factory(Path(folder), rows)
        # torchaudio of PyPI is built for another CUDA than torch is, and LLaMA-Factory imports it unasked.
        (Path(folder) / "stub").mkdir()
        (Path(folder) / "stub" / "torchaudio.py").touch()
        asked += ["--folder", folder]
        command = [
            "uv",
            "run",
            "--no-project",
            "--python",
            "3.11",
            "--with",
            LLAMA_FACTORY,
            "python",
            __file__,
        ]
        stubbed = {**environment, "PYTHONPATH": str(Path(folder) / "stub")}
        found = answer([*command, *asked], stubbed)
        return found | answer([sys.executable, __file__, *asked[2:], "--judge"], environment)


def answer(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """The last line that the process printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(way: str, rows: int, threads: int) -> dict[str, float]:
    """Ours, or TRL in our environment."""
    import torch

    from nlp_skills.base_model import load_base_model, load_tokenizer, resolve_base_model
    from nlp_skills.data.tokens import tokenize

    torch.set_num_threads(threads)
    files = resolve_base_model("smollm2-135m-instruct")
    tokenizer = load_tokenizer(files)
    examples = sample_examples(rows)
    tokenized = [tokenize(tokenizer, example) for example in examples]
    with tempfile.TemporaryDirectory() as folder:
        if way == "ours":
            from nlp_skills.training.config import TrainConfig
            from nlp_skills.training.methods.sft import build_trainer

            model = load_base_model(files, "auto", max(row.length for row in tokenized))
            config = TrainConfig(epochs=1, save_steps=10_000)
            trainer: Any = build_trainer(config, model, tokenizer, {"train": tokenized}, Path(folder), [])
        else:
            trainer = plain_trl(files.path, tokenizer, examples, folder, checkpointing=way == "TRL")
        clock = Clock(trainer)
        trainer.train()
    peak = peak_gb()
    held_out = [tokenize(tokenizer, example) for example in sample_examples(rows + HELD_OUT)[rows:]]
    return {**clock.figures(), "loss": answer_loss(trainer.model, held_out), "peak_gb": peak}


def peak_gb() -> float:
    """Peak resident memory of this process (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def lay_out_factory(folder: Path, rows: int) -> None:
    """The rows and the model as LLaMA-Factory reads them."""
    from nlp_skills.base_model import resolve_base_model
    from nlp_skills.data.tokens import as_dicts

    lines = [json.dumps({"messages": as_dicts(example.messages)}) for example in sample_examples(rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    entry = {
        "file_name": "rows.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {**tags, "system_tag": "system"},
    }
    (folder / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")
    (folder / "model").write_text(resolve_base_model("smollm2-135m-instruct").path, encoding="utf-8")


def measure_factory(folder: Path, settings: dict[str, Any], threads: int) -> dict[str, float]:
    """LLaMA-Factory in its own environment; leaves the adapter in folder/out."""
    import torch
    from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer
    from llamafactory.train.tuner import run_exp

    torch.set_num_threads(threads)
    clock = Clock(CustomSeq2SeqTrainer)
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": (folder / "model").read_text(encoding="utf-8"),
            "dataset": "rows",
            "dataset_dir": str(folder),
            "template": "chatml",
            "finetuning_type": "lora",
            "lora_rank": 16,
            "lora_alpha": 32,
            "lora_target": "all",
            "cutoff_len": 1024,
            "output_dir": str(folder / "out"),
            "num_train_epochs": 1,
            "per_device_train_batch_size": 8,
            "learning_rate": 2e-4,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.05,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "use_cpu": True,
            "dataloader_pin_memory": False,
            "seed": 13,
            **settings,
        }
    )
    return {**clock.figures(), "peak_gb": peak_gb()}


def judge(adapter: Path, rows: int) -> dict[str, float]:
    """The held-out loss of an adapter that another program has trained."""
    from peft import PeftModel

    from nlp_skills.base_model import load_base_model, load_tokenizer, resolve_base_model
    from nlp_skills.data.tokens import tokenize

    files = resolve_base_model("smollm2-135m-instruct")
    tokenizer = load_tokenizer(files)
    model = PeftModel.from_pretrained(load_base_model(files, "bfloat16"), str(adapter))
    held_out = [tokenize(tokenizer, example) for example in sample_examples(rows + HELD_OUT)[rows:]]
    return {"loss": answer_loss(model, held_out)}


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
    """Counts tokens and time from the second step on, around the own step of a trainer or of a class of trainers."""

    def __init__(self, trainer: Any) -> None:
        self.tokens = self.places = 0
        self.wall = self.cpu = 0.0
        self.steps = 0
        step = trainer.training_step

        def timed(*given: Any) -> Any:  # [the trainer,] model, inputs, number of items
            inputs = given[-2]
            real, places = int(inputs["attention_mask"].sum()), inputs["input_ids"].numel()
            wall, cpu = time.perf_counter(), time.process_time()
            loss = step(*given)
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
