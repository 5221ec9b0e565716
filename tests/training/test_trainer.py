"""LoRATrainer: what it cannot do is refused before anything is loaded, and it watches a run as a version's run does."""

from pathlib import Path
from typing import Any

import pytest

from nlp_skills.errors import NotValid, RunFailed
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.trainer import LoRATrainer
from small_model import save_small_model

ROWS: list[dict[str, Any]] = [
    {"text": f"say {n}", "label": "even" if n % 2 == 0 else "odd"} for n in range(16)
]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"keep": "best"}, r"Give validation rows: train\(rows, valid=others\), or set keep: last"),
        ({"early_stopping_patience": 1}, "early_stopping_patience go by the validation loss"),
        ({"num_processes": 2}, r"num_processes 2: here the training is this one process\. Leave it at 1"),
        ({"replay_file": "general.jsonl"}, "replay_file is read from a task folder"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_made(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    output = tmp_path / "out"
    with pytest.raises(NotValid, match=told):
        LoRATrainer(TrainConfig.parse(settings, "config"), output_dir=output).train(ROWS)
    assert not output.exists()


def test_it_watches_by_the_rules_of_its_method(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def same(answer, example):\n    return 1.0\n", encoding="utf-8")
    config = TrainConfig(
        base_model=str(save_small_model(tmp_path / "base")),
        method="grpo",
        rewards=["rewards.py:same"],
        num_generations=2,
        max_completion_length=2,
        per_device_train_batch_size=2,
        lora_r=2,
        threads=1,
    )
    with pytest.raises(RunFailed, match="RL-FLAT: all answers to a prompt have earned the same"):
        LoRATrainer(config, output_dir=tmp_path / "out").train(ROWS)
    assert read_metrics(tmp_path / "out" / "metrics.jsonl")[-1]["warning"] == "RL-FLAT"
