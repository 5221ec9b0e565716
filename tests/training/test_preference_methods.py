"""dpo, orpo and kto on a small model: what they train on, what they record, and that a stopped run goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotValid
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.run.metrics_log import read_metrics
from small_model import save_small_model, small_tokenizer

CONFIG: dict[str, Any] = {
    "learning_rate": 0.01,
    "lora_r": 4,
    "epochs": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "per_device_eval_batch_size": 4,
    "max_length": 64,
    "save_steps": 2,
    "dtype": "float32",
    "threads": 1,
}


def pair(number: int, **changes: Any) -> Example:
    """A question whose better answer is a word and whose worse one is a number."""
    given = {
        "meta": Meta(id=f"pairs-{number}", source="pairs", line=number),
        "prompt": [Message("user", f"say {number}?")],
        "chosen": [Message("assistant", "yes" + "!" * (number % 5))],
        "rejected": [Message("assistant", str(number))],
    }
    return Example(**{**given, **changes})


def marked(number: int) -> Example:
    good = number % 3 == 0
    return Example(
        meta=Meta(id=f"marks-{number}", source="marks", line=number, label="true" if good else "false"),
        messages=[Message("user", f"say {number}?"), Message("assistant", "yes" if good else str(number))],
    )


def trained(
    tmp_path: Path, method: str, examples: list[Example], *, stop: int | None = None, **settings: Any
) -> tuple[Path, Path]:
    """The folder of a run (it goes on from a checkpoint that is there), and its metrics; `stop` ends it after a step."""
    import torch
    from transformers import TrainerCallback, set_seed

    from nlp_skills.base_model import load_tokenizer, resolve_base_model
    from nlp_skills.training.checkpoints import checkpoints, step_of
    from nlp_skills.training.environment import Stopwatch
    from nlp_skills.training.methods import load_method
    from nlp_skills.training.preflight.trainable_model import load_trainable_model
    from nlp_skills.training.run.metrics_log import MetricsLog

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = state.global_step == stop

    base = tmp_path.parent / f"{tmp_path.name}-base"
    if not base.exists():
        save_small_model(base)
    config = TrainConfig.parse({**CONFIG, "base_model": str(base), "method": method, **settings}, "config")
    torch.set_num_threads(1)
    set_seed(config.seed)
    files = resolve_base_model(config.base_model)
    tokenizer = load_tokenizer(files)
    learned = load_method(method)
    cut = len(examples) * 3 // 4
    rows = {
        "train": learned.tokenize(tokenizer, examples[:cut], config),
        "valid": learned.tokenize(tokenizer, examples[cut:], config),
    }
    work = tmp_path / "checkpoints"
    work.mkdir(parents=True, exist_ok=True)
    newest = next(iter(reversed(checkpoints(work))), None)
    log = MetricsLog(tmp_path / "metrics.jsonl", resumed_at=step_of(newest) if newest else 0)
    model = load_trainable_model(files, config)
    callbacks = [log.callback(Stopwatch()), *([Stop()] if stop else [])]
    trainer = learned.build_trainer(config, model, tokenizer, rows, work, callbacks)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    trainer.model.save_pretrained(tmp_path / "model")
    return tmp_path / "model", tmp_path / "metrics.jsonl"


def last(metrics: Path, name: str) -> float:
    return next(row[name] for row in reversed(read_metrics(metrics)) if name in row)


def weights(model: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(next(model.glob("*.safetensors")))


PAIR_FIGURES = {
    "loss",
    "rewards/accuracies",
    "rewards/chosen",
    "rewards/margins",
    "rewards/rejected",
    "logps/chosen",
    "logps/rejected",
}


@pytest.mark.parametrize("peft", ["lora", "qlora", "none"])
def test_dpo_learns_to_prefer_the_better_answer(tmp_path: Path, peft: str) -> None:
    rate = 0.003 if peft == "none" else 0.01
    model, metrics = trained(tmp_path, "dpo", [pair(n) for n in range(40)], peft=peft, learning_rate=rate)
    assert last(metrics, "eval_loss") < 0.68, "log 2 = 0.693 is where it begins"
    assert last(metrics, "eval_rewards/accuracies") > 0.9
    assert set(read_metrics(metrics)[0]) >= PAIR_FIGURES
    assert any("lora_B" in name and bool(found.any()) for name, found in weights(model).items()) == (
        peft != "none"
    )


def test_orpo_learns_the_better_answer_and_to_prefer_it(tmp_path: Path) -> None:
    _, metrics = trained(tmp_path, "orpo", [pair(n) for n in range(40)])
    rows = read_metrics(metrics)
    assert set(rows[0]) >= {*PAIR_FIGURES, "nll_loss", "log_odds_ratio"}
    evaluated = [row for row in rows if "eval_loss" in row]
    assert evaluated[-1]["eval_loss"] < rows[0]["loss"] - 0.2
    assert evaluated[-1]["eval_rewards/accuracies"] > 0.9


def test_orpo_scores_answers_as_trl_does_and_learns_the_better_answer_alone(tmp_path: Path) -> None:
    import torch

    from nlp_skills.base_model import load_tokenizer, resolve_base_model
    from nlp_skills.training.methods import orpo
    from nlp_skills.training.preflight.trainable_model import load_trainable_model

    base = save_small_model(tmp_path / "base")
    config = TrainConfig.parse({**CONFIG, "base_model": str(base), "method": "orpo"}, "config")
    files = resolve_base_model(str(base))
    tokenizer = load_tokenizer(files)
    rows = orpo.tokenize(tokenizer, [pair(n) for n in (1, 4, 12)], config)
    model = load_trainable_model(files, config)
    trainer = orpo.build_trainer(config, model, tokenizer, {"train": rows}, tmp_path / "out", [])
    given: Any = trainer.train_dataset
    batch: Any = next(iter(trainer.get_eval_dataloader(given)))
    better, worse, _, _, loss = trainer.concatenated_forward(trainer.model, batch)
    theirs = orpo.ORPOTrainer.concatenated_forward(trainer, trainer.model, batch)
    torch.testing.assert_close((better, worse), theirs[:2], rtol=1e-4, atol=1e-5)
    counts = torch.tensor([len(row.chosen_ids) for row in rows])
    torch.testing.assert_close(loss, -(theirs[0] * counts).sum() / counts.sum(), rtol=1e-4, atol=1e-5)


def test_kto_learns_from_pairs_and_from_single_answers_that_are_marked(tmp_path: Path) -> None:
    for name, examples in {
        "pairs": [pair(n) for n in range(30)],
        "marks": [marked(n) for n in range(60)],
    }.items():
        _, metrics = trained(tmp_path / name, "kto", examples)
        rows = read_metrics(metrics)
        assert set(rows[-1]) >= {"eval_loss", "eval_kl", "eval_rewards/margins", "eval_logps/chosen"}
        assert last(metrics, "eval_rewards/margins") > 0, name


def test_batches_of_kto_mix_good_and_bad_answers_of_like_length_and_stay_together() -> None:
    from nlp_skills.training.methods.answer_pairs import MarkedRow
    from nlp_skills.training.methods.kto import BatchOrder, balance, in_batches, marked_dataset

    rows = [MarkedRow([n], [n] * (n % 7 + 1), n % 3 == 0) for n in range(61)]
    ordered = in_batches(rows, 6, seed=1)
    assert sorted(row.prompt_ids for row in ordered) == sorted(row.prompt_ids for row in rows)
    batches = [ordered[start : start + 6] for start in range(0, 60, 6)]
    assert {sum(row.desirable for row in batch) for batch in batches} == {2, 3}
    assert max(max(row.length for row in b) - min(row.length for row in b) for b in batches) <= 2
    assert balance(rows) == (40 / 21, 1.0)
    made = marked_dataset(ordered, 6)
    assert made["KL_completion_ids"][:7] == [
        *(row.completion_ids for row in (ordered[5], *ordered[:5])),
        ordered[11].completion_ids,
    ]
    assert made["KL_completion_ids"][60] == ordered[59].completion_ids, "a batch of one row"
    orders = []
    for epoch in (0, 0, 1):
        sampler = BatchOrder(61, 6, seed=1)
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(61)) and orders[2][-1] == 60
    assert all(orders[2][k : k + 6] == list(range(orders[2][k], orders[2][k] + 6)) for k in range(0, 60, 6))


def asked(number: int) -> Example:
    answered = [Message("user", f"say {number}?"), Message("assistant", "yes")]
    return Example(meta=Meta(id=f"asks-{number}", source="asks", line=number), messages=answered)


GRPO: dict[str, Any] = {"rewards": ["length_limit"], "num_generations": 2, "max_completion_length": 12}
"""More than six letters have a price, twice as many as the rows have: some answers to a prompt differ in it."""


@pytest.mark.parametrize(
    ("method", "kind", "settings"),
    [("dpo", pair, {}), ("orpo", pair, {}), ("kto", marked, {}), ("grpo", asked, GRPO)],
)
def test_a_run_that_was_stopped_ends_as_an_undisturbed_one(
    tmp_path: Path, method: str, kind: Callable[[int], Example], settings: dict[str, Any]
) -> None:
    examples = [kind(n) for n in range(16)]
    given = {"eval_steps": 4, "epochs": 2, **settings}
    whole, metrics = trained(tmp_path / "whole", method, examples, **given)
    base = tmp_path / "whole-base"
    base.rename(tmp_path / "parts-base")
    trained(tmp_path / "parts", method, examples, stop=3, **given)
    parts, again = trained(tmp_path / "parts", method, examples, **given)
    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys()
    assert all((expected[name] - found[name]).abs().max() < 1e-6 for name in expected)
    rows = [[{**row, "seconds": 0} for row in read_metrics(file)] for file in (metrics, again)]
    assert rows[1] == [pytest.approx(row, abs=1e-5) for row in rows[0]]


def test_pairs_are_cut_apart_where_the_answer_begins_and_end_with_the_end_token(tmp_path: Path) -> None:
    from nlp_skills.training.methods.answer_pairs import tokenize_pairs

    tokenizer = small_tokenizer()
    (row,) = tokenize_pairs(tokenizer, [pair(3)], 64)
    said = [tokenizer.decode(ids) for ids in (row.prompt_ids, row.chosen_ids, row.rejected_ids)]
    assert said == [
        "<|im_start|>user\nsay 3?<|im_end|>\n<|im_start|>assistant\n",
        "yes!!!<|im_end|>",
        "3<|im_end|>",
    ]
    assert (row.length, row.trained) == (len(row.prompt_ids) + 7, 9)


def test_rows_that_are_no_pairs_and_rows_that_are_too_long_are_refused(tmp_path: Path) -> None:
    from nlp_skills.training.methods.answer_pairs import tokenize_marked, tokenize_pairs

    tokenizer = small_tokenizer()
    with pytest.raises(NotValid, match=r"Row marks-4 is no pair .* method: kto"):
        tokenize_pairs(tokenizer, [pair(1), marked(4)], 64)
    with pytest.raises(
        NotValid, match=r"More tokens than max_length 16: 2 rows \(the longest has 3\d; first: pairs-1"
    ):
        tokenize_pairs(tokenizer, [pair(1), pair(2)], 16)
    turns = [Message("assistant", "wait"), Message("user", "why?"), Message("assistant", "so")]
    with pytest.raises(NotValid, match="Row pairs-7 has an answer of 3 turns"):
        tokenize_pairs(tokenizer, [pair(7, chosen=turns)], 64)
    unmarked = Example(
        meta=Meta(id="x", source="x"), messages=[Message("user", "a"), Message("assistant", "b")]
    )
    with pytest.raises(NotValid, match="Row x is neither a pair of answers nor an answer that is marked"):
        tokenize_marked(tokenizer, [unmarked], 64)
