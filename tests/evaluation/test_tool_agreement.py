"""Our verdicts beside those of bfcl-eval's own checkers, on a part of what benchmarks/tool_use.py measures."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nlp_skills.evaluation.tool_use.api_process import ApiProcess, CodeCall
from nlp_skills.evaluation.tool_use.bfcl import MULTI_TURN, SINGLE_TURN, read_questions, read_scenarios
from nlp_skills.evaluation.tool_use.bfcl_package import VERSION, bfcl_folder, is_fetched
from nlp_skills.evaluation.tool_use.multi_turn import TurnVerdict, judge_turns

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def package() -> Path:
    """The unpacked bfcl-eval; nothing is fetched for a test."""
    if not is_fetched():
        absent = pytest.fail if "CI" in os.environ else pytest.skip
        absent(
            f"bfcl-eval {VERSION} is not in the cache; benchmarks/tool_use.py or evaluate-tools --categories fetches it"
        )
    return bfcl_folder()


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """benchmarks/tool_use.py as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_of_tool_use", BENCHMARKS / "tool_use.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "category", ["simple_python", "live_simple", "irrelevance", "simple_java", "parallel"]
)
def test_verdicts_are_those_of_the_reference(package: Path, benchmark: ModuleType, category: str):
    given = [case for q in read_questions(package, category) for case in benchmark.cases(q, 2, seed=1)]
    theirs = benchmark.ask_reference(Path(sys.executable), [benchmark.asked(case) for case in given], package)
    counts, differences = benchmark.compare(given, theirs)
    assert differences == []
    assert counts["right"] > 50
    assert counts["wrong"] > 50


def test_scenarios_end_as_the_reference_says(package: Path, benchmark: ModuleType):
    scenarios = [scenario for name in MULTI_TURN for scenario in read_scenarios(package, name)[:8]]
    given = [play for scenario in scenarios for play in benchmark.plays(scenario, 2)]
    theirs = benchmark.ask_reference(Path(sys.executable), [benchmark.asked_play(p) for p in given], package)
    counts, differences = benchmark.compare_plays(package, given, theirs)
    assert differences == []
    assert counts["unbroken"] == counts["unbroken and right"] == len(scenarios)
    assert counts["wrong"] > 5


def test_every_category_has_its_rows(package: Path):
    counts = {name: len(read_questions(package, name)) for name in SINGLE_TURN}
    counts |= {name: len(read_scenarios(package, name)) for name in MULTI_TURN}
    assert counts == {
        "simple_python": 400, "simple_java": 100, "simple_javascript": 50, "multiple": 200, "parallel": 200,
        "parallel_multiple": 200, "irrelevance": 240, "live_simple": 258, "live_multiple": 1053, "live_parallel": 16,
        "live_parallel_multiple": 24, "live_irrelevance": 884, "live_relevance": 16,
        **dict.fromkeys(MULTI_TURN, 200),
    }  # fmt: skip


def test_what_is_wrong_with_a_scenario_is_told(package: Path):
    scenario = read_scenarios(package, "multi_turn_base")[0]
    with ApiProcess(package) as apis:
        assert judge_turns(scenario, [[]], apis, "nothing") == TurnVerdict(
            False, "no_call", "nothing is called", 0
        )
        wrong = judge_turns(scenario, [[[CodeCall("cd", {"folder": "nowhere"})]]], apis, "another")
        assert (wrong.right, wrong.fault, wrong.turn) == (False, "wrong_state", 0)
        assert wrong.message.startswith("GorillaFileSystem.")


def test_a_call_that_cannot_be_made_is_answered_with_its_fault(package: Path):
    scenario = read_scenarios(package, "multi_turn_base")[0]
    calls = [
        CodeCall("pwd", {}),
        CodeCall("unknown", {}),
        CodeCall("kill", {}),
        CodeCall("cd", {"there": 1}),
        CodeCall("__init__", {}),
    ]
    with ApiProcess(package) as apis:
        apis.open("one", scenario)
        assert apis.run("one", calls) == [
            '{"current_working_directory": "/workspace"}',
            "Error during execution: name 'unknown' is not defined",
            "Error during execution: Function call kill is not allowed.",
            "Error during execution: GorillaFileSystem.cd() got an unexpected keyword argument 'there'",
            "Error during execution: name '__init__' is not defined",
        ]
