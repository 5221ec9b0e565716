"""A file of plain text, from the source to a model: continued pre-training as a task does it."""

import math
import random
from pathlib import Path

import pytest

from nlp_skills.data.example import read_examples, write_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.records import sha256_file
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.new_version import create_version
from nlp_skills.training.run.best_checkpoint import candidates, looks_in
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.train import train_model
from small_model import save_small_model

SYLLABLES = "ka lo mi ne tu sa ri po ve da".split()


def words(number: int) -> str:
    """Text that no other number has, of 12 to 42 words."""
    chance = random.Random(number)
    return " ".join("".join(chance.choices(SYLLABLES, k=2)) for _ in range(12 + 10 * (number % 4)))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    base = save_small_model(tmp_path / "small")
    texts = [words(n) for n in range(48)]
    (tmp_path / "texts.csv").write_text("text\n" + "\n".join(texts) + "\n", encoding="utf-8")
    create_task(
        tmp_path / "tasks",
        "texts",
        type=TaskType.GENERATION,
        goal="Write as the bank does.",
        base_model=str(base),
    )
    task = tmp_path / "tasks" / "texts"
    add_source(task, str(tmp_path / "texts.csv"))
    regenerate_data(task)
    return task


def test_texts_without_a_question_are_divided_as_other_rows_are(task: Path) -> None:
    counts = [
        sum(1 for _ in read_examples(task / "data" / f"{name}.jsonl")) for name in ("train", "valid", "test")
    ]
    assert sum(counts) == 48 and min(counts) >= 3


def test_plain_text_is_learned_and_the_checkpoint_that_is_kept_is_recorded(task: Path) -> None:
    roles = [f for f in validate_data(task).findings if f.check == "DATA-ROLES"]
    assert roles == []
    train, general = (task / "data" / name for name in ("train.jsonl", "general.jsonl"))
    write_examples(general, list(read_examples(train))[:10])
    settings = {"keep": "best", "replay_file": "data/general.jsonl", "threads": 1}
    create_version(
        task, method="cpt", max_length=64, epochs=3, learning_rate=0.05, lora_r=4, settings=settings
    )
    train_model(task)
    folder = task / "versions" / "v1"
    config, job = TrainConfig.load(folder / "config.yaml"), Job.load(folder / "job.json")
    assert (config.method, config.replay_sha256) == ("cpt", sha256_file(general))
    rows = read_metrics(folder / "metrics.jsonl")
    evaluations = [row for row in rows if "eval_loss" in row]
    assert evaluations[-1]["eval_loss"] < evaluations[0]["eval_loss"] < 5.6
    assert job.status == "succeeded"
    kept = candidates(looks_in(rows))[0].step
    assert kept < evaluations[-1]["step"], "rows that nobody repeats are learned by heart before the end"
    assert job.kept_step == kept
    log = (task / job.log).read_text(encoding="utf-8")
    pieces = int(log.split(" training rows")[0].rsplit("\n", 1)[-1].rsplit(" ", 1)[-1])
    assert pieces > sum(1 for _ in read_examples(train)), "texts beyond max_length become several rows"
    result = evaluate_version(task)
    assert (result.metric, list(result.metrics)) == ("bits_per_byte", ["bits_per_byte", "perplexity"])
    base = result.baseline["prompted_base"]
    assert result.metrics["bits_per_byte"].high < base.metrics["bits_per_byte"].low
    assert base.gain is not None and base.gain.low > 0
    kept = next(row for row in evaluations if row["step"] == (job.kept_step or evaluations[-1]["step"]))
    perplexity = evaluate_version(task, split="valid").metrics["perplexity"].value
    assert perplexity == pytest.approx(math.exp(kept["eval_loss"]), rel=0.03)


def test_a_text_has_no_better_and_worse_answer(task: Path) -> None:
    with pytest.raises(NotValid, match="dpo learns from better and worse answers"):
        create_version(task, method="dpo")
