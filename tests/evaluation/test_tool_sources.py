"""Tool definitions of the user's own: MCP servers over both transports, OpenAPI descriptions, lists."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer

from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.tool_use.openapi_tools import openapi_tools
from nlp_skills.evaluation.tool_use.own_tools import read_tools

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "title": "City"}},
            "required": ["city"],
            "title": "get_weatherArguments",
        },
    },
}
SERVER = '''
import os
from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")

@server.tool()
def get_weather(city: str) -> str:
    """The weather of a city."""
    return city

if os.environ.get("WITH_TIME"):
    @server.tool()
    def get_time() -> str:
        return "now"

server.run("stdio")
'''


def configured(folder: Path, **servers: Any) -> str:
    file = folder / ".mcp.json"
    file.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    return str(file)


def names(tools: list[dict[str, Any]]) -> list[str]:
    return [tool["function"]["name"] for tool in tools]


def test_a_server_that_is_started_lists_its_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "server.py"
    script.write_text(SERVER, encoding="utf-8")
    monkeypatch.setenv("WANTED_TIME", "1")
    plain = {"command": sys.executable, "args": [str(script)]}
    file = configured(
        tmp_path, plain=plain, more={**plain, "env": {"WITH_TIME": "${WANTED_TIME}", "X": "${NOT_SET:-x}"}}
    )
    assert read_tools(f"{file}#plain") == [WEATHER]
    assert names(read_tools(f"{file}#more")) == ["get_weather", "get_time"]


@pytest.fixture
def url() -> Iterator[str]:
    """A real MCP server over HTTP on loopback."""
    server = MCPServer("weather")

    @server.tool()
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return city

    # The socket listens before the server runs, so that nobody has to wait for it.
    listening = socket.create_server(("127.0.0.1", 0))
    program = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error"))
    thread = threading.Thread(target=program.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    program.should_exit = True
    thread.join()
    listening.close()


def test_a_server_at_a_url_lists_its_tools(url: str, tmp_path: Path):
    assert read_tools(url) == [WEATHER]
    assert read_tools(configured(tmp_path, there={"url": url, "headers": {"X-Key": "1"}})) == [WEATHER]


def test_a_server_that_does_not_answer_is_told_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("SOME_TOKEN", "s3cr3tvalue")
    with pytest.raises(
        NotReady, match=f"^The MCP server http://127.0.0.1:{port}/mcp does not list its tools: "
    ):
        read_tools(f"http://127.0.0.1:{port}/mcp")
    file = configured(tmp_path, gone={"command": str(tmp_path / "s3cr3tvalue"), "args": ["${SOME_TOKEN}"]})
    with pytest.raises(NotReady, match=r"^The MCP server gone does not list its tools: ") as told:
        read_tools(file)
    assert "s3cr3tvalue" not in str(told.value)


def test_what_a_configuration_lacks_is_named(tmp_path: Path):
    file = configured(
        tmp_path, one={"command": "x"}, two={"args": []}, three={"url": "http://x/${NOT_SET_HERE}"}
    )
    for reference, error, message in (
        (f"{file}#onw", NotFound, "configures no server 'onw' (did you mean \"one\"?)"),
        (file, NotFound, "configures no server ''. Name one of: one, two, three, as .mcp.json#NAME."),
        (f"{file}#two", NotValid, "server two names neither a command nor a url."),
        (f"{file}#three", NotReady, "The environment variable NOT_SET_HERE is not set"),
        (str(tmp_path / "none.yaml"), NotFound, "There is no file"),
    ):
        with pytest.raises(error) as told:
            read_tools(reference)
        assert message in str(told.value)


OPENAPI = """
openapi: 3.1.0
info: {title: Pets, version: "1"}
paths:
  /pets/{id}:
    parameters:
      - {$ref: "#/components/parameters/id"}
    get:
      operationId: getPet
      summary: One pet.
      description: With its owner.
      parameters:
        - {name: with owner, in: query, schema: {type: boolean}, description: the owner too}
        - {name: Authorization, in: header, schema: {type: string}}
        - {name: session, in: cookie, schema: {type: string}}
    put:
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Pet"}
  /tags:
    post:
      operationId: getPet
      requestBody:
        content: {application/json: {schema: {type: array, items: {type: string}}}}
components:
  parameters:
    id: {name: id, in: path, required: true, schema: {type: integer}}
  schemas:
    Pet:
      type: object
      required: [name]
      properties:
        name: {type: string}
        parent: {$ref: "#/components/schemas/Pet"}
