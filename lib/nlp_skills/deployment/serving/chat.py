"""`chat`: a conversation with a version in the terminal, as it answers when it is served.

› Where is my parcel?
delivery                          streamed; Ctrl+C stops an answer
› /reset      a new conversation        › /system TEXT   another system prompt        › /quit   or Ctrl+D
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from nlp_skills.data.format import instruction
from nlp_skills.deployment.artefact import TRAINED
from nlp_skills.deployment.serving.backend import Backend
from nlp_skills.deployment.serving.openai_api import ChatAsked
from nlp_skills.deployment.serving.serve import BackendName, opened
from nlp_skills.errors import NlpSkillsError
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_folder

HELP = (
    "/reset: a new conversation · /system TEXT: another system prompt · /quit: leave · Ctrl+C: stop an answer"
)


class Chatted(Record):
    """What was said in a chat, in numbers."""

    task: str
    version: str
    weights: str
    turns: int
    tokens: int
    """Of answers."""


def chat(
    task: Path,
    *,
    version: str | None = None,
    weights: str = TRAINED,
    backend: BackendName = "auto",
    system: str | None = None,
    temperature: float = 0.0,
    max_tokens: int | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> Chatted:
    """Talk with a version in the terminal; its answers are streamed. The system prompt is that of the training rows.

    Raises NotReady for a version without these weights, NotValid for settings that cannot be had.
    """
    from rich.console import Console

    name = version_folder(task, version).name
    how = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    talk = Conversation(instruction(Task.load(task / "task.yaml")) if system is None else system, how)
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def lines() -> Iterator[str]:
        while True:
            try:
                yield console.input("› ")
            except EOFError:
                console.print()  # behind the prompt that was shown
                return

    with opened(task, name, weights, backend, streams=1, progress=progress) as (ready, runner):
        console.print(f"{ready.name}\n{HELP}", style="dim")
        hold(talk, ready, runner, lines(), lambda text: console.print(text, end=""))
    return Chatted(task=task.name, version=name, weights=weights, turns=talk.turns, tokens=talk.tokens)


class Conversation:
    """What has been said so far, and how answers are asked for."""

    def __init__(self, system: str, how: dict[str, Any]) -> None:
        self._system = system
        self._how = how
        self._said: list[dict[str, str]] = []
        self.turns = 0
        self.tokens = 0

    def asked(self, text: str) -> ChatAsked:
        """The conversation with another turn of the user's. Raises NotValid."""
        head = [{"role": "system", "content": self._system}] if self._system else []
        turns = [*head, *self._said, {"role": "user", "content": text}]
        return ChatAsked.parse({"model": "chat", "messages": turns, **self._how}, "the settings")

    def add(self, text: str, answer: str, tokens: int) -> None:
        """Keep a turn and its answer."""
        self._said += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        self.turns += 1
        self.tokens += tokens

    def begin_anew(self, system: str | None = None) -> None:
        """Forget what was said; with another system prompt where one is given."""
        self._said = []
        self._system = self._system if system is None else system


def hold(
    talk: Conversation,
    backend: Backend,
    runner: asyncio.Runner,
    lines: Iterator[str],
    write: Callable[[str], None],
) -> None:
    """Answer line by line until there is none, or `/quit`."""
    for line in lines:
        command, _, rest = line.strip().partition(" ")
        if command == "/quit":
            return
        if command == "/reset":
            talk.begin_anew()
        elif command == "/system":
            talk.begin_anew(rest.strip())
        elif command.startswith("/"):
            write(f"{HELP}\n")
        elif line.strip():
            try:
                runner.run(_answer(talk, backend, line.strip(), write))
            except KeyboardInterrupt:
                write("\n(stopped; this turn is forgotten)\n")
            except NlpSkillsError as error:
                write(f"{error}\n")


async def _answer(talk: Conversation, backend: Backend, text: str, write: Callable[[str], None]) -> None:
    answer, tokens = "", 0
    async with aclosing(backend.chat(talk.asked(text))) as pieces:
        async for piece in pieces:
            write(piece.text)
            answer += piece.text
            tokens += piece.tokens
    write("\n")
    talk.add(text, answer, tokens)
