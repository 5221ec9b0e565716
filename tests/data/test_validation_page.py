"""data/validation.html: says what the report says, whatever stands in the rows."""

import re
from pathlib import Path

from nlp_skills.data.checks import CHECKS
from nlp_skills.data.checks.catalogue import CATALOGUE
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.report import Finding, RowReference, ValidationReport
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.data.validation_page import render_validation
from nlp_skills.task.task import Task, TaskType, create_task

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
TASK = Task(name="reviews", type=TaskType.CLASSIFICATION, goal="Good or bad?", created="")


def report(*findings: Finding, passed: bool = True, **fields: object) -> ValidationReport:
    found = {finding.check for finding in findings}
    checks = {check: "found" if check in found else "passed" for check in CATALOGUE}
    values = {"files": {"data/train.jsonl": 1200, "data/test.jsonl": 30}, "checks": checks, **fields}
    return ValidationReport.model_validate(
        {"data_sha256": "ab" * 32, "findings": findings, "passed": passed, **values}
    )


def finding(check: str, level: str, text: str = "a row") -> Finding:
    row = RowReference(file="data/train.jsonl", line=7, text=text)
    return Finding.model_validate(
        {
            "check": check,
            "level": level,
            "message": f"{check} is here.",
            "count": 1,
            "rows": [row],
            "fix": "Mend it",
        }
    )


def test_every_check_has_a_line_in_the_catalogue_and_no_other() -> None:
    assert set(CATALOGUE) == set(CHECKS)


def test_the_verdict_is_the_headline() -> None:
    def headline(said: ValidationReport) -> str:
        return re.findall("<h1>(.*?)</h1>", render_validation(said, TASK))[0]

    assert headline(report()) == "These data can be trained on: no check found a fault"
    assert headline(report(finding("DATA-DUP", "warning"))) == "These data can be trained on, with 1 warning"
    errors = report(finding("DATA-JSON", "error"), finding("DATA-PII", "error"), passed=False)
    assert headline(errors) == "These data should not be trained on yet: 2 errors"


def test_errors_stand_before_warnings_with_row_and_cure() -> None:
    page = render_validation(report(finding("DATA-DUP", "warning"), finding("SPLIT-LEAK", "error")), TASK)
    assert page.index("SPLIT-LEAK is here.") < page.index("DATA-DUP is here.")
    assert page.count("<code>data/train.jsonl:7</code> a row") == 2
    assert page.count("Mend it") == 2


def test_nothing_in_a_row_becomes_markup_and_no_script_may_run() -> None:
    page = render_validation(report(finding("DATA-JSON", "error", HOSTILE)), TASK)
    assert "<img" not in page
    assert "<script" not in page
    assert "script-src 'none'" in page
    assert not re.search(r"https?://|@import|url\(", page)


def test_each_link_leads_to_a_section_that_is_there() -> None:
    spread = {
        "labels train": {"good": 700, "bad": 500},
        "characters train": {"0-99": 1200},
        "languages train": {"en": 1200},
    }
    for said in (report(), report(distributions=spread, gate={"DATA-DUP": "error: passed"})):
        page = render_validation(said, TASK)
        assert set(re.findall('href="#(.*?)"', page)) == set(re.findall('<section id="(.*?)"', page))


def test_a_check_that_did_not_run_or_saw_a_sample_says_so() -> None:
    checks = {"DATA-DUP": "passed", "DATA-LANG": "not run: no py3langid", "DATA-PII": "passed"}
    page = render_validation(report(checks=checks, examined={"DATA-PII": 200_000}), TASK)
    assert "not run: no py3langid" in page
    assert "<h1>No error found, but 1 check did not run</h1>" in page
    assert "Of these nothing is known: DATA-LANG." in page
    assert "nothing found in a sample of 200,000 rows" in page
    assert "2 of 3 checks ran, 2 found nothing." in page


def test_a_check_that_does_not_apply_comes_last_and_takes_nothing_from_the_verdict() -> None:
    checks = {"PREF-SAME": "does not apply: no row is a pair", "DATA-DUP": "passed"}
    page = render_validation(report(checks=checks), TASK)
    assert "<h1>These data can be trained on: no check found a fault</h1>" in page
    assert page.index("<code>DATA-DUP</code>") < page.index("<code>PREF-SAME</code>")
    assert "nothing is known" not in page


def test_where_the_data_come_from_and_what_was_dropped_is_told(tmp_path: Path) -> None:
    source = SourceSnapshot(
        type="database", rows=1300, sha256="0" * 64, fetched="2026-11-21T08:00:00Z", request={}
    )
    snapshot = DataSnapshot(
        source_hash="cd" * 32,
        sources={"orders": source},
        splits={},
        seed=1,
        duplicates_dropped=70,
        before="ef" * 32,
        added=1230,
    )
    page = render_validation(report(), TASK, snapshot)
    against = "Against the data before: 1,230 added, 0 removed, 0 changed."
    assert f"{against} Dropped: 70 equal rows." in page
    first = render_validation(report(), TASK, snapshot.model_copy(update={"before": None}))
    assert "Against" not in first
    assert '<p class="lead">Dropped: 70 equal rows.</p>' in first
    assert render_validation(report(), TASK, snapshot) == page


def test_files_that_were_edited_since_they_were_made_are_said_to_be(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(f'{{"text": "message {n}", "label": "{"ab"[n % 2]}"}}\n' for n in range(40)))
    create_task(tmp_path / "tasks", "t", type=TaskType.CLASSIFICATION, goal="Help.")
    task = tmp_path / "tasks" / "t"
    add_source(task, str(source))
    regenerate_data(task)
    said = "the files have been edited by hand"

    def page() -> str:
        validate_data(task, tokens=False)
        return (task / "data" / "validation.html").read_text(encoding="utf-8")

    assert said not in page()
    train = task / "data" / "train.jsonl"
    train.write_bytes(train.read_bytes().replace(b"message ", b"messages ", 1))
    assert said in page()
    regenerate_data(task)
    assert said not in page()


def test_values_that_are_not_listed_are_neither_the_most_frequent_nor_the_rarest() -> None:
    labels = {"good": 500, "bad": 100, "(all others)": 600}
    page = render_validation(report(distributions={"labels train": labels}), TASK)
    assert "The most frequent is “good” with 500 rows; 600 rows have labels that are not listed." in page
    assert "rarest" not in page
    assert page.index('<th scope="row">bad') < page.index("(all others)")


def test_a_single_value_is_a_sentence_and_no_picture() -> None:
    page = render_validation(report(distributions={"sources train": {"rows": 1230}}), TASK)
    assert "All 1,230 rows: “rows”." in page
    assert "rarest" not in page
