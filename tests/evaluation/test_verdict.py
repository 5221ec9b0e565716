"""What the numbers say: with the paired test, where less is better, on kinds of rows, and when nothing can be said."""

from io import StringIO

import pytest
from rich.console import Console

from nlp_skills.evaluation.against_baselines import (
    against_baselines,
    hardest_to_beat,
    unpaired_difference,
)
from nlp_skills.evaluation.results import EvalResult, Interval, Sanity, Score, SliceScore
from nlp_skills.evaluation.verdict import (
    good_enough,
    good_everywhere,
    keeps_knowledge,
    worth_it,
)
from nlp_skills.tables import render
from nlp_skills.task.task import Task, TaskType


def around(value: float, half: float = 0.03) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def result(metric: str, own: float, baselines: dict[str, float], p: float, **more: object) -> EvalResult:
    sign = -1 if metric == "perplexity" else 1
    found = EvalResult(
        metrics={metric: around(own)},
        count=400,
        split="test",
        data_sha256="d",
        baseline={
            name: Score(
                metrics={metric: around(value)}, count=400, gain=around(sign * (own - value)), p_value=p
            )
            for name, value in baselines.items()
        },
    )
    return found.model_copy(update=more)


ALL = {"majority": 0.1, "tfidf": 0.7, "prompted_base": 0.5, "few_shot": 0.6}


@pytest.mark.parametrize(
    ("own", "p", "answer", "headline"),
    [
        (0.9, 0.001, "yes", "v2 beats everything that needs no fine-tuning."),
        (0.72, 0.2, "cannot tell", "Cannot tell whether v2 beats TF-IDF."),
        (0.5, 0.001, "no", "TF-IDF does better than v2."),
        (0.69, 0.7, "no", "TF-IDF does as well: you do not need a language model."),
    ],
)
def test_the_paired_test_decides(own: float, p: float, answer: str, headline: str) -> None:
    found = worth_it("v2", "macro_f1", result("macro_f1", own, ALL, p))
    assert (found.answer, found.headline) == (answer, headline)


def test_of_perplexity_less_is_better() -> None:
    tuned = result("perplexity", 9.0, {"prompted_base": 14.0}, 0.001)
    found = worth_it("v1", "perplexity", tuned)
    assert (found.answer, found.headline) == ("yes", "v1 beats everything that needs no fine-tuning.")
    worse = worth_it("v1", "perplexity", result("perplexity", 20.0, {"prompted_base": 14.0}, 0.001))
    assert (worse.answer, worse.headline) == ("no", "The base model with a prompt does better than v1.")


def test_baselines_that_were_left_out_are_named() -> None:
    left = result("macro_f1", 0.9, ALL, 0.001, not_measured={"endpoint": "It costs money."})
    found = worth_it("v2", "macro_f1", left)
    assert found.headline == "v2 beats everything that was measured and needs no fine-tuning."
    assert found.reason.endswith("Not measured: the endpoint.")


def test_everything_is_beaten_only_where_each_baseline_is() -> None:
    """The strongest one errs on the same rows and is surely beaten; a weaker one errs elsewhere and may not be."""
    found = result("macro_f1", 0.8, {"tfidf": 0.76, "few_shot": 0.75, "majority": 0.1}, 0.001)
    unsure = found.baseline["few_shot"].with_changes(p_value=0.2)
    found = found.model_copy(update={"baseline": {**found.baseline, "few_shot": unsure}})
    told = worth_it("v2", "macro_f1", found)
    few_shot = "the base model with solved rows"
    assert (told.answer, told.headline) == ("cannot tell", f"Cannot tell whether v2 beats {few_shot}.")
    assert hardest_to_beat(against_baselines(found, "macro_f1")).baseline == "few_shot"
    sure = result("macro_f1", 0.8, {"tfidf": 0.76, "few_shot": 0.75}, 0.001)
    assert hardest_to_beat(against_baselines(sure, "macro_f1")).baseline == "tfidf"


@pytest.mark.parametrize(("metric", "better"), [("accuracy", "tfidf"), ("brier_score", "majority")])
def test_a_gain_is_never_that_of_another_metric(metric: str, better: str) -> None:
    """results.json keeps the gain in the metric that decided then; task.yaml may name another one today."""
    values = {"tfidf": 0.5, "majority": 0.9}
    found = result("macro_f1", 0.9, values, 0.001).with_changes(metric="macro_f1")
    both = {
        name: score.with_changes(metrics={**score.metrics, metric: around(values[name])})
        for name, score in found.baseline.items()
    }
    found = found.model_copy(update={"metrics": {**found.metrics, metric: around(0.7)}, "baseline": both})
    told = {one.baseline: one for one in against_baselines(found, metric)}
    assert [name for name, one in told.items() if one.verdict == "better"] == [better]
    assert told[better].gain.value == pytest.approx(0.2)
    assert told[better].p_value is None
    assert "Paired test" not in worth_it("v2", metric, found).reason


