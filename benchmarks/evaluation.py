"""Predictions here beside lm-evaluation-harness and a plain loop of transformers: the same rows, model and precision.

    uv run --all-extras python benchmarks/evaluation.py [--rows 1000] [--threads 1] [--dtype float32] [--keep FILE]

    labels    77 intents of banking77 scored after each message: ours, and lm-evaluation-harness's multiple_choice with
              the same prompt and the same choices, end token included, at the faster of batch sizes 1 and 16
    answers   greedy answers of at most 128 tokens to instructions of Alpaca: ours, and transformers' generate on the
              rows as they come, one at a time and in batches as large as ours

The parts take turns at blocks of rows, each block in a process of its own, so that what the machine does meanwhile
meets all of them; with --keep FILE a run that was cut off goes on after its last block. Seconds are of the processor
(user and system, all threads), and the clock starts after the model is loaded. Which predictions agree is counted row
by row. The rows are those with the smallest SHA-256, found through NLP_SKILLS_TEST_DATA (default ../shared/data).
lm-evaluation-harness has an environment of its own, made by uv, with the same torch and transformers.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

HARNESS = "lm_eval[hf]==0.4.13"
SYSTEM = "Name the intent of the customer's message."
ASSISTANT = "You are a helpful assistant. Answer briefly."
END = "<|im_end|>"
NEW_TOKENS = 128
BATCH = 16
BLOCK = {"labels": 50, "answers": 48}
"""Rows of a turn."""
PROBE = 4
"""Rows on which the harness shows its faster batch size."""
TASK = """
task: banking77
dataset_path: json
dataset_kwargs: {{data_files: {rows}}}
test_split: train
output_type: multiple_choice
description: "{system}"
doc_to_text: "{{{{text}}}}"
doc_to_choice: {choices}
doc_to_target: "{{{{place}}}}"
metric_list: [{{metric: acc}}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="rows whose labels are scored; 0: none")
    parser.add_argument("--answers", type=int, default=96, help="rows that are answered in words; 0: none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--keep", type=Path, help="a file of the blocks that are done")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.part:
        import torch

        torch.set_num_threads(choice.threads)
        print(json.dumps(PARTS[choice.part](choice.folder, choice.dtype)))
        return
    with tempfile.TemporaryDirectory() as folder:
        blocks = Blocks(Path(folder), choice.threads, choice.dtype, choice.keep)
        if choice.answers:
            answers(blocks, choice.answers)
        if choice.rows:
            labels(blocks, choice.rows)


def answers(blocks: Blocks, rows: int) -> None:
    """Measure and print the second table."""
    found = blocks.take_turns("answers", rows, ["ours, answers", "plain loop", "plain batches"])
    print(
        f"\n| answers to {rows} rows | rows/s | seconds | the same answers | ours is |\n|---|---|---|---|---|"
    )
    for part in found:
        line(part, found[part], found["ours, answers"])


def labels(blocks: Blocks, rows: int) -> None:
    """Measure and print the first table."""
    harnesses = ["lm-eval, batch 1", "lm-eval, batch 16"]
    probed = blocks.take_turns("labels", PROBE, harnesses)
    faster = min(harnesses, key=lambda part: probed[part]["seconds"])
    print("\n" + ", ".join(f"{part}: {PROBE / probed[part]['seconds']:.3f} rows/s" for part in harnesses))
    found = blocks.take_turns("labels", rows, ["ours, labels", faster])
    print(
        f"\n| 77 labels of {rows:,} rows | rows/s | seconds | the same labels | ours is |\n|---|---|---|---|---|"
    )
    for part in found:
        line(part, found[part], found["ours, labels"])


