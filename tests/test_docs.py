"""What people read is true: commands parse, code and data examples work, links and anchors lead somewhere.

Names of tools, commands and paths in all Markdown are looked up in tests/plugin/test_markdown.py.
"""

from __future__ import annotations

import csv
import importlib.util
import inspect
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from typer.exceptions import TyperException
from typer.testing import CliRunner

from nlp_skills.data.checks import CHECKS
from nlp_skills.data.checks.catalogue import CATALOGUE
from nlp_skills.data.fixes import FIXES
from nlp_skills.data.layout import detect_layout
from nlp_skills.data.shape import Shape
from nlp_skills.data.sources.source import Columns, DataSources
from nlp_skills.operations import OPERATIONS
from nlp_skills.task.task import Task

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "guide"
PAGES = sorted((GUIDE / "en").glob("*.md"))
TRAINING = GUIDE / "en" / "training.md"
IDS_IN = ("run/watch.py", "run/repetition.py", "run/verify.py", "preflight/dry_step.py")
"""Modules that say what is wrong with a run."""
FOR_PEOPLE = [
    *(
        ROOT / name
        for name in ("README.md", "README.zh-TW.md", "CONTRIBUTING.md", "AGENTS.md", "CHANGELOG.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TWINS = [(ROOT / "README.md", ROOT / "README.zh-TW.md")] + [(p, GUIDE / "zh-TW" / p.name) for p in PAGES]
QUICKSTART = "uv run --extra train nlp-skills quickstart"
TESTS = "uv run --all-extras pytest"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[tuple[int, str]]:
    return [(len(m[1]), m[2]) for m in re.finditer(r"^(#+) (.+)$", without_code(text), re.MULTILINE)]


def anchor(heading: str) -> str:
    """As GitHub makes them: lower case, blanks as hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def commands(text: str) -> list[str]:
    """The lines of code blocks, and the inline code, that call the command line."""
    lines = [line for _, block in code_blocks(text) for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", without_code(text))
    starts = r"(?:uv run (?:--extra train |--all-extras )?)?nlp-skills [a-z]"
    return [line for line in [*lines, *spans] if re.match(starts, line)]


def load_generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_operations_page_is_what_the_code_says() -> None:
    assert read(ROOT / "docs" / "operations.md") == load_generator().page()


def test_every_operation_and_every_parameter_is_explained() -> None:
    for operation in OPERATIONS:
        assert inspect.getdoc(operation.function), operation.name
        for parameter in operation.parameters:
            assert operation.meaning(parameter.name), f"{operation.name}: {parameter.name}"
    assert {o.name for o in OPERATIONS} == set(
        re.findall(r"^## (\w+)$", read(ROOT / "docs" / "operations.md"), re.MULTILINE)
    )


@pytest.mark.parametrize("path", FOR_PEOPLE, ids=name_of)
def test_every_command_in_the_docs_parses(path: Path) -> None:
    """Names, options and the number of arguments, as the command line itself reads them; nothing is run."""
    faults = {line: fault for line in commands(read(path)) if (fault := command_fault(line))}
    assert faults == {}


def command_fault(line: str) -> str | None:
    """What the command line would complain about, None when it would start."""
    from nlp_skills.cli import build_command
    from nlp_skills.operations import find_operation

    words = shlex.split(line.split("nlp-skills ", 1)[1], comments=True)
    if words[0] == "mcp":
        return None
    command = build_command(find_operation(words[0]))
    if len(words) == 1:  # `nlp-skills train-model` in a sentence names the command
        return None
    try:
        command.make_context(words[0], words[1:])
    except TyperException as error:
        return f"{type(error).__name__}: {error}"
    return None


def test_a_wrong_command_is_seen() -> None:
    assert command_fault("nlp-skills create-version reviews --lora-r 32") is None
    assert command_fault("nlp-skills create-version reviews --lora-rank 32")
    assert command_fault("nlp-skills create-version reviews --lora-r many")
    assert command_fault("uv run --extra train nlp-skills start --task no-such-type --data x.csv")


def test_the_commands_of_the_examples_operation_parse() -> None:
    from nlp_skills.pipeline import examples

    told = [line for lines in examples().commands.values() for line in lines]
    assert {line: fault for line in told if (fault := command_fault(line))} == {}


def test_help_lists_every_operation() -> None:
    from nlp_skills.cli import app

    shown = CliRunner().invoke(app, ["--help"]).output
    assert [o.command for o in OPERATIONS if o.command not in shown] == []


@pytest.mark.parametrize("path", FOR_PEOPLE, ids=name_of)
def test_every_link_and_anchor_leads_somewhere(path: Path) -> None:
    text = read(path)
    dead = []
    for link in links(text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, fragment = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (
            fragment and fragment not in {anchor(h) for _, h in headings(read(target))}
        ):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("path", FOR_PEOPLE, ids=name_of)
def test_every_program_that_a_command_names_exists(path: Path) -> None:
    lines = [line for _, block in code_blocks(read(path)) for line in block.splitlines()]
    named = [
        m[1]
        for line in lines
        for m in re.finditer(r"(?:python|pytest|^) ?((?:\.ci|docs|tests|benchmarks)/\S+)", line)
    ]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=name_of)
def test_the_chinese_page_has_the_same_sections_code_and_links(english: Path, chinese: Path) -> None:
    ours, theirs = read(english), read(chinese)
    assert [level for level, _ in headings(theirs)] == [level for level, _ in headings(ours)]
    assert code_blocks(theirs) == code_blocks(ours)
    assert [in_english(link) for link in links(theirs)] == [in_english(link) for link in links(ours)]
    rows = re.compile(r"^\|", re.MULTILINE)
    assert len(rows.findall(without_code(theirs))) == len(rows.findall(without_code(ours)))


def in_english(link: str) -> str:
    """A link without what differs by language: the folder, the README's name, the anchor's words."""
    plain = link.replace("guide/zh-TW/", "guide/en/").replace("README.zh-TW.md", "README.md")
    return re.sub(r"#.*", "#", plain)


def test_both_guides_have_the_same_pages() -> None:
    assert [p.name for p in sorted((GUIDE / "zh-TW").glob("*.md"))] == [p.name for p in PAGES]


def test_the_two_commands_of_the_readme_are_those_of_ci() -> None:
    for readme in (ROOT / "README.md", ROOT / "README.zh-TW.md"):
        blocks = [block.splitlines() for _, block in code_blocks(read(readme))]
        assert blocks[0] == [QUICKSTART, TESTS]
    script = read(ROOT / ".ci" / "run").splitlines()
    assert script[-1] == TESTS


def test_ci_just_and_pre_commit_run_the_same_commands() -> None:
    script = set(re.findall(r"^ *(uv (?:run|lock) .+)$", read(ROOT / ".ci" / "run"), re.MULTILINE))
    recipes = read(ROOT / "justfile").split("\nfix:")[0]
    just = set(re.findall(r"^ +(uv run .+)$", recipes, re.MULTILINE))
    assert script == just | {"uv lock --check"}
    config = yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    assert {hook["entry"] for repository in config["repos"] for hook in repository["hooks"]} <= script


def test_the_workflow_runs_the_ci_script() -> None:
    [job] = yaml.safe_load(read(ROOT / ".github" / "workflows" / "ci.yml"))["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_the_ci_script_can_be_started() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def shaped_examples(page: Path) -> list[tuple[str, str, str]]:
    """Shape, language and content of the examples under the headings that name a shape."""
    found = []
    for section in re.split(r"^### ", read(page), flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0]
        shape = re.search(r"`(\w+)`", heading)
        assert shape, heading
        examples = code_blocks(re.split(r"^## ", section, flags=re.MULTILINE)[0])
        found += [(shape[1], language, block) for language, block in examples]
    return found


@pytest.mark.parametrize("shape", list(Shape))
def test_the_example_of_a_row_shape_is_detected_as_such(shape: Shape) -> None:
    blocks = [b for b in shaped_examples(GUIDE / "en" / "data-formats.md") if b[0] == shape.value]
    assert blocks
    for _, language, block in blocks:
        table = csv.DictReader(io.StringIO(block))
        rows = list(table) if language == "csv" else [json.loads(line) for line in block.splitlines()]
        assert detect_layout(rows, Columns(), None).shape is shape


def test_the_yaml_of_the_guide_is_valid() -> None:
    [(_, sources)] = [b for b in code_blocks(read(GUIDE / "en" / "data-formats.md")) if b[0] == "yaml"]
    assert DataSources.parse(yaml.safe_load(sources), "the guide").sources[0].columns.label == "rating"
    [(_, task)] = [b for b in code_blocks(read(GUIDE / "en" / "task-folder.md")) if b[0] == "yaml"]
    assert Task.parse(yaml.safe_load(task), "the guide").name == "tickets"


@pytest.mark.parametrize(
    "path", [GUIDE / "en" / "data-sources.md", ROOT / "skills/data-pipeline/references/data-source.md"]
)
def test_each_kind_of_source_has_an_example_that_can_be_copied(path: Path) -> None:
    from nlp_skills.data.sources import SOURCES

    blocks = [block for language, block in code_blocks(read(path)) if language == "yaml"]
    parsed = [DataSources.parse(yaml.safe_load(block), str(path)) for block in blocks]
    assert {source.type for found in parsed for source in found.sources} == set(SOURCES)


def test_the_yaml_of_the_training_page_is_valid() -> None:
    from nlp_skills.training.config import TrainConfig
    from nlp_skills.training.search_space import read_space, require_searchable
    from nlp_skills.training.targets import TARGETS
    from nlp_skills.training.targets.definition import Targets

    blocks = [yaml.safe_load(b) for language, b in code_blocks(read(TRAINING)) if language == "yaml"]
    *places, space = blocks
    parsed = [Targets.parse(block, "the guide") for block in places]
    assert {"local"} | {target.type for found in parsed for target in found.targets} == set(TARGETS)
    require_searchable(read_space(ROOT, space), TrainConfig(), 100, by_loss=True)


def test_the_reward_of_the_guide_can_be_used(tmp_path: Path) -> None:
    from nlp_skills.data.example import Example, Meta
    from nlp_skills.training.rewards import load_rewards, rewards_sha256

    [(_, code)] = [b for b in code_blocks(read(TRAINING)) if b[0] == "python"]
    (tmp_path / "rewards.py").write_text(code, encoding="utf-8")
    names = ["rewards.py:short"]
    [reward] = load_rewards(names, rewards_sha256(names, tmp_path), tmp_path)
    row = Example(meta=Meta(id="1", source="the guide"))
    assert [reward(answer, row) for answer in ("billing", "it is about billing")] == [1.0, 0.8]


def test_the_training_page_has_every_method_adapter_and_warning() -> None:
    from nlp_skills.training.config import Peft
    from nlp_skills.training.methods import METHODS
    from nlp_skills.training.planning.hardware import NAMED
    from nlp_skills.training.rewards import REWARDS

    sources = [read(ROOT / "lib" / "nlp_skills" / "training" / name) for name in IDS_IN]
    ids = {found for source in sources for found in re.findall(r"\b(?:RUN|RL)-[A-Z]+", source)}
    for page in (TRAINING, GUIDE / "zh-TW" / TRAINING.name):
        rows = re.findall(r"^\| `([\w-]+)` \|", read(page), re.MULTILINE)
        assert sorted(rows) == sorted([*METHODS, *get_args(Peft), *ids])
        assert [name for name in (*NAMED, *REWARDS) if f"`{name}`" not in read(page)] == []


def test_the_thresholds_of_the_guide_are_of_checks_that_exist() -> None:
    [(_, block)] = [b for b in code_blocks(read(GUIDE / "en" / "data-checks.md")) if b[0] == "yaml"]
    values = {"name": "a", "type": "qa", "goal": "a", "created": ""}
    task = Task.parse({**values, **yaml.safe_load(block)}, "the guide")
    assert set(task.quality) <= set(CHECKS)


def test_every_check_is_in_the_guide() -> None:
    for language in ("en", "zh-TW"):
        _, overview, *_ = read(GUIDE / language / "data-checks.md").split("\n\n| ")
        rows = re.findall(r"^\| ([A-Z]+-[A-Z]+) \|.*\| (.*?)\|$", overview, re.MULTILINE)
        assert [check for check, _ in rows] == list(CATALOGUE)
        assert {check for check, fixed in rows if fixed.strip()} == set(FIXES)


def test_the_python_of_the_readme_imports_what_exists() -> None:
    import nlp_skills

    [(_, block)] = [b for b in code_blocks(read(ROOT / "README.md")) if b[0] == "python"]
    names = re.findall(r"^from nlp_skills import (.+)$", block, re.MULTILINE)
    assert names
    for name in names[0].split(", "):
        assert hasattr(nlp_skills, name)


def test_the_changelog_has_the_version_of_the_package() -> None:
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    assert f"## [{version}]" in read(ROOT / "CHANGELOG.md")


def test_the_readme_counts_the_tools_rightly() -> None:
    count = sum(operation.tool for operation in OPERATIONS)
    assert f"and {count} tools" in read(ROOT / "README.md")
    assert f"以及 {count} 個工具" in read(ROOT / "README.zh-TW.md")


def test_the_readme_names_what_the_hooks_do_and_how_to_remove_the_plugin() -> None:
    text = read(ROOT / "README.md")
    market = json.loads(read(ROOT / ".claude-plugin" / "marketplace.json"))
    plugin = f"{market['plugins'][0]['name']}@{market['name']}"
    assert f"/plugin install {plugin}" in text
    assert f"/plugin uninstall {plugin}" in text
    events = json.loads(read(ROOT / "hooks" / "hooks.json"))["hooks"].values()
    named = [hook["command"].split()[-1] for groups in events for group in groups for hook in group["hooks"]]
    assert [name for name in named if f"**{name}**" not in text] == []


def test_the_licence_is_the_one_that_the_package_names() -> None:
    text = read(ROOT / "LICENSE")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["license"] == "Apache-2.0"


def test_no_file_for_people_names_a_folder_of_somebodys_machine() -> None:
    listed = [*FOR_PEOPLE, ROOT / ".ci" / "run", ROOT / "justfile"]
    assert [
        name_of(path) for path in listed if re.search(r"(?<![\w.])/(work|root|home|tmp|Users)/", read(path))
    ] == []
