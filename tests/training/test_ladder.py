"""Each step down needs less memory than the one before, changes as little as can be, and there is an end."""

from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.training.config import TrainConfig
from nlp_skills.training.preflight.ladder import LongestRows, longest_rows, next_rung


def steps(config: TrainConfig, lengths: LongestRows | None = None) -> list[dict[str, object]]:
    found = []
    while rung := next_rung(config, lengths):
        found.append(rung.changes)
        config = config.with_changes(**rung.changes)
        assert len(found) < 200
    return found


def test_the_whole_ladder_of_a_plain_run_in_its_order():
    config = TrainConfig(
        per_device_train_batch_size=4,
        gradient_accumulation_steps=1,
        per_device_eval_batch_size=2,
        lora_r=16,
        lora_alpha=32,
    )
    assert steps(config, LongestRows(longest=900, most=300)) == [
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "per_device_eval_batch_size": 1},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        {"gradient_checkpointing": True},
        {"max_length": 300},
        {"peft": "qlora"},
        {"lora_r": 8, "lora_alpha": 16},
        {"lora_r": 4, "lora_alpha": 8},
    ]


def test_the_words_say_what_was_and_what_is():
    rung = next_rung(
        TrainConfig(
            per_device_train_batch_size=6, gradient_accumulation_steps=1, per_device_eval_batch_size=1
        )
    )
    assert rung is not None
    assert rung.words == "per_device_train_batch_size 6 → 3, gradient_accumulation_steps 1 → 2"
    assert rung.keeps_checkpoints


def test_rows_are_left_out_only_where_that_makes_the_longest_much_shorter():
    done = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "gradient_checkpointing": True}
    config = TrainConfig(**done)
    for most, wanted in ((899, {"max_length": 899}), (901, {"peft": "qlora"})):
        rung = next_rung(config, LongestRows(longest=1000, most=most))
        assert rung is not None
        assert rung.changes == wanted
        assert not rung.keeps_checkpoints


def test_full_fine_tuning_has_neither_bits_nor_rank_to_give():
    config = TrainConfig(
        peft="none",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=1,
        per_device_eval_batch_size=1,
    )
    assert steps(config) == [
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
        {"gradient_checkpointing": True},
    ]


def test_where_validation_alone_does_not_fit_its_batch_is_all_that_gets_smaller():
    config = TrainConfig(per_device_train_batch_size=4, per_device_eval_batch_size=4)
    found = []
    while rung := next_rung(config, LongestRows(longest=900, most=300), evaluating=True):
        found.append((rung.changes, rung.keeps_checkpoints))
        config = config.with_changes(**rung.changes)
    assert found == [
        ({"per_device_eval_batch_size": 2}, True),
        ({"per_device_eval_batch_size": 1}, True),
        ({"max_length": 300}, False),
        ({"peft": "qlora"}, False),
    ]


def test_at_most_one_row_in_a_hundred_is_left_out():
    assert longest_rows([]) is None
    assert longest_rows([10] * 98 + [500, 600]) == LongestRows(longest=600, most=500)
    assert longest_rows([10] * 50 + [600]) == LongestRows(longest=600, most=600)
    assert longest_rows([10] * 198 + [500, 600]) == LongestRows(longest=600, most=10)


@given(
    batch=st.integers(1, 64),
    accumulation=st.integers(1, 8),
    peft=st.sampled_from(["lora", "dora", "qlora", "none"]),
    method=st.sampled_from(["sft", "cpt", "dpo", "kto"]),
    rank=st.integers(1, 256),
)
def test_a_step_of_the_optimiser_sees_the_same_rows_on_every_rung(
    batch: int, accumulation: int, peft: str, method: str, rank: int
):
    config = TrainConfig.parse(
        {
            "per_device_train_batch_size": max(2, batch) if method == "kto" else batch,
            "gradient_accumulation_steps": accumulation,
            "peft": peft,
            "method": method,
            "lora_r": rank,
        },
        "here",
    )
    rows = config.per_device_train_batch_size * config.gradient_accumulation_steps
    sizes = [config.per_device_train_batch_size]
    for changes in steps(config, LongestRows(longest=1000, most=400)):
        config = config.with_changes(**changes)
        assert config.per_device_train_batch_size * config.gradient_accumulation_steps == rows
        sizes.append(config.per_device_train_batch_size)
    assert sizes == sorted(sizes, reverse=True)
    assert method != "kto" or sizes[-1] >= 2
