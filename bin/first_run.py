"""The MCP server of a machine where the plugin's environment is not made yet: one tool, which makes it when told to.

    client ──▶ first_run.py      initialize, tools/list: set_up
           ──▶ set_up            says what would be installed, where and how large
           ──▶ set_up(confirm)   uv sync; then starts the real server and hands every further line through

Only Python's own library, 3.8 or newer. Messages are JSON-RPC, one a line (MCP's stdio transport).
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = Path(os.environ.get("UV_PROJECT_ENVIRONMENT") or ROOT / ".venv")
LIGHT = ["--project", str(ROOT), "--frozen", "--extra", "data", "--no-default-groups"]
SYNC = ["uv", "sync", *LIGHT]
SERVER = ["uv", "run", *LIGHT, "--quiet", "python", "-P", "-m", "nlp_skills", "mcp"]
METHOD_NOT_FOUND = -32601

TOOL = {
    "name": "set_up",
    "description": "nlp-skills is not set up on this machine yet: says what has to be installed for its tools; with"
    " confirm=true installs it. Install, setup, fine-tune, train a model, 安裝, 微調, セットアップ",
    "inputSchema": {
        "type": "object",
        "properties": {"confirm": {"type": "boolean", "description": "really install; ask the user first"}},
        "additionalProperties": False,
    },
}


def what_is_missing():
    """What has to be done, in words."""
    if shutil.which("uv") is None:
        return (
            "nlp-skills needs uv, which makes its Python environment and is not on this machine. Install it with:"
            " pip install uv (or as https://docs.astral.sh/uv says). Then call set_up again."
        )
    return (
        f"The tools of nlp-skills are not installed yet. Ask the user, then call set_up with confirm=true: it runs"
        f" `{' '.join(SYNC)}`, which downloads some 100 MB of Python packages from PyPI into {ENVIRONMENT}. That is all for tasks,"
        " data and checks. PyTorch for training (several GB) comes later, and only when it is asked for."
    )


def install():
    """Make the environment; returns what went wrong, or None."""
    done = subprocess.run(SYNC, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return f"`{' '.join(SYNC)}` failed:\n{done.stderr.strip()[-1500:]}"


class FirstRun:
    """One client; its messages go to the real server as soon as there is one."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.lock = threading.Lock()
        self.initialize = None
        self.server = None

    def run(self):
        """Answer until the client hangs up."""
        for line in self.reader:
            if self.server is not None:
                self.server.stdin.write(line)
                self.server.stdin.flush()
            elif line.strip():
                self.answer(json.loads(line))
        if self.server is not None:
            self.server.stdin.close()
            self.server.wait()

    def answer(self, message):
        """One message of the client's."""
        method, number = message.get("method"), message.get("id")
        if number is None:  # a notification
            return
        if method == "initialize":
            self.initialize = message
            self.send(number, result=self.greeting(message))
        elif method == "ping":
            self.send(number, result={})
        elif method == "tools/list":
            self.send(number, result={"tools": [TOOL]})
        elif method == "tools/call" and message["params"].get("name") == "set_up":
            self.set_up(number, message["params"].get("arguments") or {})
        else:
            self.send(number, error={"code": METHOD_NOT_FOUND, "message": f"no {method} before set_up"})

    def greeting(self, message):
        """What this server is and can do."""
        return {
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "nlp-skills", "version": "first run"},
            "instructions": what_is_missing(),
        }

    def set_up(self, number, arguments):
        """Say what is missing, or install it and start the real server."""
        if shutil.which("uv") is None or arguments.get("confirm") is not True:
            self.say(number, what_is_missing())
            return
        failure = install()
        if failure:
            self.say(number, failure, failed=True)
            return
        self.start_server()
        self.say(
            number,
            "Installed. The tools of nlp-skills are there now; if they are not listed, reconnect the server (/mcp).",
        )
        self.write({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})

    def say(self, number, text, *, failed=False):
        """A tool's result."""
        self.send(number, result={"content": [{"type": "text", "text": text}], "isError": failed})

    def start_server(self):
        """The real one, greeted as the client has greeted this one."""
        self.server = subprocess.Popen(
            SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        for message in (self.initialize, {"jsonrpc": "2.0", "method": "notifications/initialized"}):
            self.server.stdin.write(json.dumps(message) + "\n")
        self.server.stdin.flush()
        self.server.stdout.readline()  # its answer to initialize: the client has one already
        threading.Thread(target=self.hand_through, daemon=True).start()

    def hand_through(self):
        """What the real server says, to the client."""
        for line in self.server.stdout:
            with self.lock:
                self.writer.write(line)
                self.writer.flush()

    def send(self, number, **answer):
        """An answer to a request."""
        self.write({"jsonrpc": "2.0", "id": number, **answer})

    def write(self, message):
        """One message to the client."""
        with self.lock:
            self.writer.write(json.dumps(message, ensure_ascii=False) + "\n")
            self.writer.flush()


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    FirstRun(sys.stdin, sys.stdout).run()
