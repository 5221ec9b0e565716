"""A model that Ollama serves, by its name there; OLLAMA_HOST says where, as for Ollama's own programs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.sources.generation.answer import NoAnswer
from nlp_skills.data.sources.generation.ollama_server import answering_client
from nlp_skills.data.tokens import as_dicts
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors.asking import Asking
from nlp_skills.evaluation.predictors.chat import answer_text
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding
from nlp_skills.evaluation.predictors.reply import prompt_hash
from nlp_skills.evaluation.predictors.requesting import ask_rows, no_scores
from nlp_skills.records import Progress, silent

SECONDS = 600.0
"""For one answer; the first one waits for the model to be loaded."""

SMALLEST_WINDOW = 4096


class OllamaPredictor:
    """Ollama's own chat API through its official client."""

    can_score = False

    def __init__(
        self,
        model: str,
        *,
        host: str | None = None,
        thinking: bool | None = None,
        tools_in_prompt: bool = False,
        first_wait: float = 0.5,
    ) -> None:
        """Raises MissingExtra without the client, NotValid for an OLLAMA_HOST that is no address."""
        self._client = answering_client("Asking Ollama", host, seconds=SECONDS)
        import httpx

        self._broken = httpx.TransportError
        self._model = model
        self.name = f"{model} in Ollama"
        self._thinking = thinking
        self._tools_in_prompt = tools_in_prompt
        self._window = SMALLEST_WINDOW
        cure = f"See that it runs and knows the model: ollama show {model}. What has been answered is kept."
        self._asking = Asking(self.name, cure, first_wait=first_wait)

    @property
    def identity(self) -> str:
        """With the digest that Ollama has for the weights, where it tells it."""
        try:
            known = {entry.model: entry.digest for entry in self._client.list().models}
        except (NoAnswer, ConnectionError, self._broken, ValueError):
            known = {}
        full = self._model if ":" in self._model else f"{self._model}:latest"
        return f"ollama {self._model} {known.get(full) or ''}"

    def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
        """Of the messages and the tools that are sent."""
        return [_hash(self.asked(example)) for example in examples]

    def answer(
        self, examples: Sequence[Example], how: Decoding, progress: Progress = silent
    ) -> Iterator[tuple[int, Answered]]:
        """`how.batch_size` requests at a time. Raises NotValid for labels, RunFailed without an answer."""
        if how.labels is not None:
            raise no_scores(self.name)
        for example in examples:
            self._require_whole_tools(example)
        # One window for all rows: Ollama loads the model anew for another one, and cuts what does not fit without a word.
        room = (
            max((len(msgspec.json.encode(self.asked(e))) for e in examples), default=0) + how.max_new_tokens
        )
        self._window = max(SMALLEST_WINDOW, 1 << (room - 1).bit_length())
        yield from ask_rows(self._asking, self._once, examples, how, progress, self.name)

    def score_choices(  # it takes what every predictor takes
        self,
        examples: Sequence[Example],  # noqa: ARG002
        choices: Sequence[Sequence[str]],  # noqa: ARG002
    ) -> list[list[float]]:
        """Ollama gives the probabilities of what the model says, never of a given text: NotValid."""
        raise no_scores(self.name)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def asked(self, example: Example) -> dict[str, Any]:
        """The row as Ollama's chat API takes it: model, messages, tools, think."""
        shown = with_prompted_tools(example) if self._tools_in_prompt else example
        asked: dict[str, Any] = {"model": self._model, "messages": _messages(shown)}
        if shown.tools:
            asked["tools"] = shown.tools
        if self._thinking is not None:
            asked["think"] = self._thinking
        return asked

    def _once(self, example: Example, how: Decoding, number: int) -> Answered:
        asked = self.asked(example)
        # Greedy, or drawn from the whole distribution: the penalties and limits of a Modelfile stay out.
        options: dict[str, Any] = {
            "num_predict": how.max_new_tokens,
            "num_ctx": self._window,
            "seed": how.seed + number,
            "temperature": how.temperature,
            "top_k": 0 if how.temperature else 1,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        }
        started = time.perf_counter()
        try:
            reply = self._client.chat(**asked, options=options)
        except ConnectionError as error:
            raise NoAnswer(str(error), reached=False) from None
        except self._broken as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
        except ValueError as error:
            raise NoAnswer(f"the answer is no JSON: {error}", 200) from None
        calls = reply.message.tool_calls or []
        return Answered(
            answer_text(
                example,
                reply.message.content,
                [(call.function.name, dict(call.function.arguments)) for call in calls],
            ),
            milliseconds=(time.perf_counter() - started) * 1000,
            prompt_sha256=_hash(asked),
            prompt_tokens=reply.prompt_eval_count,
            tokens=reply.eval_count,
            cut=reply.done_reason == "length",
        )

    def _require_whole_tools(self, example: Example) -> None:
        for tool in [] if self._tools_in_prompt else example.tools or []:
            function = tool.get("function", tool)
            for name, schema in function.get("parameters", {}).get("properties", {}).items():
                if isinstance(schema, Mapping) and (lost := NOT_CARRIED & schema.keys()):
                    raise NotValid(
                        f"Row {example.meta.id}: Ollama's client leaves {', '.join(sorted(lost))} out of the parameter"
                        f" {name!r} of the tool {function.get('name')!r}, so the model would not see it. List the tools in"
                        f" the prompt (prompted calling), or ask http://localhost:11434/v1#{self._model}, Ollama's"
                        " OpenAI-compatible address."
                    )


NOT_CARRIED = {"properties", "anyOf", "oneOf", "allOf", "$ref"}
"""What ollama 0.6's Tool has no field for and drops without a word; `items` it carries."""


def _messages(example: Example) -> list[dict[str, Any]]:
    """As Ollama wants them: arguments as an object, the tool of a result by its name.

    Its client (0.6) has no field for a call's id and leaves it out; its server shows it to templates that write it.
    """
    open_calls: list[tuple[str | None, str]] = []
    said: list[dict[str, Any]] = []
    for turn in as_dicts(example.context):
        told = {"role": turn["role"], "content": turn.get("content") or ""}
        if calls := turn.get("tool_calls"):
            told["tool_calls"] = [_call(call) for call in calls]
            open_calls = [(call.get("id"), call["function"]["name"]) for call in told["tool_calls"]]
        elif turn["role"] == "tool":
            told |= _answered(turn, open_calls)
        said.append(told)
    return said


def without_ids(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as Ollama's client sends it."""
    return [
        {key: _bare(value) for key, value in message.items() if key != "tool_call_id"} for message in messages
    ]


def _bare(value: Any) -> Any:
    return [{"function": call["function"]} for call in value] if isinstance(value, list) else value


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", call)
    plain = {"name": function["name"], "arguments": function.get("arguments", {})}
    return {**({"id": call["id"]} if call.get("id") else {}), "function": plain}


def _answered(turn: dict[str, Any], open_calls: list[tuple[str | None, str]]) -> dict[str, Any]:
    """Which call a result answers: the one of its id, else the next."""
    given = turn.get("tool_call_id")
    found = next((one for one in open_calls if given is not None and one[0] == given), None)
    found = found or next(iter(open_calls), None)
    if found is not None:
        open_calls.remove(found)
    name = turn.get("name") or (found[1] if found else None)
    told = {"tool_name": name, "tool_call_id": given}
    return {key: value for key, value in told.items() if value is not None}


def _hash(asked: dict[str, Any]) -> str:
    return prompt_hash(msgspec.json.encode(asked).decode())
