"""The real Claude Code client and the harness that drives it, as fixtures.

The client comes from npm, pinned (a plain install on an old Node silently gives an old client):

    npm install --prefix <a folder outside the repository> @anthropic-ai/claude-code@2.1.329

CLAUDE_BIN names its native binary, NLP_SKILLS_CLIENT the folder of the harness that drives it (run.py). Where one
of them is missing the tests that need it skip, except in CI, where they fail.
"""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def absent(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI this is not skipped")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def client() -> str:
    """The client's binary."""
    named = os.environ.get("CLAUDE_BIN") or shutil.which("claude")
    if not named or not os.access(named, os.X_OK):
        absent("the Claude Code client is not here: set CLAUDE_BIN to its binary")
    return str(named)


@pytest.fixture(scope="session")
def harness() -> Path:
    """The script that drives the client against a scripted model."""
    folder = Path(os.environ.get("NLP_SKILLS_CLIENT") or ROOT.parent / "shared" / "client")
    if not (folder / "run.py").is_file():
        absent(f"the client's harness is not at {folder}: set NLP_SKILLS_CLIENT to its folder")
    if shutil.which("uv") is None:
        absent("uv is not on the PATH, and the plugin's server is started by it")
    return folder / "run.py"
