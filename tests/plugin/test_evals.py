"""evals/ is what `claude plugin eval` reads: cases, graders, mocks that answer as our server does, and trigger sentences.

Two cases are played in the real client with a scripted model: with the plugin it passes them, without it does not.
"""

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from nlp_skills.operations import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
EVALS = ROOT / "evals"
PREFIX = "mcp__plugin_nlp-skills_lib__"
TOOLS = {operation.name: operation for operation in OPERATIONS if operation.tool}
SKILLS = sorted(path.name for path in (ROOT / "skills").iterdir())
AT_HAND = {"Read", "Glob", "Grep", "Skill"}
"""What the client gives to a case without an operator's leave (of the tools that our cases name)."""
CASES = sorted(path.parent for path in EVALS.rglob("prompt.md"))
MOCKS = sorted(EVALS.rglob("mocks/lib/*.md"))
TRIGGERS = sorted((EVALS / "triggers").glob("*.yaml"))
SITUATIONS = 11
"""Rows of skills/llm-coach/references/situations.md."""
PATHS_OF_A_MACHINE = re.compile(r"(?<![\w.])(?:/home/|/root/|/tmp/|/Users/|/work/|~/|[A-Z]:\\)")


def name_of(path: Path) -> str:
    return path.relative_to(EVALS).as_posix()


def module_of(path: Path) -> ModuleType:
    """A script that is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Prompt(Strict):
    """The front matter of prompt.md: the keys of the client's format that we use, all of them told and not defaulted."""

    description: str | None = None
    tags: Annotated[list[str], Field(min_length=1)]
    max_turns: Annotated[int, Field(gt=0, le=200)]
    timeout_seconds: Annotated[int, Field(gt=0, le=3600)]
    allowed_tools: list[str]


class Call(Strict):
    tool: str
    input_match: str | None = None


class Grader(Strict):
    """What every grader may say."""

    weight: Annotated[float, Field(gt=0)] = 1
    arm: Literal["with-only", "both"] | None = None


class Regex(Grader):
    type: Literal["regex"]
    target: Literal["last_message", "trace", "files", "mock_calls"] = "last_message"
    match: Annotated[str, Field(pattern=r"^(contains|not_contains|count:\d+)$")] = "contains"
    flags: Annotated[str, Field(pattern="^[dgimsuvy]*$")] = ""


class ToolUsed(Grader):
    type: Literal["tool_used"]
    tool: str
    input_match: str | None = None
    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=0)] | None = None


class ToolOrder(Grader):
    type: Literal["tool_order"]
    before: str | Call
    after: str | Call


class Judge(Grader):
    type: Literal["llm"]
    focus: Literal["last_message", "trace", "files", "mock_calls"] = "last_message"


class Mock(Strict):
    """The front matter of a mock: a fixed answer, or one model that plays several tools."""

    type: Literal["fixed", "agent"] = "fixed"
    error: bool = False
    tools: list[str] = []
    abort_when: str | None = None


GRADER: TypeAdapter[Regex | ToolUsed | ToolOrder | Judge] = TypeAdapter(
    Annotated[Regex | ToolUsed | ToolOrder | Judge, Field(discriminator="type")]
)


