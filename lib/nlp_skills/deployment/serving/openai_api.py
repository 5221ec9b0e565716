"""What OpenAI's chat and text completions ask for, as records: every field means something here or is refused.

A field that would change the answer and cannot be had (several choices, penalties) is an error, never left out
silently; those that only name the caller are taken and not looked at.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nlp_skills.records import Record

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class StreamOptions(Record):
    """What a stream tells beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False
    """Padding against those who measure packets; the official client may ask for it, and OpenAI may leave it out too."""


class TemplateSettings(Record):
    """`chat_template_kwargs`, as vLLM and llama.cpp call them."""

    enable_thinking: bool | None = None


NOT_OFFERED = {
    "response_format": "answers are not held to a form here, as in the evaluation; say the form in the system prompt, as"
    ' the training rows do. {"type": "text"} is taken',
    "reasoning_effort": 'how long is thought cannot be set; chat_template_kwargs: {"enable_thinking": true} or false says'
    " whether",
    "functions": "it is called tools by now",
    "function_call": "it is called tool_choice by now; auto and none are offered",
    "verbosity": "say in the system prompt how long answers should be, or set max_tokens",
    "top_k": "draws are limited by temperature and top_p",
    "min_p": "draws are limited by temperature and top_p",
    "repetition_penalty": "the evaluation measured the model without it",
}
"""Fields that OpenAI or other servers know and we do not, with what to do instead."""


class Asked(Record):
    """What both kinds of completion have in common."""

    model: str
    max_tokens: Count | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 unless it is asked for: the evaluation measured greedy answers."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None

    @property
    def stops(self) -> list[str]:
        """The texts that end an answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in given if text]

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    @model_validator(mode="before")
    @classmethod
    def _not_offered(cls, body: Any) -> Any:
        """A field without a value asks for nothing."""
        if not isinstance(body, dict):
            return body
        left = {name: value for name, value in body.items() if name not in NOT_OFFERED or value is not None}
        if left.get("response_format") == {"type": "text"}:
            del left["response_format"]
        if name := next((name for name in NOT_OFFERED if name in left), None):
            raise ValueError(f"{name}: not offered: {NOT_OFFERED[name]}")
        return left

    @model_validator(mode="after")
    def _only_what_is_done(self) -> Asked:
        if self.n not in (None, 1):
            raise ValueError(
                f"n: one answer a request is given, not {self.n}; ask several times, each with its seed"
            )
        if self.frequency_penalty or self.presence_penalty or self.logit_bias:
            raise ValueError(
                "frequency_penalty, presence_penalty and logit_bias are not offered: the evaluation measured the model"
                " without them"
            )
        if len(self.stops) > 4:
            raise ValueError(f"stop: at most 4 texts, not {len(self.stops)}")
        return self


class ChatAsked(Asked):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    parallel_tool_calls: bool | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    chat_template_kwargs: TemplateSettings | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def limit(self) -> int | None:
        """Tokens that the answer may have; OpenAI has renamed the field."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def thinking(self) -> bool | None:
        """What the request wants of `enable_thinking`; None: what the version was trained with."""
        return self.chat_template_kwargs.enable_thinking if self.chat_template_kwargs else None

    @property
    def told(self) -> int | None:
        """How many alternatives are told with each token; None: no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @model_validator(mode="after")
    def _calls_and_numbers(self) -> ChatAsked:
        if self.parallel_tool_calls is False:
            raise ValueError(
                "parallel_tool_calls: false is not offered: the model says how many calls it makes"
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.store:
            raise ValueError("store: nothing is kept here, so it can only be false")
        return self


class TextAsked(Asked):
    """The body of POST /v1/completions: text that is gone on with, without a chat template."""

    prompt: str | list[str] | list[int]
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None

    @property
    def limit(self) -> int:
        """Tokens that the answer may have; OpenAI's default."""
        return self.max_tokens or 16

    @model_validator(mode="after")
    def _one_prompt(self) -> TextAsked:
        several = isinstance(self.prompt, list) and self.prompt and isinstance(self.prompt[0], str)
        if (several and len(self.prompt) > 1) or self.prompt in ([], [""], ""):
            raise ValueError("prompt: one text, or the token ids of one; ask once for each")
        if self.echo or self.suffix or self.best_of not in (None, 1):
            raise ValueError("echo, suffix and best_of are not offered")
        return self


def error_form(
    message: str, *, kind: str = "invalid_request_error", code: str | None = None
) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Usage(Record):
    """How many tokens a request took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def chat_form(
    head: dict[str, Any], message: dict[str, Any], finish: str, logprobs: Any, usage: Usage
) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage.model_dump()}


def chat_chunk(
    head: dict[str, Any], delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    """A part of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


def text_form(
    head: dict[str, Any],
    text: str,
    *,
    finish: str | None = None,
    logprobs: Any = None,
    usage: Usage | None = None,
) -> dict[str, Any]:
    """A text completion, or a part of a streamed one."""
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": logprobs}
    told = {} if usage is None else {"usage": usage.model_dump()}
    return {**head, "object": "text_completion", "choices": [choice], **told}
