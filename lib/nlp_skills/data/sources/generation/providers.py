"""Three providers through their official SDKs, behind one function: Request → Answer.

    anthropic   messages.create, output_config json_schema                      no temperature any more
    openai      chat.completions.create, response_format json_schema; a server that knows none of it is
                asked for a json_object, then for plain text (the prompt describes the form anyway)
    ollama      chat with format=<JSON Schema>

The SDKs' own retries are switched off: a repetition after a broken connection may be billed, so it has
to be written down and to fit into the budget like any request (see sending).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nlp_skills.data.secret import hide
from nlp_skills.data.sources.generation.answer import (
    Answer,
    Ask,
    NoAnswer,
    Request,
    in_a_form_it_knows,
    retry_after,
)
from nlp_skills.data.sources.generation.ollama_server import answering_client
from nlp_skills.data.sources.generation.place import (
    base_url,
    hide_keys,
    key_of,
    shown_url,
    signs_in_otherwise,
)
from nlp_skills.data.sources.generation.rows import is_strict, without_type_lists
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import MissingExtra, NotReady, NotValid

SECONDS = 600.0
"""For one request: some answers take minutes."""


@contextmanager
def connect(source: GeneratedSource, schema: dict[str, Any]) -> Iterator[Ask]:
    """The function that asks the source's model for an answer of that JSON Schema.

    Raises MissingExtra without the SDK, NotReady without a key.
    """
    hide_keys(source)
    try:
        with _CONNECTS[source.provider](source, schema) as ask:
            yield ask
    except ImportError as error:
        if error.name in _CONNECTS:
            raise MissingExtra(f"Generating rows with {source.provider}", "llm") from None
        raise


@contextmanager
def _anthropic(source: GeneratedSource, schema: dict[str, Any]) -> Iterator[Ask]:
    import anthropic

    # Without an explicit key the SDK looks for its other ways to sign in.
    key = None if signs_in_otherwise(source) and not os.environ.get("ANTHROPIC_API_KEY") else key_of(source)
    try:
        client = anthropic.Anthropic(api_key=key, base_url=base_url(source), max_retries=0, timeout=SECONDS)
    except anthropic.AnthropicError as error:
        raise NotReady(f"{source.name}: the Anthropic SDK cannot sign in: {hide(str(error))}") from None

    try:
        held_to = anthropic.transform_schema(without_type_lists(schema))
    except ValueError as error:
        raise NotValid(f"{source.name}: schema: {source.provider} cannot be held to it: {error}") from None
    held: Any = {"output_config": {"format": {"type": "json_schema", "schema": held_to}}}

    def ask(request: Request, form: str) -> Answer:
        with _failures(anthropic, source):
            message = client.messages.create(
                model=source.model,
                max_tokens=source.max_output_tokens,
                messages=[{"role": "user", "content": request.prompt}],
                extra_headers={"Idempotency-Key": request.key},
                **(held if form == "json_schema" else {}),
            )
        if not isinstance(message, anthropic.types.Message) or message.content is None:
            raise NoAnswer("the answer is no message of the Messages API", 200)
        stopped = {"refusal": "refused", "max_tokens": "cut", "model_context_window_exceeded": "cut"}
        usage = message.usage
        cached = (
            (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0) if usage else 0
        )
        return Answer(
            text="".join(block.text for block in message.content if block.type == "text"),
            model=message.model,
            stopped=stopped.get(message.stop_reason or "", "end"),  # type: ignore[arg-type]
            input_tokens=usage.input_tokens + cached if usage else None,
            output_tokens=usage.output_tokens if usage else None,
        )

    with client:
        yield in_a_form_it_knows(ask, ("json_schema", "text"))


@contextmanager
def _openai(source: GeneratedSource, schema: dict[str, Any]) -> Iterator[Ask]:
    import openai
    from openai.types.chat import ChatCompletion

    url = base_url(source)
    client = openai.OpenAI(api_key=key_of(source), base_url=url, max_retries=0, timeout=SECONDS)
    # OpenAI has renamed the field; the servers that speak its protocol know the old name.
    limit = "max_tokens" if url else "max_completion_tokens"

    held_to = {"name": "rows", "schema": schema, "strict": is_strict(schema)}
    formats = {
        "json_schema": {"type": "json_schema", "json_schema": held_to},
        "json_object": {"type": "json_object"},
    }

    def ask(request: Request, form: str) -> Answer:
        settings: dict[str, Any] = {limit: source.max_output_tokens}
        if form in formats:
            settings["response_format"] = formats[form]
        if source.temperature is not None:
            settings["temperature"] = source.temperature
        with _failures(openai, source):
            completion = client.chat.completions.create(
                model=source.model,
                messages=[{"role": "user", "content": request.prompt}],
                extra_headers={"Idempotency-Key": request.key},
                **settings,
            )
        if not isinstance(completion, ChatCompletion) or not completion.choices:
            raise NoAnswer("the answer is no chat completion", 200)
        choice, usage = completion.choices[0], completion.usage
        refused = choice.message.refusal or choice.finish_reason == "content_filter"
        return Answer(
            text=choice.message.content or "",
            model=completion.model,
            stopped="refused" if refused else "cut" if choice.finish_reason == "length" else "end",
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
        )

    with client:
        yield in_a_form_it_knows(ask, ("json_schema", "json_object", "text"))


@contextmanager
def _ollama(source: GeneratedSource, schema: dict[str, Any]) -> Iterator[Ask]:
    client = answering_client("Generating rows with ollama", base_url(source), seconds=SECONDS)
    import httpx

    def ask(request: Request) -> Answer:
        # Ollama cuts what does not fit into its window (4,096 tokens) without a word.
        room = len(request.prompt.encode()) + source.max_output_tokens
        options = {
            "num_predict": source.max_output_tokens,
            "num_ctx": max(4_096, 1 << (room - 1).bit_length()),
            "seed": request.seed,
            "temperature": source.temperature,
        }
        message = [{"role": "user", "content": request.prompt}]
        try:
            reply = client.chat(source.model, message, format=schema, options=options)
        except ConnectionError as error:
            raise NoAnswer(f"{shown_url(source)}: {error}", reached=False) from None
        except httpx.TransportError as error:
            raise NoAnswer(f"{shown_url(source)}: {type(error).__name__}: {error}") from None
        except ValueError as error:
            raise NoAnswer(f"the answer is no JSON: {error}", 200) from None
        return Answer(
            text=reply.message.content or "",
            model=reply.model or source.model,
            stopped="cut" if reply.done_reason == "length" else "end",
            input_tokens=reply.prompt_eval_count,
            output_tokens=reply.eval_count,
        )

    with client:
        yield ask


_CONNECTS = {"anthropic": _anthropic, "openai": _openai, "ollama": _ollama}


@contextmanager
def _failures(sdk: Any, source: GeneratedSource) -> Iterator[None]:
    """The errors of an SDK (both have the same) as NoAnswer."""
    try:
        yield
    except sdk.APIStatusError as error:
        headers = error.response.headers
        final = (
            headers.get("x-should-retry") == "false" or getattr(error, "code", None) == "insufficient_quota"
        )
        wait = retry_after(headers)
        raise NoAnswer(error.message, error.status_code, wait=wait, final=final) from None
    except sdk.APIConnectionError as error:
        # Where no connection could be made, nothing was asked.
        reached = type(error.__cause__).__name__ not in ("ConnectError", "ConnectTimeout", "PoolTimeout")
        said = f"{error} {error.__cause__ or ''}".strip()
        raise NoAnswer(f"{shown_url(source)}: {said}", reached=reached) from None
    except (sdk.APIResponseValidationError, ValueError) as error:
        raise NoAnswer(f"the answer cannot be read: {error}", 200) from None
    except sdk.APIError.__base__ as error:  # AnthropicError, OpenAIError: it could not sign in
        raise NoAnswer(str(error), reached=False, final=True) from None
