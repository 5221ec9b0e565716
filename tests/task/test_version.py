"""Versions: the next number is taken by one, lineage says what its neighbours say."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.snapshot import DataSnapshot, SplitSnapshot
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.records import read_mapping
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.task.version import (
    DataLineage,
    Version,
    describe_changes,
    new_version,
    newest_version,
    record_lineage,
    trial_words,
    version_folder,
    version_names,
)
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Cost, Environment, Job
from nlp_skills.training.new_version import create_version


def lines(split: str, count: int, label: str = "sport") -> bytes:
    """A split file."""
    turns = [{"role": "user", "content": "Who won?"}, {"role": "assistant", "content": label}]
    rows = (
        {"messages": turns, "meta": {"id": f"{split}-{number}", "source": "wire", "label": label}}
        for number in range(count)
    )
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def snapshot_of(files: dict[str, bytes]) -> DataSnapshot:
    splits = {
        name: SplitSnapshot(sha256=hashlib.sha256(data).hexdigest(), count=data.count(b"\n"))
        for name, data in files.items()
    }
    return DataSnapshot(source_hash="5" * 64, sources={}, splits=splits, seed=13)


SPLITS = {"train": lines("train", 70), "valid": lines("valid", 10), "test": lines("test", 20)}
SNAPSHOT = snapshot_of(SPLITS)
FILES = {"config.yaml": TrainConfig().to_bytes(".yaml"), "data_snapshot.json": SNAPSHOT.to_bytes()}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "news", type=TaskType.CLASSIFICATION, goal="Find the topic.")
    return tmp_path / "tasks" / "news"


@pytest.fixture
def task_with_data(task: Path) -> Path:
    lay(task, SPLITS)
    return task


def lay(task: Path, files: dict[str, bytes]) -> None:
    """Make these the task's data."""
    for name, data in files.items():
        (task / "data" / f"{name}.jsonl").write_bytes(data)
    snapshot_of(files).save(task / "data" / "data_snapshot.json")


def lineage(task: Path, version: str) -> Version:
    return Version.load(task / "versions" / version / "lineage.yaml")


def neighbours(folder: Path) -> dict[str, Any]:
    """What lineage.yaml has to hold, put together from the files beside it, written for this test."""

    def read(name: str) -> dict[str, Any]:
        path = folder / name
        if not path.is_file():
            return {}
        return json.loads(path.read_bytes()) if path.suffix == ".json" else read_mapping(path)

    snapshot, job, results = read("data_snapshot.json"), read("job.json"), read("results.json")
    return {
        "data": {
            "source_hash": snapshot["source_hash"],
            **{f"{split}_count": snapshot["splits"][split]["count"] for split in ("train", "valid", "test")},
        },
        "config": read("config.yaml"),
        "results": {name: interval["value"] for name, interval in results.get("metrics", {}).items()},
        "environment": {k: v for k, v in (job.get("environment") or {}).items() if v is not None},
        "cost": {k: v for k, v in (job.get("cost") or {}).items() if v is not None},
    }


def test_lineage_says_what_its_neighbours_say_at_every_stage(task: Path):
    made = new_version(task, FILES, ["first"], None)
    folder = task / "versions" / "v1"
    assert made == lineage(task, "v1")
    assert made.data == DataLineage(source_hash="5" * 64, train_count=70, valid_count=10, test_count=20)

    def check() -> None:
        known = lineage(task, "v1")
        assert known.model_dump(include=set(neighbours(folder))) == neighbours(folder)
        assert (known.version, known.created, known.parent, known.changes) == (
            "v1",
            made.created,
            None,
            ["first"],
        )

    check()
    Job(
        id="1",
        status="succeeded",
        started="2026-11-21T08:00:00Z",
        log="versions/v1/train.log",
        environment=Environment(python="3.11.2", platform="Linux", packages={"torch": "2.13.0"}, threads=2),
        cost=Cost(seconds=12.5, peak_memory_mb=900.0),
    ).save(folder / "job.json")
    assert record_lineage(task) == lineage(task, "v1")
    check()
    assert lineage(task, "v1").cost == {"seconds": 12.5, "usd": 0.0, "peak_memory_mb": 900.0}
    EvalResult(
        metrics={"accuracy": Interval(value=0.75, low=0.6, high=0.9)}, count=20, split="test", data_sha256="t"
    ).save(folder / "results.json")
    record_lineage(task, version="v1")
    check()
    assert lineage(task, "v1").results == {"accuracy": 0.75}


