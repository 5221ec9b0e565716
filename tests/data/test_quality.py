"""The quality gate of task.yaml: levels, shares, and checks that are off."""

from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.example import Example, Message, Meta, encode
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.validation import check_files, validate_data
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task

ROWS = 100


def lines(duplicates: int) -> list[bytes]:
    """100 rows, so many of them duplicates."""
    texts = [f"text {n}" for n in range(ROWS - duplicates)] + ["text 0"] * duplicates
    return [
        encode(
            Example(
                meta=Meta(id=str(n), source="s"), messages=[Message("user", text), Message("assistant", "a")]
            )
        )
        for n, text in enumerate(texts)
    ]


def check(folder: Path, duplicates: int, **quality: Any) -> ValidationReport:
    path = folder / "train.jsonl"
    path.write_bytes(b"\n".join(lines(duplicates)))
    asked = {name.replace("_", "-"): value for name, value in quality.items()}
    task = {"name": "t", "type": "generation", "goal": "Help.", "created": "now", "quality": asked}
    return check_files({"data/train.jsonl": path}, Task.parse(task, "the test"))


@pytest.mark.parametrize(("duplicates", "passed"), [(4, True), (5, True), (6, False)])
def test_a_share_makes_errors_of_findings_only_beyond_it(
    tmp_path: Path, duplicates: int, passed: bool
) -> None:
    report = check(tmp_path, duplicates, DATA_DUP=0.05)
    [finding] = [finding for finding in report.findings if finding.check == "DATA-DUP"]
    assert (finding.level, report.passed) == ("warning" if passed else "error", passed)
    assert report.gate == {
        "DATA-DUP": f"at most 0.05 of the rows: found in {duplicates} rows of 100 ({duplicates}.00%)"
    }


def test_a_share_of_nothing_is_met_by_clean_data_alone(tmp_path: Path) -> None:
    assert check(tmp_path, 0, DATA_DUP=0).gate == {"DATA-DUP": "at most 0 of the rows: passed"}
    assert not check(tmp_path, 1, DATA_DUP=0).passed


@pytest.mark.parametrize("level", ["error", "warning", "info"])
def test_a_level_takes_the_place_of_the_findings_own(tmp_path: Path, level: str) -> None:
    report = check(tmp_path, 2, DATA_DUP=level)
    [finding] = [finding for finding in report.findings if finding.check == "DATA-DUP"]
    assert (finding.level, report.passed) == (level, level != "error")
    assert report.checks["DATA-DUP"] == "found"
    assert report.gate == {"DATA-DUP": f"{level}: found in 2 rows of 100 (2.00%)"}


def test_a_check_that_is_off_finds_nothing_and_is_no_pass(tmp_path: Path) -> None:
    report = check(tmp_path, 2, DATA_DUP="off")
    assert "DATA-DUP" not in {finding.check for finding in report.findings}
    assert report.checks["DATA-DUP"] == "off in task.yaml"
    assert report.checks["DATA-CONFLICT"] == "passed"
    assert report.gate == {"DATA-DUP": "off"}


def test_what_does_not_apply_is_said_so_in_the_gate(tmp_path: Path) -> None:
    report = check(tmp_path, 0, SPLIT_LEAK=0.5)
    assert report.gate["SPLIT-LEAK"] == (
        "at most 0.5 of the rows: does not apply: only data/train.jsonl has rows, so there is nothing to compare it with"
    )


def test_a_check_that_does_not_exist_is_named_with_file_and_field(tmp_path: Path) -> None:
    value = {"name": "t", "type": "generation", "goal": "Help.", "created": "now"}
    Task.parse({**value, "quality": {"DATA-DUPE": 0.1}}, "the test").save(tmp_path / "task.yaml")
    with pytest.raises(
        NotValid,
        match=r"task\.yaml: quality: there is no check 'DATA-DUPE' \(did you mean \"DATA-DUP\"\?\)\. Known checks: DATA-JSON, ",
    ):
        validate_data(tmp_path)
