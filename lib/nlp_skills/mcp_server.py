"""The MCP server: every operation that an assistant needs is a tool of the same name."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import anyio.from_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, TypeAdapter

from nlp_skills.errors import NlpSkillsError
from nlp_skills.operation import Operation
from nlp_skills.operations import OPERATIONS
from nlp_skills.task.task import project_folder, tasks_folder

INSTRUCTIONS = """\
Fine-tune small language models, measured and versioned (LoRA, 微調): create_task, add_source, regenerate_data, validate_data,
create_version, start_training, evaluate_version, deploy_version. show_task tells a task's next step."""


def build_server(home: Path | None = None) -> MCPServer:
    """The server with one tool for each operation; `home` as in tasks_folder."""
    server = MCPServer("lib", title="nlp-skills", instructions=INSTRUCTIONS, version=version("nlp-skills"))
    for operation in OPERATIONS:
        if operation.tool:
            words = f" ({operation.words})" if operation.words else ""
            server.add_tool(
                build_tool(operation, home), name=operation.name, description=operation.summary + words
            )
    return server


def build_tool(operation: Operation, home: Path | None) -> Callable[..., Any]:
    """The operation as a typed function with its parameters' meaning, a context for progress and readable errors."""

    def tool(ctx: Context, **given: Any) -> Any:
        def progress(message: str, done: float, total: float | None) -> None:
            anyio.from_thread.run(ctx.report_progress, done, total, message)

        try:
            if operation.heavy:
                return run_apart(operation, tasks_folder(home), given, progress)
            place = tasks_folder(home)
            return operation.call(place, given, progress, lambda _: None, project_folder(place)).brief()
        except (NlpSkillsError, OSError) as error:  # OSError: a full disk, a file without permission
            raise ToolError(str(error)) from None

    parameters = [
        p.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=Annotated[p.annotation, Field(description=operation.meaning(p.name))],
        )
        for p in operation.parameters
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context)
    returned = inspect.signature(operation.function, eval_str=True).return_annotation
    tool.__name__ = operation.name
    tool.__signature__ = inspect.Signature([context, *parameters], return_annotation=returned)  # type: ignore[attr-defined]
    tool.__annotations__ = {p.name: p.annotation for p in (context, *parameters)} | {"return": returned}
    return tool


def run_apart(operation: Operation, home: Path, given: dict[str, Any], progress: Callable[..., None]) -> Any:
    """Run an operation that loads torch as a command of our own CLI, so that this server stays small."""
    command = [sys.executable, "-P", "-m", "nlp_skills", operation.command, "--json", "--home", str(home)]
    told = [(p, given[p.name]) for p in operation.parameters if given.get(p.name) is not None]
    keyword = inspect.Parameter.KEYWORD_ONLY
    # With = and after --, a value that begins with a hyphen is a value.
    command += [
        part for p, value in told if p.kind is keyword for part in _options(p.name.replace("_", "-"), value)
    ]
    command += ["--", *(str(value) for p, value in told if p.kind is not keyword)]
    environment = {**os.environ, "NLP_SKILLS_PROGRESS": "json"}
    out: list[bytes] = []
    said = b""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        reader = threading.Thread(target=lambda: out.append(process.stdout.read()))  # type: ignore[union-attr]
        reader.start()
        try:
            for line in process.stderr:
                said = line
                report = _progress_of(line)
                if report:
                    progress(report["message"], report["done"], report["total"])
        except BaseException:
            process.terminate()  # the client is gone
            raise
        finally:
            reader.join()
    try:
        result = json.loads(out[0])
    except ValueError:
        text = said.decode(errors="replace").strip()
        raise ToolError(f"{operation.name} ended with status {process.returncode}: {text}") from None
    if "error" in result and "message" in result:
        raise ToolError(result["message"])
    returned = inspect.signature(operation.function, eval_str=True).return_annotation
    return TypeAdapter(returned).validate_python(result).brief()


def _options(name: str, value: Any) -> list[str]:
    """A parameter as the command line takes it: a switch, one option, or one for each value of a list."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}={one}" for one in value] if isinstance(value, list) else [f"--{name}={value}"]


def _progress_of(line: bytes) -> dict[str, Any] | None:
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if isinstance(report, dict) and "message" in report else None


def serve() -> None:
    """Serve over standard input and output until the client goes."""
    # Before the SDK sets up its own, which prints fifty-line tracebacks.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    build_server().run("stdio")
