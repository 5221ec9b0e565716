"""How long people and assistants wait before anything happens, beside the least that is possible.

    uv run --all-extras python benchmarks/startup.py [--repeat 15]

Every figure is the median of whole processes, started in turn so that a machine that drifts drifts for all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BARE_SERVER = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("bare")
@server.tool()
def add(a: int, b: int) -> int:
    "Add."
    return a + b
server.run("stdio")
"""
REQUESTS = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / ".nlp-skills").mkdir()
        (project / "tasks").mkdir()
        programs = programs_to_time(project)
        times: dict[str, list[float]] = {name: [] for name in programs}
        for run in range(repeat + 1):
            for name, program in programs.items():
                started = time.perf_counter()
                program()
                if run:  # the first round warms the caches
                    times[name].append((time.perf_counter() - started) * 1000)
    report(times)


def programs_to_time(project: Path) -> dict[str, Callable[[], None]]:
    python = sys.executable
    command = str(Path(python).with_name("nlp-skills"))
    event = json.dumps(
        {"tool_name": "Write", "tool_input": {"file_path": str(project / "notes.md"), "content": "x"}}
    )
    hook = ["sh", str(REPOSITORY / "hooks" / "run-hook.sh"), "data-validation"]
    outside = {**os.environ, "CLAUDE_PROJECT_DIR": str(project.parent), "CLAUDE_PLUGIN_ROOT": str(REPOSITORY)}
    inside = {**outside, "CLAUDE_PROJECT_DIR": str(project)}
    return {
        "sh -c :": lambda: finish(["sh", "-c", ":"]),
        "hook, unrelated event, in a project": lambda: finish(hook, event, inside),
        "hook, outside a project": lambda: finish(hook, event, outside),
        "python -c pass": lambda: finish([python, "-c", "pass"]),
        "nlp-skills --help": lambda: finish([command, "--help"]),
        "nlp-skills list, empty folder": lambda: finish([command, "list", "--home", str(project / "tasks")]),
        "bare MCP server, tools/list": lambda: list_tools([python, "-c", BARE_SERVER]),
        "our MCP server, tools/list": lambda: list_tools([python, "-P", "-m", "nlp_skills", "mcp"]),
    }


def finish(command: list[str], text: str = "", environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, input=text, text=True, capture_output=True, check=True, env=environment)


def list_tools(command: list[str]) -> None:
    """Start a server and wait for its answer to tools/list."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        for request in REQUESTS:
            server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        for line in server.stdout:
            if json.loads(line).get("id") == 2:
                break
        server.kill()


def report(times: dict[str, list[float]]) -> None:
    floor = {name: "sh -c :" if "hook" in name else "python -c pass" for name in times}
    floor["our MCP server, tools/list"] = "bare MCP server, tools/list"
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| what | median ms | min ms | beside |\n|---|---|---|---|")
    for name, values in times.items():
        beside = floor[name]
        ratio = f"{medians[name] / medians[beside]:.1f} x {beside}" if beside != name else ""
        print(f"| {name} | {medians[name]:.1f} | {min(values):.1f} | {ratio} |")


if __name__ == "__main__":
    main()
