"""The real SmolLM2 learns from the written sample with every adapter: what is held out is less of a surprise afterwards."""

from pathlib import Path
from typing import Any

import pytest

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.sample import SUPPORT_MESSAGES
from nlp_skills.data.sources.file import read_file
from nlp_skills.training.config import TrainConfig

pytestmark = pytest.mark.slow

SYSTEM = "Which team is the message for? billing, shipping, account, product or other."


def sample(rows: int) -> list[Example]:
    found = [row for _, row in read_file(SUPPORT_MESSAGES)][:rows]
    return [
        Example(
            meta=Meta(f"s-{number}", "s"),
            messages=[
                Message("system", SYSTEM),
                Message("user", row["message"]),
                Message("assistant", row["topic"]),
            ],
        )
        for number, row in enumerate(found)
    ]


@pytest.mark.parametrize("settings", [{}, {"peft": "dora"}, {"peft": "qlora"}], ids=["lora", "dora", "qlora"])
def test_the_held_out_loss_falls(smollm2: BaseModelFiles, tmp_path: Path, settings: dict[str, Any]) -> None:
    import torch
    import transformers

    from nlp_skills.training.methods import sft
    from nlp_skills.training.preflight.trainable_model import load_trainable_model

    config = TrainConfig.parse({"epochs": 1, "learning_rate": 1e-3, "save_steps": 100, **settings}, "config")
    torch.set_num_threads(1)
    transformers.set_seed(config.seed)
    tokenizer = load_tokenizer(smollm2)
    rows = sft.tokenize(tokenizer, sample(60), config)
    splits = {"train": rows[:48], "valid": rows[48:]}
    model = load_trainable_model(smollm2, config, max(row.length for row in rows))
    trainer = sft.build_trainer(config, model, tokenizer, splits, tmp_path, [])
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] - before["eval_loss_se"]
