"""Every method for real: SmolLM2-135M on public data, what was held out before the run and after it.

    uv run --all-extras python benchmarks/methods.py [NAME …]         all of them: about half an hour on one thread
    NLP_SKILLS_TEST_DATA=…                                            where the public data sets lie

Each run is the operations that a person calls (create_task … train_model), on one thread, so that the figures can
be made again anywhere. The start is the untrained model on the same held-out rows, measured by the same trainer.
Long rows are left out: on a processor they cost minutes and show nothing else.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.records import now
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.new_version import create_version
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.train import train_model

DATA = Path(
    os.environ.get("NLP_SKILLS_TEST_DATA")
    or Path(__file__).resolve().parent.parent.parent / "shared" / "data"
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One line of the table."""

    type: TaskType
    rows: Callable[[], list[Row]]
    settings: dict[str, Any]
    figures: tuple[str, ...]
    """Of the held-out rows, as metrics.jsonl calls them."""
    split: dict[str, int] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    """Settings of a version that is trained first and that this one begins with."""


def shortest(rows: Iterable[Row], most: int) -> list[Row]:
    """The rows with the fewest characters, in the order of the file."""
    rows = list(rows)
    kept = sorted(range(len(rows)), key=lambda n: len(json.dumps(rows[n])))[:most]
    return [rows[n] for n in sorted(kept)]


def read_array(name: str) -> list[Row]:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


def pairs() -> list[Row]:
    return shortest(read_array("preference/dpo_en_demo.json"), 64)


def marked() -> list[Row]:
    rows = read_array("preference/kto_en_demo.json")
    return [row for mark in (True, False) for row in shortest((r for r in rows if r["label"] is mark), 32)]


def bfcl(most: int) -> list[Row]:
    """BFCL's simple calls with the first accepted value of each argument. BFCL is a test set: for measuring only."""
    folder = DATA / "tool_use" / "bfcl_v4"
    lines = [
        [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for name in ("simple_python.jsonl", "possible_answer/simple_python.jsonl")
    ]
    rows = []
    for asked, known in zip(*lines, strict=True):
        ((name, accepted),) = known["ground_truth"][0].items()
        arguments = {key: values[0] for key, values in accepted.items() if "" not in values}
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        turns = [*asked["question"][0], {"role": "assistant", "tool_calls": [call]}]
        rows.append({"messages": turns, "tools": asked["function"]})
    return shortest(rows, most)


def instructions() -> list[Row]:
    return shortest(read_array("instruction_chat/alpaca_en_demo.json"), 240)


def sql_texts() -> list[Row]:
    lines = (DATA / "instruction_chat/wikisql_text_train.jsonl").read_text(encoding="utf-8").splitlines()
    return shortest(map(json.loads, lines), 240)


def supervised(method: str = "sft", **settings: Any) -> Run:
    """Instructions with their answers, or plain text; half a minute to a few on one thread."""
    return Run(
        TaskType.GENERATION,
        sql_texts if method == "cpt" else instructions,
        {"epochs": 1, "learning_rate": 4e-4, "max_length": 256, "method": method, **settings},
        ("eval_loss", "eval_loss_se"),
        split={"train": 190, "valid": 45, "test": 2},
    )


PAIRS: dict[str, Any] = {
    "type": TaskType.PREFERENCE,
    "rows": pairs,
    "split": {"train": 42, "valid": 20, "test": 2},
}
PAIR_SETTINGS = {
    "epochs": 2,
    "learning_rate": 2e-4,
    "max_length": 1536,
    "per_device_train_batch_size": 2,
    "settings": {
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 4,
        "lr_scheduler_type": "linear",
    },
}
CALLS = {"max_length": 512, "per_device_train_batch_size": 8}

RUNS: dict[str, Run] = {
    "sft-lora": supervised(peft="lora"),
    "sft-rslora": supervised(peft="lora", settings={"use_rslora": True}),
    "sft-dora": supervised(peft="dora"),
    "sft-qlora": supervised(peft="qlora"),
    "sft-none": supervised(peft="none", learning_rate=2e-5),
    "cpt-lora": supervised("cpt"),
    "dpo": Run(
        **PAIRS,
        settings={**PAIR_SETTINGS, "method": "dpo"},
        figures=("eval_loss", "eval_rewards/accuracies", "eval_rewards/margins"),
    ),
    "orpo": Run(
        **PAIRS,
        settings={**PAIR_SETTINGS, "method": "orpo"},
        figures=("eval_loss", "eval_nll_loss", "eval_rewards/accuracies"),
    ),
    "kto": Run(
        TaskType.PREFERENCE,
        marked,
        {**PAIR_SETTINGS, "method": "kto", "per_device_train_batch_size": 4},
        ("eval_loss", "eval_rewards/margins"),
        split={"train": 42, "valid": 20, "test": 2},
    ),
    "grpo": Run(
        TaskType.TOOL_USE,
        lambda: bfcl(70),
        {
            **CALLS,
            "method": "grpo",
            "epochs": 1,
            "learning_rate": 1e-4,
            "per_device_train_batch_size": 16,
            "settings": {
                "rewards": ["valid_tool_call"],
                "num_generations": 8,
                "max_completion_length": 64,
                "lr_scheduler_type": "constant",
            },
        },
        ("eval_reward", "eval_rewards/valid_tool_call/mean"),
        split={"train": 40, "valid": 20, "test": 2},
        before={**CALLS, "epochs": 1, "learning_rate": 4e-4, "settings": {"tools_in_prompt": True}},
    ),
}
"""Name → the run; another method is another row."""


def make_task(home: Path, name: str, run: Run) -> Path:
    """A task with the run's rows, split."""
    file = home / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in run.rows()), encoding="utf-8")
    create_task(home / "tasks", name, type=run.type, goal="Answer well.", instruction="")
    task = home / "tasks" / name
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split=run.split).save(task / "data_source.yaml")
    add_source(task, str(file))
    regenerate_data(task)
    return task


