"""run_benchmark: lm-evaluation-harness in its own environment, answered by a predictor of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.benchmarks.answering import decoding_of, until
from nlp_skills.evaluation.benchmarks.harness_process import FETCH, REQUIREMENT
from nlp_skills.evaluation.benchmarks.paired import changes
from nlp_skills.evaluation.benchmarks.plain_texts import PlainAnswers, rolling
from nlp_skills.evaluation.benchmarks.record import BenchmarkResult, Sample, SuiteScore
from nlp_skills.evaluation.benchmarks.run_benchmark import run_benchmark
from nlp_skills.evaluation.predictors import Decoding, open_predictor, predict
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.own_environment import plain_environment
from nlp_skills.records import silent, to_yaml, write_atomic
from nlp_skills.tables import show
from nlp_skills.task.task import TaskType, create_task
from small_model import save_small_model

KINDS = ["ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM"]
LABELS = ["abbreviation", "description", "thing", "person", "place", "number"]
ASK = f"What is asked for: {', '.join(LABELS)}?"


@pytest.fixture(scope="session")
def harness() -> None:
    """lm-evaluation-harness in uv's cache; tests that need it skip where it is not."""
    reason = f"lm-evaluation-harness is not in uv's cache; fetch it with: {FETCH}"
    uv = shutil.which("uv")
    if uv is not None:
        command = [uv, "run", "--offline", *FETCH.split()[2:]]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
    if os.environ.get("CI"):
        pytest.fail(f"CI has to test with the real harness: {reason}")
    pytest.skip(reason)


def write_suite(task: Path, name: str, rows: Sequence[dict[str, Any]], **given: Any) -> None:
    """A local suite of the harness over rows of our own."""
    folder = task / "configs" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    files = {"data_files": {"test": f"configs/benchmarks/{name}.jsonl"}}
    suite = {"task": name, "dataset_path": "json", "dataset_kwargs": files, "test_split": "test"}
    write_atomic(folder / f"{name}.yaml", to_yaml({**suite, **given, "metadata": {"version": 2}}))


@pytest.fixture
def task(tmp_path: Path, smollm2: BaseModelFiles) -> Path:
    """A task with the real base model, and nothing else."""
    create_task(
        tmp_path,
        "trec",
        type=TaskType.CLASSIFICATION,
        goal="g",
        base_model="smollm2-135m-instruct",
        labels=LABELS,
    )
    return tmp_path / "trec"


def questions(shared_data: Path, count: int) -> list[dict[str, Any]]:
    """TREC's questions, each with the number of its label."""
    file = shared_data / "classification" / "trec_test_500.label"
    rows = []
    for line in file.read_text(encoding="latin-1").splitlines()[:count]:
        kind, text = line.split(" ", 1)
        rows.append({"text": f"{text}\n{ASK}", "label": KINDS.index(kind.split(":")[0])})
    return rows


def as_example(row: dict[str, Any]) -> Example:
    said = [Message("user", row["text"]), Message("assistant", LABELS[row["label"]])]
    return Example(meta=Meta(id="r", source="trec"), messages=said)


