"""The log-probability of choices as answers, end token included: labels, or an answer and its rival.

    prompt ──▶ cache ──▶ all nodes of the tree of choices in one forward pass ──▶ sums along its paths

A node sees the prompt and its own ancestors, nothing else of the tree. Whether this model computes so what
it computes for plain texts is tried once, on its longest prompt; one that does not (a window that is
narrower, layers that keep a sum, positions of its own) reads every choice as a plain text instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.predictors.choice_tree import ROOT, ChoiceTree, forest
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache, Started, window

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
            if self._trusted is None:
                self._trusted = self._agrees(max(prompts, key=len), choices)
            if not self._trusted or self._is_too_long(prompts, choices):
                return torch.stack([self._as_texts(prompt, choices) for prompt in prompts])
            return self._by_trees(prompts, choices)

    def _by_trees(self, prompts: Sequence[Ids], choices: Sequence[Ids]) -> torch.Tensor:
        import torch

        trees = self._trees(choices)
        rows = max(1, self._nodes // max(1, *(len(tree.tokens) for tree in trees)))
        parts = []
        for start in range(0, len(prompts), rows):
            started = self._prompts.start(prompts[start : start + rows])
            found = torch.cat([self._read(started, tree) for tree in trees], dim=1)
            order = torch.tensor([place for tree in trees for place in tree.places], device=found.device)
            parts.append(torch.empty_like(found).index_copy_(1, order, found))
        return torch.cat(parts)

    def _trees(self, choices: Sequence[Ids]) -> list[ChoiceTree]:
        if self._forest[0] is not choices:
            self._forest = choices, forest(choices, min(self._nodes, MOST_NODES))
        return self._forest[1]

    def _read(self, started: Started, tree: ChoiceTree) -> torch.Tensor:
        """The log-probability of each choice of one tree; the cache is afterwards what it was."""
        import torch

        logits, device = started.logits[:, None], started.logits.device
        if tree.tokens:
            rows = len(started.logits)
            given = torch.tensor([tree.tokens], device=device).expand(rows, -1)
            places = started.last + torch.tensor(tree.depths, device=device)
            out = self._model(
                input_ids=given,
                attention_mask=self._sight(started, tree),
                position_ids=places,
                past_key_values=started.cache,
                use_cache=True,
            )
            started.cache.crop(-len(tree.tokens))
            logits = torch.cat([logits, out.logits], dim=1)
        whole = torch.cat([part.float().logsumexp(dim=-1) for part in logits.split(32, dim=1)], dim=1)
        at = torch.tensor([node - ROOT for node, _ in tree.edges], device=device)
        token = torch.tensor([token for _, token in tree.edges], device=device)
        edges = logits[:, at, token].float() - whole[:, at]
        paths = torch.zeros(len(tree.paths), len(tree.edges), device=device)
        for choice, path in enumerate(tree.paths):
            paths[choice, path] = 1
        return edges @ paths.T

    def _sight(self, started: Started, tree: ChoiceTree) -> torch.Tensor:
        """What is added to the attention's scores: shape (rows, 1, nodes, columns of the cache + nodes)."""
        import torch

        nodes, rows = len(tree.tokens), len(started.mask)
        own = torch.zeros(nodes, nodes, dtype=torch.bool, device=started.mask.device)
        sees = torch.tensor(tree.sight, device=own.device)
        own[sees[:, 0], sees[:, 1]] = True
        prompt = started.mask.bool()[:, None].expand(rows, nodes, -1)
        seen = torch.cat([prompt, own.expand(rows, nodes, nodes)], dim=2)[:, None]
        dtype = self._model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=own.device).masked_fill_(
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
        tree, text = self._by_trees([prompt], probed)[0], self._as_texts(prompt, probed)
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
