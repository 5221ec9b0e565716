"""A task folder as the tools leave it: two versions, 200 test rows, six labels, the same every time."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from nlp_skills.data.report import Finding, RowReference, ValidationReport
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot, SplitSnapshot
from nlp_skills.data.sources.source import DataSources, FileSource
from nlp_skills.evaluation.advice.rules import Evidence
from nlp_skills.evaluation.diagnosis.record import Cause, Diagnosis, Fix, ShownRow, Unchecked
from nlp_skills.evaluation.results import (
    CalibrationBin,
    EvalResult,
    Forgetting,
    Interval,
    LabelScore,
    Latency,
    Prediction,
    Sanity,
    Score,
    SliceScore,
)
from nlp_skills.evaluation.tool_use.record import CategoryScore, Failure, Target, ToolUseResult
from nlp_skills.records import sha256_file, write_atomic, write_lines
from nlp_skills.task.task import Constraints, Task, TaskType
from nlp_skills.task.version import derive_lineage
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Cost, Environment, Job
from nlp_skills.training.model_info import ModelInfo

LABELS = ["account", "billing", "delivery", "other", "returns", "technical"]
SHARES = [0.14, 0.28, 0.22, 0.06, 0.12, 0.18]
TEXTS = {
    "account": [
        "I cannot log in since I changed my phone",
        "Please delete my account",
        "密碼重設的信一直沒有寄來",
    ],
    "billing": [
        "I was charged twice this month",
        "The invoice shows the wrong company name",
        "請問發票可以改抬頭嗎",
    ],
    "delivery": [
        "Where is my parcel? It was due on Monday",
        "The driver left it with a neighbour",
        "包裹顯示已送達但我沒有收到",
    ],
    "other": ["Do you have a shop in Kaohsiung?", "Thank you, that was quick!", "想詢問合作的可能"],
    "returns": [
        "The shoes are too small, I want to send them back",
        "Refund for order has not arrived",
        "退貨之後多久會退款",
    ],
    "technical": [
        "The app crashes when I open the basket",
        "Payment page stays blank in Firefox",
        "更新之後一直閃退",
    ],
}
NEIGHBOUR = {
    "account": "technical",
    "billing": "returns",
    "delivery": "returns",
    "other": "account",
    "returns": "billing",
    "technical": "account",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_task(home: Path) -> Path:
    """Write the whole folder; returns it."""
    folder = home / "support-tickets"
    task = Task(
        name="support-tickets",
        type=TaskType.CLASSIFICATION,
        goal="Send each support ticket to the team that can answer it",
        pain="The old rules send a third of the refunds to billing.",
        language="zh-Hant",
        labels=LABELS,
        target=0.85,
        constraints=Constraints(latency_ms=200),
        created="2026-11-02T09:00:00Z",
    )
    task.save(folder / "task.yaml")
    DataSources(sources=[FileSource(name="tickets", path="tickets.csv")]).save(folder / "data_source.yaml")
    _validation().save(folder / "data" / "validation.json")
    for number, name in enumerate(("01_regenerate_data", "04_train", "05_evaluate", "06_upload_hf")):
        write_atomic(folder / "scripts" / f"{name}.py", f"# {number}\n".encode())
    rows = _test_rows()
    baselines = {
        "majority": _score(rows, ["billing"] * len(rows), "always billing"),
        "tfidf": _score(rows, _predict(rows, 0.66, "tfidf"), "TF-IDF and logistic regression"),
        "prompted_base": _score(rows, _predict(rows, 0.48, "prompted"), "smollm2-135m-instruct"),
    }
    for version, accuracy in (("v1", 0.70), ("v2", 0.81)):
        _write_version(folder, version, rows, _predict(rows, accuracy, version), baselines)
    return folder


def make_full_task(home: Path) -> Path:
    """The same with everything that can be measured: kinds of rows, calibration, knowledge, diagnosis, tools, branches."""
    folder = make_task(home)
    rows = _test_rows()
    for version in ("v1", "v2"):
        path = folder / "versions" / version / "results.json"
        EvalResult.load(path).with_changes(**_measured(version == "v1")).save(path)
        write_predictions(
            folder,
            version,
            [
                msgspec.structs.replace(row, slices=_kinds(row.input))
                for row in read_predictions(folder, version)
            ],
        )
    v2 = folder / "versions" / "v2"
    changes = ["data: 300 rows from the shop's chat added", "label_smoothing: 0 → 0.1"]
    for name, parent, accuracy in (("v3", "v1", 0.74), ("v4", "v2", 0.80)):
        place = folder / "versions" / name
        _write_version(folder, name, rows, _predict(rows, accuracy, name), {})
        derive_lineage(place, name, "2026-11-12T10:00:00Z", parent, changes).save(place / "lineage.yaml")
    _diagnosis(sha256_file(v2 / "predictions.jsonl")).save(v2 / "diagnosis.json")
    _tools().save(folder / _tools().file)
    return folder


def read_predictions(folder: Path, version: str) -> list[Prediction]:
    lines = (folder / "versions" / version / "predictions.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Prediction) for line in lines]


def write_predictions(folder: Path, version: str, predictions: list[Prediction]) -> None:
    write_lines(folder / "versions" / version / "predictions.jsonl", map(msgspec.json.encode, predictions))


def _test_rows() -> list[tuple[str, str, str]]:
    """id, input, label."""
    chance = random.Random(13)
    rows = []
    for index in range(200):
        label = chance.choices(LABELS, SHARES)[0]
        rows.append((f"tickets-{index + 1}", f"{chance.choice(TEXTS[label])} (#{48000 + 37 * index})", label))
    return rows


def _predict(rows: list[tuple[str, str, str]], accuracy: float, seed: str) -> list[str]:
    """The right label that often; otherwise mostly its neighbour."""
    answers = []
    for identifier, _, label in rows:
        hard = random.Random(f"{identifier}").random()  # the same rows are hard for everybody
        luck = 0.75 * hard + 0.25 * random.Random(f"{identifier} {seed}").random()
        wrong = NEIGHBOUR[label] if hard < 0.93 else "other"
        answers.append(label if luck < accuracy or wrong == label else wrong)
    return answers


def _score(rows: list[tuple[str, str, str]], predicted: list[str], model: str) -> Score:
    expected = [label for _, _, label in rows]
    confusion: dict[str, dict[str, int]] = {}
    for (e, p), count in sorted(Counter(zip(expected, predicted, strict=True)).items()):
        confusion.setdefault(e, {})[p] = count
    return Score(
        metrics={
            "macro_f1": _interval(expected, predicted, _macro_f1),
            "accuracy": _interval(expected, predicted, _accuracy),
        },
        per_label={label: _label_score(label, expected, predicted) for label in LABELS},
        confusion=confusion,
        count=len(rows),
        model=model,
    )


def _label_score(label: str, expected: list[str], predicted: list[str]) -> LabelScore:
    hits = sum(e == p == label for e, p in zip(expected, predicted, strict=True))
    support, said = expected.count(label), predicted.count(label)
    return LabelScore(
        precision=hits / said if said else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (said + support) if said + support else 0.0,
        support=support,
    )


def _macro_f1(expected: list[str], predicted: list[str]) -> float:
    return sum(_label_score(label, expected, predicted).f1 for label in LABELS) / len(LABELS)


def _accuracy(expected: list[str], predicted: list[str]) -> float:
    return sum(map(str.__eq__, expected, predicted)) / len(expected)


def _interval(
    expected: list[str], predicted: list[str], metric: Callable[[list[str], list[str]], float]
) -> Interval:
    chance, values = random.Random(7), []
    for _ in range(100):
        drawn = chance.choices(range(len(expected)), k=len(expected))
        values.append(metric([expected[i] for i in drawn], [predicted[i] for i in drawn]))
    values.sort()
    return Interval(value=metric(expected, predicted), low=values[2], high=values[97])


def _write_version(
    folder: Path,
    version: str,
    rows: list[tuple[str, str, str]],
    predicted: list[str],
    baselines: dict[str, Score],
) -> None:
    first = version == "v1"
    place = folder / "versions" / version
    score = _score(rows, predicted, "the adapter")
    config = TrainConfig(learning_rate=2e-4 if first else 1e-4, lora_r=8 if first else 16)
    config.save(place / "config.yaml")
    snapshot = _snapshot(rows, first)
    snapshot.save(place / "data_snapshot.json")
    job = _job(version, first)
    job.save(place / "job.json")
    EvalResult(
        **score.with_changes(latency={"p50": 38.0, "p95": 91.0, "p99": 140.0}).model_dump(),
        split="test",
        data_sha256=digest("test"),
        baseline=baselines,
        generation={"method": "label scoring"},
    ).save(place / "results.json")
    _model(version, first).save(place / "model_info.json")
    write_lines(place / "metrics.jsonl", map(msgspec.json.encode, _metrics(first)))
    changes = [] if first else ["learning_rate: 0.0002 → 0.0001", "lora_r: 8 → 16", "120 rows added"]
    derive_lineage(place, version, job.started, None if first else "v1", changes).save(place / "lineage.yaml")
    write_predictions(
        folder, version, [_prediction(row, said) for row, said in zip(rows, predicted, strict=True)]
    )


def _prediction(row: tuple[str, str, str], said: str) -> Prediction:
    identifier, text, label = row
    top = 0.4 + 0.55 * random.Random(f"{identifier} sure").random()
    scores = {name: round((1 - top) / 5, 4) for name in LABELS} | {said: round(top, 4)}
    return Prediction(
        id=identifier, input=text, expected=label, predicted=said, correct=said == label, scores=scores
    )


def _snapshot(rows: list[tuple[str, str, str]], first: bool) -> DataSnapshot:
    train = 820 if first else 940
    counts = {
        "train": {label: round(train * share) for label, share in zip(LABELS, SHARES, strict=True)},
        "valid": {label: round(200 * share) for label, share in zip(LABELS, SHARES, strict=True)},
        "test": dict(Counter(label for _, _, label in rows)),
    }
    total = sum(sum(row.values()) for row in counts.values())
    return DataSnapshot(
        source_hash=digest(f"sources {first}"),
        sources={
            "tickets": SourceSnapshot(
                type="file",
                rows=total,
                sha256=digest(f"raw {first}"),
                fetched="2026-11-03T08:00:00Z",
                request={"path": "tickets.csv", "sheet": None},
            )
        },
        splits={
            name: SplitSnapshot(
                sha256=digest(f"{name} {first and name == 'train'}"),
                count=sum(row.values()),
                label_counts=row,
            )
            for name, row in counts.items()
        },
        seed=13,
        duplicates_dropped=31,
        added=0 if first else 120,
    )


def _job(version: str, first: bool) -> Job:
    day = "2026-11-05" if first else "2026-11-09"
    return Job(
        id=f"job-{version}",
        status="succeeded",
        started=f"{day}T10:00:00Z",
        ended=f"{day}T10:14:30Z",
        log=f"versions/{version}/train.log",
        exit_code=0,
        environment=Environment(
            python="3.11.9",
            platform="Linux-6.1-x86_64",
            packages={"torch": "2.13.0", "transformers": "5.20.1", "trl": "1.16.0", "peft": "0.21.0"},
            threads=8,
            git_commit=digest("commit")[:40],
        ),
        cost=Cost(seconds=870 if first else 1130, peak_memory_mb=2140),
    )


def _model(version: str, first: bool) -> ModelInfo:
    return ModelInfo(
        path=f"models/{version}",
        format="adapter",
        sha256=digest(f"model {version}"),
        base_model="smollm2-135m-instruct",
        chat_template_sha256=digest("template"),
        trainable_parameters=2_442_240 if first else 4_884_480,
        total_parameters=139_400_000,
    )


def _metrics(first: bool) -> list[dict[str, float | str]]:
    chance = random.Random(f"loss {first}")
    lines: list[dict[str, float | str]] = []
    for step in range(1, 313):
        epoch = round(step / 104, 3)
        loss = 0.18 + 2.2 * math.exp(-step / (28 if first else 40)) + 0.06 * chance.random()
        lines.append(
            {
                "step": step,
                "epoch": epoch,
                "loss": round(loss, 4),
                "learning_rate": 2e-4,
                "time": "2026-11-05T10:00:00Z",
            }
        )
        if step % 52 == 0:
            rise = 0.0012 * max(0, step - 156) if first else 0.0
            lines.append(
                {
                    "step": step,
                    "epoch": epoch,
                    "eval_loss": round(0.26 + 1.9 * math.exp(-step / 50) + rise, 4),
                }
            )
    return lines


def _validation() -> ValidationReport:
    return ValidationReport(
        data_sha256=digest("data"),
        files={"data/train.jsonl": 940, "data/valid.jsonl": 200, "data/test.jsonl": 200},
        checks={
            "DATA-EMPTY": "passed",
            "DATA-NEAR-DUP": "found",
            "SPLIT-LEAK": "passed",
            "LABEL-IMBALANCE": "found",
            "DATA-LENGTH": "not run: the tokenizer of the base model is not on this machine",
        },
        findings=[
            Finding(
                check="DATA-NEAR-DUP",
                level="warning",
                message="8 rows of train are nearly the same as another row of train.",
                count=8,
                rows=[
                    RowReference(
                        file="data/train.jsonl", line=17, text="Where is my parcel? It was due on Tuesday"
                    )
                ],
                fix="Keep one of each pair, or set deduplicate in data_source.yaml.",
            ),
            Finding(
                check="LABEL-IMBALANCE",
                level="info",
                message="other has 56 rows, a fifth of billing.",
                count=56,
                fix="Collect more rows of other, or judge by macro F1, as the task does.",
            ),
        ],
        distributions={
            "labels train": {"billing": 263},
            "characters train": {"0–15": 212, "16–31": 305, "32–63": 361, "64–127": 58, "128–255": 4},
            "characters test": {"0–15": 46, "16–31": 63, "32–63": 77, "64–127": 13, "128–255": 1},
        },
        passed=True,
    )


def _kinds(text: str) -> dict[str, str]:
    length = "short" if len(text) < 34 else "medium" if len(text) < 48 else "long"
    return {"language": "en" if text.isascii() else "zh-Hant", "length": length}


def _measured(first: bool) -> dict[str, object]:
    def near(value: float, half: float) -> Interval:
        return Interval(value=value, low=value - half, high=value + half)

    kind = {"by": "language", "rest": 0.8, "p_rest": 0.4, "gain": near(0.3, 0.1), "p_gain": 0.001}
    length = {"by": "length", "rest": 0.81, "p_rest": 0.9, "gain": near(0.2, 0.15), "p_gain": 0.03}
    weak = length | {"p_rest": 0.004, "gain": near(-0.11, 0.07), "p_gain": 0.012}
    return {
        "slice_metric": "accuracy",
        "slices": [
            SliceScore(value="en", count=131, score=near(0.82, 0.07), **kind),
            SliceScore(value="zh-Hant", count=69, score=near(0.78, 0.1), **kind),
            SliceScore(value="short", count=66, score=near(0.84, 0.09), **length),
            SliceScore(value="medium", count=70, score=near(0.83, 0.09), **length),
            SliceScore(value="long", count=64, score=near(0.61, 0.12), **weak),
        ],
        "forgetting": Forgetting(
            count=120,
            base=near(0.57, 0.09),
            tuned=near(0.49, 0.09),
            change=near(-0.08, 0.05),
            p_value=0.0132,
            verdict="forgotten",
            reason="9 of 120 general questions that the base model answers were lost, and none was won.",
            lost=["What is the capital of Japan?", "How many sides has a hexagon?"],
        ),
        "sane": Sanity(
            verdict="ok",
            reason="Every answer could be read, and 30 of 32 training rows are answered rightly.",
            unreadable=0.0,
            known=32,
            known_right=30,
        ),
        "calibration": [
            CalibrationBin(count=n, right=right, confidence=sure)
            for n, right, sure in (
                (12, 0.5, 0.44),
                (31, 0.55, 0.58),
                (48, 0.71, 0.71),
                (60, 0.83, 0.84),
                (49, 0.86, 0.93),
            )
        ],
        "latency": Latency(p50=38.0, p95=91.0, p99=240.0),
        "memory_mb": 912.0 if first else 934.0,
    }


def _diagnosis(predictions_sha256: str) -> Diagnosis:
    return Diagnosis(
        predictions_sha256=predictions_sha256,
        task="support-tickets",
        version="v2",
        split="test",
        symptom="refunds still go to billing",
        verdict="Most of what is wrong stems from labels of billing and returns that contradict each other.",
        causes=[
            Cause(
                id="label-noise",
                kind="data",
                title="Labels of billing and returns contradict each other",
                says="41 training rows labelled billing read like returns, and the model is sure of it.",
                sure="some",
                evidence=[
                    Evidence(
                        figure="rows of billing that the model gives to returns",
                        value=41,
                        file="data/train.jsonl",
                    ),
                    Evidence(figure="share of the label's rows", value=0.156, file="data/train.jsonl"),
                ],
                rows=[
                    ShownRow(
                        file="data/train.jsonl",
                        id="tickets-311",
                        text="Refund for order 4711 has not arrived",
                        note="labelled billing; the model says returns with 0.97",
                    )
                ],
                share=0.42,
                fix=Fix(
                    does="Read these 41 rows, decide on one rule, and write it into the labelling guide.",
                    command="nlp-skills review-data support-tickets --label billing",
                    takes="about 14 minutes of reading, then 19 minutes of training on this machine",
                    seconds=1140,
                ),
            ),
            Cause(
                id="long-inputs",
                kind="data",
                title="Long inputs are answered worse than the others",
                says="Accuracy on the longest third is 0.61, on the others 0.83.",
                sure="weak",
                evidence=[
                    Evidence(figure="accuracy on length=long", value=0.61, file="versions/v2/results.json")
                ],
                fix=Fix(
                    does="Collect 200 long tickets.",
                    command="nlp-skills add-data support-tickets",
                    takes="a day",
                ),
            ),
        ],
        ruled_out=["a leak from training into test", "a wrong chat template"],
        unchecked=[Unchecked(what="more rows", why="no learning curve was measured")],
    )


def _tools() -> ToolUseResult:
    def near(value: float) -> Interval:
        return Interval(value=value, low=value - 0.05, high=value + 0.05)

    scores = {"tool_selection": near(0.88), "call_accuracy": near(0.71)}
    return ToolUseResult(
        model="smollm2-135m-instruct with versions/v2",
        reference="v2",
        source="BFCL v4",
        calling="prompted",
        count=240,
        metrics=scores,
        categories=[
            CategoryScore(category="simple_python", count=120, metrics=scores, faults={"wrong_value": 12}),
            CategoryScore(category="irrelevance", count=120, metrics={"irrelevance": near(0.6)}),
        ],
        targets=[
            Target(name="tool selection", wanted="> 90 %", value=0.88, state="cannot tell"),
            Target(name="latency", wanted="< 500 ms", value=412.0, state="met"),
            Target(name="throughput", wanted="> 30 calls a minute", state="measuring"),
        ],
        latency=Latency(p50=412, p95=803, p99=960),
        tokens_per_second=52.4,
        seed=13,
        generation={"method": "greedy"},
        failures=[
            Failure(
                id="simple_python_4",
                asked="What is the weather in Taipei tomorrow?",
                expected='[{"name": "weather", "arguments": {"city": "Taipei", "day": "tomorrow"}}]',
                said='[{"name": "weather", "arguments": {"city": "Taipei"}}]',
                fault="missing_parameter",
                message="day is required",
            )
        ],
        created="2026-11-10T09:00:00Z",
        file="benchmarks/tool_use/v2-bfcl.json",
    )