def test_recording_twice_changes_nothing(task: Path):
    new_version(task, FILES, ["first"], None)
    file = task / "versions" / "v1" / "lineage.yaml"
    before = (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino)
    record_lineage(task)
    assert (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_versions_are_counted_as_numbers_and_the_newest_is_the_default(task: Path):
    assert version_names(task) == []
    for _ in range(11):
        new_version(task, FILES, [], None)
    assert version_names(task) == [f"v{n}" for n in range(1, 12)]
    assert version_folder(task, None) == task / "versions" / "v11"
    assert version_folder(task, "v2") == task / "versions" / "v2"


def test_the_newest_version_is_no_trial_of_a_search_where_there_is_another(task: Path):
    assert newest_version(task) is None
    new_version(task, FILES, [trial_words(0, "5f0e1c2b"), "lora_r: 16 → 8"], None)
    assert newest_version(task) == "v1"
    new_version(task, FILES, ["first version"], None)
    for number in range(2):
        new_version(task, FILES, [trial_words(number, "5f0e1c2b"), "lora_r: 16 → 8"], "v2")
    assert newest_version(task) == "v2"
    assert version_folder(task, None) == task / "versions" / "v2"
    new_version(task, FILES, ["trial by jury of search terms"], "v2")
    assert newest_version(task) == "v5"
    (task / "versions" / "v5" / "lineage.yaml").write_text("changes: [", encoding="utf-8")
    assert newest_version(task) == "v5"


def test_a_new_version_starts_from_the_newest_that_is_no_trial(task_with_data: Path):
    create_version(task_with_data, epochs=2)
    create_version(task_with_data, epochs=7, changes=[trial_words(0, "5f0e1c2b"), "epochs: 2 → 7"])
    made = create_version(task_with_data, lora_r=8)
    assert (made.version, made.parent, made.config["epochs"]) == ("v3", "v1", 2.0)


def test_a_number_is_not_used_again_for_what_is_no_version(task: Path):
    (task / "versions" / "v1").write_text("a file", encoding="utf-8")
    for name in ("v02", "v0", "v3.bak", "notes"):
        (task / "versions" / name).mkdir()
    assert new_version(task, FILES, [], None).version == "v2"
    assert (task / "versions" / "v1").read_text(encoding="utf-8") == "a file"
    assert version_names(task) == ["v2"]


@pytest.mark.parametrize("name", ["v9", "..", "../../evil", "v1/../v1", "V1", ""])
def test_a_version_that_is_not_there_is_named_with_those_that_are(task: Path, name: str):
    with pytest.raises(NotReady, match="nlp-skills create-version news"):
        version_folder(task, name)
    new_version(task, FILES, [], None)
    with pytest.raises(NotFound, match=r"Versions: v1\."):
        version_folder(task, name)


def test_a_parent_that_is_not_there_leaves_nothing_behind(task: Path):
    with pytest.raises(NotFound, match=r"has no version 'v7' to start from\. Versions: none"):
        new_version(task, FILES, [], "v7")
    with pytest.raises(NotFound, match=r"data_snapshot\.json does not exist"):
        new_version(task, {"config.yaml": b"{}\n"}, [], None)
    assert list((task / "versions").iterdir()) == []


CREATOR = """
import sys
from pathlib import Path
from nlp_skills.training.new_version import create_version

task = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    print(create_version(task, epochs=int(line)).version, flush=True)
"""


def test_two_processes_that_make_a_version_at_the_same_moment_get_two(task_with_data: Path):
    rounds = 50
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR, str(task_with_data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    streams = [(c.stdin, c.stdout) for c in children]
    for _, out in streams:
        assert out is not None and out.readline() == "ready\n"
    for number in range(1, rounds + 1):
        for into, _ in streams:
            assert into is not None
            into.write(f"{number}\n")
            into.flush()
        names = {out.readline().strip() for _, out in streams if out is not None}
        assert names == {f"v{2 * number - 1}", f"v{2 * number}"}
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert version_names(task_with_data) == [f"v{n}" for n in range(1, 2 * rounds + 1)]
    assert all(not p.name.startswith(".") for p in (task_with_data / "versions").iterdir())
    for n in range(1, 2 * rounds + 1):
        folder = task_with_data / "versions" / f"v{n}"
        assert lineage(task_with_data, f"v{n}").version == f"v{n}"
        assert TrainConfig.load(folder / "config.yaml").epochs == (n + 1) // 2


def test_a_version_starts_from_its_parent_and_says_what_is_different(task_with_data: Path):
    first = create_version(task_with_data)
    assert first.changes == ["first version: sft with lora, rank 16, 3 epochs"]
    assert first.config["learning_rate"] == 3e-4  # fewer than 1,000 rows
    second = create_version(task_with_data, lora_r=32, settings={"lora_dropout": 0.1})
    assert (second.parent, second.changes) == (
        "v1",
        ["lora_r: 16 → 32", "lora_alpha: 32 → 64", "lora_dropout: 0.0 → 0.1"],
    )
    third = create_version(task_with_data, parent="v1", changes=["because we can"])
    assert (third.parent, third.changes, third.config) == ("v1", ["because we can"], first.config)
    assert create_version(task_with_data, parent="v3").changes == ["repeated with nothing changed"]


def test_a_version_on_other_data_says_so(task_with_data: Path):
    create_version(task_with_data)
    lay(task_with_data, {**SPLITS, "train": lines("train", 75), "test": lines("test", 20, "business")})
    assert create_version(task_with_data).changes == ["data: train 5 rows more", "data: test changed"]
    frozen = DataSnapshot.load(task_with_data / "versions" / "v1" / "data_snapshot.json")
    assert frozen == SNAPSHOT


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lora_rr": 3}, 'lora_rr: unknown field (did you mean "lora_r"?)'),
        ({"lora_r": 0}, "lora_r: input should be greater than or equal to 1, not 0"),
        (
            {"method": "dpo"},
            "dpo learns from better and worse answers, and a classification task has one answer",
        ),
    ],
)
def test_a_bad_setting_makes_no_version(task_with_data: Path, settings: dict[str, Any], said: str):
    with pytest.raises(NotValid) as caught:
        create_version(task_with_data, settings=settings)
    assert said in str(caught.value)
    assert version_names(task_with_data) == []


def test_a_version_needs_data(task: Path):
    with pytest.raises(NotReady, match="nlp-skills regenerate-data news"):
        create_version(task)


def test_changes_are_the_differences_in_the_order_of_the_fields():
    assert describe_changes({"a": 1, "b": 2, "c": None}, {"b": 3, "a": 1, "d": "x"}) == [
        "b: 2 → 3",
        "d: None → x",
    ]
    assert describe_changes({"a": 1}, {"a": 1}) == []
