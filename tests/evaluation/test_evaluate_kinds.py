"""An evaluation of every kind of task, from the rows to results.json: what is asked, kept, and left out."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotReady
from nlp_skills.evaluation.asking import as_label
from nlp_skills.evaluation.baseline_answers import would_send
from nlp_skills.evaluation.compare import read_predictions
from nlp_skills.evaluation.evaluate import evaluate_version, name_of
from nlp_skills.evaluation.predictors import Decoding
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.records import sha256_file
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import Version
from small_version import make_version

pytest.importorskip("torch", reason="evaluation needs the train extra")

LABELS = [
    {"text": f"message number {n} about {'cats and dogs' * (n % 3)}", "label": "ab"[n % 2]} for n in range(80)
]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EvalResult]:
    """A version that was evaluated; what the base model said is kept with it."""
    task = make_version(tmp_path_factory.mktemp("labels"), TaskType.CLASSIFICATION, LABELS)
    return task, evaluate_version(task)


@pytest.fixture
def task(evaluated: tuple[Path, EvalResult], tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated[0], tmp_path / "small"))


@contextmanager
def model_behind(url_path: str, answer: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenAI-compatible server on loopback that always answers the same, and what it was sent."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(loads(self.rfile.read(int(self.headers["content-length"]))))
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": answer},
            }
            said = {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [choice],
                "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
            }
            body = dumps(said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{url_path}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_classifier_is_measured_beside_every_baseline(evaluated: tuple[Path, EvalResult]) -> None:
    task, result = evaluated
    folder = task / "versions" / "v1"
    assert list(result.baseline) == ["majority", "tfidf", "prompted_base", "few_shot"]
    assert all(s.gain is not None and s.p_value is not None for s in result.baseline.values())
    assert (result.metric, result.slice_metric, result.not_measured) == ("macro_f1", "accuracy", {})
    assert result.sane is not None and result.sane.known == 12
    assert result.forgetting is not None and result.forgetting.count == 120
    assert {one.by for one in result.slices} >= {"label", "length"}
    assert sum(one.count for one in result.calibration) == result.count
    assert EvalResult.load(folder / "results.json") == result
    rows = read_predictions(folder)
    assert all(row.slices["source"] == "rows" and row.prompt_sha256 for row in rows)
    assert Version.load(folder / "lineage.yaml").results["accuracy"] == result.metrics["accuracy"].value
    assert not list(task.rglob("*.part"))


def test_the_base_model_is_not_asked_twice(task: Path, evaluated: tuple[Path, EvalResult]) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (task / "benchmarks").rglob("*.json")}
    assert len(kept) == 3
    said: list[str] = []
    again = evaluate_version(task, progress=lambda message, _done, _total: said.append(message))
    timed = {"latency": None, "memory_mb": None}
    assert again.with_changes(**timed) == evaluated[1].with_changes(**timed)
    assert {path: path.stat().st_mtime_ns for path in (task / "benchmarks").rglob("*.json")} == kept
    assert "loading the base model" not in said


def test_validation_rows_are_judged_without_general_questions(task: Path) -> None:
    before = sha256_file(task / "versions" / "v1" / "results.json")
    result = evaluate_version(task, split="valid")
    assert (result.split, result.forgetting) == ("valid", None)
    assert EvalResult.load(task / "versions" / "v1" / "results_valid.json") == result
    assert sha256_file(task / "versions" / "v1" / "results.json") == before


def test_something_else_is_judged_on_the_same_rows_and_the_versions_own_results_stay(task: Path) -> None:
    folder = task / "versions" / "v1"
    before = sha256_file(folder / "results.json")
    with model_behind("/v1", "A") as (url, asked):
        result = evaluate_version(task, model=f"{url}#support")
    assert sha256_file(folder / "results.json") == before
    file = folder / f"results_{name_of(f'{url}#support')}.json"
    assert EvalResult.load(file) == result
    assert len(asked) == result.count + 12
    assert result.confusion == {
        "a": {"a": result.per_label["a"].support},
        "b": {"a": result.per_label["b"].support},
    }
    assert list(result.not_measured) == ["forgetting"]


def test_what_costs_money_is_asked_with_confirm_alone(task: Path) -> None:
    endpoint = {"url": "https://api.example.com/v1", "model": "large", "usd_per_million_input_tokens": 3.0}
    Task.load(task / "task.yaml").with_changes(endpoint=endpoint).save(task / "task.yaml")
    result = evaluate_version(task)
    assert "endpoint" not in result.baseline
    assert "to api.example.com, at most about $" in result.not_measured["endpoint"]
    with pytest.raises(
        NotReady, match=r"asked over the network\. It would send \d+ rows.*Call again with confirm"
    ):
        evaluate_version(task, model="https://api.example.com/v1#large")


def test_an_endpoint_of_this_machine_is_a_baseline(task: Path) -> None:
    with model_behind("/v1", "The label is: b.") as (url, asked):
        Task.load(task / "task.yaml").with_changes(endpoint={"url": url, "model": "m"}).save(
            task / "task.yaml"
        )
        result = evaluate_version(task)
        assert len(asked) == result.count
        evaluate_version(task)
        assert len(asked) == result.count
    assert set(result.baseline["endpoint"].confusion["a"]) == {"b"}


def test_preferences_are_judged_by_which_answer_is_more_probable(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Say {n}.", "chosen": f"Of course: {n}, with pleasure.", "rejected": "No."}
        for n in range(50)
    ]
    task = make_version(tmp_path, TaskType.PREFERENCE, rows, method="dpo")
    result = evaluate_version(task)
    assert list(result.metrics) == ["preference_accuracy"]
    assert list(result.baseline) == ["longer_answer", "prompted_base"]
    assert result.baseline["longer_answer"].metrics["preference_accuracy"].value == 1
    assert all(
        set(row.scores or {}) == {"chosen", "rejected"} for row in read_predictions(task / "versions" / "v1")
    )


def test_calls_are_judged_by_tool_and_arguments(tmp_path: Path) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "d",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }

    def row(n: int) -> dict[str, Any]:
        call = {"name": "weather", "arguments": {"city": f"City {n}"}}
        answer = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": call}],
        }
        return {"messages": [{"role": "user", "content": f"Weather in City {n}?"}, answer], "tools": [tool]}

    task = make_version(
        tmp_path, TaskType.TOOL_USE, [row(n) for n in range(50)], settings={"tools_in_prompt": True}
    )
    result = evaluate_version(task)
    assert {"call_accuracy", "tool_selection", "format_errors"} <= set(result.metrics)
    assert set(result.baseline) == {"majority", "tfidf", "prompted_base", "few_shot"}
    assert result.baseline["tfidf"].metrics["tool_selection"].value == 1
    assert result.sane is not None and result.sane.verdict == "harness error"


CODE = [
    {"prompt": f"Write add_{n}.", "completion": f"add_{n} = {n}", "test_list": [f"assert add_{n} == {n}"]}
    for n in range(10)
]


@pytest.mark.parametrize(("metric", "samples"), [("pass_at_5", 10), ("pass_at_1", 1)])
def test_as_many_answers_are_drawn_as_the_tasks_metric_needs(
    tmp_path: Path, metric: str, samples: int
) -> None:
    task = make_version(tmp_path, TaskType.GENERATION, CODE)
    Task.load(task / "task.yaml").with_changes(metric=metric).save(task / "task.yaml")
    result = evaluate_version(task, split="valid")  # no general questions
    said = (task / "versions" / "v1" / "predictions_valid.jsonl").read_text(encoding="utf-8").splitlines()
    assert [len(loads(row)["passed"]) for row in said] == [samples] * result.count
    measured = [name for name in result.metrics if name.startswith("pass_at_")]
    assert measured == [f"pass_at_{k}" for k in (1, 5, 10) if k <= samples]
    assert ("temperature" in result.generation) == (samples > 1)
    assert metric in result.baseline["prompted_base"].metrics


def test_what_several_answers_to_a_row_would_send_is_counted_as_often() -> None:
    row = Example(
        meta=Meta(id="a", source="s"), messages=[Message("user", "x" * 400), Message("assistant", "y")]
    )
    task = Task(
        name="t",
        type=TaskType.GENERATION,
        goal="g",
        created="now",
        endpoint={  # type: ignore[arg-type]
            "url": "https://api.example.com/v1",
            "model": "m",
            "usd_per_million_input_tokens": 1.0,
            "usd_per_million_output_tokens": 1.0,
        },
    )
    assert task.endpoint is not None
    reference = task.endpoint.reference
    one = Decoding(max_new_tokens=900, batch_size=1)
    many = one.with_changes(samples=10)
    start = "It would send 1 row, about 100 tokens"
    assert would_send(task, reference, [row] * 100, one).endswith("at most about $0.10.")
    assert would_send(task, reference, [row] * 100, many).endswith("at most about $1.00.")
    assert (
        would_send(task, reference, [row], many)
        == f"{start}, 10 times, to api.example.com, at most about $0.01."
    )


def test_a_files_name_is_made_of_any_reference() -> None:
    assert name_of("http://127.0.0.1:8080/v1#Support") == "127-0-0-1-8080-v1-support"
    assert name_of("ollama/support:v1") == "ollama-support-v1"
    assert name_of("#") == "model"


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("Good", "good"),
        ("The answer is: not good.", "not good"),
        ("「正面」", "正面"),
        ("答案是正面", "正面"),
        ("good or not good, and 正面", "good or not good, and 正面"),
        ("goodness", "goodness"),
    ],
)
def test_a_label_that_was_written_is_found_in_what_stands_around_it(said: str, label: str) -> None:
    task = Task(name="t", type=TaskType.CLASSIFICATION, goal="g", created="now")
    row = Prediction(id="", expected="good", predicted=said, correct=False)
    found = as_label(task, row, ["good", "not good", "正面"])
    assert (found.predicted, found.correct) == (label, label == "good")
