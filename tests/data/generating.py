"""A task and a generated source for the tests of generated rows."""

from pathlib import Path
from typing import Any

import pytest

from model_servers import ModelServer
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.llm_generated import read
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.task.task import Task

KEY = "sk-test-0f9a8b7c6d5e4f3a2b1c"


def set_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are none, and nothing of this machine's own settings."""
    for name in ("ANTHROPIC", "OPENAI", "OLLAMA"):
        for what in ("API_KEY", "BASE_URL", "AUTH_TOKEN", "HOST", "PROFILE"):
            monkeypatch.delenv(f"{name}_{what}", raising=False)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, KEY)


def make_task(folder: Path, **fields: Any) -> Path:
    given = {"name": "notes", "type": "generation", "goal": "Write notes.", "created": "2026-11-21T08:00:00Z"}
    Task.parse({**given, **fields}, "task").save(folder / "task.yaml")
    return folder


def source(server: ModelServer, **fields: Any) -> GeneratedSource:
    """Through the OpenAI protocol, free (a loopback address without a price) or with a limit that is never reached."""
    given = {
        "name": "made",
        "provider": "openai",
        "model": "gpt-test",
        "base_url": f"{server.url}/v1",
        "prompt_template": "Write {count} notes.",
        "count": 20,
        "rows_per_request": 5,
    }
    limit = {"budget_tokens": 10**9} if "price" in fields and "budget_usd" not in fields else {}
    return GeneratedSource.parse({**given, **limit, **fields}, "source")


def rows_of(source: GeneratedSource, task: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for _, row in read(source, Fetch(task, **options))]


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def journal(task: Path) -> Path:
    return task / "data" / "cache" / "made" / "journal.jsonl"


def example(text: str, label: str, source: str, number: int) -> Example:
    messages = [Message("user", text), Message("assistant", label)]
    return Example(meta=Meta(f"{source}-{text}", source, number, label=label), messages=messages)


def near(text: str) -> str:
    """Eleven of twelve words are the same: 9 of 11 shingles."""
    return f"{text.rpartition(' ')[0]} changed"