class Blocks:
    """What each part measured on each block of rows, kept in a file where one is named."""

    def __init__(self, folder: Path, threads: int, dtype: str, keep: Path | None) -> None:
        self.folder, self.threads, self.dtype, self.keep = folder, threads, dtype, keep
        self.done: dict[str, dict[str, Any]] = {}
        if keep and keep.is_file():
            self.done = json.loads(keep.read_text(encoding="utf-8"))

    def take_turns(self, kind: str, rows: int, parts: list[str]) -> dict[str, dict[str, Any]]:
        """Seconds and predictions of each part over all blocks."""
        found: dict[str, dict[str, Any]] = {part: {"seconds": 0.0, "said": []} for part in parts}
        for first in range(0, rows, BLOCK[kind]):
            last = min(first + BLOCK[kind], rows)
            for part in parts:
                measured = self._block(part, first, last)
                found[part]["seconds"] += measured["seconds"]
                found[part]["said"] += measured["said"]
            print(f"{kind}: {last} of {rows} rows", file=sys.stderr, flush=True)
        return found

    def _block(self, part: str, first: int, last: int) -> dict[str, Any]:
        name = f"{part}, {first} to {last}, {self.threads} thread(s), {self.dtype}"
        if name not in self.done:
            lay_out(self.folder, first, last)
            self.done[name] = figures(part, self.folder, self.threads, self.dtype)
            if self.keep:
                fresh = self.keep.with_suffix(".new")
                fresh.write_text(json.dumps(self.done), encoding="utf-8")
                fresh.replace(self.keep)
        return self.done[name]


def line(part: str, found: dict[str, Any], ours: dict[str, Any]) -> None:
    """One line of a table."""
    rows, seconds = len(found["said"]), found["seconds"]
    same = sum(a == b for a, b in zip(found["said"], ours["said"], strict=True)) / rows
    print(
        f"| {part} | {rows / seconds:.2f} | {seconds:.1f} | {same:.2%} | {seconds / ours['seconds']:.1f} x |"
    )


def figures(part: str, folder: Path, threads: int, dtype: str) -> dict[str, Any]:
    """What a process of this part measured: seconds, and what was said to each row."""
    asked = ["--part", part, "--folder", str(folder), "--threads", str(threads), "--dtype", dtype]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **offline}
    command = [sys.executable]
    if part.startswith("lm-eval"):
        same = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in ("torch", "transformers")]
        given = [word for package in (HARNESS, *same) for word in ("--with", package)]
        command = ["uv", "run", "--no-project", "--python", "3.11", *given, "python"]
    done = subprocess.run(
        [*command, __file__, *asked], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{part}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def lay_out(folder: Path, first: int, last: int) -> None:
    """The rows of a block, the task and the place of the model, as every part reads them."""
    from nlp_skills.base_model import resolve_base_model

    data = Path(os.environ.get("NLP_SKILLS_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    place = data / "classification"
    with (place / "banking77_test.csv").open(encoding="utf-8", newline="") as stream:
        read = sorted(csv.DictReader(stream), key=lambda row: digest(row["text"]))
    labels = json.loads((place / "banking77_categories.json").read_text(encoding="utf-8"))
    chosen = [{"text": row["text"], "place": labels.index(row["category"])} for row in read[first:last]]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, chosen)) + "\n", encoding="utf-8")
    alpaca = json.loads((data / "instruction_chat" / "alpaca_en_demo.json").read_text(encoding="utf-8"))
    asked = sorted((f"{row['instruction']}\n{row['input']}".strip() for row in alpaca), key=digest)[
        first:last
    ]
    told = {"model": resolve_base_model("smollm2-135m-instruct").path, "labels": labels, "asked": asked}
    (folder / "about.json").write_text(json.dumps(told), encoding="utf-8")
    task = TASK.format(
        rows=folder / "rows.jsonl", system=SYSTEM, choices=json.dumps([f"{label}{END}" for label in labels])
    )
    (folder / "banking77.yaml").write_text(task, encoding="utf-8")


def digest(text: str) -> bytes:
    """The order in which rows are taken."""
    return hashlib.sha256(text.encode()).digest()


