"""`validate_data` on a task folder, and what it finds in real sets whose defects are known."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
from small_tokenizers import chatml, save_model_folder

from nlp_skills.data.checks.tokens import Tokens
from nlp_skills.data.example import Example, Message, Meta, encode, text_about, write_examples
from nlp_skills.data.format import detect_layout, to_example
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.source import Columns
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import MissingExtra, NotReady
from nlp_skills.task.task import Task

CHECKS_OF_TOKENS = Tokens.checks


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of which there is the tokenizer only."""
    return save_model_folder(tmp_path_factory.mktemp("base_model"), chatml())


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
    assert ValidationReport.load(tmp_path / "data" / "validation.json") == report.model_copy(
        update={"page": ""}
    )
    assert report.page == str(tmp_path / "data" / "validation.html")
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
    assert "the label changes 1 time, where about 5,3" in finding.message


def test_a_headline_on_two_sides_is_a_leak(tmp_path: Path, shared_data: Path) -> None:
    task = make_task(tmp_path, ["positive", "neutral", "negative"], "entity_classification")
    examples = convert(shared_data / "finance_sentiment" / "sentfin_entity.jsonl", task)
    write_examples(tmp_path / "data" / "train.jsonl", examples[::2])
    write_examples(tmp_path / "data" / "test.jsonl", examples[1::2])
    report = validate_data(task)
    # Some headlines of the origin stand twice under two ids: those are seen by their text.
    groups = {e.meta.group for e in examples[::2]}
    texts = {text_about(e.meta.entity, e.context[-1].content) for e in examples[::2]}
    leaked = sum(
        e.meta.group in groups or text_about(e.meta.entity, e.context[-1].content) in texts
        for e in examples[1::2]
    )
    exact = ("The same input as", "The same text as", "Of a group that")
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


def make_rows(task: Path, *splits: str, rows: int = 3) -> Path:
    """Files whose inputs are long enough to be compared and share no word."""
    for split in splits:
        texts = [" ".join(f"{split}{n}word{word}" for word in range(12)) for n in range(rows)]
        examples = [
            Example(
                meta=Meta(id=f"{split}-{n}", source="s", label="a"),
                messages=[Message("user", text), Message("assistant", "a")],
            )
            for n, text in enumerate(texts)
        ]
        write_examples(task / "data" / f"{split}.jsonl", examples)
    return task


def test_token_checks_that_are_left_out_are_no_pass(tmp_path: Path) -> None:
    report = validate_data(make_rows(make_task(tmp_path, ["a"]), "train"), tokens=False)
    assert report.checks["LEN-CUT"] == "not run: checks of tokens were left out"
    assert report.not_run == dict.fromkeys(CHECKS_OF_TOKENS, "checks of tokens were left out")
    assert report.passed


def test_a_leak_is_not_ruled_out_while_one_half_of_the_check_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rensa", None)
    task = make_rows(make_task(tmp_path, ["a"]), "train", "test")
    report = validate_data(task, tokens=False)
    reason = str(MissingExtra("Finding near-duplicates", "data"))
    assert {check: report.not_run[check] for check in ("DATA-NEARDUP", "SPLIT-LEAK")} == {
        "DATA-NEARDUP": reason,
        "SPLIT-LEAK": reason,
    }
    assert report.checks["PREF-SAME"] == (
        "does not apply: no row is a pair of a chosen and a rejected answer"
    )
    (task / "data" / "test.jsonl").write_bytes((task / "data" / "train.jsonl").read_bytes())
    assert validate_data(task, tokens=False).checks["SPLIT-LEAK"] == "found"


def test_there_is_no_leak_where_the_other_side_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_rows(make_task(tmp_path, ["a"]), "train")
    (task / "data" / "test.jsonl").touch()
    state = "does not apply: only data/train.jsonl has rows, so there is nothing to compare it with"
    assert validate_data(task, tokens=False).checks["SPLIT-LEAK"] == state
    monkeypatch.setitem(sys.modules, "rensa", None)
    assert validate_data(task, tokens=False).checks["SPLIT-LEAK"] == state


def test_a_look_without_tokens_keeps_what_was_found_in_the_tokens_of_the_same_data(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    task = make_rows(make_task(tmp_path, ["a"]), "train")
    definition = Task.load(task / "task.yaml").model_copy(
        update={"base_model": str(tokenizer_folder), "quality": {"LEN-CUT": "error"}}
    )
    definition.save(task / "task.yaml")
    long = Example(
        meta=Meta(id="long", source="s", label="a"),
        messages=[Message("user", "word " * 20_000), Message("assistant", "a")],
    )
    with (task / "data" / "train.jsonl").open("ab") as stream:
        stream.write(encode(long) + b"\n")
    whole = validate_data(task)
    assert ("LEN-CUT", "error") in {(finding.check, finding.level) for finding in whole.findings}
    assert "tokens train" in whole.distributions
    assert validate_data(task, tokens=False) == whole
    assert validate_data(task, tokens=False) == whole


@pytest.mark.parametrize("changed", ["data", "model", "threshold", "max_length"])
def test_findings_in_tokens_of_something_else_are_not_kept(
    tmp_path: Path, tokenizer_folder: Path, changed: str
) -> None:
    task = make_rows(make_task(tmp_path, ["a"]), "train")
    definition = Task.load(task / "task.yaml").model_copy(update={"base_model": str(tokenizer_folder)})
    definition.save(task / "task.yaml")
    assert "LEN-CUT" not in validate_data(task).not_run
    if changed == "data":
        make_rows(task, "train", rows=4)
    elif changed == "model":
        definition.model_copy(update={"base_model": "nobody/no-such-model"}).save(task / "task.yaml")
    elif changed == "threshold":
        definition.model_copy(update={"quality": {"LEN-CUT": 0.5}}).save(task / "task.yaml")
    else:
        version = task / "versions" / "v1"
        version.mkdir(parents=True)
        (version / "config.yaml").write_text(f"base_model: {tokenizer_folder}\nmax_length: 77\n")
    report = validate_data(task, tokens=False)
    assert report.checks["LEN-CUT"] == "not run: checks of tokens were left out"
    assert report.tokens == ""


def test_of_many_labels_each_split_lists_the_same_and_counts_the_others_together(tmp_path: Path) -> None:
    task = make_task(tmp_path, [])
    for split, first, rows in (("train", 0, 900), ("test", 200, 300)):
        labels = [f"label-{first + n % 300}" for n in range(rows)]
        examples = [
            Example(
                meta=Meta(id=f"{split}-{n}", source="s", label=label),
                messages=[Message("user", f"{split} text {n}"), Message("assistant", label)],
            )
            for n, label in enumerate(labels)
        ]
        write_examples(task / "data" / f"{split}.jsonl", examples)
    spread = validate_data(task, tokens=False).distributions
    # In both: 200 … 299, each four times; then of those with three the first hundred that came.
    kept = {f"label-{n}" for n in (*range(100), *range(200, 300))}
    assert spread["labels train"] == dict.fromkeys(kept, 3) | {"(all others)": 300}
    assert spread["labels test"] == {label: 1 for label in kept if int(label[6:]) >= 200} | {
        "(all others)": 200
    }
