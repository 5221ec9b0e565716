"""`validate_data` on a task folder, and what it finds in real sets whose defects are known."""

import hashlib
import json
from pathlib import Path

import pytest

from nlp_skills.data.example import Example, write_examples
from nlp_skills.data.format import detect_layout, to_example
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.source import Columns
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotReady
from nlp_skills.task.task import Task


def make_task(folder: Path, labels: list[str], type: str = "classification") -> Path:
    folder.mkdir(exist_ok=True)
    value = {"name": "t", "type": type, "goal": "Help.", "labels": labels, "created": "now"}
    Task.parse(value, "the test").save(folder / "task.yaml")
    return folder


def convert(path: Path, task: Path) -> list[Example]:
    definition = Task.load(task / "task.yaml")
    rows = [row for _, row in read_file(path)]
    layout = detect_layout(rows, Columns(), definition.type)
    return [to_example(r, layout, task=definition, source="s", line=n) for n, r in enumerate(rows, start=1)]


def found(report: ValidationReport) -> dict[str, int]:
    return {finding.check: finding.count for finding in report.findings}


def test_without_data_the_next_command_is_named(tmp_path: Path) -> None:
    task = make_task(tmp_path / "news", ["a", "b"])
    with pytest.raises(NotReady, match=r"has no data yet\. Make it with: nlp-skills regenerate-data"):
        validate_data(task)
    assert not (task / "data").exists()


def test_the_report_is_saved_and_names_the_files_as_they_lie_in_the_task(
    tmp_path: Path, shared_data: Path
) -> None:
    task = make_task(tmp_path, ["positive", "neutral", "negative"])
    examples = convert(shared_data / "finance_sentiment" / "financial_phrasebank.csv", task)
    write_examples(tmp_path / "data" / "train.jsonl", examples)
    steps: list[tuple[str, float, float | None]] = []
    report = validate_data(task, progress=lambda *step: steps.append(step))
    assert ValidationReport.load(tmp_path / "data" / "validation.json") == report
    assert report.files == {"data/train.jsonl": 4845}
    sha256 = hashlib.sha256((tmp_path / "data" / "train.jsonl").read_bytes()).hexdigest()
    assert report.data_sha256 == hashlib.sha256(f"{sha256}  data/train.jsonl\n".encode()).hexdigest()
    size = (tmp_path / "data" / "train.jsonl").stat().st_size
    assert ("checking data/train.jsonl", size, size) in steps
    assert steps[-1] == ("looking closer at data/train.jsonl", size, size)
    assert validate_data(task) == report


def test_phrasebank_has_its_known_duplicates_and_label_counts(tmp_path: Path, shared_data: Path) -> None:
    task = make_task(tmp_path, ["positive", "neutral", "negative"])
    examples = convert(shared_data / "finance_sentiment" / "financial_phrasebank.csv", task)
    write_examples(tmp_path / "data" / "train.jsonl", examples)
    report = validate_data(task)
    assert found(report)["DATA-DUP"] == 6
    assert report.distributions["labels train"] == {"neutral": 2878, "positive": 1363, "negative": 604}
    lengths = report.distributions["characters train"]
    assert list(lengths)[:3] == ["0-99", "100-199", "200-299"]
    assert sum(lengths.values()) == 4845


def test_waimai_as_it_comes_is_ordered_by_label(tmp_path: Path, shared_data: Path) -> None:
    task = make_task(tmp_path, ["0", "1"])
    examples = convert(shared_data / "classification" / "waimai_10k_zh_hans.csv", task)
    write_examples(tmp_path / "data" / "train.jsonl", examples)
    finding = next(f for f in validate_data(task).findings if f.check == "DATA-ORDER")
    assert "the label changes 1 times, where about 5,3" in finding.message


def test_a_headline_on_two_sides_is_a_leak(tmp_path: Path, shared_data: Path) -> None:
    task = make_task(tmp_path, ["positive", "neutral", "negative"], "entity_classification")
    examples = convert(shared_data / "finance_sentiment" / "sentfin_entity.jsonl", task)
    write_examples(tmp_path / "data" / "train.jsonl", examples[::2])
    write_examples(tmp_path / "data" / "test.jsonl", examples[1::2])
    report = validate_data(task)
    # Some headlines of the origin stand twice under two ids: those are seen by their input.
    groups, inputs = {e.meta.group for e in examples[::2]}, {e.input_text for e in examples[::2]}
    leaked = sum(e.meta.group in groups or e.input_text in inputs for e in examples[1::2])
    exact = ("The same input as", "Of a group that")
    assert sum(f.count for f in report.findings if f.message.startswith(exact)) == leaked > 1000
    assert not report.passed


def test_banking77_as_given_has_all_its_labels(tmp_path: Path, shared_data: Path) -> None:
    labels = shared_data / "classification" / "banking77_categories.json"
    task = make_task(tmp_path, json.loads(labels.read_text(encoding="utf-8")))
    for split in ("train", "test"):
        examples = convert(shared_data / "classification" / f"banking77_{split}.csv", task)
        write_examples(tmp_path / "data" / f"{split}.jsonl", examples)
    report = validate_data(task)
    assert report.files == {"data/train.jsonl": 10003, "data/test.jsonl": 3080}
    assert len(report.distributions["labels test"]) == 77
    assert {f.check for f in report.findings if "label" in f.message.lower()} == {"DATA-ORDER"}


KNOWN_DUPLICATES = {
    # 403 as it comes; 11 more differ in white space at the ends, which is cut.
    "classification/sms_spam_latin1.csv": ("classification", 414),
    "instruction_chat/alpaca_en_demo.json": ("generation", 14),
    "instruction_chat/alpaca_zh_demo.json": ("generation", 8),
    "instruction_chat/v1_sft_demo.jsonl": ("generation", 1),
    "preference/dpo_en_demo.json": ("preference", 5),
    "tool_use/glaive_toolcall_en_demo.json": ("tool_use", 35),
}


@pytest.mark.parametrize(("file", "type", "count"), [(f, *known) for f, known in KNOWN_DUPLICATES.items()])
def test_the_duplicates_of_real_sets_are_found(
    tmp_path: Path, shared_data: Path, file: str, type: str, count: int
) -> None:
    task = make_task(tmp_path, [], type)
    write_examples(tmp_path / "data" / "train.jsonl", convert(shared_data / file, task))
    report = validate_data(task, tokens=False)
    assert found(report)["DATA-DUP"] == count
    sources = report.distributions["sources train"]
    assert sources == {"s": report.files["data/train.jsonl"]}


def test_token_checks_that_are_left_out_are_no_pass(tmp_path: Path) -> None:
    task = make_task(tmp_path, ["a"])
    row = {"meta": {"id": "1", "source": "s", "label": "a"}, "messages": []}
    row["messages"] = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "a"}]
    path = tmp_path / "data" / "train.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(row), encoding="utf-8")
    assert validate_data(task, tokens=False).checks["LEN-CUT"] == "not run: checks of tokens were left out"