def version(task: Path, settings: dict[str, Any]) -> str:
    """A version with settings, on one thread."""
    other = {"threads": 1, **settings.get("settings", {})}
    return create_version(task, **{**settings, "settings": other}).version


def start(task: Path, name: str, output: Path) -> Row:
    """What the untrained model does on the held-out rows, by the trainer that will train it."""
    import torch
    import transformers

    from nlp_skills.base_model import load_tokenizer
    from nlp_skills.training.methods import load_method
    from nlp_skills.training.preflight.rows import read_rows
    from nlp_skills.training.preflight.trainable_model import load_trainable_model
    from nlp_skills.training.version_model import resolve_model

    config = TrainConfig.load(version_folder(task, name) / "config.yaml")
    torch.set_num_threads(1)
    transformers.set_seed(config.seed)
    files = resolve_model(task, config.base_model)
    tokenizer, method = load_tokenizer(files), load_method(config.method)
    rows = {split: found.rows for split, found in read_rows(method, tokenizer, task, config).items()}
    longest = max(row.length for found in rows.values() for row in found)
    model = load_trainable_model(files, config, longest)
    figures = method.build_trainer(config, model, tokenizer, rows, output, []).evaluate()
    del model
    gc.collect()
    return figures


def measure(home: Path, name: str, run: Run) -> Row:
    """The run, and its held-out figures before and after it."""
    task = make_task(home, name, run)
    settings = run.settings
    if run.before is not None:
        first = version(task, run.before)
        train_model(task, version=first)
        settings = {**settings, "base_model": first}
    made = version(task, settings)
    before = start(task, made, home / "start")
    train_model(task, version=made)
    folder = version_folder(task, made)
    after = next(row for row in reversed(read_metrics(folder / "metrics.jsonl")) if run.figures[0] in row)
    cost = Job.load(folder / "job.json").cost
    assert cost is not None
    return {
        "run": name,
        **{figure: [round(before[figure], 4), round(after[figure], 4)] for figure in run.figures},
        "seconds": cost.seconds,
        "peak_mb": cost.peak_memory_mb,
    }


def main(names: list[str]) -> None:
    """A line of JSON for each run."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in names or list(RUNS):
        with tempfile.TemporaryDirectory() as home:
            sys.stdout.write(json.dumps({**measure(Path(home), name, RUNS[name]), "when": now()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
