"""Whether a version was asked as it was trained: real prompts of the real model's tokenizer, and its real loss."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nlp_skills.base_model import BaseModelFiles, chat_template_sha256, load_tokenizer
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sample import SUPPORT_MESSAGES
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import render, tokenize
from nlp_skills.evaluation.diagnosis.diagnose import diagnose
from nlp_skills.evaluation.diagnosis.harness import probe_known_loss
from nlp_skills.evaluation.diagnosis.material import read_material
from nlp_skills.evaluation.diagnosis.record import Diagnosis
from nlp_skills.evaluation.predictors.local import load_local
from nlp_skills.evaluation.predictors.reply import prompt_hash
from nlp_skills.evaluation.results import Prediction
from nlp_skills.records import sha256_file, to_json, write_atomic, write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version

PLAIN = "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}### assistant:\n"
"""Alpaca's headings, which SmolLM2 was not tuned with."""


@pytest.fixture
def trained(tmp_path: Path, smollm2: BaseModelFiles) -> Path:
    """A task whose v1 has SmolLM2's own tokenizer beside its weights, as a run leaves it."""
    create_task(tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Route the message.")
    task = tmp_path / "tasks" / "support"
    add_source(task, str(SUPPORT_MESSAGES), copy=True)
    regenerate_data(task)
    create_version(task)
    tokenizer = load_tokenizer(smollm2)
    tokenizer.save_pretrained(task / "models" / "v1" / "adapter")
    ModelInfo(
        path="models/v1/adapter",
        format="adapter",
        sha256="",
        base_model="smollm2-135m-instruct",
        chat_template_sha256=chat_template_sha256(tokenizer),
        trainable_parameters=1,
        total_parameters=2,
    ).save(task / "versions" / "v1" / "model_info.json")
    return task


def ask(task: Path, tokenizer: object, *, longest: int | None = None, said: Callable[[Example], str]) -> None:
    """predictions.jsonl of v1, with the prompts that this tokenizer renders, cut to `longest` tokens."""
    rows = list(read_examples(task / "data" / "test.jsonl"))
    encoder = TextEncoder(tokenizer)
    prompts = encoder.encode([render(tokenizer, row.context, None, ask=True) for row in rows])
    given = [prompt[-longest:] if longest else prompt for prompt in prompts]
    lines = [
        Prediction(
            id=row.meta.id,
            input=row.input_text,
            expected=row.output_text,
            predicted=said(row),
            correct=said(row) == row.output_text,
            prompt_sha256=prompt_hash(prompt),
            prompt_tokens=len(prompt),
        )
        for row, prompt in zip(rows, given, strict=True)
    ]
    write_lines(task / "versions" / "v1" / "predictions.jsonl", map(msgspec.json.encode, lines))


def right(row: Example) -> str:
    return row.output_text


def named(found: Diagnosis) -> dict[str, str]:
    return {cause.id: cause.sure for cause in found.causes}


def test_the_training_s_own_prompts_are_no_fault(trained: Path, smollm2: BaseModelFiles) -> None:
    ask(trained, load_tokenizer(smollm2), said=right)
    found = diagnose(trained)
    assert not {"PROMPT-DIFFERS", "INPUT-CUT", "HARNESS"} & named(found).keys()
    assert "prompts other than the training's" in found.ruled_out
    assert found == Diagnosis.load(trained / "versions" / "v1" / "diagnosis.json")
    assert found.predictions_sha256 == sha256_file(trained / "versions" / "v1" / "predictions.jsonl")


def test_another_template_at_the_test_is_named_first_with_both_renderings(
    trained: Path, smollm2: BaseModelFiles
) -> None:
    other = load_tokenizer(smollm2)
    other.chat_template = PLAIN
    ask(trained, other, said=lambda _: "billing")
    found = diagnose(trained)
    first = found.causes[0]
    assert (first.id, first.sure, first.kind) == ("PROMPT-DIFFERS", "strong", "harness")
    assert first.rows[0].note.startswith("as trained: ")
    assert "<|im_start|>system" in first.rows[0].note
    (here,) = [e for e in first.evidence if e.figure == "test rows that were asked otherwise than trained"]
    assert here.value == len(list(read_examples(trained / "data" / "test.jsonl")))


def test_a_template_that_was_edited_beside_the_weights_is_not_taken_for_the_trainings(
    trained: Path, smollm2: BaseModelFiles
) -> None:
    ask(trained, load_tokenizer(smollm2), said=right)
    write_atomic(trained / "models" / "v1" / "adapter" / "chat_template.jinja", PLAIN.encode())
    first = diagnose(trained).causes[0]
    assert first.id == "PROMPT-DIFFERS"
    assert "The chat template in models/v1/adapter was changed after the training" in first.says
    (hash_,) = [e for e in first.evidence if e.figure == "chat template, trained (sha256)"]
    assert hash_.value == chat_template_sha256(load_tokenizer(smollm2))[:16]


def test_a_window_that_is_too_small_is_cut_input_and_no_other_template(
    trained: Path, smollm2: BaseModelFiles
) -> None:
    tokenizer = load_tokenizer(smollm2)
    rows = list(read_examples(trained / "data" / "test.jsonl"))
    prompts = [render(tokenizer, row.context, None, ask=True) for row in rows]
    lengths = sorted(len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) for prompt in prompts)
    ask(trained, tokenizer, longest=lengths[len(lengths) // 2], said=lambda _: "billing")
    found = diagnose(trained)
    assert (found.causes[0].id, found.causes[0].sure) == ("INPUT-CUT", "strong")
    assert "PROMPT-DIFFERS" not in named(found)


def test_what_was_not_looked_at_is_told_with_what_to_do(trained: Path) -> None:
    found = diagnose(trained, symptom="abracadabra")
    why = {item.what: item.why for item in found.unchecked}
    assert why["prompts other than the training's"] == (
        "v1 was not tested on test: nlp-skills evaluate-version support --version v1"
    )
    assert "nlp-skills validate-data support" in why["faults that the checks of the data find"]
    assert "low score" in why["the symptom 'abracadabra'"]
    assert found.predictions_sha256 is None
    assert found.causes == []
    assert found.verdict.startswith("v1 was not tested on test, so there is no score to explain. ")
    assert "prompts other than the training's" not in found.ruled_out


def test_the_known_loss_is_met_by_the_same_prompts_and_missed_by_others(
    trained: Path, smollm2: BaseModelFiles
) -> None:
    import torch

    torch.set_num_threads(1)
    predictor = load_local(smollm2, None)
    task = trained
    rows = list(read_examples(task / "data" / "valid.jsonl"))[:6]
    write_lines(task / "data" / "valid.jsonl", map(msgspec.json.encode, rows))
    snapshot = task / "versions" / "v1" / "data_snapshot.json"
    told = json.loads(snapshot.read_bytes())
    told["splits"]["valid"] |= {"count": len(rows), "sha256": sha256_file(task / "data" / "valid.jsonl")}
    write_atomic(snapshot, to_json(told))
    losses, count = 0.0, 0
    model = predictor.model
    assert model is not None
    for row in rows:
        made = tokenize(predictor.tokenizer, row)
        with torch.no_grad():
            out = model(input_ids=torch.tensor([made.input_ids]), labels=torch.tensor([made.labels]))
        losses += float(out.loss) * made.trained
        count += made.trained
    line = {"step": 1, "eval_loss": losses / count, "eval_loss_se": 0.01}
    write_atomic(task / "versions" / "v1" / "metrics.jsonl", json.dumps(line).encode() + b"\n")
    material = read_material(task, task / "versions" / "v1", "test")
    assert not list(probe_known_loss(material, predictor))
    predictor.tokenizer.chat_template = PLAIN
    (found,) = probe_known_loss(material, predictor)
    assert (found.id, found.sure) == ("HARNESS", "strong")
