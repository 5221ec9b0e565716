"""The main job as a stranger does it: one command in a fresh folder, on the real model."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.evaluation.compare import compare_versions
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.records import read_mapping, sha256_file
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, derive_lineage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("smollm2"), pytest.mark.timeout(1800)]

FILES = {
    "config.yaml",
    "data_snapshot.json",
    "lineage.yaml",
    "job.json",
    "metrics.jsonl",
    "results.json",
    "predictions.jsonl",
    "model_info.json",
}


def nlp_skills(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a folder, with no tasks folder named from outside."""
    environment = {k: v for k, v in os.environ.items() if k != "NLP_SKILLS_HOME"}
    command = [sys.executable, "-P", "-m", "nlp_skills", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder where the quickstart has just run, and what it said."""
    folder = tmp_path_factory.mktemp("fresh")
    done = nlp_skills("quickstart", "--json", folder=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, json.loads(done.stdout)


def test_quickstart_leaves_every_file_of_both_versions(fresh: tuple[Path, dict[str, Any]]) -> None:
    task = fresh[0] / "tasks" / "support"
    for version in ("v1", "v2"):
        names = {path.name for path in (task / "versions" / version).iterdir()}
        assert names >= FILES
        assert (task / "models" / version / "adapter" / "adapter_model.safetensors").is_file()
    assert (task / "versions" / "v2" / "report.html").is_file()
    assert (fresh[0] / ".nlp-skills").is_dir()


def test_lineage_says_what_its_neighbours_say(fresh: tuple[Path, dict[str, Any]]) -> None:
    task = fresh[0] / "tasks" / "support"
    for name, parent in (("v1", None), ("v2", "v1")):
        folder = task / "versions" / name
        lineage = Version.load(folder / "lineage.yaml")
        assert lineage == derive_lineage(folder, name, lineage.created, parent, lineage.changes)
        assert lineage.config == read_mapping(folder / "config.yaml")
        results = EvalResult.load(folder / "results.json")
        assert lineage.results == {metric: found.value for metric, found in results.metrics.items()}
        assert lineage.data.train_count == 215
        assert lineage.cost["peak_memory_mb"] > 0


def test_v1_beats_the_prompted_base_beyond_both_intervals(fresh: tuple[Path, dict[str, Any]]) -> None:
    results = EvalResult.load(fresh[0] / "tasks" / "support" / "versions" / "v1" / "results.json")
    assert set(results.baseline) == {"majority", "tfidf", "prompted_base", "few_shot"}
    base = results.baseline["prompted_base"]
    assert results.metrics["accuracy"].low > base.metrics["accuracy"].high
    assert base.gain is not None
    assert base.gain.low > 0


def test_closing_words_name_all_predictors_and_the_next_steps(fresh: tuple[Path, dict[str, Any]]) -> None:
    said = fresh[1]
    names = [line["name"] for line in said["scores"]]
    assert names[-2:] == ["v1", "v2"]
    assert len(names) == 6
    comparison = compare_versions(fresh[0] / "tasks" / "support", "v1", "v2")
    assert said["comparison"] == comparison.model_dump(mode="json")
    assert comparison.config_changes == {"epochs": (3.0, 5.0)}
    assert comparison.count == 82
    assert Path(fresh[0] / said["report"]).is_file()


def test_second_quickstart_finds_everything_done(fresh: tuple[Path, dict[str, Any]]) -> None:
    task = fresh[0] / "tasks" / "support"
    watched = [p for p in task.rglob("*") if p.is_file() and p.name not in ("validation.json", "report.html")]
    before = {path: sha256_file(path) for path in watched}
    done = nlp_skills("quickstart", "--json", folder=fresh[0])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"] == fresh[1]["scores"]
    assert {path: sha256_file(path) for path in watched} == before


def test_start_takes_a_file_of_the_user_the_whole_way(tmp_path: Path) -> None:
    rows = [
        f"{'I love it, number' if i % 2 else 'I hate it, number'} {i}\t{'good' if i % 2 else 'bad'}"
        for i in range(60)
    ]
    (tmp_path / "reviews.tsv").write_text("review\tsentiment\n" + "\n".join(rows), encoding="utf-8")
    done = nlp_skills(
        *(
            "start",
            "--task",
            "classification",
            "--data",
            "reviews.tsv",
            "--epochs",
            "1",
            "--test-rows",
            "30",
            "--json",
        ),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    task = tmp_path / "tasks" / "reviews"
    assert Task.load(task / "task.yaml").labels == ["bad", "good"]
    assert {path.name for path in (task / "versions" / "v1").iterdir()} >= FILES
    assert json.loads(done.stdout)["scores"][-1]["name"] == "v1"


def test_start_with_a_bad_file_leaves_no_task_behind(tmp_path: Path) -> None:
    (tmp_path / "broken.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": \n', encoding="utf-8")
    done = nlp_skills("start", "--task", "classification", "--data", "broken.jsonl", folder=tmp_path)
    assert done.returncode == 2
    assert "broken.jsonl" in done.stderr
    assert "line 2" in done.stderr or ":2" in done.stderr
    assert not list((tmp_path / "tasks").glob("*"))