CHOICE: dict[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{text}}",
    "doc_to_target": "label",
    "doc_to_choice": LABELS,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def test_a_local_suite_gives_exactly_what_our_own_label_scoring_gives(
    task: Path, shared_data: Path, harness: None, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = questions(shared_data, 6)
    write_suite(task, "trec_own", rows, **CHOICE)
    predictor = open_predictor(task, "base")
    answers = predict(predictor, [as_example(row) for row in rows], Decoding(labels=LABELS, batch_size=16))
    found = run_benchmark(task, suites=["trec_own"], model="base")

    lines = (task / found.file).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    samples = [Sample.model_validate_json(line) for line in lines]
    values = [[float(value) for value, _ in json.loads(sample.said)] for sample in samples]
    assert [LABELS[v.index(max(v))] for v in values] == [answer.text for answer in answers]
    right = [float(LABELS[row["label"]] == a.text) for row, a in zip(rows, answers, strict=True)]
    assert [sample.metrics for sample in samples] == [{"acc": value} for value in right]
    assert [(s.suite, s.metric, s.value, s.count, s.version) for s in found.scores] == [
        ("trec_own", "acc", pytest.approx(sum(right) / 6, abs=1e-12), 6, "2")
    ]
    assert found.sanity.verdict == "ok"
    assert found.sanity.known == found.sanity.known_right == 6
    assert BenchmarkResult.load(task / found.file) == found
    show(found)
    assert "trec_own" in capsys.readouterr().out


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A task whose base model is a few thousand random weights: for the way, not for what is answered."""
    base = save_small_model(tmp_path / "base", seed=3)
    create_task(tmp_path, "tiny", type=TaskType.CLASSIFICATION, goal="g", base_model=str(base), labels=LABELS)
    return tmp_path / "tiny"


def likelihood(model: Any, before: list[int], after: list[int]) -> float:
    """Token by token, as it is defined."""
    import torch

    with torch.inference_mode():
        shares = model(torch.tensor([[*before, *after]])).logits[0].float().log_softmax(dim=-1)
    return sum(float(shares[len(before) + i - 1, token]) for i, token in enumerate(after))


def test_plain_texts_answer_all_three_kinds_of_request(tiny: Path, harness: None) -> None:
    import torch

    predictor = open_predictor(tiny, "base")
    assert isinstance(predictor, LocalPredictor)
    model: Any = predictor.model
    tokenizer: Any = predictor.tokenizer
    rows = []
    for text in ("The capital of France is", "Two and two make"):
        ids = tokenizer(text)["input_ids"]
        for _ in range(3):
            with torch.inference_mode():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        rows.append({"text": text, "end": tokenizer.decode(ids[-3:]), "wrong": " Oslo"})
    choices = {"doc_to_choice": "{{[end, wrong]}}", "doc_to_target": 0, "target_delimiter": ""}
    write_suite(tiny, "p_choice", rows, output_type="multiple_choice", doc_to_text="{{text}}", **choices)
    write_suite(
        tiny,
        "p_likely",
        rows,
        output_type="loglikelihood",
        doc_to_text="{{text}}",
        doc_to_target="{{end}}",
        target_delimiter="",
        metric_list=[{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    )
    write_suite(
        tiny,
        "p_rolling",
        rows,
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{text}}",
        metric_list=[{"metric": "word_perplexity"}],
    )
    write_suite(
        tiny,
        "p_write",
        rows,
        output_type="generate_until",
        doc_to_text="{{text}}",
        doc_to_target="{{end}}",
        generation_kwargs={"until": [], "max_gen_toks": 3, "do_sample": False},
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    )
    suites = ["p_choice", "p_likely", "p_rolling", "p_write"]
    found = run_benchmark(tiny, suites=suites, model="base", plain=True)
    assert {score.suite for score in found.scores} == set(suites)
    lines = (tiny / found.file).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    said: dict[str, list[Any]] = {name: [] for name in suites}
    for line in lines:
        row = Sample.model_validate_json(line)
        said[row.suite].append(json.loads(row.said))
    texts = [(tokenizer(row["text"])["input_ids"], row) for row in rows]
    wanted = [
        [likelihood(model, ids, tokenizer(row[choice])["input_ids"]) for choice in ("end", "wrong")]
        for ids, row in texts
    ]
    assert [[value for value, _ in row] for row in said["p_choice"]] == [
        pytest.approx(w, abs=0.05) for w in wanted
    ]
    # What is most probable at every step is what greedy decoding writes.
    assert said["p_likely"] == [[[pytest.approx(w[0], abs=0.05), True]] for w in wanted]
    assert said["p_write"] == [[row["end"]] for row in rows]
    prefix = tokenizer.eos_token_id
    assert said["p_rolling"] == [
        [pytest.approx(likelihood(model, [prefix], ids), abs=0.5)] for ids, _ in texts
    ]

    # The same model measured from itself: its rows are found again, and nothing has changed.
    again = run_benchmark(tiny, suites=suites, model="base", plain=True, against="base")
    assert {(c.change.value, c.p_value) for c in again.changes} == {(0.0, 1.0)}
    with pytest.raises(NotValid, match="p_likely asks for the likelihood of plain text"):
        run_benchmark(tiny, suites=["p_likely"], model="base")


def test_what_is_not_there_is_told_with_the_command(tiny: Path, harness: None) -> None:
    write_suite(tiny, "gone", [{"text": "a", "label": 0}], **CHOICE)
    (tiny / "configs" / "benchmarks" / "gone.jsonl").unlink()
    with pytest.raises(NotReady, match="nlp-skills run-benchmark tiny --suites gone --download"):
        run_benchmark(tiny, suites=["gone"], model="base")
    with pytest.raises(NotFound, match=r'no suite \'gon\' \(did you mean "gone"\?\)'):
        run_benchmark(tiny, suites=["gon"], model="base")
    # Before anything is asked: the data of this suite are not there either.
    command = "run-benchmark tiny --suites gone --model base --limit 5 --few-shot 0 --plain --seed 13"
    with pytest.raises(NotReady, match=f"base was not measured in gone .*nlp-skills {command}"):
        run_benchmark(tiny, suites=["gone"], model="base", against="base", limit=5, few_shot=0, plain=True)
    with pytest.raises(NotValid, match="limit is 0"):
        run_benchmark(tiny, suites=["gone"], model="base", limit=0)
    assert not (tiny / "benchmarks" / "lm_eval").exists()


def test_a_comparison_that_cannot_be_costs_no_result(tiny: Path, harness: None) -> None:
    write_suite(tiny, "own", [{"text": "a", "label": 0}, {"text": "b", "label": 1}], **CHOICE)
    before = run_benchmark(tiny, suites=["own"], model="base")
    write_suite(tiny, "own", [{"text": "a", "label": 0}, {"text": "c", "label": 2}], **CHOICE)
    with pytest.raises(NotValid, match="its data have changed since"):
        run_benchmark(tiny, suites=["own"], model="base", against="base")

    lines = (tiny / before.file).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    assert [Sample.model_validate_json(line).target for line in lines] == ["0", "2"]


def test_the_requirement_names_one_version() -> None:
    assert REQUIREMENT == "lm-eval==0.4.13"
    assert FETCH.endswith("--with lm-eval==0.4.13 python -c pass")


def test_decoding_is_what_the_suite_says() -> None:
    assert decoding_of({"until": ["\n"]}) == (256, 0.0)
    assert decoding_of({"max_gen_toks": 8, "do_sample": False, "temperature": 0.7}) == (8, 0.0)
    assert decoding_of({"max_new_tokens": 9, "do_sample": True, "temperature": 0.7}) == (9, 0.7)
    with pytest.raises(NotValid, match="beam search"):
        decoding_of({"num_beams": 4})
    assert until("four.\nQ: five", ["Q:", "\n"]) == "four."
    assert until("four", [""]) == "four"


def test_every_token_of_a_long_text_is_predicted_once_with_all_the_window_holds() -> None:
    # lm_eval.utils.get_rolling_token_windows of 10 tokens, prefix 99, windows of 4, context 1, made disjoint.
    assert rolling(list(range(10)), 99, 4) == [
        ([99], [0, 1, 2, 3]),
        ([3], [4, 5, 6, 7]),
        ([5, 6, 7], [8, 9]),
    ]
    assert rolling([], 99, 4) == []


def sample(doc: int, **metrics: float) -> Sample:
    return Sample(suite="s", doc=doc, prompt="p", filter="none", target="", said="", metrics=metrics)


def score(metric: str) -> SuiteScore:
    return SuiteScore(suite="s", metric=metric, value=0.0, count=8, version="1")


def test_two_models_are_compared_row_by_row() -> None:
    before = [sample(i, acc=0.0, f1=0.1) for i in range(8)]
    after = [sample(i, acc=1.0, f1=0.1 + 0.05 * (i % 3)) for i in range(8)]
    acc, f1 = changes(before, after, [score("acc"), score("f1")], 13)
    assert (acc.before, acc.after, acc.change.value) == (0.0, 1.0, 1.0)
    assert acc.p_value == pytest.approx(2 * 2 * 0.5**8 / 2)  # mid-p of 8 of 8, twice for two metrics
    assert f1.change.value == pytest.approx(0.35 / 8)
    assert f1.change.low < f1.change.value < f1.change.high
    assert 0.03 < f1.p_value < 0.12
    with pytest.raises(NotValid, match="asked of other rows before"):
        changes(before[1:], after, [score("acc")], 13)


def test_an_answer_that_has_no_token_is_sure_and_one_without_room_for_a_question_is_refused(
    tiny: Path,
) -> None:
    answers = PlainAnswers(open_predictor(tiny, "base"), 13, silent)
    assert answers("choices", [{"context": "The sea is", "choices": [""]}]) == [[(0.0, True)]]
    with pytest.raises(NotValid, match="answers of 1000000 tokens"):
        answers("generate", [{"context": "The sea is", "settings": {"max_gen_toks": 1_000_000}}])


def test_no_key_or_password_reaches_the_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "PGPASSWORD", "MYSQL_PWD", "HF_TOKEN", "SOME_SETTING"):
        monkeypatch.setenv(name, f"of {name}")
    given = plain_environment(keep=["HF_TOKEN"])
    assert [value for value in given.values() if value.startswith("of ")] == [
        "of HF_TOKEN",
        "of SOME_SETTING",
    ]
