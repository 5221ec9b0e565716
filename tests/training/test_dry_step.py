"""The dry step finds out what a step takes, and the run after it is the same to the byte as without it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_task import make_small_task

from nlp_skills.base_model import LocalTokenizer, load_tokenizer, resolve_base_model
from nlp_skills.data.checks.token_faults import TokenModel
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import RunFailed
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods import load_method
from nlp_skills.training.new_version import create_version
from nlp_skills.training.preflight.check import (
    Prepared,
    build_trainer,
    check_training,
    prepare,
    try_rewards,
    try_step,
)
from nlp_skills.training.preflight.row_faults import row_findings, validation_findings
from nlp_skills.training.preflight.rows import SplitRows


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_task(
        tmp_path_factory.mktemp("home") / "tasks", lora_dropout=0.1, gradient_checkpointing=True
    )


@pytest.fixture(scope="module")
def prepared(task: Path) -> Prepared:
    return prepare(task, "v1", {})


def trained(
    prepared: Prepared, output: Path, before: Callable[[Any], object]
) -> tuple[bytes, list[dict[str, Any]]]:
    """The adapter's bytes and the figures of a run, with something done before it begins."""
    from safetensors.torch import save

    trainer = build_trainer(prepared, output, [])
    before(trainer)
    trainer.train()
    weights = {
        name: p.detach().contiguous() for name, p in trainer.model.named_parameters() if p.requires_grad
    }
    clock = ("runtime", "per_second", "step_time")
    logged = [
        {key: value for key, value in row.items() if not key.endswith(clock)}
        for row in trainer.state.log_history
    ]
    return save(weights), logged


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_run_is_the_same_with_and_without_it(prepared: Prepared, tmp_path: Path) -> None:
    plain = trained(prepared, tmp_path / "plain", lambda _: None)
    stepped = trained(prepared, tmp_path / "stepped", lambda trainer: try_step(trainer, prepared))
    assert stepped[1] == plain[1]
    assert stepped[0] == plain[0]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_it_takes_the_longest_rows(prepared: Prepared, tmp_path: Path) -> None:
    step = try_step(build_trainer(prepared, tmp_path, []), prepared)
    assert step is not None
    assert step.tokens == 8 * max(row.length for row in prepared.rows["train"])
    assert step.loss == pytest.approx(5.5, abs=0.5)  # of 259 tokens by chance: ln 259
    assert step.eval_loss == pytest.approx(5.5, abs=0.5)
    assert step.peak_memory_mb > 100


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_collator_that_masks_every_pad_token_is_caught(prepared: Prepared, tmp_path: Path) -> None:
    """What transformers' own collator for language modelling does, where pad is eos (P02)."""
    trainer = build_trainer(prepared, tmp_path, [])
    collate, eos = trainer.data_collator, prepared.tokenizer.eos_token_id

    def masking(rows: list[Any]) -> Any:
        batch = collate(rows)
        batch["labels"][batch["labels"] == eos] = -100
        return batch

    trainer.data_collator = masking
    with pytest.raises(RunFailed, match=r"TOK-EOS: of .* tokens that are to be trained in 4 rows"):
        try_step(trainer, prepared)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_frozen_adapter_is_caught_before_the_first_step(prepared: Prepared, tmp_path: Path) -> None:
    trainer = build_trainer(prepared, tmp_path, [])
    for parameter in trainer.model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(RunFailed, match="RUN-DELTA: no gradient reaches"):
        try_step(trainer, prepared)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_check_training_says_what_a_run_will_see_and_keeps_nothing(task: Path) -> None:
    before = sorted(path for path in task.rglob("*"))
    report = check_training(task)
    assert sorted(path for path in task.rglob("*")) == before
    assert report.passed
    assert report.rows is not None
    assert report.step is not None
    assert (report.rows.rows, report.rows.answers, report.rows.ended, report.rows.most_bos) == (32, 32, 32, 0)
    assert report.trainable_parameters == 4096
    assert report.step.peak_memory_mb > 100