def about(folder: Path) -> dict[str, Any]:
    """What `lay_out` wrote down."""
    return json.loads((folder / "about.json").read_text(encoding="utf-8"))


def predictor(folder: Path, dtype: str) -> Any:
    """Ours."""
    from nlp_skills.base_model import BaseModelFiles
    from nlp_skills.evaluation.predictors.local import load_local

    path = about(folder)["model"]
    return load_local(BaseModelFiles(name="smollm2", path=path), None, dtype)


def example(number: int, system: str, text: str) -> Any:
    """A message as a row."""
    from nlp_skills.data.example import Example, Message, Meta

    turns = [Message("system", system), Message("user", text), Message("assistant", "")]
    return Example(meta=Meta(str(number), "banking77"), messages=turns)


def our_labels(folder: Path, dtype: str) -> dict[str, Any]:
    """Labels scored by us."""
    from nlp_skills.evaluation.predictors import Decoding, predict

    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [example(n, SYSTEM, json.loads(text)["text"]) for n, text in enumerate(lines)]
    labels, model = about(folder)["labels"], predictor(folder, dtype)
    started = time.process_time()
    found = predict(model, rows, Decoding(labels=labels, batch_size=BATCH))
    return {
        "seconds": time.process_time() - started,
        "said": [labels.index(answer.text) for answer in found],
    }


def our_answers(folder: Path, dtype: str) -> dict[str, Any]:
    """Answers generated by us."""
    from nlp_skills.evaluation.predictors import Decoding, predict

    rows = [example(n, ASSISTANT, text) for n, text in enumerate(about(folder)["asked"])]
    model = predictor(folder, dtype)
    started = time.process_time()
    found = predict(model, rows, Decoding(max_new_tokens=NEW_TOKENS, batch_size=BATCH))
    return {"seconds": time.process_time() - started, "said": [answer.text for answer in found]}


def plain(folder: Path, dtype: str, size: int) -> dict[str, Any]:
    """transformers' generate as its documentation shows it, the rows in the order in which they come."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    told = about(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(told["model"], padding_side="left")
    load: Any = AutoModelForCausalLM.from_pretrained
    model = load(told["model"], dtype=getattr(torch, dtype))
    said: list[str] = []
    started = time.process_time()
    for first in range(0, len(told["asked"]), size):
        chats = [
            [{"role": "system", "content": ASSISTANT}, {"role": "user", "content": text}]
            for text in told["asked"][first : first + size]
        ]
        given = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            out = model.generate(**given, max_new_tokens=NEW_TOKENS, do_sample=False)
        new = out[:, given["input_ids"].shape[1] :]
        said += [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
    return {"seconds": time.process_time() - started, "said": said}


def harness(folder: Path, dtype: str, size: int) -> dict[str, Any]:
    """lm-evaluation-harness in its own environment."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model: Any = HFLM(pretrained=about(folder)["model"], dtype=dtype, device="cpu", batch_size=size)
    evaluate: Any = lm_eval.simple_evaluate
    started = time.process_time()
    found = evaluate(
        model=model,
        tasks=["banking77"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
        log_samples=True,
    )
    seconds = time.process_time() - started
    samples = sorted(found["samples"]["banking77"], key=lambda sample: sample["doc_id"])
    scores = [[float(reply[0]) for reply in sample["filtered_resps"]] for sample in samples]
    return {"seconds": seconds, "said": [row.index(max(row)) for row in scores]}


PARTS: dict[str, Any] = {
    "ours, labels": our_labels,
    "lm-eval, batch 1": lambda folder, dtype: harness(folder, dtype, 1),
    "lm-eval, batch 16": lambda folder, dtype: harness(folder, dtype, BATCH),
    "ours, answers": our_answers,
    "plain loop": lambda folder, dtype: plain(folder, dtype, 1),
    "plain batches": lambda folder, dtype: plain(folder, dtype, BATCH),
}


if __name__ == "__main__":
    main()