def parts(path: Path) -> tuple[dict[str, Any], str]:
    """Front matter and body of a file."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    return (yaml.safe_load(match[1]), match[2].strip()) if match else ({}, text.strip())


def prompt(case: Path) -> Prompt:
    return Prompt.model_validate(parts(case / "prompt.md")[0])


def graders(case: Path) -> dict[str, tuple[Regex | ToolUsed | ToolOrder | Judge, str]]:
    found = {path.stem: parts(path) for path in sorted((case / "graders").iterdir())}
    return {name: (GRADER.validate_python(head), body) for name, (head, body) in found.items()}


def calls_of(grader: Regex | ToolUsed | ToolOrder | Judge) -> list[Call]:
    """The tools that a grader looks for."""
    if isinstance(grader, ToolUsed):
        return [Call(tool=grader.tool, input_match=grader.input_match)]
    if isinstance(grader, ToolOrder):
        return [one if isinstance(one, Call) else Call(tool=one) for one in (grader.before, grader.after)]
    return []


def javascript(pattern: str) -> re.Pattern[str]:
    """Our patterns are of the part of the language that JavaScript and Python share."""
    assert not re.search(r"(?<!\\)\(\?[^:=!<]|\\[AZz]", pattern), f"not JavaScript: {pattern}"
    return re.compile(pattern)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_case_is_in_the_format_of_the_client(case: Path) -> None:
    head = prompt(case)
    text = parts(case / "prompt.md")[1]
    assert text and not PATHS_OF_A_MACHINE.search(text)
    assert set(head.allowed_tools) <= AT_HAND
    for name, (grader, body) in graders(case).items():
        bodiless = isinstance(grader, ToolUsed | ToolOrder)
        assert bool(body) is not bodiless, name
        if isinstance(grader, Regex):
            javascript(body)
        for call in calls_of(grader):
            assert call.tool in AT_HAND or call.tool.removeprefix(PREFIX) in TOOLS, name
            javascript(call.input_match or "")
            assert set(re.findall(r"nlp-skills:([a-z-]+)", call.input_match or "")) <= set(SKILLS), name


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_case_is_judged_by_what_comes_out_and_not_only_by_what_was_called(case: Path) -> None:
    found = [grader for grader, _ in graders(case).values()]
    assert any(isinstance(grader, Regex | Judge) and grader.arm != "with-only" for grader in found)
    forbidden = [grader for grader in found if isinstance(grader, ToolUsed) and grader.max == 0]
    # Without min, a forbidden call is wanted once; without arm, Skill is not scored.
    assert [(grader.min, grader.arm) for grader in forbidden] == [(0, "both")] * len(forbidden)


def test_the_suite_has_triggers_near_misses_behaviours_and_every_situation() -> None:
    tags = {case: set(prompt(case).tags) for case in CASES}
    counts = {
        kind: sum(kind in tag for tag in tags.values())
        for kind in ("trigger", "near-miss", "behaviour", "situation")
    }
    table = (ROOT / "skills" / "llm-coach" / "references" / "situations.md").read_text(encoding="utf-8")
    assert len(re.findall(r'^\| "', table, re.MULTILINE)) == SITUATIONS
    assert counts == {"trigger": 13, "near-miss": 10, "behaviour": 12, "situation": SITUATIONS}
    assert all(len(tag & set(counts)) == 1 for tag in tags.values())
    for case, tag in tags.items():
        loaded = {
            match[1]
            for grader, _ in graders(case).values()
            if isinstance(grader, ToolUsed) and grader.tool == "Skill"
            for match in [re.search(r"nlp-skills:([a-z-]*)", grader.input_match or "")]
            if match
        }
        assert loaded == {""} if "near-miss" in tag else loaded <= set(SKILLS) and len(loaded) == 1, case
        if "trigger" in tag:
            assert loaded <= tag, case
    languages = {kind: {t for tag in tags.values() if kind in tag for t in tag} for kind in counts}
    assert all({"en", "zh-Hant", "ja"} <= found for found in languages.values()), languages


def responders(folder: Path) -> tuple[dict[str, Path], set[str]]:
    """The tools with an answer of their own in a mocks folder, and those that its agent plays."""
    fixed = {path.stem: path for path in folder.glob("*.md") if path.name != "_server.md"}
    server = folder / "_server.md"
    return fixed, set(parts(server)[0]["tools"]) if server.is_file() else set()


@pytest.mark.parametrize("folder", sorted({path.parent for path in MOCKS}), ids=name_of)
def test_every_tool_is_answered_once_and_none_that_is_not_there(folder: Path) -> None:
    own, played = responders(folder)
    assert set(own) | played <= set(TOOLS)
    if played:  # a world of its own: docs/generate.py writes the list
        assert set(own) | played == set(TOOLS)
        assert set(own) & played == set()


@pytest.mark.parametrize("path", MOCKS, ids=name_of)
def test_a_mock_answers_as_the_tool_does(path: Path) -> None:
    fields, body = parts(path)
    mock = Mock.model_validate(fields)
    assert not PATHS_OF_A_MACHINE.search(body)
    if mock.type == "agent":
        assert path.name == "_server.md" and mock.abort_when and body
    elif not mock.error:
        operation = TOOLS[path.stem]
        returned = inspect.signature(operation.function, eval_str=True).return_annotation
        TypeAdapter(returned).validate_json(body)


def test_what_is_written_from_the_code_is_up_to_date() -> None:
    made = module_of(ROOT / "docs" / "generate.py").made()
    written = {path: text for path, text in made.items() if path.is_relative_to(EVALS)}
    assert {path.name for path in written} == {"_tools.json", "_server.md"}
    assert [path for path, text in written.items() if path.read_text(encoding="utf-8") != text] == []


class Sentence(Strict):
    """A sentence without a word of the description says why it should load the skill all the same."""

    say: str
    why: str | None = None
    instead: str | None = None


class Sentences(Strict):
    skill: str
    reasons: dict[str, str]
    trigger: dict[Literal["en", "zh-Hant", "zh-Hans", "ja"], list[Sentence]]
    near_miss: dict[Literal["en", "zh-Hant", "zh-Hans", "ja"], list[Sentence]]


EMPTY = set(
    "a an the is are or and to of in for how why what whether unsure instead several play use when someone wants with "
    "more that this do does asks better".split()
)
"""Words of the descriptions that say nothing of a subject."""


def sentences(path: Path) -> Sentences:
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    for lists in (value["trigger"], value["near_miss"]):
        for language, said in lists.items():
            lists[language] = [{"say": one} if isinstance(one, str) else one for one in said]
    return Sentences.model_validate(value)


def words_shared(sentence: str, description: str) -> set[str]:
    """The words of a description that stand in a sentence; Chinese and Japanese words are runs of characters."""
    low, description = sentence.lower(), description.lower()
    latin = {w for w in re.findall(r"[a-z0-9][a-z0-9-]+", description) if w not in EMPTY}
    found = {w for w in latin if re.search(rf"(?<![a-z0-9]){re.escape(w)}s?(?![a-z0-9])", low)}
    return found | {w for w in re.findall(r"[\u3040-\u30ff\u4e00-\u9fff]+", description) if w in low}


@pytest.mark.parametrize("path", TRIGGERS, ids=name_of)
def test_a_skill_has_its_sentences_in_each_language(path: Path) -> None:
    said = sentences(path)
    assert said.skill == path.stem
    assert {language: len(found) for language, found in said.trigger.items()} == {
        "en": 20,
        "zh-Hant": 10,
        "zh-Hans": 10,
        "ja": 20,
    }
    assert sum(len(found) for found in said.near_miss.values()) == 10
    near = [sentence for found in said.near_miss.values() for sentence in found]
    assert {sentence.instead for sentence in near} <= {"none", *SKILLS} - {said.skill}


@pytest.mark.parametrize("path", TRIGGERS, ids=name_of)
def test_a_sentence_has_a_word_of_the_description_or_says_why_not(path: Path) -> None:
    said = sentences(path)
    description = parts(ROOT / "skills" / said.skill / "SKILL.md")[0]["description"]
    found = [sentence for one in said.trigger.values() for sentence in one]
    assert [s.say for s in found if not s.why and not words_shared(s.say, description)] == []
    assert [s.say for s in found if s.why and words_shared(s.say, description)] == []
    assert {s.why for s in found if s.why} == set(said.reasons)


def test_no_sentence_stands_twice() -> None:
    said = [
        sentence.say.lower()
        for path in TRIGGERS
        for lists in (sentences(path).trigger, sentences(path).near_miss)
        for found in lists.values()
        for sentence in found
    ]
    assert sorted({one for one in said if said.count(one) > 1}) == []
    assert [path.stem for path in TRIGGERS] == SKILLS


class ScriptedModel:
    """What a model would say that has read the coach, and one that has not."""

    TOOL = f"{PREFIX}list_tasks"
    WITH = [
        {"tool": "Skill", "input": {"skill": "nlp-skills:llm-coach"}},
        {"tool": "ToolSearch", "input": {"query": f"select:{TOOL}"}},
        {"tool": TOOL, "input": {}},
    ]
    ANSWERS = {
        "praise and complaints": "No task is there yet. Which mistake costs you most?\n"
        "1. praise read as a complaint (begin here)\n2. a complaint read as praise",
        "reviews.csv": "目前還沒有任務。評論裡最常看錯的是哪一種？\n1. 把抱怨看成讚美\n2. 把讚美看成抱怨",
    }

    def next(self, body: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
        """Track, turn and reply, as the harness's server asks for them."""
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        text = json.dumps(body, ensure_ascii=False)
        if "nlp-skills:llm-coach" not in text:
            return "without", turn, {"text": "Take any model and train it for ten epochs."}
        if turn < len(self.WITH):
            return "with", turn, self.WITH[turn]
        return "with", turn, {"text": next(answer for words, answer in self.ANSWERS.items() if words in text)}


