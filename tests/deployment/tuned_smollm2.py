"""A task whose v1 is the real SmolLM2 with an adapter that a few real steps have trained.

Weights are made once and kept in the cache; each test gets a task folder of its own, into which they are linked.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from nlp_skills import base_model
from nlp_skills.base_model import BaseModelFiles, cache_folder, chat_template_sha256, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.tokens import tokenize
from nlp_skills.deployment import equivalence, merge
from nlp_skills.deployment.gguf import convert, convert_worker, converter_input, export, vocabulary
from nlp_skills.deployment.gguf.export import export_model
from nlp_skills.records import sha256_file, sha256_tree, to_json, unfinished, write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training import version_model
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version

ROWS = {
    "billing": (
        "I was charged twice this month.",
        "Why is my invoice higher than last time?",
        "The refund has not arrived yet.",
        "My card was declined, but the money is gone.",
        "Please send me a receipt for March.",
        "I cancelled, and you still took the fee.",
        "Which currency do you bill in?",
        "The discount code was not applied.",
    ),
    "delivery": (
        "Where is my parcel?",
        "The courier left it in the rain.",
        "It was sent to my old address.",
        "Tracking has not moved for a week.",
        "Can you deliver on Saturday?",
        "Half of the order is missing.",
        "The box arrived open.",
        "How long does shipping to Taiwan take?",
    ),
    "account": (
        "I cannot log in any more.",
        "How do I change my e-mail address?",
        "Please delete my account.",
        "The reset link does nothing.",
        "Somebody else uses my profile.",
        "I forgot which phone number I gave.",
        "Two-factor codes never arrive.",
        "My name is spelled wrongly: it is Zoë.",
    ),
}
"""Written for these tests."""

STEPS = 2


MADE_BY = (
    base_model,
    version_model,
    merge,
    equivalence,
    convert,
    convert_worker,
    converter_input,
    export,
    vocabulary,
)


def kept_folder(smollm2: BaseModelFiles) -> Path:
    """Where the weights of these tests are kept: made by other code they are another folder."""
    sources = [Path(__file__), *(Path(str(module.__file__)) for module in MADE_BY)]
    made_of = "".join([str(smollm2.weights_sha256), *map(sha256_file, sources)])
    return cache_folder() / "tests" / f"deployment-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"


def fill(folder: Path, smollm2: BaseModelFiles) -> None:
    """Adapter, merged model and GGUF file with their records, made by the operations; `folder` appears whole."""
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a run that was killed
        shutil.rmtree(left)
    home = unfinished(folder)
    try:
        (home / "kept").mkdir(parents=True)
        task = make_task(home, home / "none")
        place = task / "models" / "v1"
        train_adapter(task, smollm2, place)
        shutil.copy(place / "model_info.json", task / "versions" / "v1")
        export_model(task, quantization="f16")
        for name in ("adapter", "model_info.json", "merged", "merged.json", "f16.json", "f16.gguf"):
            (place / name).rename(home / "kept" / name)
        (home / "kept").rename(folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def make_task(home: Path, adapter: Path) -> Path:
    """The task `tickets` below `home`, its v1 with this adapter."""
    lines = (
        {"text": text, "label": label} for texts in zip(*ROWS.values(), strict=True)
        for label, text in zip(ROWS, texts, strict=True)
    )  # fmt: skip
    write_lines(home / "tickets.jsonl", (b"".join(to_json(row).splitlines()) for row in lines))
    create_task(home / "tasks", "tickets", type=TaskType.CLASSIFICATION, goal="Route a ticket to a team.")
    task = home / "tasks" / "tickets"
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 12, "valid": 4, "test": 8}).save(task / "data_source.yaml")
    add_source(task, str(home / "tickets.jsonl"))
    regenerate_data(task)
    create_version(task, settings={"threads": 1, "dtype": "float32"})
    if adapter.is_dir():
        link_tree(adapter, task / "models" / "v1" / "adapter")
        shutil.copy(adapter.with_name("model_info.json"), task / "versions" / "v1")
    return task


def place(kept: Path, task: Path, *names: str) -> None:
    """Put what is kept into a task, each with its record: `merged`, `f16`."""
    for name in names:
        target = task / "models" / "v1"
        shutil.copy(kept / f"{name}.json", target)
        if (kept / name).is_dir():
            link_tree(kept / name, target / name)
        else:
            link(kept / f"{name}.gguf", target / f"{name}.gguf")


def link_tree(source: Path, target: Path) -> None:
    """The same files once more, without their bytes where the file system can."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        link(file, place)


def link(source: Path, target: Path) -> None:
    """A file once more, without its bytes where the file system can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def train_adapter(task: Path, smollm2: BaseModelFiles, folder: Path) -> None:
    """LoRA on the task's rows: `folder`/adapter, and model_info.json beside it. The same weights every time."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(smollm2)
    rows = [tokenize(tokenizer, row) for row in read_examples(task / "data" / "train.jsonl")]
    torch.manual_seed(13)
    load: Any = AutoModelForCausalLM.from_pretrained
    settings = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(load(smollm2.path, dtype=torch.float32), settings)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=2e-3)
    for step in range(STEPS):
        for row in rows[step * 4 : step * 4 + 4]:
            ids, labels = (torch.tensor([part]) for part in (row.input_ids, row.labels))
            model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    trainable, total = model.get_nb_trainable_parameters()
    model.save_pretrained(str(folder / "adapter"))
    tokenizer.save_pretrained(folder / "adapter")
    ModelInfo(
        path="models/v1/adapter",
        format="adapter",
        sha256=sha256_tree(folder / "adapter"),
        base_model=smollm2.name,
        base_sha256=smollm2.weights_sha256,
        chat_template_sha256=chat_template_sha256(tokenizer),
        trainable_parameters=trainable,
        total_parameters=total,
    ).save(folder / "model_info.json")
