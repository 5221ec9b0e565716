"""Mending a task's data: shown first, then applied as one step, and applied again by every regeneration."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from nlp_skills import tables
from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.data.fix import FixReport, fix_data
from nlp_skills.data.fixes import FixCount
from nlp_skills.data.history import restore_data
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.task.task import Task, TaskType, create_task

MAIL = "erika.maier@acme-mail.de"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with 200 rows, of which ten hold an address and five an answer to a question asked before."""
    create_task(
        tmp_path / "tasks",
        "mood",
        type=TaskType.CLASSIFICATION,
        goal="Tell the mood.",
        labels=["bad", "good"],
    )
    folder = tmp_path / "tasks" / "mood"
    rows = [
        (f"text {chr(97 + n % 26)} of {n * 7919 % 1000} words", "good" if n % 2 else "bad")
        for n in range(185)
    ]
    rows += [(f"{n} is for {MAIL}", "good") for n in range(10)]
    rows += [(rows[n][0], "bad" if rows[n][1] == "good" else "good") for n in range(5)]
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    add_source(folder, str(tmp_path / "rows.csv"))
    regenerate_data(folder)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything below, but for the lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def done(report: FixReport) -> dict[str, tuple[int, int]]:
    return {check: (count.changed, count.dropped) for check, count in report.fixes.items()}


CHECKS = ["DATA-CONFLICT", "DATA-PII"]


def test_a_fix_is_shown_and_touches_nothing_else(task: Path) -> None:
    before = files_of(task)
    report = fix_data(task, checks=CHECKS)
    assert (report.applied, list(report.fixes), report.fixes["DATA-PII"].changed) == (
        False,
        ["DATA-PII", "DATA-CONFLICT"],
        10,
    )
    shown = {name for name in files_of(task) if name.startswith("data/fixed/")}
    assert {name: data for name, data in files_of(task).items() if name not in shown} == before
    assert shown == {
        f"data/fixed/{name}" for name in ("train.jsonl", "valid.jsonl", "test.jsonl", "fixes.json")
    }
    assert FixReport.load(task / "data" / "fixed" / "fixes.json") == report
    assert {name: after for name, (_, after) in report.rows.items()} == {
        f"data/{name}.jsonl": len((task / "data" / "fixed" / f"{name}.jsonl").read_bytes().splitlines())
        for name in ("train", "valid", "test")
    }
    assert MAIL.encode() not in b"".join(data for name, data in files_of(task).items() if name in shown)


def test_an_applied_fix_becomes_the_data_and_those_before_are_kept(task: Path) -> None:
    before = DataSnapshot.load(task / "data" / "data_snapshot.json")
    shown = fix_data(task, checks=CHECKS)
    fixed = {name.name: name.read_bytes() for name in (task / "data" / "fixed").glob("*.jsonl")}
    report = fix_data(task, checks=CHECKS, apply=True)
    assert report == shown.with_changes(applied=True, apply_with="")
    assert {name: (task / "data" / name).read_bytes() for name in fixed} == fixed
    assert sorted(path.name for path in (task / "data" / "fixed").iterdir()) == ["fixes.json"]
    assert DataSources.load(task / "data_source.yaml").fixes == ["DATA-PII", "DATA-CONFLICT"]
    (kept,) = (task / "data" / "snapshots").glob("*/data_snapshot.json")
    assert DataSnapshot.load(kept) == before
    now = DataSnapshot.load(task / "data" / "data_snapshot.json")
    dropped = report.fixes["DATA-CONFLICT"].dropped
    assert (now.before, now.fixes) == (before.source_hash, {"DATA-PII": 10, "DATA-CONFLICT": dropped})
    assert sum(split.count for split in now.splits.values()) == 200 - dropped
    checks = validate_data(task, tokens=False).checks
    assert (checks["DATA-PII"], checks["DATA-CONFLICT"]) == ("passed", "passed")


def printed(report: FixReport) -> str:
    out = io.StringIO()
    Console(file=out, width=200, highlight=False, markup=False, emoji=False).print(tables.render(report))
    return out.getvalue()


