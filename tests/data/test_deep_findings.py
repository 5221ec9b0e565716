"""What a look at every row found stays while the data are the same, whatever looks at a sample afterwards."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nlp_skills.data.checks.rows import Context
from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.validation import check_data, validate_data
from nlp_skills.data.validation_page import render_validation
from nlp_skills.hooks.note import LENGTH
from nlp_skills.hooks.validation import describe
from nlp_skills.task.task import Task, TaskType

DAY, NEXT_DAY = "2026-11-20T08:30:00Z", "2026-11-21T09:00:00Z"
SAMPLE = 100


def row(number: int, text: str) -> Example:
    return Example(
        meta=Meta(id=str(number), source="s", label="ab"[number % 2]),
        messages=[Message("user", text), Message("assistant", "ab"[number % 2])],
    )


def write(folder: Path, rows: int) -> Path:
    """Rows of which every tenth holds a key and garbled characters."""
    faults = " password ghp_abcdefghijklmnopqrstuvwxyz0123456789 cafÃ©"
    texts = (f"message {n} about thing {n * 7}" + (faults if n % 10 == 0 else "") for n in range(rows))
    write_examples(folder / "data" / "train.jsonl", [row(n, text) for n, text in enumerate(texts)])
    return folder / "data" / "train.jsonl"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = Task(name="t", type=TaskType.CLASSIFICATION, goal="Help.", labels=["a", "b"], created="now")
    return Context(task, {"data/train.jsonl": write(tmp_path, 400)}, today=DAY)


def look(context: Context, before: ValidationReport | None = None, *, deep: bool = False) -> ValidationReport:
    return check_data(context, deep=deep, tokens=False, where="here", sample=SAMPLE, before=before)


def found(report: ValidationReport) -> dict[str, int]:
    return {finding.check: finding.count for finding in report.findings}


def test_a_look_at_a_sample_keeps_what_was_found_in_every_row_of_the_same_data(context: Context) -> None:
    whole, sampled = look(context, deep=True), look(context)
    assert found(whole)["DATA-SECRET"] == 40
    assert 0 < found(sampled)["DATA-SECRET"] < 40
    assert set(whole.deep.values()) == {DAY}
    assert {"DATA-SECRET", "DATA-NEARDUP"} <= set(whole.deep) and whole.examined == {}
    later = look(replace(context, today=NEXT_DAY), whole)
    assert found(later) == found(whole)
    assert (later.checks, later.deep, later.examined) == (whole.checks, whole.deep, {})
    assert later.distributions == whole.distributions
    assert look(context, later).model_dump() == later.model_dump()


def test_what_was_found_in_every_row_goes_when_the_data_change(context: Context, tmp_path: Path) -> None:
    whole = look(context, deep=True)
    write(tmp_path, 401)
    later = look(context, whole)
    assert (later.deep, later.deep_with) == ({}, "")
    assert later == look(context)


@pytest.mark.parametrize(
    "changed", [{"language": "en"}, {"quality": {"DATA-SECRET": "warning"}}, {"base_model": "another"}]
)
def test_what_was_found_with_other_settings_is_not_kept(context: Context, changed: dict[str, object]) -> None:
    whole = look(context, deep=True)
    other = replace(context, task=context.task.model_copy(update=changed))
    assert look(other, whole) == look(other)


def test_a_new_look_at_every_row_takes_the_place_of_the_one_before(context: Context) -> None:
    again = look(replace(context, today=NEXT_DAY), look(context, deep=True), deep=True)
    assert set(again.deep.values()) == {NEXT_DAY}


def test_few_rows_are_always_all_looked_at_and_nothing_is_said_of_it(context: Context) -> None:
    report = check_data(context, deep=True, tokens=False, where="here")
    assert (report.deep, report.examined, report.looks) == ({}, {}, [])


def test_a_check_that_could_not_run_then_runs_now(context: Context) -> None:
    whole = look(context, deep=True)
    missing = dict(whole.checks) | {"DATA-SECRET": "not run: needs something"}
    deep = {check: when for check, when in whole.deep.items() if check != "DATA-SECRET"}
    later = look(context, whole.model_copy(update={"checks": missing, "deep": deep}))
    assert later.checks["DATA-SECRET"] == "found"
    assert "DATA-SECRET" in later.examined and "DATA-SECRET" not in later.deep


def test_a_check_of_which_one_half_could_not_run_is_not_kept_for_whole(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = tmp_path / "data" / "test.jsonl"
    test.write_bytes((tmp_path / "data" / "train.jsonl").read_bytes())
    both = replace(context, files={**context.files, "data/test.jsonl": test})
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "rensa", None)
        half = look(both, deep=True)
    assert half.checks["SPLIT-LEAK"] == "found"
    assert "SPLIT-LEAK" not in half.deep
    assert look(both, half).checks["DATA-NEARDUP"] == look(both).checks["DATA-NEARDUP"]


def test_the_report_the_page_and_the_hook_say_from_when_the_findings_are(context: Context) -> None:
    whole = look(context, deep=True)
    later = look(replace(context, today=NEXT_DAY), whole)
    assert later.looks == [
        f"Every row was looked at on 2026-11-20 08:30 UTC for: {', '.join(whole.told_deep)}."
    ]
    page = render_validation(later, context.task)
    assert "found something (every row was looked at, 2026-11-20 08:30 UTC)" in page
    said = describe(Path("tasks/t"), later)
    assert "Of a look at every row (2026-11-20 08:30 UTC), kept because the data are the same: " in said
    assert len(said) <= LENGTH
    assert look(context).looks[0].startswith("A sample of ")


def test_the_hooks_validation_keeps_a_deep_one(tmp_path: Path) -> None:
    """With more rows than are sampled: the real operations, one after the other."""
    task = tmp_path / "t"
    write(task, 200_050)
    slow = ("DATA-NEARDUP", "SPLIT-LEAK", "DATA-PII", "DATA-MOJIBAKE", "DATA-LANG")
    asked = dict.fromkeys(slow, "off")
    Task(name="t", type=TaskType.CLASSIFICATION, goal="Help.", labels=["a", "b"], created="now").model_copy(
        update={"quality": asked}
    ).save(task / "task.yaml")
    whole = validate_data(task, deep=True, tokens=False)
    assert found(whole)["DATA-SECRET"] == 20_005
    assert validate_data(task, tokens=False) == whole
    assert ValidationReport.load(task / "data" / "validation.json") == whole.model_copy(update={"page": ""})
