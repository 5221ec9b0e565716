"""The server of a machine where nothing is installed yet, as a client meets it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="the server is started by a POSIX shell")


class Client:
    """JSON-RPC over the server's standard input and output."""

    def __init__(self, plugin: Path, path: str, **environment: str) -> None:
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in ("UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV")
        }
        self.process = subprocess.Popen(
            ["/bin/sh", str(plugin / "bin" / "mcp-server")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "PATH": path, **environment},
        )
        self.number = 0

    def say(self, method: str, **params: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.number += 1
        asked = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        while True:
            told = json.loads(self.process.stdout.readline())
            if told.get("id") == self.number:
                return told

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The plugin as it is checked out, without an environment."""
    root = tmp_path / "plugin"
    root.mkdir()
    for name in ("bin", "lib"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    return root


def with_programs(folder: Path, *names: str) -> str:
    """A PATH with these programs and nothing else."""
    folder.mkdir()
    for name in names:
        found = sys.executable if name == "python3" else shutil.which(name)
        assert found, f"{name} is not on this machine"
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    opened: list[Client] = []
    yield opened
    for client in opened:
        assert client.process.stdin is not None
        assert client.process.stdout is not None
        client.process.stdin.close()
        assert client.process.wait(60) == 0
        client.process.stdout.close()


def test_without_uv_the_server_answers_and_says_what_to_install(
    plugin: Path, tmp_path: Path, clients: list[Client]
) -> None:
    client = Client(plugin, with_programs(tmp_path / "path", "python3", "dirname", "sh"))
    clients.append(client)
    greeting = client.ask("initialize", **HELLO)["result"]
    assert "pip install uv" in greeting["instructions"]
    assert [tool["name"] for tool in client.ask("tools/list")["result"]["tools"]] == ["set_up"]
    told = client.ask("tools/call", name="set_up", arguments={"confirm": True})["result"]
    assert told["isError"] is False
    assert "pip install uv" in told["content"][0]["text"]
    assert not (plugin / ".venv").exists()


def test_nothing_is_installed_before_the_user_has_agreed(
    plugin: Path, tmp_path: Path, clients: list[Client]
) -> None:
    client = Client(plugin, with_programs(tmp_path / "path", "python3", "dirname", "sh", "uv"))
    clients.append(client)
    client.ask("initialize", **HELLO)
    told = client.ask("tools/call", name="set_up", arguments={})["result"]["content"][0]["text"]
    assert "confirm=true" in told
    assert "uv sync" in told
    assert not (plugin / ".venv").exists()
    assert client.ask("tools/call", name="list_tasks", arguments={})["error"]["code"] == -32601
    assert client.ask("ping")["result"] == {}


def test_a_failed_installation_says_why_and_can_be_tried_again(plugin: Path, clients: list[Client]) -> None:
    (plugin / "uv.lock").write_text("no lock")
    client = Client(plugin, os.environ["PATH"])
    clients.append(client)
    client.ask("initialize", **HELLO)
    for _ in range(2):
        told = client.ask("tools/call", name="set_up", arguments={"confirm": True})["result"]
        assert told["isError"] is True
        assert "uv.lock" in told["content"][0]["text"]


def test_once_confirmed_the_real_tools_answer_in_the_same_session(
    plugin: Path, tmp_path: Path, clients: list[Client]
) -> None:
    cache = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    client = Client(plugin, os.environ["PATH"], UV_CACHE_DIR=cache, NLP_SKILLS_HOME=str(tmp_path / "tasks"))
    clients.append(client)
    client.ask("initialize", **HELLO)
    client.say("notifications/initialized")
    told = client.ask("tools/call", name="set_up", arguments={"confirm": True})["result"]
    assert told["isError"] is False, told
    assert client.hear()["method"] == "notifications/tools/list_changed"
    names = {tool["name"] for tool in client.ask("tools/list")["result"]["tools"]}
    assert {"create_task", "list_tasks"} <= names
    assert "set_up" not in names
    listed = client.ask("tools/call", name="list_tasks", arguments={})["result"]
    assert listed["isError"] is False