def test_the_command_that_applies_what_is_shown_is_told_in_full_and_does_it(task: Path) -> None:
    report = fix_data(task, checks=["DATA-CONFLICT,DATA-PII"])
    assert report == fix_data(task, checks=["DATA-CONFLICT", "DATA-PII"])
    assert report.apply_with == f"nlp-skills fix-data {task.name} --checks DATA-CONFLICT,DATA-PII --apply"
    assert report.apply_with in printed(report).splitlines()[-1]
    assert fix_data(task).apply_with == f"nlp-skills fix-data {task.name} --apply"
    applied = fix_data(task, checks=["DATA-CONFLICT, DATA-PII"], apply=True)
    assert (applied.apply_with, applied.fixes) == ("", report.fixes)


def test_rows_that_are_equal_only_after_masking_are_told_so(tmp_path: Path) -> None:
    folder = tmp_path / "tasks" / "calls"
    create_task(tmp_path / "tasks", "calls", type=TaskType.CLASSIFICATION, goal="Sort.", labels=["a", "b"])
    rows = [f"Call me at +1 415 555 267{n} tomorrow please" for n in range(2)]
    twice = ["the very same text stands here twice"] * 2
    examples = [
        Example(
            meta=Meta(f"s-{n}", "s", label="a"), messages=[Message("user", text), Message("assistant", "a")]
        )
        for n, text in enumerate([*rows, *twice])
    ]
    write_examples(folder / "data" / "train.jsonl", examples)
    report = fix_data(folder, checks=["DATA-PII", "DATA-DUP"])
    count = report.fixes["DATA-DUP"]
    assert (count.dropped, count.masked) == (2, 1)
    masked = "Call me at <phone number> tomorrow please"
    assert [(row.line, row.before, row.masked) for row in count.rows] == [
        (2, masked, True),
        (4, twice[0], False),
    ]
    told = printed(report)
    assert "      → " + masked in told
    assert f"data/train.jsonl:2  dropped, after masking: {masked}" in told
    assert f"data/train.jsonl:4  dropped: {twice[0]}" in told


def test_why_nothing_was_done_for_a_check_is_told(task: Path) -> None:
    named = fix_data(task, checks=["DATA-DUP"])
    assert list(named.idle) == ["DATA-DUP"]
    assert named.idle["DATA-DUP"].startswith("nothing that can be mended safely")
    definition = Task.load(task / "task.yaml")
    definition.with_changes(labels=["unknown", "other"]).save(task / "task.yaml")
    validate_data(task)
    assert fix_data(task, checks=["DATA-DUP"]).idle == {"DATA-DUP": "nothing was found"}
    left = fix_data(task).idle
    assert left["DATA-LABEL"] == (
        "error, and nothing of it can be mended safely by itself. Correct the label at its source, or add it to labels"
        " in task.yaml."
    )
    assert "DATA-LABEL: error, and nothing of it" in printed(fix_data(task, checks=["DATA-LABEL"]))
    assert "Nothing to mend: the rows are as they were." in printed(fix_data(task, checks=["DATA-LABEL"]))


def test_a_regeneration_applies_the_fixes_again_and_gives_the_same_data(task: Path) -> None:
    fix_data(task, checks=["DATA-CONFLICT"], apply=True)
    fix_data(task, checks=["DATA-PII"], apply=True)
    fixed = DataSnapshot.load(task / "data" / "data_snapshot.json")
    again = regenerate_data(task)
    assert (again.source_hash, again.splits, again.fixes) == (fixed.source_hash, fixed.splits, fixed.fixes)
    assert DataSources.load(task / "data_source.yaml").fixes == ["DATA-PII", "DATA-CONFLICT"]


def test_without_checks_all_are_applied_but_those_that_are_off(task: Path) -> None:
    text = (task / "task.yaml").read_text("utf-8")
    (task / "task.yaml").write_text(f'{text}quality: {{DATA-CONFLICT: "off"}}\n', encoding="utf-8")
    report = fix_data(task, apply=True)
    assert "DATA-CONFLICT" not in report.fixes
    assert done(report)["DATA-PII"] == (10, 0)
    touched = [check for check, count in report.fixes.items() if count != FixCount()]
    assert DataSources.load(task / "data_source.yaml").fixes == touched


def test_data_that_need_no_fix_stay_the_data(task: Path) -> None:
    fix_data(task, checks=CHECKS, apply=True)
    before = files_of(task)
    report = fix_data(task, checks=CHECKS, apply=True)
    assert report.touched == 0
    changed = {name for name, data in files_of(task).items() if data != before.get(name)}
    assert changed <= {"data/fixed/fixes.json"}


