"""Label scoring and generation with the real SmolLM2, against one plain forward pass a label."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import end_tokens
from nlp_skills.evaluation.predictors import Decoding, predict
from nlp_skills.evaluation.predictors.local import LocalPredictor, load_local

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
