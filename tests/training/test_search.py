"""A search over real runs of a tiny model: its trials are versions, bad ones end early, and a kill changes nothing."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from small_task import make_small_task

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.evaluation.search.record import SearchReport, read_report
from nlp_skills.evaluation.search.search import search_settings, stop_search
from nlp_skills.task.version import Version, version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.search_space import read_space
from nlp_skills.training.train import train_model

BAD = 1e-9
"""A learning rate with which nothing is learned."""
SPACE = {"learning_rate": {"choices": [0.02, BAD]}, "lora_r": {"choices": [2, 4]}}
HOW: dict[str, Any] = {"settings": SPACE, "trials": 4, "seed": 3, "confirm": True}


@pytest.fixture(scope="module", autouse=True)
def one_device(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLP_SKILLS_QUEUE", str(tmp_path_factory.mktemp("queue")))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home") / "tasks"
    return make_small_task(home, rows=16, epochs=3, learning_rate=0.02)


@pytest.fixture(scope="module")
def searched(untrained: Path) -> tuple[Path, SearchReport]:
    """The same task after a search that nobody disturbed."""
    task = copy(untrained, "searched")
    return task, search_settings(task, **HOW, wait=True)


def copy(task: Path, name: str) -> Path:
    return Path(shutil.copytree(task, task.parent.parent / name / task.name))


def trials(report: SearchReport) -> list[tuple[int, str | None, str, dict[str, Any]]]:
    return [(t.number, t.version, t.state, t.settings) for t in report.trials]


def test_nothing_is_trained_before_it_is_confirmed(untrained: Path) -> None:
    plan = search_settings(untrained, settings=SPACE, trials=4)
    assert (plan.state, plan.trials, version_names(untrained)) == ("planned", [], ["v1"])
    assert plan.message.startswith("Would search from v1 over learning_rate, lora_r: 4 trainings, ")
    assert plan.message.endswith("Call again with confirm=true.")
    assert not (untrained / "configs" / "search.yaml").exists()


@pytest.mark.slow
def test_trials_are_versions_and_the_planted_bad_settings_end_early(
    searched: tuple[Path, SearchReport],
) -> None:
    task, report = searched
    assert report.state == "complete"
    assert [t.number for t in report.trials] == [0, 1, 2, 3]
    assert report.trials[0].settings == {"learning_rate": 0.02, "lora_r": 4}, "the parent's own come first"
    bad = [t for t in report.trials if t.settings["learning_rate"] == BAD]
    assert bad
    assert {(t.state, t.epochs) for t in bad} == {("pruned", 1.0)}
    for trial in report.trials:
        assert trial.version is not None
        folder = task / "versions" / trial.version
        config = TrainConfig.load(folder / "config.yaml")
        assert {"learning_rate": config.learning_rate, "lora_r": config.lora_r} == trial.settings
        lineage = Version.load(folder / "lineage.yaml")
        assert lineage.parent == "v1"
        assert lineage.changes[0].endswith(f"of search {report.key}")
        trained = trial.state == "complete"
        assert (task / "models" / trial.version).exists() == trained
        job = read_job(folder)
        assert job is not None
        assert job.status == ("succeeded" if trained else "cancelled")
    values = {t.version: t.value for t in report.trials if t.state == "complete"}
    assert report.best_value == min(v for v in values.values() if v is not None) == values[report.best]
    rows = read_metrics(task / "versions" / str(report.best) / "metrics.jsonl")
    assert report.best_value == [row["eval_loss"] for row in rows if "eval_loss" in row][-1]
    assert read_space(task, None) == read_space(task, SPACE)
    assert report.page is not None
    assert str(report.best) in (task / report.page).read_text(encoding="utf-8")
    again = search_settings(task, trials=4, seed=3)
    assert trials(again) == trials(report)


@pytest.mark.slow
def test_search_that_is_killed_goes_on_and_ends_with_the_same_trials(
    untrained: Path, searched: tuple[Path, SearchReport]
) -> None:
    task = copy(untrained, "killed")
    begun = search_settings(task, **HOW)
    folder = task / "benchmarks" / f"search-{begun.key}"
    while len((read_report(folder) or begun).trials) < 2 or not _at_work(task, folder):
        time.sleep(0.05)
    report = read_report(folder)
    assert report is not None
    assert report.pid is not None
    os.kill(report.pid, signal.SIGKILL)
    for name in version_names(task):
        job = read_job(task / "versions" / name)
        if job is not None and job.pid is not None and is_running(task / "versions" / name):
            os.kill(job.pid, signal.SIGKILL)
    while (stopped := search_settings(task, settings=SPACE, trials=4, seed=3)).state == "running":
        time.sleep(0.05)
    assert stopped.state == "stopped"
    ended = search_settings(task, **HOW, wait=True)
    _, expected = searched
    assert trials(ended) == trials(expected)
    assert [t.value for t in ended.trials] == [pytest.approx(t.value, abs=1e-4) for t in expected.trials]
    assert version_names(task) == ["v1", *dict.fromkeys(str(t.version) for t in ended.trials)]


def _at_work(task: Path, folder: Path) -> bool:
    report = read_report(folder)
    version = report.trials[-1].version if report and report.trials else None
    return version is not None and is_running(task / "versions" / version)


@pytest.mark.slow
def test_search_that_is_stopped_leaves_no_process(untrained: Path) -> None:
    task = copy(untrained, "stopped")
    begun = search_settings(task, **HOW)
    folder = task / "benchmarks" / f"search-{begun.key}"
    while not _at_work(task, folder):
        time.sleep(0.05)
    stopped = stop_search(task)
    assert stopped.state == "stopped"
    assert [name for name in version_names(task) if is_running(task / "versions" / name)] == []
    with pytest.raises(NotValid, match="no search runs"):
        stop_search(task)


@pytest.mark.slow
def test_trained_parent_is_the_first_trial_and_a_metric_can_decide(untrained: Path) -> None:
    task = copy(untrained, "metric")
    train_model(task)
    report = search_settings(
        task, settings={"lora_r": {"choices": [2, 4]}}, trials=1, metric="accuracy", confirm=True, wait=True
    )
    result = EvalResult.load(task / "versions" / "v1" / "results_valid.json")
    assert (result.split, result.count) == ("valid", 8)
    value = result.metrics["accuracy"].value
    assert trials(report) == [(0, "v1", "complete", {"lora_r": 4})]
    assert (report.best, report.best_value, version_names(task)) == ("v1", value, ["v1"])
    assert (task / "models" / "v1" / "adapter").is_dir()
    assert not (task / "versions" / "v1" / "results.json").exists(), "the test rows were not looked at"


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"lr": {"low": 1e-5, "high": 1e-3}}, "There is no setting 'lr'"),
        ({"lora_r": {"low": 2.5, "high": 8}}, "lora_r is a whole number"),
        ({"lora_r": {"low": 8, "high": 2}}, "low has to be below high"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "needs a low above 0"),
        ({"lora_dropout": {"low": 0.0, "high": 1.5}}, "lora_dropout: input should be less than 1"),
        ({"peft": {"choices": ["lora", "lore"]}}, "peft: input should be 'lora'"),
        ({"peft": {"low": 1, "high": 2}}, "peft is no number"),
        ({"seed": {"choices": [1, 2]}}, "seed makes no model better"),
        (
            {"method": {"choices": ["sft", "cpt"]}},
            "With another method the validation loss measures something else",
        ),
        ({"lora_r": 8}, "write {low: …, high: …}"),
    ],
)
def test_space_that_makes_no_sense_is_refused(untrained: Path, space: dict[str, Any], said: str) -> None:
    with pytest.raises(NotValid) as error:
        search_settings(untrained, settings=space)
    assert said in str(error.value)


def test_without_a_space_the_error_shows_how_to_give_one(untrained: Path) -> None:
    with pytest.raises(NotReady, match=r"lora_r=\{choices: \[8, 16, 32\]\}"):
        search_settings(untrained)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("eval_los", r'there is no \'eval_los\' \(did you mean "eval_loss"\?\)\. Choose from: eval_loss, '),
        ("eval_kl", r"sft does not measure eval_kl \(kto does\)"),
        ("eval_loss_se", "there is no 'eval_loss_se'"),
        ("f1", "there is no 'f1'"),
    ],
)
def test_metric_that_nobody_measures_is_refused(untrained: Path, metric: str, said: str) -> None:
    with pytest.raises(NotValid, match=said):
        search_settings(untrained, settings=SPACE, metric=metric)
