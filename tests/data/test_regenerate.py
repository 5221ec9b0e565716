"""Regeneration: from sources to splits whole or not at all, and a diff that tells the truth."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from nlp_skills.data.example import read_examples
from nlp_skills.data.history import list_snapshots
from nlp_skills.data.present import describe_data, hash_files
from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import SPLITS, Columns, DataSources, FileSource
from nlp_skills.data.sourcing import add_source, preview_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import AlreadyExists, NotFound, NotReady, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.task.task import Task, TaskType, create_task

LABELS = ("billing", "delivery", "returns")


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": f"r{n}", "text": f"message number {n} about 包裹 {n * 7}", "label": LABELS[n % 3]}
        for n in range(start, start + count)
    ]


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in content), encoding="utf-8")
    return path


def content_of(task: Path) -> dict[str, bytes]:
    """Every file of the task by its name, without the lock."""
    files = (p for p in sorted(task.rglob("*")) if p.is_file() and p.name != ".lock")
    return {p.relative_to(task).as_posix(): p.read_bytes() for p in files}


def set_sources(task: Path, **changes: Any) -> None:
    file = task / "data_source.yaml"
    DataSources.load(file).with_changes(**changes).save(file)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with one source of 60 rows that was not read yet."""
    create_task(tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Find the team.")
    folder = tmp_path / "tasks" / "support"
    add_source(folder, str(write(tmp_path / "messages.jsonl", rows(60))))
    return folder


def test_two_sources_of_one_name_are_refused_because_they_would_share_a_file(task: Path):
    source = DataSources.load(task / "data_source.yaml").sources[0]
    with pytest.raises(NotValid, match="two are named 'messages'; give each a name of its own"):
        set_sources(task, sources=[source.model_dump(), {**source.model_dump(), "name": "Messages"}])


def test_what_is_edited_while_the_sources_are_read_is_kept(task: Path):
    def edit(message: str, done: float, total: float | None) -> None:
        set_sources(task, skip_bad_rows=True)
        file = task / "task.yaml"
        Task.load(file).with_changes(pain="It takes days.").save(file)

    regenerate_data(task, progress=edit)
    sources, definition = DataSources.load(task / "data_source.yaml"), Task.load(task / "task.yaml")
    assert sources.skip_bad_rows and sources.regeneration.last_run is not None
    assert (definition.pain, definition.labels) == ("It takes days.", list(LABELS))


def test_a_file_becomes_raw_rows_splits_and_a_snapshot_of_them(task: Path, tmp_path: Path):
    snapshot = regenerate_data(task)
    raw = task / "data" / "raw" / "messages.jsonl"
    assert [json.loads(line) for line in raw.read_bytes().splitlines()] == rows(60)
    assert snapshot == DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert {name: split.count for name, split in snapshot.splits.items()} == {
        "train": 42,
        "valid": 9,
        "test": 9,
    }
    ids = []
    for name in SPLITS:
        file = task / "data" / f"{name}.jsonl"
        examples = list(read_examples(file))
        ids += [e.meta.id for e in examples]
        assert snapshot.splits[name].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert snapshot.splits[name].count == len(examples)
        assert sum(snapshot.splits[name].label_counts.values()) == len(examples)
        for example in examples:
            assert rows(60)[example.meta.line - 1]["text"] == example.input_text
            assert [m.role for m in example.messages or []] == ["system", "user", "assistant"]
    assert sorted(ids) == sorted(f"messages-r{n}" for n in range(60))
    source = snapshot.sources["messages"]
    assert (source.type, source.rows, source.sha256) == ("file", 60, sha256_file(raw))
    assert source.request["path"] == str(tmp_path / "messages.jsonl")
    assert (snapshot.added, snapshot.removed, snapshot.changed) == (60, 0, 0)
    last_run = DataSources.load(task / "data_source.yaml").regeneration.last_run
    assert last_run is not None and last_run >= snapshot.sources["messages"].fetched


def test_labels_that_were_found_stand_in_the_task_and_in_every_prompt(task: Path):
    regenerate_data(task)
    assert Task.load(task / "task.yaml").labels == list(LABELS)
    for example in read_examples(task / "data" / "train.jsonl"):
        assert "billing, delivery, returns" in (example.context[0].content or "")


def test_the_same_sources_give_the_same_bytes(task: Path):
    first = regenerate_data(task)
    before = {name: data for name, data in content_of(task).items() if name.endswith(".jsonl")}
    second = regenerate_data(task)
    assert {name: data for name, data in content_of(task).items() if name.endswith(".jsonl")} == before
    assert second.source_hash == first.source_hash
    assert (second.added, second.removed, second.changed) == (0, 0, 0)


def test_the_difference_to_the_snapshot_before_is_counted_by_row(task: Path, tmp_path: Path):
    regenerate_data(task)
    changed = rows(65)[5:]
    changed[0] = {**changed[0], "label": "returns" if changed[0]["label"] != "returns" else "billing"}
    changed[1] = {**changed[1], "text": "another text"}
    write(tmp_path / "messages.jsonl", changed)
    snapshot = regenerate_data(task)
    assert (snapshot.added, snapshot.removed, snapshot.changed) == (5, 5, 2)


def test_rows_that_are_equal_are_kept_once_unless_all_are_wanted(task: Path, tmp_path: Path):
    twice = [*rows(60), *({**r, "id": f"again-{r['id']}"} for r in rows(10))]
    write(tmp_path / "messages.jsonl", twice)
    snapshot = regenerate_data(task)
    assert snapshot.duplicates_dropped == 10
    assert sum(split.count for split in snapshot.splits.values()) == 60
    set_sources(task, deduplicate=False)
    snapshot = convert_data(task)
    assert snapshot.duplicates_dropped == 0
    assert sum(split.count for split in snapshot.splits.values()) == 70


def test_a_source_that_is_pinned_to_a_side_stays_there(task: Path, tmp_path: Path):
    add_source(task, str(write(tmp_path / "gold.jsonl", rows(20, 100))), side="test")
    snapshot = regenerate_data(task)
    test = list(read_examples(task / "data" / "test.jsonl"))
    assert sum(e.meta.source == "gold" for e in test) == 20
    assert snapshot.splits["test"].count == 9 + 20
    assert all(
        e.meta.source == "messages"
        for n in ("train", "valid")
        for e in read_examples(task / "data" / f"{n}.jsonl")
    )


def test_a_source_that_is_taken_out_is_gone_from_the_raw_rows(task: Path, tmp_path: Path):
    add_source(task, str(write(tmp_path / "more.jsonl", rows(20, 100))))
    assert regenerate_data(task).added == 80
    set_sources(
        task, sources=[s.model_dump() for s in DataSources.load(task / "data_source.yaml").sources[:1]]
    )
    assert regenerate_data(task).removed == 20
    assert [p.name for p in (task / "data" / "raw").iterdir()] == ["messages.jsonl"]


BREAK: dict[str, Any] = {
    "the file is gone": lambda path: path.unlink(),
    "a line is no JSON": lambda path: path.write_text(
        '{"text": "a", "label": "b"}\n{"text": \n', encoding="utf-8"
    ),
    "rows without an answer": lambda path: write(path, [*rows(60), {"id": "x", "text": "no label"}]),
    "empty": lambda path: path.write_text("", encoding="utf-8"),
}


@pytest.mark.parametrize("fault", BREAK)
@pytest.mark.parametrize("times", [0, 1])
def test_a_source_that_fails_leaves_everything_as_it_was(task: Path, tmp_path: Path, fault: str, times: int):
    for _ in range(times):
        regenerate_data(task)
    add_source(task, str(write(tmp_path / "second.jsonl", rows(30, 500))))
    before = content_of(task)
    BREAK[fault](tmp_path / "messages.jsonl")
    with pytest.raises((NotFound, NotValid)):
        regenerate_data(task)
    assert content_of(task) == before
    assert not (task / "data" / ".next").exists()


def test_a_split_that_cannot_be_made_leaves_everything_as_it_was(task: Path):
    regenerate_data(task)
    set_sources(task, split={"valid": 30, "test": 30})
    before = content_of(task)
    for make in (regenerate_data, convert_data):
        with pytest.raises(NotValid, match="take 60 rows, but there are only 60"):
            make(task)
    assert content_of(task) == before


def test_rows_that_cannot_be_used_are_counted_with_line_and_reason_and_can_be_left_out(
    task: Path, tmp_path: Path
):
    bad = rows(60)
    for n in (3, 40):
        bad[n] = {**bad[n], "text": ""}
    write(tmp_path / "messages.jsonl", bad)
    with pytest.raises(NotValid, match=r"2 rows cannot be used\. row 4: .*row 41: .*skip_bad_rows: true"):
        regenerate_data(task)
    set_sources(task, skip_bad_rows=True)
    snapshot = regenerate_data(task)
    assert snapshot.sources["messages"].rows == 60
    assert sum(split.count for split in snapshot.splits.values()) == 58


def test_a_changed_instruction_is_converted_without_the_sources(task: Path, tmp_path: Path):
    first = regenerate_data(task)
    sides = {n: [e.meta.id for e in read_examples(task / "data" / f"{n}.jsonl")] for n in SPLITS}
    (tmp_path / "messages.jsonl").unlink()
    Task.load(task / "task.yaml").with_changes(instruction="哪一組負責？").save(task / "task.yaml")
    second = convert_data(task)
    assert second.sources == first.sources
    assert second.source_hash != first.source_hash
    assert (second.added, second.removed, second.changed) == (0, 0, 60)
    for name in SPLITS:
        examples = list(read_examples(task / "data" / f"{name}.jsonl"))
        assert sorted(e.meta.id for e in examples) == sorted(sides[name])
        assert {e.context[0].content for e in examples} == {"哪一組負責？"}


def test_converting_needs_raw_rows_that_nobody_changed(task: Path, tmp_path: Path):
    with pytest.raises(NotReady, match=r"nothing was read yet\. Run: nlp-skills regenerate-data support"):
        convert_data(task)
    regenerate_data(task)
    add_source(task, str(write(tmp_path / "more.jsonl", rows(20, 100))))
    with pytest.raises(NotReady, match="more was not read yet"):
        convert_data(task)
    regenerate_data(task)
    before = content_of(task)
    with (task / "data" / "raw" / "more.jsonl").open("ab") as stream:
        stream.write(b'{"text": "smuggled in", "label": "billing"}\n')
    with pytest.raises(NotValid, match="is not the file that was read from the source"):
        convert_data(task)
    before["data/raw/more.jsonl"] = (task / "data" / "raw" / "more.jsonl").read_bytes()
    assert content_of(task) == before


def test_other_data_count_as_not_validated_and_the_same_data_still_as_validated(task: Path, tmp_path: Path):
    regenerate_data(task)
    report = validate_data(task)
    regenerate_data(task)
    convert_data(task)
    assert ValidationReport.load(task / "data" / "validation.json") == report.model_copy(update={"page": ""})
    assert (task / "data" / "validation.html").is_file()
    (task / "data" / "tokens.html").write_text("<p>tokens of these rows</p>", encoding="utf-8")
    write(tmp_path / "messages.jsonl", rows(61))
    regenerate_data(task)
    for name in ("validation.json", "validation.html", "tokens.html"):
        assert not (task / "data" / name).exists()


def test_only_one_process_makes_the_data(task: Path):
    regenerate_data(task)
    before = content_of(task)
    with FileLock(task / "data" / ".lock"):
        for make in (regenerate_data, convert_data):
            with pytest.raises(NotReady, match="another process is making the data at this moment"):
                make(task)
    assert content_of(task) == before
    regenerate_data(task)


LOCK_AT_THE_END = """
import fcntl, sys
from pathlib import Path
from nlp_skills.data.regenerate import regenerate_data

task = Path(sys.argv[1])

def is_locked():
    with (task / "data" / ".lock").open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

def hook(event, args):
    if event == "os.remove" and str(args[0]).endswith(".unfinished"):
        print("marker", is_locked())
    if event == "os.rename" and str(args[1]).endswith("data_source.yaml"):
        print("last run", is_locked())

sys.addaudithook(hook)
regenerate_data(task)
print("afterwards", is_locked())
"""


@pytest.mark.skipif(os.name != "posix", reason="asks for the lock as POSIX has it")
def test_a_run_writes_its_last_word_before_another_one_may_begin(task: Path):
    ran = subprocess.run(
        [sys.executable, "-c", LOCK_AT_THE_END, str(task)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["last run True", "marker True", "afterwards False"]


def test_a_source_is_looked_at_before_it_is_added(task: Path, tmp_path: Path):
    before = content_of(task)
    with pytest.raises(NotFound, match="does not exist or is no file"):
        add_source(task, str(tmp_path / "nowhere.csv"))
    (tmp_path / "bad.csv").write_text("one,two\n1,2\n", encoding="utf-8")
    with pytest.raises(NotValid):
        add_source(task, str(tmp_path / "bad.csv"), copy=True)
    with pytest.raises(NotValid):
        add_source(task, str(tmp_path / "messages.jsonl"), name="other", text="txet")
    with pytest.raises(AlreadyExists, match="has a source named 'messages' already"):
        add_source(task, str(tmp_path / "messages.jsonl"))
    with pytest.raises(NotValid, match="use letters, digits, dots, hyphens and underscores"):
        add_source(task, str(tmp_path / "messages.jsonl"), name="../evil")
    assert content_of(task) == before


def test_copies_of_two_files_of_one_name_do_not_replace_each_other(task: Path, tmp_path: Path):
    for folder, start in (("a", 200), ("b", 300)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "data.jsonl", rows(20, start))
        add_source(task, str(tmp_path / folder / "data.jsonl"), name=folder, copy=True)
    loaded = DataSources.load(task / "data_source.yaml").sources
    sources = {s.name: task / s.path for s in loaded if isinstance(s, FileSource)}
    assert sources["a"].read_bytes() == (tmp_path / "a" / "data.jsonl").read_bytes()
    assert sources["b"].read_bytes() == (tmp_path / "b" / "data.jsonl").read_bytes()
    assert sources["a"].is_relative_to(task) and sources["b"].is_relative_to(task)


def test_a_preview_shows_what_would_be_made_and_stores_nothing(task: Path):
    before = content_of(task)
    preview = preview_source(task)
    assert preview == preview_source(task, source="messages")
    assert preview.rows == rows(5)
    assert Columns(**preview.columns) == Columns(text="text", label="label", id="id")
    assert [m["content"] for m in preview.example][-2:] == [rows(1)[0]["text"], "billing"]
    with pytest.raises(NotFound, match="Sources: messages"):
        preview_source(task, source="other")
    assert content_of(task) == before


def test_validation_first_finishes_a_replacement_that_was_cut_off(task: Path):
    regenerate_data(task)
    data, ready = task / "data", task / "data" / ".ready"
    ready.mkdir()
    (ready / "train.jsonl").write_bytes((data / "train.jsonl").read_bytes().splitlines(keepends=True)[0])
    (ready / "files.json").write_text('["train.jsonl"]', encoding="utf-8")
    assert validate_data(task).files["data/train.jsonl"] == 1
    assert not ready.exists()


KILLED_AT_EVERY_STEP = '''
"""Run an operation in a child that ends at its k-th file operation, for every k; print what was left each time."""
import hashlib, json, os, shutil, sys
from pathlib import Path
from nlp_skills.data.history import restore_data
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.replacement import settle_data

task, copies = Path(sys.argv[1]), Path(sys.argv[2])
operation = (lambda folder: restore_data(folder, sys.argv[3])) if len(sys.argv) > 3 else regenerate_data
WATCHED = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree", "shutil.copyfile")

def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()

def snapshot_of(folder):
    """The snapshot without the time of the reading, and whether the files are those that it names."""
    found = json.loads((folder / "data_snapshot.json").read_bytes())
    whole = all(sha256(folder / f"{n}.jsonl") == s["sha256"] for n, s in found["splits"].items())
    raw = all(sha256(folder / "raw" / f"{n}.jsonl") == s["sha256"] for n, s in found["sources"].items())
    for source in found["sources"].values():
        del source["fetched"]
    return found, whole and raw

def archive_of(folder):
    return [snapshot_of(kept) for kept in sorted((folder / "data" / "snapshots").glob("[!.]*"))]

def run_until(folder, last):
    pid = os.fork()
    if pid == 0:
        count = 0
        def hook(event, args):
            nonlocal count
            if event in WATCHED:
                count += 1
                if count == last:
                    os._exit(9)
        sys.addaudithook(hook)
        operation(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

step = 0
while True:
    step += 1
    folder = copies / f"{step}" / "support"
    shutil.copytree(task, folder)
    ended = run_until(folder, step)
    settle_data(folder)
    left, archive = snapshot_of(folder / "data"), archive_of(folder)
    operation(folder)  # and it can be done again
    again, archive_again = snapshot_of(folder / "data"), archive_of(folder)
    leftovers = [p.name for p in (folder / "data").iterdir() if p.name in (".next", ".ready")]
    leftovers += [p.name for pattern in ("*.tmp", ".unfinished") for p in (folder / "data").rglob(pattern)]
    print(json.dumps({"step": step, "ended": ended, "left": left, "archive": archive, "again": again,
                      "archive_again": archive_again, "leftovers": leftovers}), flush=True)
    shutil.rmtree(copies / f"{step}")
    if ended == 0:
        break
'''


def kill_at_every_step(task: Path, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    script = folder / "kill.py"
    script.write_text(KILLED_AT_EVERY_STEP, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(script), str(task), str(folder / "copies"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    steps = [json.loads(line) for line in ran.stdout.splitlines()]
    assert steps[-1]["ended"] == 0 and len(steps) > 30
    assert all(step["ended"] == 9 for step in steps[:-1])
    return steps


def untimed(snapshot: DataSnapshot) -> dict[str, Any]:
    """The snapshot without the times of its readings."""
    found = snapshot.model_dump(mode="json")
    for source in found["sources"].values():
        del source["fetched"]
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("edited", [False, True])
def test_a_kill_at_any_file_operation_leaves_the_old_data_or_the_new(
    task: Path, tmp_path: Path, edited: bool
):
    """Old data that somebody edited stand in the archive as what they are, where only that is why they are kept."""
    old = regenerate_data(task)
    kept: list[Any] = [untimed(old), True]
    if edited:
        train = task / "data" / "train.jsonl"
        train.write_bytes(train.read_bytes().replace(b"message", b"Message"))
        described = describe_data(task / "data", hash_files(task / "data"))
        assert described is not None
        kept = [untimed(described), True]
    else:
        write(tmp_path / "messages.jsonl", rows(50, 5))
    steps = kill_at_every_step(task, tmp_path)
    before: list[Any] = [untimed(old), not edited]
    after: list[Any] = [untimed(regenerate_data(task)), True]
    for step in steps:
        assert step["left"] in (before, after), step
        assert step["archive"] in ([], [kept]) and step["archive_again"] == [kept], step
        assert step["left"] == before or step["archive"] == [kept], "nothing is replaced before it is kept"
        assert step["leftovers"] == [], step
    assert [step["again"] for step in steps[:-1]] == [after] * (len(steps) - 1)
    undisturbed = {"before": after[0]["source_hash"], "before_edited": False}
    undisturbed |= dict.fromkeys(("added", "removed", "changed", "moved"), 0)
    assert steps[-1]["again"] == [{**after[0], **undisturbed}, True], (
        "that run ended, and this one changed nothing"
    )
    old_data = [step["left"] == before for step in steps]
    assert old_data == sorted(old_data, reverse=True), "the old data up to one moment, the new data after it"
    assert set(old_data) == {True, False}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_file_operation_of_a_restoration_leaves_the_present_data_or_the_earlier(
    task: Path, tmp_path: Path
):
    earlier = regenerate_data(task)
    write(tmp_path / "messages.jsonl", rows(50, 5))
    present = regenerate_data(task)
    name = list_snapshots(task).snapshots[1].name
    before, after = [untimed(present), True], [untimed(earlier), True]
    for step in kill_at_every_step(task, tmp_path, name):
        assert step["left"] in (before, after), step
        assert step["left"] == before or before in step["archive"], step
        assert step["again"] == after and step["leftovers"] == [], step
        assert after in step["archive_again"] and before in step["archive_again"], step
