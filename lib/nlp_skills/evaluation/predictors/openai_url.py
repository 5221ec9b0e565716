"""A model behind an OpenAI-compatible address: OpenAI itself, vLLM, llama.cpp, LM Studio, a gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.secret import expand
from nlp_skills.data.sources.generation.answer import NoAnswer, retry_after
from nlp_skills.data.sources.generation.place import NO_KEY
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.errors import MissingExtra
from nlp_skills.evaluation.predictors.asking import Asking
from nlp_skills.evaluation.predictors.chat import answer_text, chat_messages
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding
from nlp_skills.evaluation.predictors.reply import prompt_hash
from nlp_skills.evaluation.predictors.requesting import ask_rows, no_scores
from nlp_skills.records import Progress, silent

SECONDS = 600.0
"""For one answer."""

THINKING = "chat_template_kwargs"
RENAMED = "max_completion_tokens"
"""The name by which OpenAI's newer models take the limit of tokens; most other servers know max_tokens alone."""
OPTIONAL = ("logprobs", "seed", "temperature", THINKING)
"""Settings that some servers or models refuse; then they are asked without."""


class UrlPredictor:
    """Chat completions through the official SDK. The key is never written anywhere."""

    can_score = False

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str | None = None,
        thinking: bool | None = None,
        tools_in_prompt: bool = False,
        first_wait: float = 0.5,
    ) -> None:
        """`url` goes up to and with /v1; `key` is `${NAME}` of an environment variable, None: the server asks for none.

        Raises MissingExtra without the SDK, NotReady where the variable is not set.
        """
        try:
            import openai
            from openai.types.chat import ChatCompletion
        except ImportError:
            raise MissingExtra("Asking an OpenAI-compatible address", "llm") from None
        self._sdk: Any = openai
        self._completion = ChatCompletion
        self._model = model
        self._place = show_url(url)
        self._client: Any = openai.OpenAI(
            base_url=url, api_key=expand(key) if key else NO_KEY, max_retries=0, timeout=SECONDS
        )
        self._limit = "max_tokens"
        self._thinking = thinking
        self._tools_in_prompt = tools_in_prompt
        self._refused: set[str] = set()
        cure = "What has been answered is kept: mend it and ask again."
        self._asking = Asking(f"{model} at {self._place}", cure, first_wait=first_wait)

    @property
    def name(self) -> str:
        """The model and its address, and what it has decided itself because it takes no order."""
        own = ", at its own temperature" if "temperature" in self._refused else ""
        free = ", thinking as it likes" if THINKING in self._refused else ""
        return f"{self._model} at {self._place}{own}{free}"

    @property
    def identity(self) -> str:
        """The address and the name; what stands behind it may change without a word."""
        return f"{self._place}#{self._model}"

    def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
        """Of the messages and the tools that are sent."""
        return [prompt_hash(msgspec.json.encode(self._asked(example)).decode()) for example in examples]

    def answer(
        self, examples: Sequence[Example], how: Decoding, progress: Progress = silent
    ) -> Iterator[tuple[int, Answered]]:
        """`how.batch_size` requests at a time. Raises NotValid for labels, RunFailed without an answer."""
        if how.labels is not None:
            raise no_scores(self.name)
        yield from ask_rows(self._asking, self._once, examples, how, progress, self.name)

    def score_choices(  # it takes what every predictor takes
        self,
        examples: Sequence[Example],  # noqa: ARG002
        choices: Sequence[Sequence[str]],  # noqa: ARG002
    ) -> list[list[float]]:
        """Chat completions give the probabilities of what the model says, never of a given text: NotValid."""
        raise no_scores(self.name)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _asked(self, example: Example) -> dict[str, Any]:
        shown = with_prompted_tools(example) if self._tools_in_prompt else example
        asked: dict[str, Any] = {"model": self._model, "messages": chat_messages(shown.context)}
        if shown.tools:
            asked["tools"] = shown.tools
        if self._thinking is not None:
            asked["extra_body"] = {THINKING: {"enable_thinking": self._thinking}}
        return asked

    def _once(self, example: Example, how: Decoding, number: int) -> Answered:
        asked = self._asked(example)
        prompt = prompt_hash(msgspec.json.encode(asked).decode())
        settings = {"logprobs": True, "seed": how.seed + number, "temperature": how.temperature}
        settings |= asked.pop("extra_body", {})
        while True:
            given = {name: value for name, value in settings.items() if name not in self._refused}
            limit, started = self._limit, time.perf_counter()
            try:
                with self._failures():
                    reply = self._client.chat.completions.create(
                        **asked, extra_body={**given, limit: how.max_new_tokens}
                    )
                    found = self._read(example, reply)
            except _Filtered:
                found = Answered("")
            except NoAnswer as error:
                if not self._can_do_without(error, given, limit):
                    raise
                continue
            return replace(found, milliseconds=(time.perf_counter() - started) * 1000, prompt_sha256=prompt)

    def _can_do_without(self, error: NoAnswer, given: dict[str, Any], limit: str) -> bool:
        """Whether the server has refused a setting that can be left out, or the name of the limit; it is from now on."""
        if error.status not in (400, 422):
            return False
        if limit != RENAMED and RENAMED in str(error):
            self._limit = RENAMED
            return True
        refused = next((name for name in OPTIONAL if name in given and name in str(error)), None)
        if refused is not None:
            self._refused.add(refused)
        return refused is not None

    def _read(self, example: Example, reply: Any) -> Answered:
        if not isinstance(reply, self._completion) or not reply.choices:
            raise NoAnswer("the answer is no chat completion", 200)
        choice, usage = reply.choices[0], reply.usage
        calls: list[Any] = choice.message.tool_calls or []
        named = [(call.function.name, call.function.arguments) for call in calls if call.type == "function"]
        said = choice.logprobs.content if choice.logprobs else None
        return Answered(
            answer_text(example, choice.message.content or choice.message.refusal, named),
            log_prob=sum(token.logprob for token in said) if said else None,
            prompt_tokens=usage.prompt_tokens if usage else None,
            tokens=usage.completion_tokens if usage else None,
            cut=choice.finish_reason == "length",
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        sdk = self._sdk
        try:
            yield
        except sdk.APIStatusError as error:
            if error.code == "content_filter":
                raise _Filtered from None
            final = error.code == "insufficient_quota"
            wait = retry_after(error.response.headers)
            raise NoAnswer(error.message, error.status_code, wait=wait, final=final) from None
        except sdk.APIConnectionError as error:
            raise NoAnswer(f"{error} {error.__cause__ or ''}".strip()) from None
        except (sdk.APIResponseValidationError, ValueError) as error:
            raise NoAnswer(f"the answer cannot be read: {error}", 200) from None


class _Filtered(Exception):
    """A filter before the model refuses the prompt (Azure, with 400): that is its answer, and will be again."""
