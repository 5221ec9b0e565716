"""What the Markdown names exists: tools, commands, skills, agents, paths, links; and its front matter is portable."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skills_ref
import yaml

ROOT = Path(__file__).resolve().parents[2]
PORTABLE = {"name", "description", "license", "compatibility", "metadata"}
"""The fields of the Agent Skills specification, without `allowed-tools`: a skill that has it needs an approval first."""
ALL_DESCRIPTIONS = 1600
"""Characters: beyond this some clients drop descriptions, and with them the skill."""
FOLDERS = ("skills", "agents", "commands", "hooks", "lib", "tests", "docs", "assets", "benchmarks")


def tracked_markdown() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode("utf-8")
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and "template" not in path.parts]


MARKDOWN = tracked_markdown()
SKILLS = sorted((ROOT / "skills").iterdir())
COMMANDS = sorted((ROOT / "commands").glob("*.md"))
AGENTS = sorted((ROOT / "agents").glob("*.md"))
COMPONENTS = [*(folder / "SKILL.md" for folder in SKILLS), *COMMANDS, *AGENTS]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def front_matter(path: Path) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", path.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"{name_of(path)} has no front matter"
    return yaml.safe_load(match[1])


def code(text: str) -> Iterator[str]:
    """The inline code and the lines of the code blocks."""
    outside = []
    for position, part in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        if position % 2:
            yield from part.splitlines()
        else:
            outside.append(part)
    for match in re.finditer(r"`([^`\n]+)`", "\n".join(outside)):
        yield match[1]


def tools() -> set[str]:
    from nlp_skills.operations import OPERATIONS

    return {operation.name for operation in OPERATIONS if operation.tool}


def cli_commands() -> set[str]:
    from nlp_skills.operations import OPERATIONS

    return {name for operation in OPERATIONS for name in (operation.command, operation.alias) if name} | {
        "mcp"
    }


def unknown_tools(text: str) -> set[str]:
    return set(re.findall(r"mcp__plugin_nlp-skills_lib__(\w+)", text)) - tools()


def unknown_commands(text: str) -> set[str]:
    """Words after `nlp-skills` in code that the CLI does not know."""
    said = {
        match[1]
        for span in code(text)
        for match in re.finditer(r"(?<![\w/.@-])nlp-skills ([a-z][\w-]*)", span)
    }
    return said - cli_commands()


def unknown_components(text: str) -> set[str]:
    known = {folder.name for folder in SKILLS} | {path.stem for path in (*COMMANDS, *AGENTS)}
    return set(re.findall(r"(?<![\w.@])nlp-skills:([a-z][\w-]*)", text)) - known


def missing_paths(path: Path, text: str) -> set[str]:
    """Links of this file, and paths in code that start with a folder of the repository, that lead nowhere."""
    links = set(re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text))
    missing = {link for link in links if not (path.parent / link).exists()}
    spans = {span.removeprefix("${CLAUDE_PLUGIN_ROOT}/") for span in code(text)}
    spans = {span for span in spans if re.fullmatch(r"[\w./-]+", span)}
    template = ROOT / "lib" / "nlp_skills" / "task" / "template" / "files"
    for span in spans:
        places = [ROOT / span]
        if span.startswith("scripts/") or (span.startswith("docs/") and "journal" in span):
            places.append(template / span)
        elif not span.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
            continue
        if not any(place.exists() for place in places):
            missing.add(span)
    return missing


def misspelt_variables(text: str) -> set[str]:
    known = {"CLAUDE_PLUGIN_ROOT", "CLAUDE_PLUGIN_DATA", "CLAUDE_PROJECT_DIR", "CLAUDE_SKILL_DIR"}
    return set(re.findall(r"\$\{(CLAUDE_\w+)", text)) - known


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_every_name_in_the_markdown_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert unknown_tools(text) == set()
    assert unknown_commands(text) == set()
    assert unknown_components(text) == set()
    assert missing_paths(path, text) == set()
    assert misspelt_variables(text) == set()


def test_the_lint_sees_what_is_wrong(tmp_path: Path) -> None:
    text = (
        "Call `mcp__plugin_nlp-skills_lib__audit_data`, run `nlp-skills audit-data`, say `/nlp-skills:audit`,\n"
        "read [this](gone.md) and `skills/gone/SKILL.md` in ${CLAUDE_PLUGIN_ROTO}.\n"
        "```\nuv run nlp-skills fly --high\n```\n"
    )
    assert unknown_tools(text) == {"audit_data"}
    assert unknown_commands(text) == {"audit-data", "fly"}
    assert unknown_components(text) == {"audit"}
    assert missing_paths(tmp_path / "x.md", text) == {"gone.md", "skills/gone/SKILL.md"}
    assert misspelt_variables(text) == {"CLAUDE_PLUGIN_ROTO"}


@pytest.mark.parametrize("folder", SKILLS, ids=name_of)
def test_a_skill_is_valid_and_portable(folder: Path) -> None:
    assert skills_ref.validate(folder) == []
    assert set(front_matter(folder / "SKILL.md")) <= PORTABLE


@pytest.mark.parametrize("folder", SKILLS, ids=name_of)
def test_a_skill_stays_short_and_its_references_are_one_hop_away(folder: Path) -> None:
    assert len((folder / "SKILL.md").read_text(encoding="utf-8").splitlines()) < 200
    linked = set(
        re.findall(r"\]\((references/[\w-]+\.md)\)", (folder / "SKILL.md").read_text(encoding="utf-8"))
    )
    assert linked == {path.relative_to(folder).as_posix() for path in folder.glob("references/*")}


def test_all_descriptions_together_stay_small() -> None:
    lengths = {name_of(path): len(front_matter(path)["description"]) for path in COMPONENTS}
    assert sum(lengths.values()) < ALL_DESCRIPTIONS, lengths


def test_the_coach_is_found_by_the_words_people_use() -> None:
    description = front_matter(ROOT / "skills" / "llm-coach" / "SKILL.md")["description"].lower()
    words = (
        "train a model|fine-tune|微調|lora|create new task|improve model|optimise accuracy|data pipeline|"
        "task management|訓練模型|建立新任務|改善模型|優化準確率|資料管線|任務管理|ちゅーなー"
    )
    assert [word for word in words.split("|") if word not in description] == []


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_a_command_is_short_and_costs_the_model_nothing_until_it_is_used(path: Path) -> None:
    fields = front_matter(path)
    assert set(fields) <= {"description", "argument-hint", "disable-model-invocation"}
    assert fields["disable-model-invocation"] is True
    assert "$ARGUMENTS" in path.read_text(encoding="utf-8")
    assert len(path.read_text(encoding="utf-8").split("---\n", 2)[2].strip().splitlines()) <= 16


@pytest.mark.parametrize("path", AGENTS, ids=name_of)
def test_an_agent_only_reads(path: Path) -> None:
    fields = front_matter(path)
    assert set(fields) == {"name", "description", "tools"}
    assert fields["name"] == path.stem
    reading = {"list_tasks", "show_task", "preview_source", "compare_versions"}
    # diagnose writes what it found beside what it read, and changes nothing else.
    reading |= {"training_status", "training_log", "check_training", "diagnose"}
    tools = set(re.split(r",\s*", fields["tools"]))
    assert tools <= {"Read", "Grep", "Glob", *(f"mcp__plugin_nlp-skills_lib__{name}" for name in reading)}


def test_the_reference_components_are_all_there() -> None:
    assert [folder.name for folder in SKILLS] == [
        "data-pipeline",
        "llm-coach",
        "llm-knowledge",
        "task-manager",
    ]
    assert [path.stem for path in COMMANDS] == [
        "coach",
        "data-source",
        "deploy",
        "evaluate",
        "generate",
        "new-task",
        "tasks",
    ]
    assert [path.stem for path in AGENTS] == [
        "data-source-advisor",
        "goal-clarifier",
        "problem-diagnoser",
        "result-analyzer",
    ]


def test_every_message_of_the_hooks_names_tools_that_exist() -> None:
    sources = (ROOT / "lib" / "nlp_skills" / "hooks").glob("*.py")
    named = {
        name for file in sources for name in re.findall(r"\{TOOL\}(\w+)", file.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= tools()


def test_the_table_of_settings_says_what_the_code_does() -> None:
    from nlp_skills.training.config import TrainConfig

    text = (ROOT / "skills" / "llm-knowledge" / "references" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|;]+)", text, re.MULTILINE))
    said = {name: rows[name].strip().strip("`") for name in rows if name != "base_model"}
    real = {name: TrainConfig.model_fields[name].default for name in said}
    numbers = {name for name, value in real.items() if isinstance(value, int | float) and value is not False}
    assert {name: float(said[name]) for name in numbers} == {name: real[name] for name in numbers}
    assert {name: said[name] for name in said if name not in numbers} == {
        "peft": real["peft"],
        "target_modules": real["target_modules"],
        "gradient_checkpointing": "off",
    }
    assert real["gradient_checkpointing"] is False
