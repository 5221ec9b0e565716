"""Label scoring and generation with the real SmolLM2, against one plain forward pass a label."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import end_tokens, prompt_ids
from nlp_skills.evaluation.predictors import Decoding, open_predictor, predict
from nlp_skills.evaluation.predictors.choice_scoring import ChoiceScorer
from nlp_skills.evaluation.predictors.generation import generate
from nlp_skills.evaluation.predictors.local import LocalPredictor, load_local
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache
from nlp_skills.records import sha256_tree
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo
from small_model import save_small_model

LABELS = ["yes", "no", "card_payment_fee_charged", "正面"]


@pytest.fixture(scope="module")
def loaded(smollm2: BaseModelFiles) -> Iterator[LocalPredictor]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads on a busy machine wait for each other, ten times as long
    yield load_local(smollm2, None, "float32")
    torch.set_num_threads(threads)


def example(number: int, text: str, system: str = "Answer with one word.") -> Example:
    turns = [Message("system", system), Message("user", text), Message("assistant", "yes")]
    return Example(meta=Meta(id=f"s-{number}", source="s", line=number), messages=turns)


EXAMPLES = [
    example(0, "Is water wet?"),
    example(1, "台積電今天股價大漲，是好消息嗎？"),
    example(2, "A very long question: " + "is it true that the parcel came late? " * 3),
    example(3, "x"),
    example(4, "Is water wet?", system="Be brief and say what you think of it, in one word only."),
]


def by_one_forward_pass(loaded: LocalPredictor, row: Example, label: str) -> float:
    """The log-probability of a label: the whole text at once, no cache, no padding, no batch."""
    tokenizer: Any = loaded.tokenizer
    turns = [{"role": m.role, "content": m.content} for m in row.context]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    given = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    said = tokenizer(f"{label}<|im_end|>", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([given + said]), use_cache=False).logits[0].float()
    log_probs = logits.log_softmax(dim=-1)
    return sum(float(log_probs[len(given) + i - 1, token]) for i, token in enumerate(said))


@pytest.mark.slow
def test_labels_of_any_length_after_prompts_of_any_length_have_the_probability_of_a_plain_pass(
    loaded: LocalPredictor,
):
    lengths = {len(loaded.tokenizer(label)["input_ids"]) for label in LABELS}
    assert len(lengths) > 2
    answered = predict(loaded, EXAMPLES, Decoding(labels=LABELS, batch_size=3))
    for row, found in zip(EXAMPLES, answered, strict=True):
        log_probs = torch.tensor([by_one_forward_pass(loaded, row, label) for label in LABELS])
        wanted = log_probs.softmax(dim=0)
        assert found.scores is not None and list(found.scores) == LABELS
        assert list(found.scores.values()) == pytest.approx(wanted.tolist(), abs=1e-3)
        assert sum(found.scores.values()) == pytest.approx(1, abs=1e-5)
        assert found.text == LABELS[int(wanted.argmax())] == max(found.scores, key=found.scores.__getitem__)
        assert found.milliseconds > 0


def test_a_batch_changes_no_answer_and_progress_is_counted_in_rows(loaded: LocalPredictor):
    heard: list[tuple[float, float | None]] = []
    one = predict(loaded, EXAMPLES, Decoding(labels=LABELS, batch_size=1))
    many = predict(
        loaded,
        EXAMPLES,
        Decoding(labels=LABELS, batch_size=8),
        progress=lambda _, done, total: heard.append((done, total)),
    )
    assert heard == [(5, 5)]
    for a, b in zip(one, many, strict=True):
        assert a.text == b.text
        assert a.scores == pytest.approx(b.scores, abs=1e-3)


def test_generated_answers_are_those_of_each_prompt_alone_and_end_where_the_model_ends(
    loaded: LocalPredictor,
):
    rows = EXAMPLES[:4]
    together = [a.text for a in predict(loaded, rows, Decoding(max_new_tokens=12, batch_size=4))]
    in_turn = [a.text for a in predict(loaded, rows, Decoding(max_new_tokens=12, batch_size=2))]
    assert in_turn == together
    tokenizer: Any = loaded.tokenizer
    for row, text in zip(rows, together, strict=True):
        turns = [{"role": m.role, "content": m.content} for m in row.context]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        said: list[int] = []
        with torch.inference_mode():
            while len(said) < 12:
                token = int(loaded.model(input_ids=ids).logits[0, -1].argmax())
                if token in end_tokens(tokenizer):
                    break
                said.append(token)
                ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        assert text == tokenizer.decode(said, skip_special_tokens=True).strip()


def test_no_rows_have_no_answers(loaded: LocalPredictor):
    assert predict(loaded, [], Decoding(labels=LABELS, batch_size=4)) == []
    assert predict(loaded, [], Decoding(max_new_tokens=4, batch_size=4)) == []


def test_own_choices_of_each_row_have_the_log_probability_of_a_plain_pass(loaded: LocalPredictor):
    choices = [["yes", "no"], ["正面", "yes, it is", "yes"], ["x"], ["no", "no way"], ["a", "b"]]
    found = loaded.score_choices(EXAMPLES, choices)
    wanted = [
        [by_one_forward_pass(loaded, row, choice) for choice in said]
        for row, said in zip(EXAMPLES, choices, strict=True)
    ]
    for a, b in zip(found, wanted, strict=True):
        assert a == pytest.approx(b, abs=1e-2)


def test_labels_that_do_not_fit_into_one_tree_are_scored_by_several(loaded: LocalPredictor):
    prompts = loaded._prompts(EXAMPLES)
    choices = [loaded._choice_ids(EXAMPLES[0], label) for label in LABELS]
    pad = loaded.tokenizer.pad_token_id
    one = ChoiceScorer(loaded.model, pad, prompts)
    many = ChoiceScorer(loaded.model, pad, prompts)
    many._nodes = 4
    assert len(many._trees(choices)) > 1
    torch.testing.assert_close(
        one.log_probs(prompts, choices), many.log_probs(prompts, choices), atol=1e-2, rtol=1e-4
    )


def test_models_that_take_no_mask_of_ours_read_every_choice_as_a_text(loaded: LocalPredictor):
    prompts = loaded._prompts(EXAMPLES[:2])
    choices = [loaded._choice_ids(EXAMPLES[0], label) for label in LABELS]
    by_tree = ChoiceScorer(loaded.model, loaded.tokenizer.pad_token_id, prompts)
    as_text = ChoiceScorer(loaded.model, loaded.tokenizer.pad_token_id, prompts)
    as_text._trusted = False
    torch.testing.assert_close(
        by_tree.log_probs(prompts, choices), as_text.log_probs(prompts, choices), atol=1e-2, rtol=1e-4
    )
    assert by_tree._trusted is True


@pytest.mark.parametrize("family", ["mamba", "mistral with a narrow window"])
def test_a_model_that_sums_up_or_forgets_is_scored_rightly(family: str):
    from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

    torch.manual_seed(13)
    if family == "mamba":
        model: Any = MambaForCausalLM(
            MambaConfig(vocab_size=50, hidden_size=16, state_size=4, num_hidden_layers=2)
        )
    else:
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        model = MistralForCausalLM(
            MistralConfig(vocab_size=50, num_key_value_heads=1, sliding_window=6, **sizes)
        )
    model.eval()
    prompts = [[3, 4, 5, 6, 7, 8, 9, 10, 11], [3, 4, 12]]
    choices = [[20, 21, 1], [20, 22, 23, 1], [24, 1]]
    found = ChoiceScorer(model, 0, prompts).log_probs(prompts, choices)
    for prompt, row in zip(prompts, found.tolist(), strict=True):
        for choice, value in zip(choices, row, strict=True):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([prompt + choice])).logits[0].log_softmax(dim=-1)
            wanted = sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(choice))
            assert value == pytest.approx(wanted, abs=1e-4)


def test_a_beginning_that_all_prompts_share_is_computed_once_and_changes_no_answer(loaded: LocalPredictor):
    prompts = loaded._prompts(EXAMPLES[:4])
    pad, ends = loaded.tokenizer.pad_token_id, frozenset(end_tokens(loaded.tokenizer))
    shared = PromptCache(loaded.model, pad, prompts)
    assert shared._shared >= 8
    how = Decoding(max_new_tokens=8, batch_size=4)
    alone = [generate(loaded.model, PromptCache(loaded.model, pad, [p]), ends, [p], how)[0] for p in prompts]
    assert generate(loaded.model, shared, ends, prompts, how) == alone


def test_what_is_drawn_follows_from_the_seed_and_the_row_alone(loaded: LocalPredictor):
    how = Decoding(max_new_tokens=5, batch_size=4, samples=3, temperature=1.0, seed=1)
    together = predict(loaded, EXAMPLES[:3], how)
    alone = predict(loaded, EXAMPLES[:3], how.with_changes(batch_size=1))
    assert [a.samples for a in together] == [a.samples for a in alone]
    assert len({text for a in together for text in a.samples}) > 3
    assert [a.text for a in together] == [a.samples[0] for a in together]
    other = predict(loaded, EXAMPLES[:3], how.with_changes(seed=2))
    assert [a.samples for a in other] != [a.samples for a in together]


def test_tokens_prompts_and_the_limit_are_told(loaded: LocalPredictor):
    row = EXAMPLES[3]
    found = predict(loaded, [row], Decoding(max_new_tokens=2, batch_size=1))[0]
    assert (found.tokens, found.cut) == (2, True)
    assert found.prompt_tokens == len(prompt_ids(loaded.tokenizer, row))
    assert [found.prompt_sha256] == loaded.prompt_hashes([row])
    ended = predict(loaded, [row], Decoding(max_new_tokens=40, batch_size=1))[0]
    assert ended.tokens is not None
    assert (ended.cut, ended.tokens < 40) == (False, True)


class OneRowOnly(torch.nn.Module):
    """A device that has room for one row at a time."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config, self.device, self.dtype = model, model.config, model.device, model.dtype

    def forward(self, input_ids: torch.Tensor, **given: Any) -> Any:
        if len(input_ids) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return self.model(input_ids=input_ids, **given)


