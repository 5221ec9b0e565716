"""Batches whose places are taken again: every prompt gets the tokens that it gets alone, whoever it stands with."""

import random
from typing import Any

import pytest
import torch

from nlp_skills.errors import RunFailed
from nlp_skills.evaluation.predictors import Decoding
from nlp_skills.evaluation.predictors.choice_scoring import ChoiceScorer
from nlp_skills.evaluation.predictors.generation import Generated, generate, generate_each
from nlp_skills.evaluation.predictors.joining import step
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache
from nlp_skills.evaluation.predictors.roomy_cache import roomy_cache

ENDS = frozenset(range(0, 250, 19))
"""Many tokens end an answer, so that a random model's are of all lengths."""
SIZES = {"vocab_size": 250, "hidden_size": 16, "num_hidden_layers": 2, "initializer_range": 1.0}


def make_model(family: str) -> Any:
    from transformers import (
        Lfm2Config,
        Lfm2ForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
    )

    torch.manual_seed(13)
    heads = {"intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
    if family == "lfm2, which keeps sums":
        return Lfm2ForCausalLM(Lfm2Config(layer_types=["conv", "full_attention"], **heads, **SIZES)).eval()
    if family == "mistral with a narrow window":
        return MistralForCausalLM(MistralConfig(sliding_window=6, **heads, **SIZES)).eval()
    return LlamaForCausalLM(LlamaConfig(**heads, **SIZES)).eval()


def draw_prompts(count: int, begin: tuple[int, ...] = ()) -> list[list[int]]:
    rng = random.Random(count)
    return [[*begin, *rng.choices(range(250), k=rng.randint(1, 30))] for _ in range(count)]


def ask(model: Any, prompts: list[list[int]], how: Decoding) -> list[list[Generated]]:
    start = PromptCache(model, 0, prompts, room=how.max_new_tokens)
    return generate(model, start, ENDS, prompts, how)


def alone(model: Any, prompts: list[list[int]], how: Decoding) -> list[list[Generated]]:
    return [ask(model, [prompt], how.with_changes(batch_size=1))[0] for prompt in prompts]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("family", ["llama", "mistral with a narrow window", "lfm2, which keeps sums"])
def test_rows_that_take_the_places_of_others_say_what_they_say_alone(family: str, batch_size: int) -> None:
    model = make_model(family)
    prompts = draw_prompts(20, begin=tuple(range(100, 112)))
    how = Decoding(max_new_tokens=24, batch_size=batch_size)
    found = ask(model, prompts, how)
    assert found == alone(model, prompts, how)
    assert {one.cut for row in found for one in row} == {True, False}
    assert len({len(one.ids) for row in found for one in row}) > 5


def said_without_a_cache(model: Any, prompts: list[list[int]], most: int) -> list[list[int]]:
    """What a plain loop of forward passes says, which reads everything anew for each token."""
    said = []
    for prompt in prompts:
        ids = list(prompt)
        with torch.inference_mode():
            while len(ids) < len(prompt) + most and (len(ids) == len(prompt) or ids[-1] not in ENDS):
                ids.append(int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        said.append(ids[len(prompt) :])
    return said


def test_a_plain_loop_without_a_cache_says_the_same() -> None:
    model = make_model("mistral with a narrow window")
    prompts = draw_prompts(6, begin=tuple(range(100, 112)))
    found = ask(model, prompts, Decoding(max_new_tokens=12, batch_size=2))
    assert [one.ids for (one,) in found] == said_without_a_cache(model, prompts, 12)


@pytest.mark.parametrize("family", ["Mamba", "Rwkv"])
def test_a_model_that_keeps_a_state_of_its_own_says_what_its_forward_passes_say(family: str) -> None:
    import transformers

    heads = {"Rwkv": {"attention_hidden_size": 16}}
    sizes = {**SIZES, "state_size": 4, **heads.get(family, {})}
    torch.manual_seed(13)
    config = getattr(transformers, f"{family}Config")(**sizes)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    model.generation_config.repetition_penalty = 5.0  # a setting that nobody would see in the results
    prompts = draw_prompts(3)
    found = ask(model, prompts, Decoding(max_new_tokens=12, batch_size=2))
    assert [one.ids for (one,) in found] == said_without_a_cache(model, prompts, 12)
    assert [one.cut for (one,) in found] == [one.ids[-1] not in ENDS for (one,) in found]
    drawn = Decoding(max_new_tokens=6, batch_size=2, samples=2, temperature=1.0)
    first = ask(model, prompts, drawn)
    assert first == ask(model, prompts[::-1], drawn)[::-1]
    assert len({tuple(one.ids) for row in first for one in row}) > len(prompts)
    scores = ChoiceScorer(model, 0, prompts).log_probs(prompts[:1], [[1, 2], [3]])
    assert scores.shape == (1, 2) and bool(scores.isfinite().all())


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_several_samples_of_a_row_are_those_that_it_draws_alone(batch_size: int) -> None:
    model = make_model("llama")
    prompts = draw_prompts(9)
    how = Decoding(max_new_tokens=20, batch_size=batch_size, samples=3, temperature=1.0)
    found = ask(model, prompts, how)
    assert found == alone(model, prompts, how)
    assert len({tuple(one.ids) for row in found for one in row}) > 20


def test_a_place_is_taken_before_the_longest_answer_of_its_batch_has_ended() -> None:
    model = make_model("llama")
    prompts = draw_prompts(30)
    start = PromptCache(model, 0, prompts)
    seen = [
        index
        for index, _ in generate_each(model, start, ENDS, prompts, Decoding(max_new_tokens=40, batch_size=6))
    ]
    order = sorted(range(30), key=lambda i: (-len(prompts[i]), i))
    assert sorted(seen) == list(range(30))
    assert any(seen.index(late) < seen.index(early) for early in order[:6] for late in order[6:])


def test_every_row_has_its_share_of_the_time() -> None:
    prompts = draw_prompts(5)
    found = ask(make_model("llama"), prompts, Decoding(max_new_tokens=5, batch_size=2))
    assert all(one.seconds > 0 for row in found for one in row)


class SomeRowsOnly(torch.nn.Module):
    """A device that has room for so many tokens at a time."""

    def __init__(self, model: Any, tokens: int) -> None:
        super().__init__()
        self.model, self.config, self.device, self.tokens = model, model.config, model.device, tokens
        self.refused = 0

    def forward(self, attention_mask: torch.Tensor, **given: Any) -> Any:
        if attention_mask.numel() > self.tokens:
            self.refused += 1
            raise torch.OutOfMemoryError("out of memory")
        return self.model(attention_mask=attention_mask, **given)


@pytest.mark.parametrize("samples", [1, 2])
def test_what_a_device_has_no_room_for_is_asked_again_with_fewer_rows(samples: int) -> None:
    model = make_model("llama")
    prompts = draw_prompts(12)
    how = Decoding(max_new_tokens=20, batch_size=8, samples=samples, temperature=float(samples > 1))
    small = SomeRowsOnly(model, 110 * samples)
    assert ask(small, prompts, how) == alone(model, prompts, how)
    assert small.refused > 0
    with pytest.raises(torch.OutOfMemoryError):
        ask(SomeRowsOnly(model, 20), prompts, how)


def test_a_cache_with_room_holds_what_a_plain_one_holds_after_any_change() -> None:
    from transformers import DynamicCache

    model = make_model("llama")
    prompts = draw_prompts(4)
    rows = torch.tensor([2, 0, 2])
    kept: list[Any] = []
    with torch.inference_mode():
        for cache in (DynamicCache(), roomy_cache()):
            start = PromptCache(model, 0, [])
            start._cache = lambda rows, cache=cache: cache  # type: ignore[method-assign]
            batch = start.start(prompts)
            for token in range(70):
                batch = step(model, batch, [token, token + 1, token + 2, token + 3])
            cache.crop(-5)
            cache.reorder_cache(rows)
            mask, last = batch.mask[rows, :-5], batch.last[rows] - 5
            for layer in cache.layers:  # cut from the left, as `trim` does
                layer.keys, layer.values = layer.keys[:, :, 1:], layer.values[:, :, 1:]
            batch = type(batch)(batch.logits[rows], cache, mask[:, 1:], last)
            kept.append(step(model, step(model, batch, [5, 6, 7]), [8, 9, 10]))
    plain, roomy = kept
    torch.testing.assert_close(roomy.logits, plain.logits, rtol=0, atol=0)
    for mine, other in zip(roomy.cache.layers, plain.cache.layers, strict=True):
        torch.testing.assert_close(mine.keys, other.keys, rtol=0, atol=0)
        torch.testing.assert_close(mine.values, other.values, rtol=0, atol=0)


def test_a_model_that_computes_nan_gives_no_answer() -> None:
    model, prompts = make_model("llama"), draw_prompts(3)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(RunFailed, match=r"no numbers \(NaN\)"):
        ask(model, prompts, Decoding(max_new_tokens=4, batch_size=2))
    with pytest.raises(RunFailed, match=r"no numbers \(NaN\)"):
        ChoiceScorer(model, 0, prompts).log_probs(prompts, [[20, 1], [21, 1]])
