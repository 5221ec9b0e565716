"""Several sources become one: rank, equal and nearly equal rows, contradictions, limits, where a row is from."""

import gc
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.file import read
from nlp_skills.data.sources.source import SPLITS, DataSources, FileSource
from nlp_skills.data.sourcing import add_source, preview_source
from nlp_skills.data.writing import describe_split
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.task.task import TaskType, create_task


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def numbered(count: int, start: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [
        {"text": f"a question of its own {n} {n * 7} {n * 13}", "label": "ab"[n % 2], **more}
        for n in range(start, start + count)
    ]


def set_sources(task: Path, **changes: Any) -> None:
    file = task / "data_source.yaml"
    DataSources.load(file).with_changes(**changes).save(file)


def all_rows(task: Path) -> list[Example]:
    return [e for name in SPLITS for e in read_examples(task / "data" / f"{name}.jsonl")]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(
        tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Find the team.", labels=["a", "b"]
    )
    return tmp_path / "tasks" / "support"


def test_of_equal_rows_that_of_the_first_source_is_kept_and_the_order_of_sources_is_their_rank(
    task: Path, tmp_path: Path
):
    for name in ("gold", "web"):
        add_source(task, write(tmp_path / f"{name}.jsonl", numbered(30)))
    snapshot = regenerate_data(task)
    assert snapshot.duplicates_dropped == 30
    assert {e.meta.source for e in all_rows(task)} == {"gold"}
    sides = {n: {e.input_text for e in read_examples(task / "data" / f"{n}.jsonl")} for n in SPLITS}
    sources = DataSources.load(task / "data_source.yaml").sources
    set_sources(task, sources=[s.model_dump() for s in reversed(sources)])
    other = convert_data(task)
    assert {e.meta.source for e in all_rows(task)} == {"web"}
    assert other.source_hash != snapshot.source_hash
    assert sides == {
        n: {e.input_text for e in read_examples(task / "data" / f"{n}.jsonl")} for n in SPLITS
    }, "which source a row is from moves it to no other side"


@pytest.mark.parametrize(
    ("rule", "kept", "dropped"),
    [("keep", {"a", "b"}, 0), ("first", {"a"}, 1), ("drop", set(), 2)],
)
def test_contradicting_rows_are_kept_or_the_first_is_or_none(
    task: Path, tmp_path: Path, rule: str, kept: set[str], dropped: int
):
    odd = [{"text": "the same question", "label": "a"}, {"text": "the same question", "label": "b"}]
    add_source(task, write(tmp_path / "rows.jsonl", [*numbered(10), *odd]))
    set_sources(task, conflicts=rule)
    snapshot = regenerate_data(task)
    assert {e.meta.label for e in all_rows(task) if e.input_text == "the same question"} == kept
    assert (snapshot.conflicts_dropped, len(all_rows(task))) == (dropped, 12 - dropped)


def test_rows_that_resemble_an_earlier_one_are_dropped(task: Path, tmp_path: Path):
    text = "The parcel that I ordered on Monday has still not arrived at my house in the village"
    rows = [{"text": text, "label": "a"}, *numbered(20), {"text": f"{text}!!", "label": "a"}]
    rows.append({"text": f"{text} today", "label": "b"})
    add_source(task, write(tmp_path / "rows.jsonl", rows))
    assert regenerate_data(task).near_duplicates_dropped == 0
    set_sources(task, near_duplicates=0.8)
    snapshot = convert_data(task)
    assert (snapshot.near_duplicates_dropped, snapshot.removed) == (2, 2)
    assert [e.input_text for e in all_rows(task) if "parcel" in e.input_text] == [text]


def test_the_snapshot_says_of_each_split_what_reading_it_again_says(task: Path, tmp_path: Path):
    add_source(task, write(tmp_path / "rows.jsonl", numbered(60)))
    add_source(task, write(tmp_path / "long.jsonl", [{"text": "長い " * 700, "label": "b"}]), side="valid")
    heard: list[tuple[str, float, float | None]] = []
    snapshot = regenerate_data(task, progress=lambda *report: heard.append(report))
    for name in SPLITS:
        assert describe_split(task / "data" / f"{name}.jsonl") == snapshot.splits[name]
    assert snapshot.splits["valid"].lengths == {"0-99": 9, "2000-2999": 1}
    assert ("converting rows", 61, 61) in heard


def test_at_most_so_many_rows_are_taken_the_first_ones(task: Path, tmp_path: Path):
    add_source(task, write(tmp_path / "rows.jsonl", numbered(50)), settings={"max_rows": 20})
    snapshot = regenerate_data(task)
    assert snapshot.sources["rows"].rows == 20
    assert sorted(e.meta.line for e in all_rows(task)) == list(range(1, 21))
    set_sources(
        task,
        sources=[{**DataSources.load(task / "data_source.yaml").sources[0].model_dump(), "max_rows": 10}],
    )
    assert sum(split.count for split in convert_data(task).splits.values()) == 10


def test_the_order_of_a_split_is_that_of_its_rows_wherever_they_stand(task: Path, tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    rows = numbered(200)
    add_source(task, write(file, rows))
    set_sources(task, split={"valid": 20, "test": 20})
    regenerate_data(task)
    order = [e.input_text for e in read_examples(task / "data" / "train.jsonl")]
    write(file, [*numbered(1, 500), *rows[::-1]])
    snapshot = regenerate_data(task)
    assert (snapshot.added, snapshot.removed, snapshot.changed) == (1, 0, 0)
    after = [e.input_text for e in read_examples(task / "data" / "train.jsonl")]
    both = set(order) & set(after)
    assert [text for text in order if text in both] == [text for text in after if text in both]
    assert len(both) >= 155


def test_automatic_fixes_of_data_source_yaml_are_applied_and_counted(task: Path, tmp_path: Path):
    rows = numbered(40)
    add_source(task, write(tmp_path / "rows.jsonl", [*rows, *rows[:5]]))
    set_sources(task, deduplicate=False)
    assert sum(split.count for split in regenerate_data(task).splits.values()) == 45
    set_sources(task, deduplicate=False, fixes=["DATA-DUP"])
    snapshot = convert_data(task)
    assert (snapshot.fixes, snapshot.removed) == ({"DATA-DUP": 5}, 5)
    assert sum(split.count for split in snapshot.splits.values()) == len(all_rows(task)) == 40
    for split in snapshot.splits.values():
        assert sum(split.label_counts.values()) == sum(split.lengths.values()) == split.count
    assert DataSnapshot.load(task / "data" / "data_snapshot.json") == snapshot


def test_a_pattern_reads_every_file_and_each_row_says_where_it_is_from(task: Path, tmp_path: Path):
    inbox = task / "inbox"
    write(inbox / "b.jsonl", numbered(20))
    write(inbox / "deep" / "a.jsonl", numbered(20, 100))
    (inbox / "c.csv").write_text("text,label\nfrom a table,a\n", encoding="utf-8")
    (inbox / ".hidden.jsonl").write_text("not a row", encoding="utf-8")
    added = add_source(task, str(inbox / "**" / "*.*"), name="inbox")
    assert added.settings == {"path": "inbox/**/*.*"}
    assert preview_source(task).example[-1]["content"] == "a"
    snapshot = regenerate_data(task)
    request = snapshot.sources["inbox"].request
    assert (request["path"], request["files"]) == ("inbox/**/*.*", 3)
    origins = {e.input_text: e.meta.origin for e in all_rows(task)}
    assert len(origins) == 41
    assert origins["from a table"] == {"file": "inbox/c.csv", "line": 2}
    assert origins[numbered(1, 103)[0]["text"]] == {"file": "inbox/deep/a.jsonl", "line": 4}
    again = regenerate_data(task)
    assert again.sources["inbox"].request == request
    with (inbox / "c.csv").open("a", encoding="utf-8") as stream:
        stream.write('x,"an open quote\n')
    with pytest.raises(NotValid, match=r"c\.csv"):
        regenerate_data(task)
    with pytest.raises(NotFound, match=r"No file matches .*nothing"):
        add_source(task, str(inbox / "nothing*.csv"), name="other")


def test_rows_of_a_pattern_that_cannot_be_used_are_named_with_their_file_and_line(task: Path, tmp_path: Path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    write(inbox / "may.jsonl", numbered(20))
    (inbox / "june.csv").write_text('text,label\n"one\ntwo",a\nthree,\n', encoding="utf-8")
    add_source(task, str(inbox / "*"))
    with pytest.raises(NotValid) as error:
        regenerate_data(task)
    assert f"1 row cannot be used. {inbox / 'june.csv'}:4: the label is empty (column 'label'). Mend" in str(
        error.value
    )


def test_a_pattern_means_its_own_signs_and_none_of_the_folders_above(tmp_path: Path):
    task = tmp_path / "[old] tasks" / "news"
    write(task / "inbox" / "a.jsonl", numbered(3))
    write(task / "inbox" / "[b].jsonl", numbered(2, 50))
    found = list(read(FileSource(name="s", path="inbox/?.jsonl"), Fetch(task)))
    assert [row["_origin"] for _, row in found] == [{"file": "inbox/a.jsonl", "line": n} for n in (1, 2, 3)]
    plain = list(read(FileSource(name="s", path="inbox/[b].jsonl"), Fetch(task)))
    assert plain == list(enumerate(numbered(2, 50), start=1)), "a file of that very name stands for itself"


def test_an_unknown_fix_is_refused_before_a_source_is_read(task: Path, tmp_path: Path):
    add_source(task, write(tmp_path / "rows.jsonl", numbered(40)))
    set_sources(task, fixes=["DATA-DPU"])
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(NotValid, match=r"DATA-DPU has no automatic fix .did you mean \"DATA-DUP\""):
        regenerate_data(task)


def test_what_a_row_says_of_its_origin_is_kept_and_never_shown_to_the_model(task: Path, tmp_path: Path):
    rows = [{**row, "_origin": {"url": f"https://example.org/{n}"}} for n, row in enumerate(numbered(20))]
    add_source(task, write(tmp_path / "pages.jsonl", rows))
    regenerate_data(task)
    for example in all_rows(task):
        assert example.meta.origin == {"url": f"https://example.org/{example.meta.line - 1}"}
        assert example.input_text == rows[example.meta.line - 1]["text"]
        assert "example.org" not in (example.context[0].content or "")


@contextmanager
def cluster() -> Iterator[None]:
    """Ray on this machine, with two workers."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # about processes of its own
            gc.collect()


@pytest.mark.parametrize(
    "ray",
    [
        False,
        pytest.param(True, marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore::Warning:ray.*")]),
    ],
)
def test_the_bytes_are_the_same_whatever_the_engine(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ray: bool
):
    add_source(task, write(tmp_path / "rows.jsonl", numbered(3_000)))
    add_source(task, write(tmp_path / "more.jsonl", numbered(3_000, 2_000)))
    here = regenerate_data(task)
    monkeypatch.setattr("nlp_skills.data.assemble.ONE_PROCESS", 0)
    with cluster() if ray else nullcontext():
        there = convert_data(task, ray=ray)
    assert (there.source_hash, there.splits, there.duplicates_dropped) == (
        here.source_hash,
        here.splits,
        1_000,
    )
    assert sorted(p.name for p in (task / "data" / "raw").iterdir()) == ["more.jsonl", "rows.jsonl"]