def test_difference_of_two_intervals_is_movers() -> None:
    a, b = Interval(value=0.9, low=0.85, high=0.94), Interval(value=0.8, low=0.7, high=0.88)
    gain = unpaired_difference(a, b)
    # 0.1 - √(0.05² + 0.08²) and 0.1 + √(0.04² + 0.1²)
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.1, 0.0056602, 0.2077033), abs=1e-6)


def test_a_few_rows_reach_no_target() -> None:
    few = result("macro_f1", 0.9, ALL, 0.001, count=29)
    told = good_enough("v2", "macro_f1", 0.5, few)
    assert told is not None and told.answer == "cannot tell"
    assert told.reason.endswith("Fewer than 30 test rows decide nothing.")


def test_a_faulty_harness_is_no_verdict_on_the_model() -> None:
    fault = Sanity(verdict="harness error", reason="Nobody can read it.", unreadable=0.4)
    found = worth_it("v2", "macro_f1", result("macro_f1", 0.0, ALL, 0.001, sane=fault))
    assert (found.answer, found.reason) == (
        "cannot tell",
        "Harness error, which says nothing about the model. Nobody can read it.",
    )


def test_weak_and_worse_kinds_of_rows_are_named_and_none_is_no_proof() -> None:
    weak = SliceScore(by="language", value="ja", count=40, score=around(0.5), rest=0.9, p_rest=0.001)
    worse = SliceScore(
        by="region", value="north", count=40, score=around(0.7), gain=around(-0.2), p_gain=0.01
    )
    chance = SliceScore(by="region", value="south", count=40, score=around(0.7), rest=0.8, p_rest=0.4)
    some = result("accuracy", 0.8, ALL, 0.01, slice_metric="accuracy", slices=[weak, worse, chance])
    found = good_everywhere("v2", some)
    assert found is not None
    assert (found.answer, found.headline) == ("no", "v2 is weak on region=north.")
    assert "Worse than the base model with a prompt: region=north (\N{MINUS SIGN}0.20)." in found.reason
    assert "Clearly below the other rows in accuracy: language=ja 0.50 (0.47 to 0.53)." in found.reason
    assert good_everywhere("v2", some.model_copy(update={"slices": [chance]})) is None
    assert keeps_knowledge("v2", some) is None


@pytest.mark.parametrize(("own", "answer"), [(0.1, "yes"), (0.19, "cannot tell"), (0.3, "no")])
def test_a_target_of_what_should_be_small_is_reached_from_above(own: float, answer: str) -> None:
    task = Task(
        name="t", type=TaskType.CLASSIFICATION, goal="g", metric="brier_score", target=0.2, created="now"
    )
    found = good_enough("v2", task.chosen_metric, task.target, result("brier_score", own, ALL, 0.001))
    assert found is not None and found.answer == answer


def test_each_baseline_is_told_as_better_worse_or_cannot_tell() -> None:
    def beside(value: float, gain: float, p: float) -> Score:
        low, high = gain - 0.1, gain + 0.1
        return Score(
            metrics={"accuracy": Interval(value=value, low=value - 0.1, high=value + 0.1)},
            count=100,
            gain=Interval(value=gain, low=low, high=high),
            p_value=p,
        )

    found = EvalResult(
        metrics={"accuracy": Interval(value=0.8, low=0.7, high=0.9)},
        metric="accuracy",
        target=0.6,
        count=100,
        split="test",
        data_sha256="x",
        baseline={
            "majority": beside(0.3, 0.5, 0.001),
            "prompted_base": beside(0.75, 0.05, 0.4),
            "endpoint": beside(0.95, -0.15, 0.004),
        },
    )
    told = [(one.baseline, one.verdict) for one in against_baselines(found, "accuracy")]
    assert told == [("majority", "better"), ("prompted_base", "cannot tell"), ("endpoint", "worse")]
    few = against_baselines(found.with_changes(count=9), "accuracy")
    assert {one.verdict for one in few} == {"cannot tell"}
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(found))
    words = " ".join(console.export_text().split())
    for said in (
        "the endpoint worse −0.150",
        "the most frequent answer better +0.500",
        "The endpoint does better than the tuned model.",
        "The target is reached.",
    ):
        assert said in words
