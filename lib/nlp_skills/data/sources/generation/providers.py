"""Three providers through their official SDKs, behind one function: Request → Answer.

    anthropic   messages.create, output_config json_schema                      no temperature any more
    openai      chat.completions.create, response_format json_schema; a server that knows none of it is
                asked for a json_object, then for plain text (the prompt describes the form anyway)
    ollama      chat with format=<JSON Schema>

The SDKs' own retries are switched off: a repetition after a broken connection may be billed, so it has
to be written down and to fit into the budget like any request (see sending).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from nlp_skills.data.secret import expand, hide
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import MissingExtra, NotReady, NotValid

SECONDS = 600.0
"""For one request: some answers take minutes."""
NO_KEY = "none"
"""What is sent as a key to servers on the own network that ask for none."""

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "ollama": "OLLAMA_API_KEY"}
_URLS = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST"}


@dataclass(frozen=True)
class Request:
    """What is asked. `key` names it for a provider or gateway that bills no key twice."""

    prompt: str
    schema: dict[str, Any]
    strict: bool
    key: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """What came back; tokens are None where the server does not count them."""

    text: str
    model: str
    stopped: Literal["end", "cut", "refused"]
    input_tokens: int | None
    output_tokens: int | None


class NoAnswer(Exception):
    """A request failed. `status`: of the HTTP answer; None: none came."""

    def __init__(
        self,
        text: str,
        status: int | None = None,
        *,
        wait: float | None = None,
        reached: bool = True,
        final: bool = False,
    ) -> None:
        super().__init__(hide(text)[:500])
        self.status = status
        self.wait = wait
        """Seconds that the server asks to wait."""
        self._reached = reached
        self._final = final

    @property
    def may_be_billed(self) -> bool:
        """Whether the model may have worked: not where the server refused with a status, or was not reached."""
        return self._reached and self.status in (None, 200)

    @property
    def passes(self) -> bool:
        """Whether the same request may do better later."""
        return not self._final and (self.status in (None, 200, 408, 409, 429) or self.status >= 500)


Ask: TypeAlias = Callable[[Request], Answer]


@contextmanager
def connect(source: GeneratedSource) -> Iterator[Ask]:
    """The function that asks the source's model; its key comes from the SDK's own environment variable.

    Raises MissingExtra without the SDK, NotReady without a key.
    """
    with suppress(NotReady):
        expand(f"${{{_KEYS[source.provider]}}}")  # so that no message repeats it
    try:
        with _CONNECTS[source.provider](source) as ask:
            yield ask
    except ImportError as error:
        if error.name in _CONNECTS:
            raise MissingExtra(f"Generating rows with {source.provider}", "llm") from None
        raise


def base_url(source: GeneratedSource) -> str | None:
    """Where the model is; None: the provider's own place. Raises NotReady for a ${NAME} that is not set."""
    if source.base_url is not None:
        return expand(source.base_url)
    return os.environ.get(_URLS[source.provider]) or None


def is_own_machine(source: GeneratedSource) -> bool:
    """Whether the model runs on this machine or in the own network, where nobody bills it.

    Ollama does, unless it hands the request on to its cloud.
    """
    url = base_url(source)
    if source.provider == "ollama":
        return not (source.model.endswith("cloud") or (url and "ollama.com" in url))
    return url is not None and _is_private(urlsplit(url if "//" in url else f"//{url}").hostname or "")


def _is_private(host: str) -> bool:
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_private for address in addresses)


def _key(source: GeneratedSource) -> str:
    name = _KEYS[source.provider]
    if key := os.environ.get(name):
        return key
    if is_own_machine(source):
        return NO_KEY
    raise NotReady(
        f"{source.name}: the environment variable {name} is not set, and {source.provider} wants a key."
        f" Set it where this runs (export {name}=…) and try again."
    )


@contextmanager
def _anthropic(source: GeneratedSource) -> Iterator[Ask]:
    import anthropic

    signed_in = os.environ.get("ANTHROPIC_AUTH_TOKEN") or os.environ.get("ANTHROPIC_PROFILE")
    with suppress(NotReady):
        expand("${ANTHROPIC_AUTH_TOKEN}")
    # Without an explicit key the SDK looks for its other ways to sign in.
    key = None if signed_in and not os.environ.get("ANTHROPIC_API_KEY") else _key(source)
    client = anthropic.Anthropic(api_key=key, base_url=base_url(source), max_retries=0, timeout=SECONDS)

    def ask(request: Request, form: str) -> Answer:
        schema = anthropic.transform_schema(request.schema)
        held: Any = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        with _failures(anthropic):
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
        yield _in_a_form_it_knows(ask, ("json_schema", "text"))


@contextmanager
def _openai(source: GeneratedSource) -> Iterator[Ask]:
    import openai
    from openai.types.chat import ChatCompletion

    url = base_url(source)
    client = openai.OpenAI(api_key=_key(source), base_url=url, max_retries=0, timeout=SECONDS)
    # OpenAI has renamed the field; the servers that speak its protocol know the old name.
    limit = "max_tokens" if url else "max_completion_tokens"

    def ask(request: Request, form: str) -> Answer:
        schema = {"name": "rows", "schema": request.schema, "strict": request.strict}
        formats = {"json_schema": {"type": form, "json_schema": schema}, "json_object": {"type": form}}
        settings: dict[str, Any] = {limit: source.max_output_tokens}
        if form in formats:
            settings["response_format"] = formats[form]
        if source.temperature is not None:
            settings["temperature"] = source.temperature
        with _failures(openai):
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
        yield _in_a_form_it_knows(ask, ("json_schema", "json_object", "text"))


@contextmanager
def _ollama(source: GeneratedSource) -> Iterator[Ask]:
    import httpx
    import ollama

    def refuse(response: httpx.Response) -> None:
        """The SDK's own error has lost the headers, and Retry-After with them."""
        if response.is_error:
            response.read()
            raise NoAnswer(response.text, response.status_code, wait=retry_after(response.headers))

    client = ollama.Client(host=base_url(source), timeout=SECONDS, event_hooks={"response": [refuse]})

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
            reply = client.chat(source.model, message, format=request.schema, options=options)
        except ConnectionError as error:
            raise NoAnswer(str(error), reached=False) from None
        except httpx.TransportError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from None
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


def _in_a_form_it_knows(ask: Callable[[Request, str], Answer], forms: tuple[str, ...]) -> Ask:
    """Asks in the first form that the server does not refuse; a refused request costs nothing.

    Each form has a key of its own, because a key stands for one request to the letter.
    """
    refused: set[str] = set()

    def ask_in_form(request: Request) -> Answer:
        for form in forms:
            if form in refused:
                continue
            named = Request(
                request.prompt, request.schema, request.strict, f"{request.key}-{form}", request.seed
            )
            try:
                return ask(named, form)
            except NoAnswer as error:
                about = any(
                    word in str(error) for word in ("response_format", "output_config", "json_", "schema")
                )
                if error.status not in (400, 422) or not about or form == forms[-1]:
                    raise
                refused.add(form)
        raise NotValid("The server knows none of the forms of answer.")

    return ask_in_form


@contextmanager
def _failures(sdk: Any) -> Iterator[None]:
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
        raise NoAnswer(f"{error} {error.__cause__ or ''}".strip(), reached=reached) from None
    except (sdk.APIResponseValidationError, ValueError) as error:
        raise NoAnswer(f"the answer cannot be read: {error}", 200) from None


def retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
    with suppress(KeyError, ValueError):
        return float(headers["retry-after-ms"]) / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        from datetime import UTC, datetime

        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
