"""vLLM in a process of its own, where it is installed: we render and read, it says the tokens.

request ──our template──▶ token ids ──/v1/completions──▶ text ──our reading of tool calls──▶ answer

So what is rendered does not depend on vLLM's own templates and parsers. It has not been run: the tests speak its
protocol to a server that stands for it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.text_encoder import end_tokens
from nlp_skills.deployment.serving.backend import Piece, TokenTold
from nlp_skills.deployment.serving.openai_api import Asked, ChatAsked, TextAsked
from nlp_skills.deployment.serving.prompted import answer_chat, answer_text
from nlp_skills.deployment.serving.prompts import Prompts
from nlp_skills.deployment.serving.upstream import Upstream
from nlp_skills.errors import NotReady, RunFailed
from nlp_skills.records import Progress
from nlp_skills.training.config import TrainConfig

START_SECONDS = 600.0
"""vLLM compiles the model before it answers."""

ANSWER = 1024
"""Tokens of an answer whose length nobody limits."""

SERVED = "served"


def is_installed() -> bool:
    """Whether vLLM can be started from this environment."""
    return find_spec("vllm") is not None


def vllm_command(
    files: BaseModelFiles, adapter: Path | None, rank: int, port: int, streams: int
) -> list[str]:
    """The child's command line; an adapter is loaded beside its base model."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", files.path]
    command += ["--revision", files.revision] if files.revision else []
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-num-seqs", str(streams)]
    # Its own defaults of temperature and penalties would come from the model's folder; each request says them.
    command += ["--generation-config", "vllm"]
    if adapter is None:
        return [*command, "--served-model-name", SERVED]
    return [*command, "--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f"{SERVED}={adapter}"]


class VllmProcess:
    """The child, from its start to its end."""

    def __init__(self, command: Sequence[str], log: Path, port: int) -> None:
        self.key = secrets.token_urlsafe(32)
        self.address = f"http://127.0.0.1:{port}"
        self._log = log
        # In a group of its own: Ctrl+C in the terminal is for us, and what is under way is finished first.
        apart: dict[str, Any] = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if sys.platform == "win32"
            else {"start_new_session": True}
        )
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "VLLM_API_KEY": self.key},
                **apart,
            )

    @property
    def ended(self) -> str | None:
        """With what status, and where it said why; None while it runs."""
        status = self._process.poll()
        return None if status is None else f"vLLM ended with status {status}; its log is {self._log.name}"

    def wait(self, progress: Progress) -> None:
        """Until it answers; it is ended where it does not. Raises RunFailed with its log."""
        try:
            self._wait(progress)
        except BaseException:  # Ctrl+C too: nobody else would end it
            self.stop()
            raise

    def _wait(self, progress: Progress) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.ended:
                raise RunFailed(
                    f"vLLM ended with status {self._process.returncode} while it started; see {self._log}"
                )
            try:
                if httpx2.get(f"{self.address}/health", timeout=5.0).is_success:
                    return
            except httpx2.TransportError:
                pass
            progress("vLLM loads the model", 0, None)
            time.sleep(0.5)
        raise RunFailed(f"vLLM did not answer within {START_SECONDS:g} seconds; see {self._log}")

    def stop(self) -> None:
        """Ask it to end; after ten seconds it is ended."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class VllmBackend:
    """Our prompts in front of its completions."""

    def __init__(self, process: VllmProcess, tokenizer: Any, config: TrainConfig) -> None:
        self.name = f"{config.base_model} (vLLM)"
        self._process = process
        self._ends = sorted(end_tokens(tokenizer))
        self._prompts = Prompts(
            tokenizer, thinking=config.enable_thinking, tools_in_prompt=config.tools_in_prompt
        )
        self._upstream = Upstream(process.address, "vLLM", key=process.key)

    async def fault(self) -> str | None:
        """How the child has ended, or what it says of itself."""
        return self._process.ended or await self._upstream.fault()

    def chat(self, asked: ChatAsked) -> AsyncGenerator[Piece]:
        """See Backend.chat."""
        return answer_chat(self._prompts, asked, self._say)

    def text(self, asked: TextAsked) -> AsyncGenerator[Piece]:
        """See Backend.text."""
        return answer_text(self._prompts, asked, self._say)

    async def close(self) -> None:
        """Ends the child."""
        try:
            await self._upstream.close()
        finally:
            await asyncio.to_thread(self._process.stop)

    async def _say(
        self, asked: Asked, prompt: Sequence[int], limit: int | None, logprobs: int | None
    ) -> AsyncGenerator[Piece]:
        body = {
            "model": SERVED,
            "prompt": list(prompt),
            "max_tokens": limit or ANSWER,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "stop": asked.stops,
            "stop_token_ids": self._ends,
            "stream_options": {"include_usage": True},
        }
        body |= {} if asked.seed is None else {"seed": asked.seed}
        body |= {} if logprobs is None else {"logprobs": logprobs}
        last = Piece(finish="stop")
        async with aclosing(self._upstream.events("/v1/completions", body)) as events:
            async for event in events:
                if usage := event.get("usage"):
                    last.prompt_tokens, last.tokens = usage["prompt_tokens"], usage["completion_tokens"]
                for choice in event.get("choices", ()):
                    last.finish = choice.get("finish_reason") or last.finish
                    if choice.get("text") or choice.get("logprobs"):
                        yield Piece(choice.get("text") or "", told=_told(choice.get("logprobs")))
        yield last


def _told(logprobs: dict[str, Any] | None) -> list[TokenTold]:
    if not logprobs:
        return []
    tops = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
    return [
        TokenTold(token, value, tuple((top or {}).items()))
        for token, value, top in zip(logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True)
    ]


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_vllm(
    files: BaseModelFiles,
    adapter: Path | None,
    config: TrainConfig,
    log: Path,
    *,
    streams: int,
    progress: Progress,
) -> VllmBackend:
    """vLLM, answering. Raises NotReady where it is not installed, RunFailed where it does not start."""
    if not is_installed():
        raise NotReady(
            "vLLM is not installed here. Install it (pip install vllm), or choose --backend transformers."
        )
    tokenizer = load_tokenizer(files)
    port = free_port()
    process = VllmProcess(vllm_command(files, adapter, config.lora_r, port, streams), log, port)
    process.wait(progress)
    return VllmBackend(process, tokenizer, config)
