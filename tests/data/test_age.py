"""Data that were fetched too long ago."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from check_families import chat, make_task, over_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks.age import Age
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.errors import lasting

TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = ["calls", "mails", "news", "notes", "tickets"]


def read_at(**fetched: str) -> DataSnapshot:
    sources = {
        name: SourceSnapshot(type="file", rows=10, sha256="", fetched=time, request={})
        for name, time in fetched.items()
    }
    return DataSnapshot(source_hash="", sources=sources, splits={}, seed=1)


def judged(folder: Path, snapshot: DataSnapshot | None, limit: float | None) -> Age:
    context = {
        "today": TODAY.isoformat(),
        "snapshot": snapshot,
        "sources": DataSources(max_age_days=limit),
    }
    return over_files(Age, folder, make_task(), context=context, train=[chat("q", "a")])


def test_sources_that_are_older_than_the_limit_are_named(tmp_path: Path) -> None:
    snapshot = read_at(
        news="2026-10-01T12:00:00Z", tickets="2026-11-20T12:00:00Z", old="2026-11-14T11:59:00Z"
    )
    (finding,) = judged(tmp_path, snapshot, 7).findings()
    assert (finding.check, finding.level, finding.count) == ("DATA-STALE", "warning", 20)
    assert finding.message == "Fetched longer than 7 days ago: news (51 days ago), old (7 days ago)."


def test_fresh_data_pass(tmp_path: Path) -> None:
    found = judged(tmp_path, read_at(news="2026-11-14T12:00:00Z"), 7)
    assert (found.findings(), found.not_run()) == ([], {})


def test_without_a_limit_or_a_time_nothing_is_said(tmp_path: Path) -> None:
    assert judged(tmp_path, read_at(news="2020-01-01T00:00:00Z"), None).not_run() == {
        "DATA-STALE": "data_source.yaml sets no max_age_days"
    }
    assert judged(tmp_path, None, 7).not_run() == {
        "DATA-STALE": "the data were not made from sources, so nothing says when they were fetched"
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 400),
    ages=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 86_400), min_size=1),
    planted=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**8), max_size=5),
    rows=st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(0, 5000))),
    zone=st.sampled_from(["Z", "", "+00:00"]),
)
def test_exactly_the_sources_that_are_too_old_are_named(
    tmp_path: Path, limit: int, ages: dict[str, int], planted: dict[str, int], rows: dict[str, int], zone: str
) -> None:
    """`ages`: seconds of the sources that are fresh, at most a day; `planted`: seconds beyond the limit of those that are not."""
    seconds = ages | {name: limit * 86_400 + beyond for name, beyond in planted.items()}
    fetched = {
        name: f"{TODAY - timedelta(seconds=age):%Y-%m-%dT%H:%M:%S}{zone}" for name, age in seconds.items()
    }
    sources = {
        name: SourceSnapshot(type="file", rows=rows[name], sha256="", fetched=time, request={})
        for name, time in fetched.items()
    }
    snapshot = DataSnapshot(source_hash="", sources=sources, splits={}, seed=1)
    found = judged(tmp_path, snapshot, limit)
    named = ", ".join(f"{name} ({lasting(seconds[name])} ago)" for name in sorted(planted))
    expected = (
        sum(rows[name] for name in planted),
        f"Fetched longer than {lasting(limit * 86_400)} ago: {named}.",
    )
    assert found.not_run() == {}
    assert [(finding.count, finding.message) for finding in found.findings()] == [expected][: len(planted)]