def test_what_cannot_be_fixed_is_refused_before_anything_is_written(task: Path) -> None:
    before = files_of(task)
    with pytest.raises(NotValid, match=r'^data-dup has no automatic fix \(did you mean "DATA-DUP"\?\)'):
        fix_data(task, checks=["data-dup"])
    with pytest.raises(NotValid, match=r"^DATA-BALANCE has no automatic fix\. Fixable are: "):
        fix_data(task, checks=["DATA-BALANCE"], apply=True)
    assert files_of(task) == before


def test_there_has_to_be_data(tmp_path: Path) -> None:
    create_task(tmp_path, "empty", type=TaskType.GENERATION, goal="Write.")
    with pytest.raises(
        NotReady, match=r"^empty has no data yet\. Make it with: nlp-skills regenerate-data empty$"
    ):
        fix_data(tmp_path / "empty")


def test_data_without_a_snapshot_are_kept_before_a_fix_replaces_them(task: Path) -> None:
    (task / "data" / "data_snapshot.json").unlink()
    before = {
        name: (task / "data" / name).read_bytes() for name in ("train.jsonl", "valid.jsonl", "test.jsonl")
    }
    assert fix_data(task, checks=CHECKS, apply=True).fixes["DATA-PII"].changed == 10
    (kept,) = (task / "data" / "snapshots").iterdir()
    assert {name: (kept / name).read_bytes() for name in before} == before
    restore_data(task, kept.name)
    assert {name: (task / "data" / name).read_bytes() for name in before} == before


def test_mended_rows_that_were_edited_by_hand_are_not_told_as_those_of_the_sources(task: Path) -> None:
    fix_data(task, checks=CHECKS, apply=True)
    made = DataSnapshot.load(task / "data" / "data_snapshot.json")
    for number in (1, 2):
        file = task / "data" / "train.jsonl"
        file.write_bytes(file.read_bytes().replace(b"text ", f"mail {number}@acme-mail.de ".encode(), 1))
        assert fix_data(task, checks=CHECKS, apply=True).fixes["DATA-PII"].changed == 1
        mended = DataSnapshot.load(task / "data" / "data_snapshot.json")
        assert mended.splits["train"].sha256 == sha256_file(file)
        assert mended.source_hash != made.source_hash
    assert regenerate_data(task).source_hash == made.source_hash


def test_several_answers_to_one_question_are_a_conflict_only_where_that_is_said(tmp_path: Path) -> None:
    create_task(tmp_path / "tasks", "talk", type=TaskType.GENERATION, goal="Talk.")
    folder = tmp_path / "tasks" / "talk"
    rows = [
        {"prompt": "Say a word.", "completion": word}
        for word in ("tea", "rice", "bread", "milk", "salt", "egg")
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    add_source(folder, str(tmp_path / "rows.jsonl"), side="train")
    regenerate_data(folder)
    assert "DATA-CONFLICT" not in fix_data(folder).fixes
    assert done(fix_data(folder, checks=["DATA-CONFLICT"])) == {"DATA-CONFLICT": (0, 6)}


@pytest.mark.parametrize("step", range(1, 8))
def test_a_kill_at_any_rename_leaves_the_old_data_or_the_new(task: Path, step: int) -> None:
    """Renames are the moments at which something changes; after one of them the process is gone."""
    script = f"""
import os, pathlib
from nlp_skills.data.fix import fix_data
done, rename, replace = 0, pathlib.Path.rename, pathlib.Path.replace
def counted(act):
    def wrapped(self, target):
        global done
        moved = act(self, target)
        done += 1
        if done == {step}:
            os._exit(9)
        return moved
    return wrapped
pathlib.Path.rename, pathlib.Path.replace = counted(rename), counted(replace)
fix_data(pathlib.Path({str(task)!r}), checks={CHECKS!r}, apply=True)
"""
    before = DataSnapshot.load(task / "data" / "data_snapshot.json").splits
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == 9
    settle_data(task)
    left = DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert {name: sha256_file(task / "data" / f"{name}.jsonl") for name in left.splits} == {
        name: split.sha256 for name, split in left.splits.items()
    }
    fix_data(task, checks=CHECKS, apply=True)
    fixed = DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert fixed.splits != before
    assert regenerate_data(task).splits == fixed.splits
