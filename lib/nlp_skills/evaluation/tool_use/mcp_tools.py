"""The tools of an MCP server, asked with the official client.

    {"mcpServers": {"weather": {"command": "uvx", "args": ["weather-server"]},
                    "tickets": {"url": "https://…/mcp", "headers": {"Authorization": "Bearer ${TICKETS_TOKEN}"}}}}

A program is started without a shell, with the environment that the client gives it and the one that the file names.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_skills.data.secret import expand, hide
from nlp_skills.errors import NotFound, NotReady, NotValid, clip, did_you_mean

PATIENCE = 60.0
"""Seconds that a server has to start and to answer."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class McpServer:
    """How a server is reached: at a URL, or by starting a program."""

    name: str
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    command: str = ""
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def configured_server(value: Any, name: str, path: Path) -> McpServer:
    """A server of an .mcp.json (`mcpServers`; `servers` in VS Code); without a name the only one.

    Raises NotFound for an unknown one, NotValid for a description that names neither command nor URL, NotReady for a
    variable that is not set.
    """
    servers = value.get("mcpServers") or value.get("servers") if isinstance(value, dict) else None
    if not isinstance(servers, dict) or not servers:
        raise NotValid(f"{path} configures no MCP server: mcpServers is missing or empty.")
    if not name and len(servers) == 1:
        name = next(iter(servers))
    if name not in servers:
        known = ", ".join(servers)
        raise NotFound(
            f"{path} configures no server {name!r}{did_you_mean(name, servers)}. Name one of: {known}, as {path.name}#NAME."
        )
    said, where = servers[name], f"{path}: server {name}"
    if not isinstance(said, dict) or not (said.get("url") or said.get("command")):
        raise NotValid(f"{where} names neither a command nor a url.")
    return McpServer(
        name=name,
        url=_filled(said.get("url", ""), where),
        headers=_texts(said.get("headers"), where),
        command=_filled(said.get("command", ""), where),
        arguments=[_filled(str(argument), where) for argument in said.get("args") or []],
        environment=_texts(said.get("env"), where),
    )


def _texts(value: Any, where: str) -> dict[str, str]:
    return {str(key): _filled(str(text), where) for key, text in (value or {}).items()}


def _filled(text: str, where: str) -> str:
    """With the environment's values in the place of ${NAME} and ${NAME:-otherwise}."""

    def value(found: re.Match[str]) -> str:
        name, otherwise = found[1], found[2]
        if os.environ.get(name):
            return expand(f"${{{name}}}")
        if otherwise is None:
            raise NotReady(
                f"The environment variable {name} is not set, and {where} refers to it. Set it and try again."
            )
        return otherwise

    return _VARIABLE.sub(value, text)


def mcp_tools(server: McpServer | str) -> list[dict[str, Any]]:
    """The server's tools as OpenAI definitions. Raises NotReady where it does not answer."""
    import httpx2
    from mcp.shared.exceptions import MCPError

    server = McpServer(name=server, url=server) if isinstance(server, str) else server
    known = (MCPError, OSError, TimeoutError, ValueError, httpx2.HTTPError)
    try:
        return asyncio.run(_listed(server))
    except known as error:
        reason: BaseException = error
    except ExceptionGroup as group:
        expected, other = group.split(known)
        if other is not None or expected is None:
            raise
        reason = _first(expected)
    told = clip(hide(str(reason)) or type(reason).__name__, 200)
    raise NotReady(f"The MCP server {hide(server.name)} does not list its tools: {told}")


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _listed(server: McpServer) -> list[dict[str, Any]]:
    """All pages of the list."""
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async with asyncio.timeout(PATIENCE):
        if server.url:
            async with create_mcp_http_client(headers=server.headers) as http:
                async with Client(streamable_http_client(server.url, http_client=http)) as client:
                    return await _pages(client)
        with Path(os.devnull).open("w", encoding="utf-8") as silence:
            given = StdioServerParameters(
                command=server.command, args=server.arguments, env=server.environment or None
            )
            async with Client(stdio_client(given, errlog=silence)) as client:
                return await _pages(client)


async def _pages(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += [_definition(tool) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return found


def _definition(tool: Any) -> dict[str, Any]:
    schema: Mapping[str, Any] = tool.input_schema
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description or tool.title or "",
            "parameters": dict(schema),
        },
    }
