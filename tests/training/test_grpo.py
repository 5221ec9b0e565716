"""grpo on a small model: rewards of a task, of the user's own file, groups, and tools for templates without any."""

from pathlib import Path
from typing import Any

import pytest
from test_preference_methods import trained

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotValid
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.rewards import rewards_sha256
from nlp_skills.training.run.metrics_log import read_metrics
from small_model import small_tokenizer

GRPO: dict[str, Any] = {
    "num_generations": 4,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_completion_length": 8,
    "learning_rate": 0.05,
    "epochs": 4,
    "save_steps": 8,
}


def ask(number: int) -> Example:
    return Example(
        meta=Meta(id=f"asks-{number}", source="asks", line=number),
        messages=[Message("user", f"say {number}"), Message("assistant", "yes")],
    )


def test_grpo_learns_what_an_own_reward_asks_for(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text(
        "def letters(answer, example):\n"
        "    assert example.answer.content == 'yes'\n"
        "    return sum(c.isascii() for c in answer) / 8\n",
        encoding="utf-8",
    )
    rewards = ["rewards.py:letters", "length_limit"]
    hashes = rewards_sha256(rewards, tmp_path)
    _, metrics = trained(
        tmp_path, "grpo", [ask(n) for n in range(32)], rewards=rewards, rewards_sha256=hashes, **GRPO
    )
    rows = read_metrics(metrics)
    assert set(rows[0]) >= {
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "rewards/letters/mean",
        "rewards/length_limit/mean",
        "completions/mean_length",
    }
    evaluated = [row["eval_rewards/letters/mean"] for row in rows if "eval_reward" in row]
    assert evaluated[-1] > evaluated[0]
    assert len([row for row in rows if "loss" in row]) == 4 * 24 * 4 // 8


def test_a_reward_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rewards.py"
    file.write_text("def short(answer, example):\n    return -len(answer)\n", encoding="utf-8")
    hashes = rewards_sha256(["rewards.py:short"], tmp_path)
    file.write_text("def short(answer, example):\n    return 1.0\n", encoding="utf-8")
    settings = {**GRPO, "rewards": ["rewards.py:short"], "rewards_sha256": hashes}
    with pytest.raises(NotValid, match=r"rewards\.py is not the file that the version was made with"):
        trained(tmp_path, "grpo", [ask(n) for n in range(8)], **settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_generations": 3}, "8 answers in a step .* are no multiple of num_generations 3"),
        ({"gradient_accumulation_steps": 8}, "a step asks 16 prompts, and there are 6"),
        ({"max_length": 20}, "More tokens than max_length 20: 6 rows"),
        ({"rewards": ["label"]}, "label goes by the row's label, and row asks-0 has none"),
        (
            {"rewards": ["valid_tool_call"]},
            "valid_tool_call goes by the row's tools, and row asks-0 has none",
        ),
    ],
)
def test_what_grpo_cannot_do_is_refused_before_it_begins(
    tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    given = {**GRPO, "rewards": ["exact_answer"], **settings}
    with pytest.raises(NotValid, match=reason):
        trained(tmp_path, "grpo", [ask(n) for n in range(8)], **given)


def test_prompts_show_tools_in_words_where_the_template_shows_none() -> None:
    from nlp_skills.training.methods import grpo

    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    example = Example(
        meta=Meta(id="calls-1", source="calls"),
        messages=[Message("user", "1+?"), Message("assistant", tool_calls=[call])],
        tools=[tool],
    )
    config = TrainConfig(method="grpo", rewards=["valid_tool_call"], tools_in_prompt=True)
    (row,) = grpo.tokenize(small_tokenizer(), [example], config)
    shown = small_tokenizer().decode(row.prompt_ids)
    assert shown.startswith('<|im_start|>system\nYou can call these tools:\n{"name": "add", "parameters"')
    assert shown.endswith("<|im_start|>user\n1+?<|im_end|>\n<|im_start|>assistant\n")
    assert row.example == example, "rewards see the row as it is"
    with pytest.raises(NotValid, match=r"does not show tools .* tools_in_prompt"):
        grpo.tokenize(small_tokenizer(), [example], config.with_changes(tools_in_prompt=False))


def test_prompts_reach_the_model_as_the_template_writes_them() -> None:
    from nlp_skills.training.methods import grpo

    config = TrainConfig(method="grpo", rewards=["exact_answer"], max_completion_length=8)
    (row,) = grpo.tokenize(small_tokenizer(), [ask(1)], config)
    text = "<|im_start|>user\nsay 1<|im_end|>\n<|im_start|>assistant\n"
    assert small_tokenizer().decode(row.prompt_ids) == text
    assert (row.length, row.trained) == (len(row.prompt_ids) + 8, 8)
