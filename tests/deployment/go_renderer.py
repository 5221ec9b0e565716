"""Ollama's prompts, made by Go's own template engine: the program in go_render/, built once.

    go_render(template, {"messages": [...], "tools": [...], "think": true}) -> str

The request is that of Ollama's /api/chat. A test that needs it skips where Go is not installed; in CI it fails.
"""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "go_render" / "main.go"


class GoError(Exception):
    """The template engine refused the template or stopped at a request."""


@lru_cache(maxsize=1)
def renderer() -> Path:
    """The program, built for this process; removed at its end."""
    go = shutil.which("go")
    if go is None:
        if os.environ.get("CI"):
            pytest.fail("CI has to render Ollama's templates with Go: install golang")
        pytest.skip(
            "Go is not installed (Debian: apt-get install golang-go), so no Go template can be rendered"
        )
    folder = Path(tempfile.mkdtemp(prefix="go-render-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = folder / ("go_render.exe" if os.name == "nt" else "go_render")
    subprocess.run([go, "build", "-o", str(program), str(SOURCE)], check=True, cwd=folder)
    return program


def go_render_many(template: str, requests: Sequence[dict[str, Any]]) -> list[str | GoError]:
    """The prompt of each request, or what the engine said against it."""
    asked = "".join(json.dumps({"template": template, "request": request}) + "\n" for request in requests)
    ran = subprocess.run([renderer()], input=asked.encode(), capture_output=True, check=True)
    answers = [json.loads(line) for line in ran.stdout.decode().splitlines()]
    return [answer.get("prompt", GoError(answer.get("error"))) for answer in answers]


def go_render(template: str, request_json: dict[str, Any]) -> str:
    """The prompt of one request. Raises GoError."""
    (prompt,) = go_render_many(template, [request_json])
    if isinstance(prompt, GoError):
        raise prompt
    return prompt
