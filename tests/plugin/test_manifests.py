"""The two manifests, the two server files, the marketplace and the hooks say the same, and what they name exists."""

import json
import re
import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("name", "version", "description", "author", "homepage", "repository", "license", "keywords")
STANDARD = "https://agent-plugins.org/schemas/1.0.0/"
"""Agent Plugins 1.0: both files are closed, and what else they hold is an error in a client."""


def read(name: str) -> dict[str, Any]:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_both_manifests_say_the_same() -> None:
    claude, standard = read(".claude-plugin/plugin.json"), read("plugin.json")
    assert {key: claude[key] for key in SHARED} == {key: standard[key] for key in SHARED}


def test_the_standard_manifest_holds_only_what_the_standard_knows() -> None:
    assert set(read("plugin.json")) == {"$schema", *SHARED}
    assert read("plugin.json")["$schema"] == STANDARD + "plugin.schema.json"
    assert set(read("plugin.json")["author"]) <= {"name", "email", "url"}


def test_name_version_license_and_repository_are_those_of_the_package() -> None:
    manifest, package = read("plugin.json"), project()
    assert manifest["name"] == package["name"]
    assert manifest["version"] == package["version"]
    assert manifest["license"] == package["license"]
    assert manifest["repository"] == package["urls"]["Repository"]


def test_the_marketplace_offers_this_repository_in_this_version() -> None:
    manifest, market = read(".claude-plugin/plugin.json"), read(".claude-plugin/marketplace.json")
    [offer] = market["plugins"]
    assert offer["source"] == "./"
    assert {key: offer[key] for key in ("name", "version", "description", "keywords")} == {
        key: manifest[key] for key in ("name", "version", "description", "keywords")
    }


def test_both_server_files_start_the_same_server() -> None:
    claude, standard = read(".mcp.json"), read("mcp.json")
    assert list(claude["mcpServers"]) == list(standard["mcpServers"]) == ["lib"]
    ours, theirs = claude["mcpServers"]["lib"], standard["mcpServers"]["lib"]
    assert ours["command"] == theirs["command"] == "sh"
    assert ours["args"] == [arg.replace("${PLUGIN_ROOT}", "${CLAUDE_PLUGIN_ROOT}") for arg in theirs["args"]]


def test_the_standard_server_file_holds_only_what_the_standard_knows() -> None:
    servers = read("mcp.json")
    assert set(servers) == {"$schema", "mcpServers"}
    assert servers["$schema"] == STANDARD + "mcp.schema.json"
    server = servers["mcpServers"]["lib"]
    assert server["type"] == "stdio"
    assert set(server) <= {"type", "command", "args", "env", "cwd"}
    # Without this the tasks would lie in the plugin's own folder and go with its next update.
    assert server["cwd"] == "${PLUGIN_DATA}"


def test_the_server_does_not_import_what_lies_in_the_users_folder() -> None:
    """`-P`: a yaml.py in the user's project would otherwise be imported instead of the library."""
    assert read(".mcp.json")["mcpServers"]["lib"]["args"] == ["${CLAUDE_PLUGIN_ROOT}/bin/mcp-server"]
    started = [
        line for line in (ROOT / "bin" / "mcp-server").read_text().splitlines() if "-m nlp_skills" in line
    ]
    assert len(started) == 2
    assert all(line.endswith(" -P -m nlp_skills mcp") for line in started)


def test_the_icon_is_a_square_png_that_the_directory_takes() -> None:
    icon = ROOT / read(".claude-plugin/plugin.json")["icon"]
    data = icon.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width == height
    assert 512 <= width <= 2048
    assert len(data) < 2_000_000


def hook_groups() -> list[dict[str, Any]]:
    return read("hooks/hooks.json")["hooks"]["PostToolUse"]


def test_the_hooks_are_there_and_run_the_one_script() -> None:
    events = read("hooks/hooks.json")["hooks"]
    commands = [hook["command"] for groups in events.values() for group in groups for hook in group["hooks"]]
    start = 'sh "${CLAUDE_PLUGIN_ROOT}/hooks/run-hook.sh" '
    assert commands == [start + name for name in ("session-start", "data-validation", "version-tracking")]
    assert (ROOT / "hooks" / "run-hook.sh").is_file()


def test_the_hooks_time_limit_leaves_room_for_their_own() -> None:
    from nlp_skills.hooks.__main__ import SECONDS

    [start] = read("hooks/hooks.json")["hooks"]["SessionStart"]
    assert start["hooks"][0]["timeout"] > 5 + 5  # run-hook.sh gives it five seconds
    assert all(hook["timeout"] > SECONDS + 5 for group in hook_groups() for hook in group["hooks"])


@pytest.mark.parametrize("group", hook_groups(), ids=lambda group: group["hooks"][0]["command"].split()[-1])
def test_every_tool_that_a_hook_waits_for_exists(group: dict[str, Any]) -> None:
    from nlp_skills.operations import OPERATIONS

    known = {f"mcp__plugin_nlp-skills_lib__{operation.name}" for operation in OPERATIONS if operation.tool}
    named = group["matcher"].split("|")
    # Nothing but such characters: the client takes the matcher as a list of names, not as a pattern.
    assert all(re.fullmatch(r"[\w-]+", name) for name in named)
    assert {name for name in named if name.startswith("mcp__")} <= known
    assert {name for name in named if not name.startswith("mcp__")} <= {"Write", "Edit", "MultiEdit", "Bash"}
