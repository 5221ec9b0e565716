"""The plugin in the real Claude Code client, headless and offline, with a scripted model.

Where client and harness come from: conftest.py.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from real_client import ROOT, play

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.json"))
UPFRONT_BYTES = 4000
"""What the plugin may add to the first request of every session: a thousand tokens at most."""


def script_of(scenario: Path) -> dict[str, Any]:
    script = json.loads(scenario.read_text(encoding="utf-8"))
    if "reviews.csv" in script.get("prompt", ""):
        script["files"] = {"reviews.csv": reviews()}
    return script


def reviews() -> str:
    """A hundred short reviews, no two alike."""
    praise = ["kind staff", "a quiet room", "a lovely garden", "great breakfast", "a fair price"]
    complaint = ["rude staff", "a noisy room", "a dirty pool", "cold breakfast", "a hidden fee"]
    places = ["Lyon", "Kyoto", "Taipei", "Oslo", "Porto", "Quito", "Turin", "Perth", "Fez", "Hanoi"]
    rows = [
        f"{what.capitalize()} in {place},{label}"
        for place in places
        for label, kinds in (("praise", praise), ("complaint", complaint))
        for what in kinds
    ]
    return "text,label\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_scenario_plays_in_the_real_client(
    scenario: Path, client: str, harness: Path, tmp_path: Path
) -> None:
    report = play(script_of(scenario), client, harness, tmp_path)
    assert report["failures"] == []


def test_the_plugin_costs_little_context_before_it_is_used(
    client: str, harness: Path, tmp_path: Path
) -> None:
    script = {"prompt": "hello", "turns": [{"text": "hello"}]}
    report = play(script, client, harness, tmp_path, "--footprint")
    assert report["failures"] == []
    assert report["footprint"]["upfront_bytes"] <= UPFRONT_BYTES, report["footprint"]


@pytest.mark.parametrize("what", [".", ".claude-plugin/plugin.json", ".claude-plugin/marketplace.json"])
def test_the_client_finds_nothing_to_complain_about(client: str, what: str, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(tmp_path / ".claude")}
    command = [
        client,
        "plugin",
        "validate",
        "--strict",
        *(["--profile", "directory"] if what == "." else []),
        what,
    ]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **home}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
