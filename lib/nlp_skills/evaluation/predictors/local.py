"""Models that run in this process with transformers: the base model, an adapter on it, or a merged model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from nlp_skills.base_model import BaseModelFiles, load_base_model, load_tokenizer
from nlp_skills.data.example import Example, Message
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import answer_ids, end_tokens, render
from nlp_skills.evaluation.predictors.batches import by_length
from nlp_skills.evaluation.predictors.choice_scoring import ChoiceScorer
from nlp_skills.evaluation.predictors.generation import Generated, generate_each
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache
from nlp_skills.evaluation.predictors.reply import prompt_hash, reply_text
from nlp_skills.records import Progress, sha256_tree, silent

Found = TypeVar("Found")
Told: TypeAlias = Callable[[int], None]
"""How many rows are done."""
AT_ONCE = 16
"""Rows whose own choices are scored in one forward pass, where there is room for them."""


class LocalPredictor:
    """A model of transformers, ready to answer. Prompts are rendered as the training rendered them."""

    can_score = True

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        identity: str,
        *,
        thinking: bool | None = None,
        tools_in_prompt: bool = False,
    ) -> None:
        """`thinking` and `tools_in_prompt` are those of the version's config.yaml."""
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.identity = identity
        self._thinking = thinking
        self._tools_in_prompt = tools_in_prompt
        self._encoder = TextEncoder(tokenizer)

    def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
        """Of each row's token ids."""
        return [prompt_hash(ids) for ids in self._prompts(examples)]

    def answer(
        self, examples: Sequence[Example], how: Decoding, progress: Progress = silent
    ) -> Iterator[tuple[int, Answered]]:
        """Labels are scored, rows of like length together; free text is generated."""
        prompts = self._prompts(examples)
        if not examples:
            return

        def told(done: int) -> None:
            progress(f"{self.name}: answering", done, len(examples))

        yield from (self._score if how.labels else self._generate)(examples, prompts, how, told)

    def score_choices(
        self, examples: Sequence[Example], choices: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """The log-probability of each of a row's own choices, end token included."""
        prompts = self._prompts(examples)
        if not examples:
            return []
        own = [
            [self._choice_ids(example, choice) for choice in said]
            for example, said in zip(examples, choices, strict=True)
        ]
        scorer = ChoiceScorer(self.model, self.tokenizer.pad_token_id, prompts)
        scores: list[list[float]] = [[] for _ in prompts]

        def ask(batch: list[int]) -> list[list[float]]:
            return scorer.log_probs_of_own([prompts[i] for i in batch], [own[i] for i in batch])

        for batch in by_length(prompts, AT_ONCE):
            for index, found in zip(batch, _in_memory(ask, batch), strict=True):
                scores[index] = found
        return scores

    def close(self) -> None:
        """The weights are given back with the last reference to them."""
        self.model = None

    def _prompts(self, examples: Sequence[Example]) -> list[list[int]]:
        shown = [self._shown(example) for example in examples]
        return self._encoder.encode(
            [render(self.tokenizer, e.context, e.tools, ask=True, thinking=self._thinking) for e in shown]
        )

    def _shown(self, example: Example) -> Example:
        return with_prompted_tools(example) if self._tools_in_prompt else example

    def _choice_ids(self, example: Example, choice: str) -> list[int]:
        """The choice as the assistant would say it, end token included."""
        shown = self._shown(example)
        said = Example(
            meta=shown.meta, messages=[*shown.context, Message("assistant", choice)], tools=shown.tools
        )
        return answer_ids(self.tokenizer, said, self._thinking)

    def _score(
        self, examples: Sequence[Example], prompts: list[list[int]], how: Decoding, told: Told
    ) -> Iterator[tuple[int, Answered]]:
        labels = how.labels or []
        choices = [self._choice_ids(examples[0], label) for label in labels]
        scorer = ChoiceScorer(self.model, self.tokenizer.pad_token_id, prompts)

        def ask(batch: list[int]) -> list[Answered]:
            totals = scorer.log_probs([prompts[i] for i in batch], choices)
            shares, best = totals.softmax(dim=-1).tolist(), totals.argmax(dim=-1).tolist()
            return [
                Answered(
                    labels[k],
                    dict(zip(labels, row, strict=True)),
                    prompt_sha256=prompt_hash(prompts[i]),
                    prompt_tokens=len(prompts[i]),
                    tokens=len(choices[k]),
                )
                for i, k, row in zip(batch, best, shares, strict=True)
            ]

        done = 0
        for batch in by_length(prompts, how.batch_size):
            started = time.perf_counter()
            answers = _in_memory(ask, batch)
            spent = (time.perf_counter() - started) * 1000 / len(batch)
            for index, found in zip(batch, answers, strict=True):
                yield index, replace(found, milliseconds=spent)
            done += len(batch)
            told(done)

    def _generate(
        self, examples: Sequence[Example], prompts: list[list[int]], how: Decoding, told: Told
    ) -> Iterator[tuple[int, Answered]]:
        start = PromptCache(self.model, self.tokenizer.pad_token_id, prompts, room=how.max_new_tokens)
        ends = frozenset(end_tokens(self.tokenizer))
        found = generate_each(self.model, start, ends, prompts, how)
        for done, (index, drawn) in enumerate(found, start=1):
            yield index, self._read(examples[index], prompts[index], drawn)
            told(done)

    def _read(self, example: Example, prompt: list[int], drawn: list[Generated]) -> Answered:
        decode = self.tokenizer.decode
        texts = [reply_text(example, str(decode(one.ids, skip_special_tokens=True))) for one in drawn]
        return Answered(
            text=texts[0],
            milliseconds=sum(one.seconds for one in drawn) * 1000,
            prompt_sha256=prompt_hash(prompt),
            prompt_tokens=len(prompt),
            tokens=sum(len(one.ids) for one in drawn),
            cut=any(one.cut for one in drawn),
            samples=tuple(texts) if len(texts) > 1 else (),
        )


def _in_memory(ask: Callable[[list[int]], list[Found]], batch: list[int]) -> list[Found]:
    """What is found for a batch of rows, by their indices; where the GPU has no room for it, for its halves."""
    import torch

    try:
        return ask(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    torch.cuda.empty_cache()
    half = len(batch) // 2
    return _in_memory(ask, batch[:half]) + _in_memory(ask, batch[half:])


def load_local(
    files: BaseModelFiles,
    adapter: Path | None,
    dtype: str = "auto",
    *,
    thinking: bool | None = None,
    tools_in_prompt: bool = False,
) -> LocalPredictor:
    """The base model, with its adapter where there is one; a folder that is no adapter is a whole model.

    Tokenizer and chat template are those that were saved with the weights: what was trained, whatever the base model has
    by now. Raises NotValid for a tokenizer without a chat template.
    """
    whole = adapter is not None and not (adapter / "adapter_config.json").is_file()
    source = BaseModelFiles(name=str(adapter), path=str(adapter)) if whole else files
    model = load_base_model(source, dtype)
    name, identity = (
        f"{files.name}, prompted",
        f"{files.name} {files.revision} {files.weights_sha256} {dtype}",
    )
    if adapter is not None:
        name = f"{files.name}, tuned" if whole else f"{files.name} with {adapter.name}"
        identity = f"{identity} {sha256_tree(adapter)}"
    if adapter is not None and not whole:
        from peft import PeftModel

        with warnings.catch_warnings():
            # PEFT 0.21 asks for an attribute that transformers 5.23 calls deprecated; nobody here can mend that.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            model = PeftModel.from_pretrained(model, adapter)
        if (adapter / "tokenizer_config.json").is_file():  # an adapter from elsewhere may come without one
            source = BaseModelFiles(name=str(adapter), path=str(adapter))
    return LocalPredictor(
        model.eval(),
        load_tokenizer(source),
        name,
        identity,
        thinking=thinking,
        tools_in_prompt=tools_in_prompt,
    )
