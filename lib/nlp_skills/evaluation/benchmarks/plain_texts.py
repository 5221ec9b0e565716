"""Plain texts without a chat template, as lm-evaluation-harness's own `hf` model asks a model of transformers.

Contexts and continuations are tokenised together and parted where the context ends; blanks at the context's end go
to the continuation; what is too long loses its beginning; a whole text is read in windows, each token predicted once
(lm_eval/api/model.py `_encode_pair`, lm_eval/models/huggingface.py, lm_eval/utils.py get_rolling_token_windows; 0.4.13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.errors import NotValid
from nlp_skills.evaluation.benchmarks.answering import decoding_of, stops, until
from nlp_skills.evaluation.predictors import Decoding, Predictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.records import Progress

WINDOW = 2048
"""Tokens, where the model's configuration names none (the harness's default)."""


class PlainAnswers:
    """Answers requests whose contexts are plain text. Raises NotValid for what is not a model of transformers."""

    def __init__(self, predictor: Predictor, seed: int, progress: Progress) -> None:
        if not isinstance(predictor, LocalPredictor):
            raise NotValid(
                f"Plain texts need a model in transformers, and {predictor.name} is none. Leave plain out: then"
                " the suites are asked as chats."
            )
        self._name = predictor.name
        self._model: Any = predictor.model
        self._tokenizer = predictor.tokenizer
        self._seed = seed
        self._progress = progress
        config = self._model.config.get_text_config(decoder=True)
        self._window = int(getattr(config, "max_position_embeddings", None) or WINDOW)

    def __call__(self, what: str, rows: list[Any]) -> list[Any]:
        """The answers to the rows of one request, in their order."""
        answer = {"choices": self._choices, "rolling": self._rolling, "generate": self._generate}[what]
        found = []
        for row in rows:
            found.append(answer(row))
            self._progress(f"{self._name}: plain texts", len(found), len(rows))
        return found

    def _choices(self, row: dict[str, Any]) -> list[tuple[float, bool]]:
        return [self._likelihood(*self._pair(row["context"], choice)) for choice in row["choices"]]

    def _rolling(self, text: str) -> float:
        return sum(
            self._likelihood(before, after)[0]
            for before, after in rolling(self._ids(text), self._prefix(), self._window)
        )

    def _generate(self, row: dict[str, Any]) -> str:
        from nlp_skills.data.tokens import end_tokens
        from nlp_skills.evaluation.predictors.generation import generate
        from nlp_skills.evaluation.predictors.prompt_cache import PromptCache

        limit, temperature = decoding_of(row["settings"])
        if limit >= self._window:
            raise NotValid(
                f"A suite asks for answers of {limit} tokens, and {self._name} has {self._window} for question and answer"
                " together. Lower max_gen_toks in a suite of your own, or leave this one out."
            )
        prompt = self._ids(row["context"])[-(self._window - limit) :]
        start = PromptCache(self._model, self._tokenizer.pad_token_id, [prompt])
        how = Decoding(max_new_tokens=limit, batch_size=1, temperature=temperature, seed=self._seed)
        drawn = generate(self._model, start, frozenset(end_tokens(self._tokenizer)), [prompt], how)
        text = str(self._tokenizer.decode(drawn[0][0].ids, skip_special_tokens=True))
        return until(text, stops(row["settings"]))

    def _pair(self, context: str, choice: str) -> tuple[list[int], list[int]]:
        if not context:
            return [self._prefix()], self._ids(choice, special=False)
        bare = context.rstrip()
        whole, before = self._ids(context + choice), self._ids(bare)
        return before, whole[len(before) :]

    def _likelihood(self, before: Sequence[int], after: Sequence[int]) -> tuple[float, bool]:
        """The sum over the continuation in nats, and whether greedy decoding would say it."""
        import torch

        if not after:  # nothing to say: sure, and what is said anyway
            return 0.0, True
        ids = [*before, *after][-(self._window + 1) :]
        with torch.inference_mode():
            given = torch.tensor([ids[:-1]], device=self._model.device)
            logits = self._model(input_ids=given, use_cache=False, logits_to_keep=len(after)).logits[0]
            shares = logits.float().log_softmax(dim=-1)
            wanted = torch.tensor(ids[-len(shares) :], device=shares.device)
            greedy = bool((shares.argmax(dim=-1) == wanted).all())
            return shares.gather(1, wanted[:, None]).sum().item(), greedy

    def _prefix(self) -> int:
        bos = self._tokenizer.bos_token_id
        return int(self._tokenizer.eos_token_id if bos is None else bos)

    def _ids(self, text: str, *, special: bool = True) -> list[int]:
        bos = self._tokenizer.bos_token
        begun = bool(bos) and text.startswith(bos)
        return list(self._tokenizer(text, add_special_tokens=special and not begun)["input_ids"])


def rolling(ids: Sequence[int], prefix: int, window: int) -> list[tuple[list[int], list[int]]]:
    """Each token once, with as much before it as the window holds: (before, predicted) for each window."""
    found = []
    for start in range(0, len(ids), window):
        part = list(ids[start : start + window])
        if start == 0:
            found.append(([prefix], part))
            continue
        # The last window reaches back as far as it can.
        begins = start + len(part) - window - 1
        found.append((list(ids[begins:start]), part))
    return found
