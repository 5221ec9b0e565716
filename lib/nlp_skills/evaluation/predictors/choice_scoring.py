"""The log-probability of choices as answers, end token included: labels, or an answer and its rival.

    prompt ──▶ cache ──▶ all nodes of the tree of choices in one forward pass ──▶ sums along its paths

A node sees the prompt and its own ancestors, nothing else of the tree. Whether this model computes so what
it computes for plain texts is tried once, on its longest prompt; one that does not (a window that is
narrower, layers that keep a sum, positions of its own) reads every choice as a plain text instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.predictors.choice_tree import EMPTY, ChoiceTree, forest
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache, Started, window
from nlp_skills.evaluation.predictors.tree_tensors import TreeTensors, lay_out

if TYPE_CHECKING:
    import torch

Ids = Sequence[int]

LOGITS = 1 << 29
"""Bytes of logits in one forward pass on a processor; on a GPU it is an eighth of its free memory."""

MOST_NODES = 2048
"""Of one tree: what it sees grows with their square."""


class ChoiceScorer:
    """Scores choices after prompts that all begin alike."""

    def __init__(self, model: Any, pad: int, prompts: Sequence[Ids]) -> None:
        """`prompts` are all that will be asked."""
        self._model = model
        self._pad = pad
        self._prompts = PromptCache(model, pad, prompts, room=0)  # `_is_too_long` asks for the rest
        self._window = window(model)
        self._trusted: bool | None = None if self._prompts.keeps_all and _takes_masks(model) else False
        self._nodes = _room(model)
        self._forest: tuple[object, list[ChoiceTree]] = (None, [])

    def log_probs(self, prompts: Sequence[Ids], choices: Sequence[Ids]) -> torch.Tensor:
        """Of every choice after every prompt, in nats: float32 of shape (rows, choices)."""
        import torch

        with torch.inference_mode():
            if not self._reads_trees(prompts, choices):
                return torch.stack([self._as_texts(prompt, choices) for prompt in prompts])
            return self._by_trees(prompts, [self._trees(choices)])

    def log_probs_of_own(self, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """Of each prompt's own choices, in nats."""
        import torch

        with torch.inference_mode():
            if not self._reads_trees(prompts, [choice for own in choices for choice in own]):
                texts = zip(prompts, choices, strict=True)
                return [self._as_texts(prompt, own).tolist() for prompt, own in texts]
            found = self._by_trees(prompts, [self._grown(own) for own in choices]).tolist()
        return [row[: len(own)] for row, own in zip(found, choices, strict=True)]

    def _reads_trees(self, prompts: Sequence[Ids], choices: Sequence[Ids]) -> bool:
        if self._trusted is None:
            self._trusted = self._agrees(max(prompts, key=len), choices)
        return self._trusted and not self._is_too_long(prompts, choices)

    def _by_trees(self, prompts: Sequence[Ids], forests: Sequence[Sequence[ChoiceTree]]) -> torch.Tensor:
        """`forests`: one for all prompts, or one for each; a row with fewer choices than another ends with zeros."""
        import torch

        largest = max(len(tree.tokens) for trees in forests for tree in trees)
        most = max(sum(len(tree.places) for tree in trees) for trees in forests)
        rows = max(1, self._nodes // max(1, largest))
        parts = []
        for start in range(0, len(prompts), rows):
            started = self._prompts.start(prompts[start : start + rows])
            found = torch.zeros(len(started.logits), most + 1, device=started.logits.device)
            some = forests if len(forests) == 1 else forests[start : start + rows]
            for trees in zip_longest(*some, fillvalue=EMPTY):
                laid = lay_out(trees, beyond=most, pad=self._pad, device=found.device)
                found.scatter_(1, laid.places.expand(len(found), -1), self._read(started, laid))
            parts.append(found[:, :most])
        return torch.cat(parts)

    def _trees(self, choices: Sequence[Ids]) -> list[ChoiceTree]:
        if self._forest[0] is not choices:
            self._forest = choices, self._grown(choices)
        return self._forest[1]

    def _grown(self, choices: Sequence[Ids]) -> list[ChoiceTree]:
        return forest(choices, min(self._nodes, MOST_NODES))

    def _read(self, started: Started, trees: TreeTensors) -> torch.Tensor:
        """The log-probability of each choice: shape (rows, choices of a tree). The cache is afterwards what it was."""
        import torch

        logits, (rows, nodes) = started.logits[:, None], (len(started.logits), trees.tokens.shape[1])
        if nodes:
            out = self._model(
                input_ids=trees.tokens.expand(rows, -1),
                attention_mask=self._sight(started, trees.sees),
                position_ids=started.last + trees.depths,
                past_key_values=started.cache,
                use_cache=True,
            )
            started.cache.crop(-nodes)
            logits = torch.cat([logits, out.logits], dim=1)
        whole = torch.cat([part.float().logsumexp(dim=-1) for part in logits.split(32, dim=1)], dim=1)
        row = torch.arange(rows, device=logits.device)[:, None]
        edges = logits[row, trees.at, trees.follows].float() - whole[row, trees.at]
        along = torch.cat([edges, edges.new_zeros(rows, 1)], dim=1)
        return along[row[:, None], trees.paths].sum(dim=-1)

    def _sight(self, started: Started, sees: torch.Tensor) -> torch.Tensor:
        """What is added to the attention's scores: shape (rows, 1, nodes, columns of the cache + nodes)."""
        import torch

        rows, nodes = len(started.mask), sees.shape[1]
        prompt = started.mask.bool()[:, None].expand(rows, nodes, -1)
        seen = torch.cat([prompt, sees.expand(rows, nodes, nodes)], dim=2)[:, None]
        dtype = self._model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
            ~seen, torch.finfo(dtype).min
        )

    def _as_texts(self, prompt: Ids, choices: Sequence[Ids]) -> torch.Tensor:
        """Each choice behind its prompt as a plain text, padded on the right: shape (choices,)."""
        import torch

        device, longest = self._model.device, max(map(len, choices))
        at_once = max(1, self._nodes // (len(prompt) + longest))
        totals = []
        for start in range(0, len(choices), at_once):
            some = choices[start : start + at_once]
            texts = [[*prompt, *choice[:-1]] for choice in some]
            size = len(prompt) + longest - 1
            ids = torch.tensor([text + [self._pad] * (size - len(text)) for text in texts], device=device)
            mask = torch.tensor([[1] * len(text) + [0] * (size - len(text)) for text in texts], device=device)
            out = self._model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=longest)
            for logits, choice in zip(out.logits, some, strict=True):
                after = logits[: len(choice)].float().log_softmax(dim=-1)
                totals.append(after[torch.arange(len(choice)), torch.tensor(choice)].sum())
        return torch.stack(totals)

    def _agrees(self, prompt: Ids, choices: Sequence[Ids]) -> bool:
        """Whether the first, the longest and the last choice have by a tree the probability of a plain text."""
        import torch

        probed = [choices[0], max(choices, key=len), choices[-1]]
        tree, text = self._by_trees([prompt], [self._grown(probed)])[0], self._as_texts(prompt, probed)
        exact = self._model.dtype == torch.float32
        return torch.allclose(tree, text, rtol=1e-3 if exact else 0.03, atol=1e-2 if exact else 0.5)

    def _is_too_long(self, prompts: Sequence[Ids], choices: Sequence[Ids]) -> bool:
        """A mask of our own knows no sliding window."""
        longest = max(map(len, prompts)) + max(map(len, choices))
        return self._window is not None and longest > self._window


def _takes_masks(model: Any) -> bool:
    """Whether its attention is one that adds a mask of any form."""
    return model.config._attn_implementation in ("eager", "sdpa")


def _room(model: Any) -> int:
    """How many tokens may have logits in one pass."""
    import torch

    size = LOGITS
    if model.device.type == "cuda":
        size = torch.cuda.mem_get_info(model.device)[0] // 8
    return max(64, size // (4 * model.config.get_text_config(decoder=True).vocab_size))
