"""What a model answers: labels are scored, free text is generated greedily.

Scoring reads the probability of every label, end token included, after the same prompt that
training used. The prompt is computed once; each label only adds its own few tokens to the cache.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, load_base_model, load_tokenizer
from nlp_skills.data.example import Example, Message
from nlp_skills.data.tokens import answer_ids, end_tokens, prompt_ids
from nlp_skills.records import Progress, silent


@dataclass(frozen=True)
class Answered:
    """One answer: the text, the labels' probabilities where labels were scored, milliseconds."""

    text: str
    scores: dict[str, float] | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to answer."""

    model: Any
    tokenizer: Any
    name: str
    thinking: bool | None = None
    """`enable_thinking` of the version's config.yaml: prompts are rendered as the training rendered them."""


def load_model(
    files: BaseModelFiles, adapter: Path | None, dtype: str = "auto", thinking: bool | None = None
) -> LoadedModel:
    """The base model, with its adapter where there is one, for inference."""
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        trained = BaseModelFiles(name=str(adapter), path=str(adapter))
        model = load_base_model(trained, dtype).eval()
        return LoadedModel(model, load_tokenizer(trained), f"{files.name}, tuned", thinking)
    model = load_base_model(files, dtype)
    name = f"{files.name}, prompted"
    if adapter is not None:
        from peft import PeftModel

        with warnings.catch_warnings():
            # PEFT 0.21 asks for an attribute that transformers 5.23 calls deprecated; nobody here can mend that.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            model = PeftModel.from_pretrained(model, adapter)
        name = f"{files.name} with {adapter.name}"
    return LoadedModel(model.eval(), load_tokenizer(files), name, thinking)


def score_labels(
    loaded: LoadedModel,
    examples: Sequence[Example],
    labels: Sequence[str],
    *,
    batch_size: int = 16,
    progress: Progress = silent,
) -> list[Answered]:
    """The most probable label for each example, with the probabilities over the labels (they sum to 1)."""
    import torch

    tokenizer = loaded.tokenizer
    prompts = [prompt_ids(tokenizer, example, loaded.thinking) for example in examples]
    answers: list[Answered | None] = [None] * len(examples)
    done = 0
    with torch.inference_mode():
        for batch in _by_length(prompts, batch_size):
            started = time.monotonic()
            choices = [_label_ids(loaded, examples[batch[0]], label) for label in labels]
            totals = _label_log_probs(loaded, [prompts[i] for i in batch], choices)
            probabilities = totals.softmax(dim=-1)
            spent = (time.monotonic() - started) * 1000 / len(batch)
            for row, index in enumerate(batch):
                best = labels[int(totals[row].argmax())]
                scores = {label: float(probabilities[row, k]) for k, label in enumerate(labels)}
                answers[index] = Answered(best, scores, spent)
            done += len(batch)
            progress(f"{loaded.name}: scoring labels", done, len(examples))
    return [answer for answer in answers if answer is not None]


def _label_ids(loaded: LoadedModel, example: Example, label: str) -> list[int]:
    """The label as the assistant would say it, end token included."""
    said = Example(
        meta=example.meta, messages=[*example.context, Message("assistant", label)], tools=example.tools
    )
    return answer_ids(loaded.tokenizer, said, loaded.thinking)


def _label_log_probs(loaded: LoadedModel, prompts: list[list[int]], choices: list[list[int]]) -> Any:
    """Log-probability of each choice after each prompt: shape (rows, choices), float32."""
    import torch

    ids, mask = _left_padded(prompts, loaded.tokenizer.pad_token_id, loaded.model.device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    start = loaded.model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
    )
    first = start.logits[:, -1].float().log_softmax(dim=-1)
    cache = start.past_key_values
    totals = torch.zeros(len(prompts), len(choices), device=ids.device)
    for k, choice in enumerate(choices):
        totals[:, k] = first[:, choice[0]]
        if len(choice) == 1:
            continue
        given = torch.tensor([choice[:-1]], device=ids.device).expand(len(prompts), -1)
        seen = torch.cat([mask, mask.new_ones(given.shape)], dim=1)
        places = positions[:, -1:] + torch.arange(1, given.shape[1] + 1, device=ids.device)
        out = loaded.model(
            input_ids=given, attention_mask=seen, position_ids=places, past_key_values=cache, use_cache=True
        )
        after = out.logits.float().log_softmax(dim=-1)
        wanted = torch.tensor(choice[1:], device=ids.device)
        totals[:, k] += after[:, torch.arange(len(wanted)), wanted].sum(dim=1)
        cache.crop(-given.shape[1])
    return totals


def generate_answers(
    loaded: LoadedModel,
    examples: Sequence[Example],
    *,
    max_new_tokens: int,
    batch_size: int = 8,
    progress: Progress = silent,
) -> list[Answered]:
    """The greedy answer for each example, up to an end token or `max_new_tokens`."""
    import torch

    tokenizer = loaded.tokenizer
    prompts = [prompt_ids(tokenizer, example, loaded.thinking) for example in examples]
    ends = sorted(end_tokens(tokenizer))
    answers: list[Answered | None] = [None] * len(examples)
    done = 0
    with torch.inference_mode():
        for batch in _by_length(prompts, batch_size):
            started = time.monotonic()
            ids, mask = _left_padded([prompts[i] for i in batch], tokenizer.pad_token_id, loaded.model.device)
            out = loaded.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=tokenizer.pad_token_id,
            )
            spent = (time.monotonic() - started) * 1000 / len(batch)
            for row, index in enumerate(batch):
                text = tokenizer.decode(out[row, ids.shape[1] :], skip_special_tokens=True)
                answers[index] = Answered(text.strip(), None, spent)
            done += len(batch)
            progress(f"{loaded.name}: answering", done, len(examples))
    return [answer for answer in answers if answer is not None]


def _by_length(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of like length: little padding, and the same batches every time."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def _left_padded(rows: list[list[int]], pad: int, device: Any) -> tuple[Any, Any]:
    """Token ids and attention mask of shape (rows, longest): answers then start at the same column."""
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = torch.tensor(row)
        mask[i, longest - len(row) :] = 1
    return ids.to(device), mask.to(device)