def test_a_batch_that_does_not_fit_into_memory_is_divided(loaded: LocalPredictor):
    small = LocalPredictor(OneRowOnly(loaded.model), loaded.tokenizer, "small", "small")
    how = Decoding(max_new_tokens=3, batch_size=4)
    assert [a.text for a in predict(small, EXAMPLES[:4], how)] == [
        a.text for a in predict(loaded, EXAMPLES[:4], how)
    ]


def test_the_adapter_of_an_older_version_is_put_on_its_own_base_model(tmp_path: Path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    old, new = (save_small_model(tmp_path / name, seed=seed) for name, seed in (("old", 1), ("new", 2)))
    create_task(tmp_path, "t", type=TaskType.CLASSIFICATION, goal="g", base_model=str(new), labels=["a", "b"])
    task, adapter = tmp_path / "t", tmp_path / "t" / "models" / "v1" / "adapter"
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(old), LoraConfig(r=2, target_modules=["q_proj"])
    )
    tuned.save_pretrained(adapter)
    TrainConfig(base_model=str(old)).save(task / "versions" / "v1" / "config.yaml")
    TrainConfig(base_model=str(new)).save(task / "versions" / "v2" / "config.yaml")
    ModelInfo(
        path="models/v1/adapter",
        format="adapter",
        sha256=sha256_tree(adapter),
        base_model=str(old),
        chat_template_sha256="",
        trainable_parameters=1,
        total_parameters=1,
    ).save(task / "versions" / "v1" / "model_info.json")
    by_folder, by_name = (open_predictor(task, reference) for reference in ("models/v1/adapter", "v1"))
    assert by_folder.name == by_name.name == f"{old} with adapter"
    assert by_folder.identity == by_name.identity
    assert open_predictor(task, "base").name == f"{new}, prompted"
