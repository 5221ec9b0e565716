"""A task with a version whose weights are a few thousand random ones: for what an evaluation does, not for what it finds."""

from pathlib import Path
from typing import Any

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.records import sha256_tree, to_json, write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_model(folder: Path, seed: int) -> Path:
    """A Llama of 32 dimensions with a tokenizer of bytes and ChatML."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_version(home: Path, type: TaskType, rows: list[dict[str, Any]], **settings: Any) -> Path:
    """The task's folder, with data of these rows and v1, "trained" to other random weights."""
    base = save_model(home / "base", seed=1)
    write_lines(home / "rows.jsonl", (b" ".join(to_json(row).split(b"\n")) for row in rows))
    create_task(home / "tasks", "small", type=type, goal="g", base_model=str(base))
    task = home / "tasks" / "small"
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"valid": 0.1, "test": 0.4}).save(task / "data_source.yaml")
    add_source(task, str(home / "rows.jsonl"))
    regenerate_data(task)
    create_version(task, **settings)
    weights = save_model(task / "models" / "v1" / "model", seed=2)
    ModelInfo(
        path="models/v1/model",
        format="merged",
        sha256=sha256_tree(weights),
        base_model=str(base),
        chat_template_sha256="",
        trainable_parameters=1,
        total_parameters=1,
    ).save(task / "versions" / "v1" / "model_info.json")
    return task
