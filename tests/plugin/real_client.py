"""The plugin in the real Claude Code client, headless and offline: one scenario in, the harness's report out.

Where client and harness come from: conftest.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nlp_skills.base_model import cache_folder

ROOT = Path(__file__).resolve().parents[2]


def play(script: dict[str, Any], client: str, harness: Path, work: Path, *options: str) -> dict[str, Any]:
    """Run a scenario in the client; its project is `work`/kept/project, which a second call with the same folder goes on in."""
    # The client gets a home folder of its own; uv must still find what it has, and must not ask the network.
    cache = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        "UV_CACHE_DIR": cache,
        "UV_OFFLINE": "1",
        # The first request waits for the server: a busy machine would otherwise begin without its tools.
        "MCP_CONNECTION_NONBLOCKING": "0",
        "MCP_TIMEOUT": "120000",
        "CLAUDE_CODE_MCP_STARTUP_WAIT_MS": "120000",
        # The converted base model, and the queue of the tests.
        "NLP_SKILLS_CACHE": str(cache_folder()),
        "NLP_SKILLS_QUEUE": os.environ["NLP_SKILLS_QUEUE"],
        "OMP_NUM_THREADS": "1",
    }
    scenario, report = work / "scenario.json", work / "report.json"
    scenario.write_text(json.dumps({**script, "env": environment}), encoding="utf-8")
    report.unlink(missing_ok=True)
    command = [sys.executable, str(harness), "--plugin", str(ROOT), "--claude", client]
    command += ["--scenario", str(scenario), "--out", str(report), "--keep", str(work / "kept"), *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1000)
    assert report.is_file(), ended.stdout + ended.stderr
    return json.loads(report.read_text(encoding="utf-8"))
