"""The gate: each criterion is a yes, a no or cannot tell, and nothing unmeasured passes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.figures import show_change, show_gain, show_value
from nlp_skills.evaluation.promotion import check_promotion, judge_promotion
from nlp_skills.evaluation.results import (
    EvalResult,
    Forgetting,
    Interval,
    Latency,
    Prediction,
    Sanity,
    Score,
)
from nlp_skills.task.task import Constraints, Criterion, Task, TaskType, create_task


def task(*criteria: Criterion, **fields: object) -> Task:
    given = {"name": "news", "type": "classification", "goal": "g", "metric": "accuracy", "created": "now"}
    return Task.parse({**given, "criteria": [c.model_dump() for c in criteria], **fields}, "the test")


def around(value: float, half: float = 0.03) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def kept(change: float, half: float = 0.03) -> Forgetting:
    return Forgetting(
        count=120,
        base=around(0.6),
        tuned=around(0.6 + change),
        change=around(change, half),
        p_value=0.5,
        verdict="kept",
        reason="",
    )


RESULT = EvalResult(
    metrics={"accuracy": around(0.85), "macro_f1": around(0.8)},
    count=400,
    split="test",
    data_sha256="d",
    baseline={"tfidf": Score(metrics={"accuracy": around(0.7)}, count=400, gain=around(0.15), p_value=0.001)},
    latency=Latency(p50=40, p95=90, p99=120),
    memory_mb=2048,
    forgetting=kept(-0.02),
)


@pytest.mark.parametrize(
    ("criterion", "answer"),
    [
        (Criterion(metric="accuracy", at_least=0.8), "yes"),
        (Criterion(metric="accuracy", at_least=0.84), "cannot tell"),
        (Criterion(metric="accuracy", at_least=0.84, on="value"), "yes"),
        (Criterion(metric="accuracy", at_least=0.9), "no"),
        (Criterion(metric="accuracy", at_least=0.8, at_most=0.84), "cannot tell"),
        (Criterion(metric="accuracy", at_least=0.5, at_most=0.6), "no"),
        (Criterion(metric="gain", at_least=0.1), "yes"),
        (Criterion(metric="gain", at_least=0.2), "no"),
        (Criterion(metric="forgetting", at_most=0.1), "yes"),
        (Criterion(metric="forgetting", at_most=0.03), "cannot tell"),
        (Criterion(metric="latency_p95_ms", at_most=100), "yes"),
        (Criterion(metric="latency_p99_ms", at_most=100), "no"),
        (Criterion(metric="memory_gb", at_most=2), "yes"),
        (Criterion(metric="brier_score", at_most=0.1), "cannot tell"),
        (Criterion(metric="accuracy", slice="language=ja", at_least=0.1), "cannot tell"),
    ],
)
def test_a_limit_is_kept_when_the_worse_end_of_the_interval_keeps_it(
    criterion: Criterion, answer: str
) -> None:
    found = judge_promotion(task(criterion), "v1", RESULT)
    assert [one.answer for one in found.criteria] == [found.answer] == [answer]
    assert found.passed == (answer == "yes")


def test_one_no_decides_and_one_cannot_tell_is_no_yes() -> None:
    yes, unknown, no = (Criterion(metric="accuracy", at_least=limit) for limit in (0.8, 0.84, 0.9))
    assert judge_promotion(task(yes, unknown), "v1", RESULT).answer == "cannot tell"
    found = judge_promotion(task(yes, unknown, no), "v1", RESULT)
    assert (found.answer, found.passed) == ("no", False)
    assert (
        found.message
        == "v1 of news is not to be promoted: it fails: accuracy at least 0.9; cannot tell: accuracy at least 0.84."
    )


def test_each_slice_of_a_kind_has_to_keep_the_limit() -> None:
    rows = [
        Prediction(
            id="", expected="a", predicted="a" if ok else "b", correct=ok, slices={"language": language}
        )
        for language, share in (("en", 95), ("ja", 60))
        for ok in [True] * share + [False] * (100 - share)
    ]
    each = Criterion(metric="accuracy", slice="language", at_least=0.8)
    found = judge_promotion(task(each), "v1", RESULT, rows)
    assert found.answer == "no"
    assert found.criteria[0].reason == "language=ja: measured 0.600 (0.502 to 0.693)."
    only = Criterion(metric="accuracy", slice="language=en", at_least=0.8)
    assert judge_promotion(task(only), "v1", RESULT, rows).passed


def test_a_slice_that_is_all_rows_is_measured_and_one_of_few_rows_is_no_yes() -> None:
    def of(languages: dict[str, int]) -> list[Prediction]:
        return [
            Prediction(id="", expected="a", predicted="a", correct=True, slices={"language": language})
            for language, count in languages.items()
            for _ in range(count)
        ]

    def told(asked: str, languages: dict[str, int]) -> tuple[str, str, str]:
        criterion = Criterion(metric="accuracy", slice=asked, at_least=0.8)
        one = judge_promotion(task(criterion), "v1", RESULT, of(languages)).criteria[0]
        return one.answer, one.reason, one.next

    assert told("language=en", {"en": 60})[0] == "yes"
    assert told("language", {"en": 60, "ja": 9}) == (
        "cannot tell",
        "Not measured: language=ja has 9 test rows, and fewer than 10 decide nothing.",
        "nlp-skills plan-test-size news",
    )
    assert told("language=en", {"en": 60, "ja": 9})[0] == "yes"
    assert told("language", {f"x-{n}": 60 for n in range(50)} | {"ja": 9})[0] == "cannot tell"
    assert told("region", {"en": 60})[1] == "Not measured: no test row has region."


def test_what_more_test_rows_cannot_tell_is_no_reason_to_add_some() -> None:
    def told(forgetting: Forgetting) -> tuple[str, str, str]:
        result = RESULT.model_copy(update={"forgetting": forgetting})
        one = judge_promotion(task(Criterion(metric="forgetting", at_most=0.1)), "v1", result).criteria[0]
        return one.answer, one.reason, one.next

    answer, reason, then = told(kept(-0.1))
    assert (answer, then) == ("cannot tell", "")
    assert reason.startswith("general questions lost: measured 0.100 (0.070 to 0.130). Mix general rows")
    guessing = kept(0).with_changes(base=around(0.26), verdict="cannot tell", reason="It guesses.")
    answer, reason, then = told(guessing)
    assert (answer, then) == ("cannot tell", "")
    assert reason.startswith("Not measured: It guesses. Name the criteria in task.yaml without forgetting")
    assert told(kept(-0.02))[1:] == ("general questions lost: measured 0.020 (−0.010 to 0.050).", "")


def test_without_criteria_target_gain_forgetting_and_constraints_are_asked() -> None:
    asked = task(target=0.8, constraints=Constraints(latency_ms=100, memory_gb=1).model_dump())
    found = judge_promotion(asked, "v1", RESULT)
    assert [(one.criterion, one.answer) for one in found.criteria] == [
        ("accuracy at least 0.8", "yes"),
        ("gain at least 0", "yes"),
        ("forgetting at most 0.1", "yes"),
        ("p95 latency in ms at most 100", "yes"),
        ("memory in GB at most 1", "no"),
    ]


def test_a_gain_that_is_not_there_says_what_is_missing() -> None:
    def told(**changes: Any) -> str:
        result = RESULT.model_copy(update=changes)
        return judge_promotion(task(Criterion(metric="gain", at_least=0)), "v1", result).criteria[0].reason

    assert told() == "accuracy over TF-IDF: measured 0.150 (0.120 to 0.180)."
    assert told(baseline={}) == "Not measured: no baseline was measured beside it."
    other = {"tfidf": Score(metrics={"macro_f1": around(0.7)}, count=400)}
    assert told(baseline=other) == "Not measured: no baseline was measured by accuracy beside it."


def test_figures_below_zero_have_a_minus_sign_and_what_rounds_to_zero_has_none() -> None:
    worse = RESULT.model_copy(
        update={"baseline": {"tfidf": RESULT.baseline["tfidf"].model_copy(update={"gain": around(-0.02)})}}
    )
    found = judge_promotion(task(Criterion(metric="gain", at_least=0)), "v1", worse).criteria[0].reason
    assert found == "accuracy over TF-IDF: measured −0.020 (−0.050 to 0.010)."
    assert show_gain(around(-0.02), ".0%") == ("−2%, 95 % interval −5% to +1%")
    assert [show_change(x) for x in (0.04, -0.04, -0.0004)] == ["+0.040", "−0.040", "0.000"]
    assert show_value(-0.0001, ".2g") == "−0.0001"


def test_what_was_not_measured_and_a_faulty_harness_are_never_a_yes() -> None:
    bare = EvalResult(metrics={"accuracy": around(0.9)}, count=400, split="test", data_sha256="d")
    assert {one.answer for one in judge_promotion(task(), "v1", bare).criteria} == {"cannot tell"}
    few = RESULT.model_copy(update={"count": 29})
    assert (
        judge_promotion(task(Criterion(metric="accuracy", at_least=0.5)), "v1", few).answer == "cannot tell"
    )
    fault = Sanity(verdict="harness error", reason="Nobody can read it.", unreadable=0.5)
    faulty = judge_promotion(
        task(Criterion(metric="accuracy", at_least=0.5)), "v1", RESULT.model_copy(update={"sane": fault})
    )
    assert (faulty.answer, faulty.criteria[-1].reason) == ("cannot tell", "Nobody can read it.")
    assert judge_promotion(task(), "v1", None).answer == "cannot tell"


def test_criteria_of_a_task_are_checked_when_it_is_read() -> None:
    with pytest.raises(
        NotValid, match=r"'acuracy' is nothing that is measured \(did you mean \"accuracy\"\?\)"
    ):
        task(Criterion(metric="acuracy", at_least=0.5))
    with pytest.raises(NotValid, match="give at_least or at_most"):
        Task.parse({**task().model_dump(mode="json"), "criteria": [{"metric": "accuracy"}]}, "the test")
    key = {"endpoint": {"url": "https://api.example.com/v1", "model": "m", "api_key": "sk-123"}}
    with pytest.raises(NotValid, match=r"write \$\{NAME\}") as error:
        Task.parse({**task().model_dump(mode="json"), **key}, "the test")
    assert "sk-123" not in str(error.value)


def test_a_task_without_a_version_and_a_version_without_a_test_say_what_to_do(tmp_path: Path) -> None:
    create_task(tmp_path, "news", type=TaskType.CLASSIFICATION, goal="g")
    with pytest.raises(NotReady, match="has no version yet"):
        check_promotion(tmp_path / "news")


def test_the_exit_status_follows_the_gate(tmp_path: Path) -> None:
    create_task(tmp_path, "news", type=TaskType.CLASSIFICATION, goal="g", metric="accuracy", target=0.8)
    folder = tmp_path / "news" / "versions" / "v1"
    folder.mkdir(parents=True)
    command = [sys.executable, "-P", "-m", "nlp_skills", "check-promotion", "news", "--home", str(tmp_path)]
    for result, status in ((RESULT, 0), (RESULT.model_copy(update={"latency": None, "forgetting": None}), 1)):
        result.save(folder / "results.json")
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
        assert (done.returncode, "accuracy at least 0.8" in done.stdout) == (status, True), done.stderr