def copy_of_the_plugin(to: Path) -> Path:
    """What is in the repository and nothing else: the client refuses a folder with hard links, as uv's .venv has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode("utf-8")
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("tests/", "docs/", "lib/", "benchmarks/")) and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    return to


@pytest.fixture
def model_server(harness: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the scripted model."""
    handler = module_of(harness.parent / "fake_api.py").make_handler(
        ScriptedModel(), str(tmp_path / "requests.jsonl"), time.time()
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_client_reads_the_whole_suite_and_two_cases_tell_the_plugin_from_none(
    client: str, model_server: str, tmp_path: Path
) -> None:
    plugin, home = copy_of_the_plugin(tmp_path / "plugin"), tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "TMPDIR": str(tmp_path),
        "LANG": "C.UTF-8",
        "ANTHROPIC_API_KEY": "no-key",
        "ANTHROPIC_BASE_URL": model_server,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [client, "plugin", "eval", str(plugin), "--trust-plugin", "--no-publish", "--runs", "1"]
    # Four runs begin at once: the first two cases, with the plugin and without. No more begin, for each has a price.
    command += ["--concurrency", "4", "--max-cost-usd", "0.0001"]
    command += ["--json", str(tmp_path / "result.json"), "--output-dir", str(tmp_path / "out")]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    said = ended.stdout + ended.stderr
    assert "✗" not in said and "⚠" not in said, said
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    scores = {
        case["dir"]: {
            arm: [(run["score"], run["error"]) for run in runs] for arm, runs in case["arms"].items()
        }
        for case in result["cases"]
    }
    told_apart = {"with": [(1, None)], "without": [(0, None)]}
    assert scores == {
        "evals/beginning/01-asks-one-question": told_apart,
        "evals/beginning/02-looks-before-it-asks": told_apart,
    }, said
    for case in result["cases"]:
        (run,) = case["arms"]["with"]
        assert run["mocks"]["calls"]["total"] == 1
        assert run["mocks"]["warnings"] == []
