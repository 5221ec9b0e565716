"""A report is the same to the byte wherever and in however many parts the work is done."""

import gc
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.checks import repeats
from nlp_skills.data.checks.repeats import Repeat, Repeats
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.example import Example, Message, Meta, encode
from nlp_skills.data.partitions import Partition, Scan, map_partitions, read_lines
from nlp_skills.data.validation import check_data, validate_data
from nlp_skills.errors import NotReady
from nlp_skills.task.task import Task

LABELS = ["down", "flat", "up"]

TASK = Task.parse(
    {"name": "t", "type": "classification", "goal": "Help.", "labels": LABELS, "created": "now"}, "the test"
)


def line(text: str, label: str | None, group: str | None = None) -> bytes:
    said = [Message("system", "Help."), Message("user", text), Message("assistant", label or "?")]
    return encode(Example(meta=Meta(id=text, source="s", label=label, group=group), messages=said))


def defective(split: str) -> Iterator[bytes]:
    """Rows with every kind of defect that one row can have in common with another far away."""
    for n in range(400):
        yield line(f"{split} text no. {n}", LABELS[n % 3], f"{split} {n}" if n % 7 else "shared")
        if n % 50 == 0:
            yield line(f"train text no. {n}", LABELS[n % 3])
            yield line(f"train text no. {n}", LABELS[(n + 1) % 3])
            yield b'{"broken'
            yield b""
            yield line("  ", "Up")
            yield json.dumps(json.loads(line(f"spaced {n % 100}", "up"))).encode()
            yield encode(Example(meta=Meta("t", "s"), messages=[Message("user", "a")] * 2))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    written = {}
    for split in ("train", "valid", "test"):
        path = tmp_path / "data" / f"{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\n".join(defective(split)))
        written[f"data/{split}.jsonl"] = path
    return written


def test_partitions_hold_every_line_once_and_know_its_number(files: dict[str, Path]) -> None:
    for size in (1, 100, 5_000, 1 << 20):
        scan = Scan(files, size)
        lines: dict[str, list[tuple[int, bytes | None]]] = {file: [] for file in files}
        for part in scan:
            for number, _, block in read_lines(part, 777, 1 << 20):
                lines[part.file] += enumerate(block, start=number)
            assert sum(len(block) for _, _, block in read_lines(part, 64, 1 << 20)) == part.lines
        for file, path in files.items():
            assert lines[file] == list(enumerate(path.read_bytes().split(b"\n"), start=1))
            assert scan.sha256[file] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_changes_while_it_is_read_is_noticed(files: dict[str, Path]) -> None:
    scan = Scan(files)
    list(scan)
    scan.require_unchanged()
    with files["data/train.jsonl"].open("ab") as stream:
        stream.write(b"\n")
    with pytest.raises(NotReady, match=r"train\.jsonl was changed while it was read"):
        scan.require_unchanged()


def first_byte(part: Partition) -> tuple[int, bytes]:
    return part.line, part.path.read_bytes()[part.start : part.start + 1]


def test_results_come_in_the_order_of_the_files_from_all_cores(files: dict[str, Path]) -> None:
    parts = list(Scan(files, 2_000))
    assert len(parts) > 50
    assert list(map_partitions(first_byte, parts, "cores")) == list(map(first_byte, parts))


def test_the_report_is_the_same_for_any_partitions_and_processes(files: dict[str, Path]) -> None:
    context = Context(TASK, files)
    report = check_data(context, tokens=False, where="here")
    found = {finding.check for finding in report.findings}
    assert {"DATA-JSON", "DATA-EMPTY", "DATA-ROLES", "DATA-DUP", "DATA-CONFLICT", "SPLIT-LEAK"} <= found
    assert {"DATA-LABEL"} <= found
    for where, size in (("here", 300), ("here", 5_000), ("cores", 20_000)):
        again = check_data(context, tokens=False, where=where, partition_size=size)
        assert again.to_bytes() == report.to_bytes()


def test_the_report_is_the_same_when_identities_do_not_fit_into_memory(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(TASK, files)
    report = check_data(context, tokens=False, where="here")
    monkeypatch.setattr(repeats, "BUFFER", 1_000)
    again = check_data(context, tokens=False, where="here", partition_size=2_000, spill=50)
    assert again.to_bytes() == report.to_bytes()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=60),
    st.integers(0, 20),
)
def test_repeats_are_found_in_memory_and_in_files(keyed: list[tuple[int, int]], spill: int) -> None:
    expected = []
    for row, (key, value) in enumerate(keyed):
        before = [n for n in range(row) if keyed[n][0] == key]
        if before:
            same = next((n for n in before if keyed[n][1] == value), row)
            expected.append(Repeat(row, before[0], same))
    in_files = Repeats(spill)
    for row, (key, value) in enumerate(keyed):
        in_files.add([row], [bytes([key * 25]) * 16], [value])
    assert sorted(in_files.found()) == expected
    assert list(in_files.found()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::Warning:ray.*")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_report_is_the_same_on_two_workers_of_ray(files: dict[str, Path]) -> None:
    ray = pytest.importorskip("ray")
    task = files["data/train.jsonl"].parent.parent
    TASK.save(task / "task.yaml")
    report = validate_data(task, tokens=False)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert validate_data(task, tokens=False, ray=True).to_bytes() == report.to_bytes()
    finally:
        ray.shutdown()
        gc.collect()  # here, where its warnings about its own processes are expected