def test_check_training_says_what_stands_against_a_run(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", max_length=64)
    report = check_training(task)
    assert not report.passed
    assert [f.check for f in report.findings] == ["LEN-CUT"]


METHODS: dict[str, dict[str, Any]] = {
    "cpt": {},
    "dpo": {},
    "orpo": {},
    "kto": {},
    "grpo": {"rewards": ["exact_answer"], "num_generations": 2, "max_completion_length": 6},
}


def examples(method: str) -> list[Example]:
    asked = [Message("user", f"say {'ha' * number}?") for number in range(1, 17)]
    answers = [Message("assistant", "yes" + "!" * (number % 5)) for number in range(16)]
    made = []
    for number, (question, answer) in enumerate(zip(asked, answers, strict=True)):
        meta = Meta(id=f"rows-{number}", source="rows", line=number)
        if method in ("dpo", "orpo", "kto"):
            worse = [Message("assistant", str(number))]
            made.append(Example(meta=meta, prompt=[question], chosen=[answer], rejected=worse))
        else:
            turns = [answer] if method == "cpt" else [question, answer]
            made.append(Example(meta=meta, messages=turns))
    return made


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("method", METHODS)
def test_no_method_notices_it(method: str, task: Path, tmp_path: Path) -> None:
    """Weights and figures of a run are the same to the byte with and without the dry step."""
    written = TrainConfig.load(task / "versions" / "v1" / "config.yaml").model_dump(mode="json")
    size = {"max_length": 128, "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4}
    given = {**written, **size, "gradient_checkpointing": False, "method": method, **METHODS[method]}
    config = TrainConfig.parse(given, "config")
    files = resolve_base_model(config.base_model)
    tokenizer = load_tokenizer(files)
    learned = load_method(method)
    found = examples(method)
    splits = {
        name: SplitRows(part, learned.tokenize(tokenizer, part, config))
        for name, part in (("train", found[:12]), ("valid", found[12:]))
    }
    model = TokenModel(LocalTokenizer(tokenizer, None, None))
    findings, facts = row_findings(model, config, splits)
    assert [f.check for f in findings if f.level == "error"] == []
    ready = Prepared(config, learned, files, tokenizer, splits, facts, findings)
    plain = trained(ready, tmp_path / "plain", lambda _: None)
    tried = (try_step, try_rewards)
    stepped = trained(ready, tmp_path / "stepped", lambda trainer: [each(trainer, ready) for each in tried])
    assert stepped[1] == plain[1]
    assert stepped[0] == plain[0]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_check_training_finds_own_rewards_and_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    home = tmp_path / "tasks"
    given = {
        "num_generations": 4,
        "max_completion_length": 4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
    }
    task = make_small_task(home, rows=8)
    file = task / "rewards.py"
    file.write_text("def even(answer, example):\n    return len(answer) % 2\n", encoding="utf-8")
    settings = {"rewards": ["rewards.py:even"], **given}
    create_version(task, method="grpo", settings=settings)
    report = check_training(task)
    assert [f for f in report.findings if f.level == "error"] == []
    assert report.step is not None
    assert [f.check for f in report.findings] == [], "answers of one or two letters earn 0 or 1"
    create_version(task, method="grpo", settings={**settings, "rewards": ["label"]})
    report = check_training(task)
    (told,) = report.findings
    assert (told.check, told.level, told.count, report.passed) == ("RL-PREFLIGHT", "warning", 8, True)
    assert told.message.startswith(
        "For 8 of 8 prompts all 4 answers of the base model earn the same (mean reward 0)"
    )
    create_version(task, method="grpo", settings={**settings, "num_generations": 3})
    (wrong,) = (f for f in check_training(task).findings if f.level == "error")
    assert wrong.check == "RL-PREFLIGHT"
    assert wrong.message.startswith("grpo: 4 answers in a step ")
    file.write_text("def even(answer, example):\n    return 1\n", encoding="utf-8")
    (wrong,) = (f for f in check_training(task, version="v2").findings if f.level == "error")
    assert "rewards.py is not the file that the version was made with" in wrong.message


def test_a_run_without_validation_rows_is_warned(task: Path) -> None:
    assert list(validation_findings(1)) == []
    (told,) = validation_findings(0)
    assert (told.check, told.level) == ("RUN-OVERFIT", "warning")
    assert told.fix == "Set split.valid in data_source.yaml, then run: nlp-skills regenerate-data TASK"
