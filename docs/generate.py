"""What is written from OPERATIONS, so that it cannot rot.

docs/operations.md              what can be done, how it is called, what it takes and gives
evals/mocks/lib/_tools.json     the tools as the server lists them, for the evaluations of the plugin
evals/**/mocks/lib/_server.md   its line `tools:`, which names the tools without an answer of their own there

python docs/generate.py            writes them
python docs/generate.py --check    fails when one of them is not what it would write
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import re
import sys
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from mcp import Client

from nlp_skills.mcp_server import build_server
from nlp_skills.operation import Operation
from nlp_skills.operations import OPERATIONS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operations.md"
EVALS = ROOT / "evals"
TOOLS = EVALS / "mocks" / "lib" / "_tools.json"
TOOL = "mcp__plugin_nlp-skills_lib__"

HEAD = """\
# Operations

Everything that can be done, once: each operation is a Python function, a command, and (where an assistant needs it) an
MCP tool of the same name. This page is written by `docs/generate.py` from the code; a test compares them.

Every command takes `--home FOLDER` (the tasks folder; else `NLP_SKILLS_HOME`, else `./tasks`) and `--json` (the result as
JSON). An option that takes several values takes `a,b` (quotes keep a comma), a YAML list, or is given several times. A command
ends with status 0 when all is well, 1 when something could not be done or a check did not pass, and 2 when what was asked makes
no sense. In Python, `task` is the path of the task's folder; commands and tools take its name.

| operation | command | tool | what it does |
|---|---|---|---|
"""

WORDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "yes or no", NoneType: ""}


def page() -> str:
    """The whole page."""
    rows = "".join(
        f"| [{operation.name}](#{operation.name}) | `nlp-skills {operation.command}` |"
        f" {'yes' if operation.tool else ''} | {operation.summary} |\n"
        for operation in OPERATIONS
    )
    return HEAD + rows + "".join(f"\n{section(operation)}" for operation in OPERATIONS)


def section(operation: Operation) -> str:
    """One operation: its names, its docstring and its parameters."""
    names = [f"Command: `{usage(operation)}`"]
    if operation.alias:
        names.append(f"Short form: `nlp-skills {operation.alias}`")
    if operation.tool:
        names.append(f"Tool: `{TOOL}{operation.name}`")
    returned = inspect.signature(operation.function, eval_str=True).return_annotation
    python = f"from nlp_skills.{operation.module} import {operation.name}"
    names.append(f"Python: `{python}`, returns {type_in_words(returned)}")
    parts = [f"## {operation.name}", operation.summary, "  \n".join(names), paragraphs(operation)]
    if operation.parameters:
        lines = [
            parameter_row(parameter, operation.meaning(parameter.name)) for parameter in operation.parameters
        ]
        parts.append("| parameter | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def usage(operation: Operation) -> str:
    """The command with what it cannot do without."""
    words = ["nlp-skills", operation.command]
    for parameter in operation.parameters:
        required = parameter.default is inspect.Parameter.empty
        upper = parameter.name.upper().replace("_", "-")
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            words.append(upper if required else f"[{upper}]")
        elif required:
            words.append(f"{option(parameter)} {(choices(parameter.annotation) or [upper])[0]}")
    return " ".join(words)


def option(parameter: inspect.Parameter) -> str:
    """`--lora-r`."""
    return "--" + parameter.name.replace("_", "-")


def choices(kind: Any) -> list[str]:
    """The values of a type that has few."""
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [choice.value for choice in kind] if inspect.isclass(kind) and issubclass(kind, StrEnum) else []


def paragraphs(operation: Operation) -> str:
    """The docstring, names of code in quotes as they are; angle brackets would be read as HTML."""
    text = inspect.getdoc(operation.function) or ""
    return re.sub(r"<([\w ]+)>", r"`\1`", text)


def parameter_row(parameter: inspect.Parameter, about: str) -> str:
    """One line of the table."""
    name = (
        f"`{option(parameter)}`"
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        else f"`{parameter.name}`"
    )
    default = parameter.default
    if default is inspect.Parameter.empty:
        shown = "required"
    elif default is None:
        shown = ""
    else:
        shown = f"`{default.value if isinstance(default, StrEnum) else default}`"
    words = type_in_words(parameter.annotation).replace("|", "\\|")
    return f"| {name} | {words} | {shown} | {about} |"


def type_in_words(kind: Any) -> str:
    """A type as people say it: choices are listed."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(words for words in map(type_in_words, arguments) if words)
    if choices(kind):
        return ", ".join(f"`{choice}`" for choice in choices(kind))
    if origin is list:
        return f"list of {type_in_words(arguments[0])}"
    if origin is dict:
        return "name=value, several times"
    return WORDS.get(kind, f"`{getattr(kind, '__name__', kind)}`")


def listed_tools() -> str:
    """The answer of our own server to `tools/list`: names, descriptions and schemas of what is asked for."""

    async def ask() -> list[dict[str, Any]]:
        async with Client(build_server()) as client:
            listed = (await client.list_tools()).tools
        return [{"name": t.name, "description": t.description, "inputSchema": t.input_schema} for t in listed]

    return json.dumps({"tools": asyncio.run(ask())}, ensure_ascii=False, indent=1) + "\n"


def played_tools(server: Path) -> str:
    """The description of a mocked server, with the tools that it has to play: those without a file of their own."""
    own = {path.stem for path in server.parent.glob("*.md")}
    played = ", ".join(
        operation.name for operation in OPERATIONS if operation.tool and operation.name not in own
    )
    return re.sub(r"^tools: \[.*\]$", f"tools: [{played}]", server.read_text("utf-8"), flags=re.MULTILINE)


def made() -> dict[Path, str]:
    """What is written from the code, and where it lies."""
    servers = sorted(EVALS.rglob("mocks/lib/_server.md"))
    return {PAGE: page(), TOOLS: listed_tools(), **{server: played_tools(server) for server in servers}}


def main() -> int:
    """Write the files, or compare them."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument(
        "--check", action="store_true", help="write nothing; fail when something is not up to date"
    )
    if not arguments.parse_args().check:
        for path, text in made().items():
            path.write_text(text, encoding="utf-8", newline="\n")
        return 0
    old = [path for path, text in made().items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in old:
        name = path.relative_to(ROOT).as_posix()
        sys.stderr.write(f"{name} is not up to date. Write it again with: uv run python docs/generate.py\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