"""


def test_the_operations_of_an_openapi_description_are_tools(tmp_path: Path):
    file = tmp_path / "pets.yaml"
    file.write_text(OPENAPI, encoding="utf-8")
    assert [tool["function"] for tool in read_tools("pets.yaml", tmp_path)] == [
        {
            "name": "getPet",
            "description": "One pet.\nWith its owner.",
            "parameters": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "with owner": {"type": "boolean", "description": "the owner too"},
                },
                "required": ["id"],
            },
        },
        {
            "name": "put_pets_id",
            "description": "PUT /pets/{id}",
            "parameters": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "name": {"type": "string"},
                    "parent": {"type": "object"},
                },
                "required": ["id", "name"],
            },
        },
        {
            "name": "getPet_2",
            "description": "POST /tags",
            "parameters": {
                "type": "object",
                "properties": {"body": {"type": "array", "items": {"type": "string"}}},
            },
        },
    ]


UNUSUAL = """
openapi: 3.1.0
paths:
  /訂單/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer}}
      - {name: lang, in: query, required: true, schema: {type: string}}
    get:
      operationId: 查詢訂單
      parameters:
        - {name: lang, in: query, schema: {enum: [zh, en]}}
    patch:
      parameters:
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}
    put:
      requestBody:
        content:
          application/json:
            schema:
              allOf: [{$ref: "#/components/schemas/Order"}]
              properties: {urgent: {type: boolean}}
  /clients:
    $ref: "#/components/pathItems/clients"
components:
  pathItems:
    clients:
      post:
        operationId: addClient
        parameters: [{$ref: "#/paths/~1%E8%A8%82%E5%96%AE~1%7Bid%7D/parameters/0"}]
        requestBody: {content: {application/json: {schema: true}}}
  schemas:
    Order:
      type: object
      required: [number, note]
      properties:
        number: {type: integer, readOnly: true}
        note: {type: [string, "null"]}
"""


def test_what_a_request_takes_is_read_as_openapi_means_it(tmp_path: Path):
    (tmp_path / "orders.yaml").write_text(UNUSUAL, encoding="utf-8")
    order = {"number": {"type": "integer", "readOnly": True}, "note": {"type": ["string", "null"]}}
    number, language = {"type": "integer"}, {"type": "string"}
    found = {
        tool["function"]["name"]: tool["function"]["parameters"]
        for tool in read_tools("orders.yaml", tmp_path)
    }
    assert found == {
        "get_id": {
            "type": "object",
            "properties": {"id": number, "lang": {"enum": ["zh", "en"]}},
            "required": ["id"],
        },
        "patch_id": {
            "type": "object",
            "properties": {"id": number, "lang": language, "note": order["note"]},
            "required": ["id", "lang", "note"],
        },
        "put_id": {
            "type": "object",
            "properties": {
                "id": number,
                "lang": language,
                "body": {
                    "allOf": [{"type": "object", "required": ["number", "note"], "properties": order}],
                    "properties": {"urgent": {"type": "boolean"}},
                },
            },
            "required": ["id", "lang"],
        },
        "addClient": {"type": "object", "properties": {"id": number}, "required": ["id"]},
    }


def test_a_description_that_cannot_be_read_is_told():
    paths = {"/x": {"get": {"parameters": [{"$ref": "#/components/none"}]}}}
    for description, message in (
        (
            {"swagger": "2.0"},
            "api.json is OpenAPI 2.0; only OpenAPI 3 is read. Convert it with a converter first.",
        ),
        ({"openapi": "3.0.0"}, "api.json describes no operation under paths."),
        (
            {"openapi": "3.0.0", "paths": paths},
            "api.json: GET /x refers to #/components/none, which is not there.",
        ),
    ):
        with pytest.raises(NotValid) as told:
            openapi_tools(description, "api.json")
        assert str(told.value) == message


@pytest.mark.parametrize("key", ["parameters", "inputSchema", "input_schema"])
def test_lists_of_openai_mcp_and_anthropic_are_read(tmp_path: Path, key: str):
    inner = WEATHER["function"]
    assert isinstance(inner, dict)
    tool = {"name": "get_weather", "description": "The weather of a city.", key: inner["parameters"]}
    (tmp_path / "tools.json").write_text(json.dumps({"tools": [tool]}), encoding="utf-8")
    assert read_tools("tools.json", tmp_path) == [WEATHER]
