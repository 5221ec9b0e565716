"""Evaluating: answers have room, and only the weights that were trained are tested."""

from pathlib import Path

import pytest

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.tokens import answer_ids
from nlp_skills.errors import NotReady
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.records import sha256_tree
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version

ANSWERS = [
    "今天股價大漲，投資人非常滿意，本月營收創下新高。" * 4,
    "ありがとうございます。配送が遅れています。" * 4,
    '{"amount": 123456789, "iban": "DE89370400440532013000", "date": "2026-11-21"}' * 3,
    "The parcel is late and nobody answers the phone. " * 6,
    "def double(x):\n    return x + x\n" * 5,
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_longest_answer_of_the_training_rows_has_room(answer: str, smollm2: BaseModelFiles) -> None:
    turns = [Message("user", "Go on."), Message("assistant", answer)]
    row = Example(meta=Meta(id="a", source="s"), messages=turns)
    task = Task(name="t", type=TaskType.GENERATION, goal="Write.", created="")
    how = choose_decoding(task, [row], [row])
    assert len(answer_ids(load_tokenizer(smollm2), row)) <= how.max_new_tokens <= 400


def test_weights_that_are_gone_or_changed_are_not_evaluated(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="evaluation needs the train extra")
    data = tmp_path / "reviews.csv"
    data.write_text(
        "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40)), encoding="utf-8"
    )
    create_task(tmp_path / "tasks", "reviews", type=TaskType.CLASSIFICATION, goal="Good or bad?")
    task = tmp_path / "tasks" / "reviews"
    add_source(task, str(data))
    regenerate_data(task)
    create_version(task)
    adapter = task / "models" / "v1" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}", encoding="utf-8")
    ModelInfo(
        path="models/v1/adapter",
        format="adapter",
        sha256=sha256_tree(adapter),
        base_model="smollm2-135m-instruct",
        chat_template_sha256="",
        trainable_parameters=1,
        total_parameters=2,
    ).save(task / "versions" / "v1" / "model_info.json")
    (adapter / "adapter_config.json").write_text("{ }", encoding="utf-8")
    cure = r"not what v1 trained.*nlp-skills create-version reviews --parent v1"
    with pytest.raises(NotReady, match=cure):
        evaluate_version(task)
    (adapter / "adapter_config.json").unlink()
    adapter.rmdir()
    with pytest.raises(NotReady, match=cure):
        evaluate_version(task)
    assert not (task / "versions" / "v1" / "results.json").exists()
