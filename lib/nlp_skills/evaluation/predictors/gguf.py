"""A GGUF file, answered by llama.cpp in this process: the program that serves it is the one that is tested.

    row ──▶ /apply-template ──▶ prompt ──▶ /v1/chat/completions   an answer, tool calls read by llama.cpp
                                   └─────▶ /completion            one token of a label, and its probability

A label is scored token by token, along the tree of all labels (choice_tree.py): each token is forced by a bias,
and the probability that llama.cpp reports is the one before the bias, over the whole vocabulary. A grammar
would hold the model to a whole label at once, and ends the process where a token is half a character.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import httpx2

from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.sources.generation.answer import NoAnswer
from nlp_skills.data.text_encoder import END_OF_TURN
from nlp_skills.errors import MissingExtra, NotFound, NotValid, RunFailed
from nlp_skills.evaluation.predictors.asking import Asking
from nlp_skills.evaluation.predictors.chat import answer_text, chat_messages
from nlp_skills.evaluation.predictors.choice_tree import ROOT, forest
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding
from nlp_skills.evaluation.predictors.reply import prompt_hash
from nlp_skills.evaluation.predictors.requesting import ask_rows
from nlp_skills.records import Progress, sha256_file, silent
from nlp_skills.training.environment import free_cores

SLOTS = 4
"""Requests that llama.cpp works on at once; more of them wait."""

CONTEXT = 4096
"""Tokens for each of them together with its answer; all share one pool, so a single one may have them all."""

SECONDS = 600.0

WHOLE_VOCABULARY = 1 << 30


class GgufPredictor:
    """A GGUF file in llama.cpp (xllamacpp), reached on loopback."""

    can_score = True

    def __init__(
        self,
        path: Path,
        *,
        thinking: bool | None = None,
        tools_in_prompt: bool = False,
        context: int = CONTEXT,
    ) -> None:
        """Loads the file. Raises NotFound, NotValid for a file that llama.cpp cannot read, MissingExtra."""
        key = token_urlsafe()
        self._server = serve_gguf(path, key=key, context=context)
        self.name = f"{path.name} in llama.cpp"
        self.identity = f"gguf {sha256_file(path)}"
        self._thinking = thinking
        self._tools_in_prompt = tools_in_prompt
        self._client = httpx2.Client(
            base_url=self._server.listening_address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=SECONDS,
        )
        cure = "What has been answered is kept. A row that does not fit into the context has to be shortened."
        self._asking = Asking(self.name, cure)

    def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
        """Of the text that the file's own chat template makes."""
        return [prompt_hash(self.rendered(example)) for example in examples]

    def answer(
        self, examples: Sequence[Example], how: Decoding, progress: Progress = silent
    ) -> Iterator[tuple[int, Answered]]:
        """Labels are scored, one row after the other; free text is generated, four rows at a time. Raises RunFailed."""
        if how.labels is None:
            self.next_tokens(self.token_ids("x", add_special=True), 1)  # of NaN it would write words
            how = how.with_changes(batch_size=min(how.batch_size, SLOTS))
            yield from ask_rows(self._asking, self._once, examples, how, progress, self.name)
            return
        for row, example in enumerate(examples):
            yield row, self._scored(example, how.labels)
            progress(f"{self.name}: scoring labels", row + 1, len(examples))

    def score_choices(
        self, examples: Sequence[Example], choices: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """The log-probability of each of a row's own choices, end token included."""
        return [
            self._log_probs(self.rendered(example), said)
            for example, said in zip(examples, choices, strict=True)
        ]

    @cached_property
    def quantization(self) -> str:
        """As the file says it: `F16`, `Q8_0`, `Q4_K - Medium` …"""
        return self._asking.one(lambda: self._get("/props"))["model_ftype"]

    def rendered(self, example: Example) -> str:
        """The prompt that the file's own chat template makes, without the BOS that llama.cpp adds by itself."""
        return self._apply(self._asked(example))["prompt"]

    def token_ids(self, text: str, *, add_special: bool = False) -> list[int]:
        """Token ids of a text; with `add_special` as a prompt begins: with a BOS where the file asks for it."""
        asked = {"content": text, "add_special": add_special, "parse_special": True}
        return self._asking.one(lambda: self._post("/tokenize", asked))["tokens"]

    def counted(self, prompt: str) -> int:
        """How many tokens a prompt has when it is really run."""
        return self._asking.one(lambda: self._post("/completion", {"prompt": prompt, "n_predict": 1}))[
            "tokens_evaluated"
        ]

    def ends_answer(self, token: int, stops: Sequence[str] = ()) -> bool:
        """Whether llama.cpp stops once the model has said this token; it is made to say it.

        `stops` are texts that end an answer too; the text of a control token is never written, so it ends none.
        """
        forced = {"n_predict": 2, "logit_bias": [[token, 1e6]], "samplers": ["top_k"], "top_k": 1}
        asked = {**forced, "prompt": "x", "stop": list(stops)}
        return self._asking.one(lambda: self._post("/completion", asked))["stop_type"] != "limit"

    def next_tokens(self, before: Sequence[int], most: int) -> dict[int, float]:
        """The `most` probable next tokens with their log-probability, over the whole vocabulary. Raises RunFailed."""
        end = self.token_ids(self._end)[-1]
        said = self._forced(list(before), end, most)
        found = {one["id"]: one["logprob"] for one in said["top_logprobs"]}
        return self._numbers(found)

    def close(self) -> None:
        """Ends the server and gives back its memory."""
        self._client.close()
        self._server = None

    def _asked(self, example: Example) -> dict[str, Any]:
        shown = with_prompted_tools(example) if self._tools_in_prompt else example
        asked: dict[str, Any] = {"messages": chat_messages(shown.context)}
        if shown.tools:
            asked |= {"tools": shown.tools, "parallel_tool_calls": True}
        if self._thinking is not None:
            asked["chat_template_kwargs"] = {"enable_thinking": self._thinking}
        return asked

    def _once(self, example: Example, how: Decoding, number: int) -> Answered:
        asked = self._asked(example)
        drawn = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": how.seed + number} if how.temperature else {}
        started = time.perf_counter()
        reply = self._post(
            "/v1/chat/completions",
            {
                **asked,
                **drawn,
                "temperature": how.temperature,
                "max_tokens": how.max_new_tokens,
                "reasoning_format": "none",
            },
        )
        spent = (time.perf_counter() - started) * 1000
        choice, usage = reply["choices"][0], reply["usage"]
        calls = [call["function"] for call in choice["message"].get("tool_calls") or ()]
        named = [(call["name"], call["arguments"]) for call in calls]
        return Answered(
            answer_text(example, choice["message"].get("content"), named),
            milliseconds=spent,
            prompt_sha256=prompt_hash(self._post("/apply-template", asked)["prompt"]),
            prompt_tokens=usage["prompt_tokens"],
            tokens=usage["completion_tokens"],
            cut=choice["finish_reason"] == "length",
        )

    def _scored(self, example: Example, labels: Sequence[str]) -> Answered:
        started = time.perf_counter()
        prompt = self.rendered(example)
        totals = self._log_probs(prompt, labels)
        most = max(totals)
        shares = [math.exp(total - most) for total in totals]
        best = labels[totals.index(most)]
        return Answered(
            best,
            {label: share / sum(shares) for label, share in zip(labels, shares, strict=True)},
            milliseconds=(time.perf_counter() - started) * 1000,
            prompt_sha256=prompt_hash(prompt),
            prompt_tokens=len(self.token_ids(prompt, add_special=True)),
            tokens=len(self.token_ids(best + self._end)),
        )

    def _log_probs(self, prompt: str, choices: Sequence[str]) -> list[float]:
        given = self.token_ids(prompt, add_special=True)
        ids = [self.token_ids(choice + self._end) for choice in choices]
        tree, end = forest(ids, most=sys.maxsize)[0], ids[0][-1]
        lines: dict[int, list[int]] = {ROOT: []}
        for node, seen in tree.sight:
            lines.setdefault(node, []).append(tree.tokens[seen])
        # The edges stand in the order of a walk through the tree, so that the cache holds all but the last steps of the
        # next. One after the other in one slot: llama.cpp puts the caches of idle slots away while another works and does
        # not bring them back to a slot that is named, and beside other tokens it rounds the same one otherwise.
        edges = [self._edge([*given, *lines[node]], token, end) for node, token in tree.edges]
        totals = {
            place: sum(edges[e] for e in path) for place, path in zip(tree.places, tree.paths, strict=True)
        }
        return [totals[place] for place in range(len(choices))]

    def _edge(self, before: list[int], token: int, end: int) -> float:
        """The log-probability of a token after those before it; `end` is one that ends an answer."""
        said = self._forced(before, token, 1)
        if said is None:  # half a character, of which llama.cpp tells nothing until the other half has come
            said = self._forced(before, end, WHOLE_VOCABULARY)
        known = {one["id"]: one["logprob"] for one in (said, *said["top_logprobs"])} if said else {}
        if token not in self._numbers(known):
            raise RunFailed(f"{self.name} told no probability of the token {token}.")
        return known[token]

    def _numbers(self, log_probs: dict[int, float]) -> dict[int, float]:
        if None in log_probs.values():
            raise RunFailed(
                f"{self.name} computes no numbers (NaN): its weights are broken. Export it again."
            )
        return log_probs

    def _forced(self, before: list[int], token: int, told: int) -> Any:
        """What is told of the next token where it has to be this one: its own probability, and the `told` highest."""
        asked = {"prompt": before, "n_predict": 1, "n_probs": told, "logit_bias": [[token, 1e6]]}
        forced = {**asked, "samplers": ["top_k"], "top_k": 1, "id_slot": 0}
        reply = self._asking.one(lambda: self._post("/completion", forced))
        return next(iter(reply.get("completion_probabilities") or ()), None)

    @cached_property
    def _end(self) -> str:
        """What the template writes behind an answer, up to the token that ends it."""
        turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
        prompt, whole = (self._apply({"messages": some})["prompt"] for some in (turns[:1], turns))
        tail = whole[len(prompt) + 1 :] if whole.startswith(f"{prompt}x") else ""
        eos = self._asking.one(lambda: self._get("/props"))["eos_token"]
        ends = [(tail.find(name), name) for name in (*END_OF_TURN, eos) if name and name in tail]
        if not ends:
            return eos
        place, name = min(ends)
        return tail[: place + len(name)]

    def _apply(self, asked: dict[str, Any]) -> Any:
        return self._asking.one(lambda: self._post("/apply-template", asked))

    def _get(self, path: str) -> Any:
        return self._read(lambda: self._client.get(path))

    def _post(self, path: str, asked: dict[str, Any]) -> Any:
        return self._read(lambda: self._client.post(path, json=asked))

    def _read(self, send: Callable[[], httpx2.Response]) -> Any:
        try:
            reply = send()
        except httpx2.TransportError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
        if reply.is_error:
            raise NoAnswer(reply.text, reply.status_code)
        return reply.json()


def serve_gguf(path: Path, *, key: str, slots: int = SLOTS, context: int = CONTEXT) -> Any:
    """llama.cpp's server with this file, on loopback; it ends with the last reference to it.

    It answers whoever sends `key`: others may be logged in on this machine too. `slots` requests are worked on at once, and share a pool of `context` tokens for each of them. Raises MissingExtra,
    NotFound, or NotValid for a file that llama.cpp cannot read.
    """
    try:
        import xllamacpp
    except ImportError:
        raise MissingExtra("Asking a GGUF file", "serve") from None
    if not path.is_file():
        raise NotFound(f"The GGUF file {path} does not exist.")
    llama: Any = xllamacpp  # its names come from a compiled module, which type checkers cannot see
    settings = llama.CommonParams()
    settings.model.path = str(path)
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.api_keys = [key]
    settings.n_parallel = slots
    settings.n_ctx = slots * context
    settings.kv_unified = True
    settings.use_jinja = True
    settings.warmup = False
    settings.verbosity = -1
    settings.cpuparams.n_threads = free_cores()
    settings.cpuparams_batch.n_threads = free_cores()
    try:
        return llama.Server(settings)
    except RuntimeError as error:
        raise NotValid(f"llama.cpp cannot load {path}: {error}") from None
