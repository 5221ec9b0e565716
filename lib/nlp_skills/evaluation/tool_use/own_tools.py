"""Tool definitions of the user's own, in OpenAI's form, from wherever they are described.

    .mcp.json#weather              an MCP server that is configured there: a command (stdio) or a URL
    https://example.org/mcp        an MCP server (Streamable HTTP)
    openapi.yaml                   an OpenAPI 3 description: an operation is a tool
    tools.json                     a list of definitions, OpenAI's, MCP's or Anthropic's

A program is only started where a file names it: a reference comes from anywhere, the file from the user.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_skills.errors import NotFound, NotValid
from nlp_skills.evaluation.tool_use.mcp_tools import configured_server, mcp_tools
from nlp_skills.evaluation.tool_use.openapi_tools import openapi_tools
from nlp_skills.records import read_mapping

_SCHEMAS = ("parameters", "inputSchema", "input_schema")
"""Where a definition keeps the schema of its arguments: OpenAI, MCP, Anthropic."""


def read_tools(reference: str, task: Path | None = None) -> list[dict[str, Any]]:
    """The definitions behind a reference; a path that is not there is looked for in the task's folder too.

    Raises NotFound, NotValid, NotReady where a server does not answer.
    """
    if reference.startswith(("http://", "https://")):
        return mcp_tools(reference)
    name, _, server = reference.partition("#")
    path = _existing(name, task)
    value = read_mapping(path)
    if server or (isinstance(value, dict) and ("mcpServers" in value or "servers" in value)):
        return mcp_tools(configured_server(value, server, path))
    if isinstance(value, dict) and ("openapi" in value or "swagger" in value):
        return openapi_tools(value, path)
    listed = value.get("tools") if isinstance(value, dict) else value
    if not isinstance(listed, list) or not listed:
        raise NotValid(
            f"{path} holds no tools: expected a list of definitions, an OpenAPI 3 description, or mcpServers."
        )
    return [openai_tool(item, f"{path}: tool {number}") for number, item in enumerate(listed, start=1)]


def openai_tool(item: Any, where: str) -> dict[str, Any]:
    """A definition in OpenAI's form. Raises NotValid naming the place where it has no name."""
    inner = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise NotValid(f"{where} has no name.")
    schema = next((inner[key] for key in _SCHEMAS if isinstance(inner.get(key), dict)), None)
    return {
        "type": "function",
        "function": {
            "name": inner["name"],
            "description": inner.get("description") or "",
            "parameters": schema or {"type": "object", "properties": {}},
        },
    }


def _existing(name: str, task: Path | None) -> Path:
    path = Path(name).expanduser()
    for candidate in (path, *([task / path] if task else [])):
        if candidate.is_file():
            return candidate
    raise NotFound(
        f"There is no file {name} with tools. Give an OpenAPI file, a JSON list of tools, .mcp.json#SERVER or a URL."
    )
