"""Each look by itself: what it names, and what it leaves alone."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
import typer.testing
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.report import Finding, ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.evaluation.advice.rules import Evidence
from nlp_skills.evaluation.diagnosis import answers, loss_curve
from nlp_skills.evaluation.diagnosis.causes import known_causes
from nlp_skills.evaluation.diagnosis.clusters import find_clusters
from nlp_skills.evaluation.diagnosis.cut_inputs import find_limit
from nlp_skills.evaluation.diagnosis.diagnose import look_at, rank
from nlp_skills.evaluation.diagnosis.doubling import forecast_doubling
from nlp_skills.evaluation.diagnosis.learning_curve import take_parts
from nlp_skills.evaluation.diagnosis.looks import LOOKS
from nlp_skills.evaluation.diagnosis.material import Material
from nlp_skills.evaluation.diagnosis.record import (
    KINDS,
    SURE,
    Cause,
    Diagnosis,
    Fix,
    Kind,
    ShownRow,
    Sure,
    Unchecked,
)
from nlp_skills.evaluation.diagnosis.rows import faults_of_rows
from nlp_skills.evaluation.diagnosis.symptoms import known_symptoms, understand
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction, Score
from nlp_skills.operations import find_operation
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job


def material(**found: object) -> Material:
    """A version with nothing but what a look is given."""
    return Material(
        task=Path("tasks/t"),
        folder=Path("tasks/t/versions/v1"),
        split="test",
        definition=Task(name="t", type=TaskType.CLASSIFICATION, goal="Choose.", created=""),
        config=TrainConfig(),
        snapshot=DataSnapshot.model_validate(
            {"source_hash": "x", "sources": {}, "seed": 1, "splits": {"train": {"sha256": "x", "count": 100}}}
        ),
        **found,  # type: ignore[arg-type]
    )


def row(expected: str, predicted: str, number: int = 0, **more: object) -> Prediction:
    return Prediction(
        id=f"r{number}",
        input=f"text {number}",
        expected=expected,
        predicted=predicted,
        correct=expected == predicted,
        **more,  # type: ignore[arg-type]
    )


def test_every_command_of_a_cause_is_a_command_with_these_options() -> None:
    from nlp_skills.cli import app

    runner = typer.testing.CliRunner()
    filled = {"task": "t", "version": "v1", "on_split": " --split valid", "lower_rate": 1, "higher_rate": 1}
    filled["more_epochs"] = 2
    for cause in known_causes().values():
        program, command, *words = cause.command.format(**filled).split()
        assert program == "nlp-skills"
        assert find_operation(command).command == command
        options = [word for word in words if word.startswith("--")]
        shown = runner.invoke(app, [command, "--help"], env={"COLUMNS": "300"}).output
        assert [option for option in options if option not in shown] == [], cause.id


def test_every_cause_that_a_symptom_names_is_known() -> None:
    for symptom in known_symptoms():
        assert set(symptom.causes) <= set(known_causes()), symptom.id


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Why is the accuracy low on my test set?", "low score"),
        ("為什麼準確率這麼低？", "low score"),
        ("なぜ精度が低いのですか", "low score"),
        ("It is worse than the base model", "worse than without training"),
        ("微調後的 v1 比原本的模型還差！", "worse than without training"),
        ("ファインチューニングしたら元のモデルより悪くなった", "worse than without training"),
        ("v1 is not good enough", "low score"),
        ("It never predicts the refund label", "never the one label"),
        ("模型總是預測同一個標籤", "never the one label"),
        ("The model does not stop", "answers do not end"),
        ("答案停不下來", "answers do not end"),
        ("過学習していると思う", "overfitting"),
        ("The score is suspiciously high, it is too good", "too good to be true"),
        ("ｌｏｓｓ　不降", "the loss does not fall"),
        ("hello", None),
    ],
)
def test_a_symptom_is_understood_in_three_languages(said: str, meant: str | None) -> None:
    found = understand(said)
    assert (found.id if found else None) == meant


def cause(id: str, kind: Kind, sure: Sure, share: float = 0.0) -> Cause:
    return Cause(
        id=id,
        kind=kind,
        title=id,
        says=f"{id} {sure}.",
        sure=sure,
        evidence=[Evidence(figure=f"{sure} {share}", value=1, file="f")],
        share=share,
        fix=Fix(does="x", command="nlp-skills list", takes=""),
    )


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(SURE), st.floats(0, 1))))
def test_the_surest_is_first_and_among_equals_the_harness_before_the_data(
    kinds: list[tuple[Kind, Sure, float]],
) -> None:
    ranked = rank([cause(f"C{n}", *given) for n, given in enumerate(kinds)])
    places = [(SURE.index(c.sure), KINDS.index(c.kind), -c.share) for c in ranked]
    assert places == sorted(places)
    assert len(ranked) == len(kinds)


def test_a_symptom_lifts_its_causes_among_equally_sure_ones_only() -> None:
    causes = [
        cause("LABEL-NOISE", "data", "some"),
        cause("RUN-OVERFIT", "run", "some"),
        cause("HARNESS", "harness", "strong"),
    ]
    assert [c.id for c in rank(causes, understand("it overfits"))] == [
        "HARNESS",
        "RUN-OVERFIT",
        "LABEL-NOISE",
    ]
    assert [c.id for c in rank(causes)] == ["HARNESS", "LABEL-NOISE", "RUN-OVERFIT"]


def test_one_fault_that_two_looks_see_is_one_cause_with_the_evidence_of_both() -> None:
    (found,) = rank([cause("INPUT-CUT", "data", "some"), cause("INPUT-CUT", "data", "strong")])
    assert (found.sure, [e.figure for e in found.evidence]) == ("strong", ["strong 0.0", "some 0.0"])


WORDS = (
    "the of order card money parcel is late and nobody answers phone calls today again please help me".split()
)


def sentences(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 40))) + "." for _ in range(count)]


@pytest.mark.parametrize("unit", ["characters", "bytes", "words"])
def test_a_limit_is_found_in_characters_bytes_and_words(unit: str) -> None:
    draw = random.Random(3)
    texts = [f"{'包裹' * draw.randint(1, 9)}{text}" for text in sentences(300, 3)]
    cut = {
        "characters": [text[:90] for text in texts],
        "bytes": [text.encode()[:90].decode(errors="ignore") for text in texts],
        "words": [" ".join(text.split()[:15]) for text in texts],
    }[unit]
    found = find_limit(cut)
    assert found is not None
    assert (found.unit, found.length) == (unit, {"characters": 90, "bytes": 90, "words": 15}[unit])
    assert (
        sorted(found.rows) == [n for n, text in enumerate(texts) if text != cut[n]] or len(found.rows) > 100
    )


@pytest.mark.parametrize("seed", range(20))
def test_whole_texts_have_no_limit(seed: int) -> None:
    draw = random.Random(seed)
    texts = [
        " ".join(draw.choices(WORDS, k=max(2, round(draw.lognormvariate(2.5, 0.5))))) for _ in range(300)
    ]
    assert find_limit(texts) is None


def test_words_that_wrong_rows_share_name_a_cluster_and_chance_names_none() -> None:
    texts = sentences(300, 4)
    draw = random.Random(4)
    for n in range(0, 300, 15):
        texts[n] = f"{texts[n]} money back refund"
    wrong = ["refund" in text or draw.random() < 0.1 for text in texts]
    clusters = find_clusters(texts, wrong)
    assert [c.size for c in clusters] == [20]
    assert any("refund" in name for name in clusters[0].names)
    for seed in range(5):
        draw = random.Random(seed)
        assert find_clusters(sentences(300, seed), [draw.random() < 0.2 for _ in range(300)]) == []


def test_exchanged_labels_are_told_from_bad_answers() -> None:
    swap = {"a": "b", "b": "a", "c": "c"}
    rows = [row(label, swap[label], n) for n, label in enumerate("abc" * 20)]
    (found,) = answers.swapped_labels(material(predictions=rows))
    assert (found.id, found.sure, found.kind) == ("LABELS-SWAPPED", "strong", "harness")
    draw = random.Random(5)
    assert not list(
        answers.swapped_labels(
            material(predictions=[row(x, draw.choice("abc"), n) for n, x in enumerate("abc" * 20)])
        )
    )


def test_answers_that_are_no_labels_are_exchanged_with_nothing_however_many_they_are() -> None:
    free = [
        row("ab"[n % 2], f"It is {n}.", n) for n in range(20_000)
    ]  # a table of all of them would have 3 GB
    assert not list(answers.swapped_labels(material(predictions=free)))
    numbered = [row("ab"[n % 2], "01"[n % 2], n) for n in range(20)]
    (found,) = answers.swapped_labels(material(predictions=numbered))
    assert "'a' is answered '0', 'b' is answered '1'" in found.says


def test_right_answers_in_another_form_or_with_more_behind_them_are_the_harness() -> None:
    rows = [row("billing", "Billing.", n) for n in range(10)]
    rows += [row("refund", "refund\nUser: and", n) for n in range(10, 20)]
    rows += [row("refund", "refunds", n) for n in range(20, 25)]
    rows += [row("refund", "refund", n) for n in range(25, 60)]
    found = {c.id: c for c in answers.answers_in_another_form(material(predictions=rows))}
    assert {id: (c.sure, c.kind, c.share) for id, c in found.items()} == {
        "ANSWER-FORM": ("strong", "harness", 0.4),
        "NO-END": ("strong", "harness", 0.4),
    }


def test_answers_at_their_limit_are_named_with_how_wrong_they_are() -> None:
    rows = [row("a", "b", n, cut=True) for n in range(20)] + [row("a", "a", n) for n in range(80)]
    (found,) = answers.answers_that_were_cut(material(predictions=rows))
    assert (found.id, found.sure, found.share) == ("ANSWER-CUT", "strong", 1.0)
    assert not list(answers.answers_that_were_cut(material(predictions=rows[20:])))


def test_a_label_that_is_never_the_answer_and_one_answer_to_all() -> None:
    trained = [
        Example(meta=Meta(id="x", source="s"), messages=[Message("user", "t"), Message("assistant", label)])
        for label in "abc"
    ]
    rows = [row(label, "a" if label == "c" else label, n) for n, label in enumerate("abc" * 10)]
    (found,) = answers.one_answer(material(predictions=rows, train=trained))
    assert (found.id, found.sure, found.says) == (
        "NEVER-PREDICTED",
        "strong",
        "'c' (10 rows) is never the answer.",
    )
    (found,) = answers.one_answer(
        material(predictions=[row(label, "a", n) for n, label in enumerate("abc" * 10)])
    )
    assert found.id == "ONE-ANSWER"


def test_a_pair_that_is_taken_for_each_other_stands_out_of_wrong_answers() -> None:
    rows = [row("a", "b", n) for n in range(8)] + [row("b", "a", n) for n in range(8)]
    rows += [row(x, x, n) for n, x in enumerate("abcdef" * 10)] + [row("c", "d"), row("e", "f")]
    (found,) = answers.confused_pairs(material(predictions=rows))
    assert (found.id, [e.value for e in found.evidence]) == ("CONFUSED-PAIR", [8, 8])
    assert {e.file for e in found.evidence} == {"versions/v1/predictions.jsonl"}
    spread = [row(a, b, n) for n, (a, b) in enumerate((a, b) for a in "abcdef" for b in "abcdef" if a != b)]
    assert not list(answers.confused_pairs(material(predictions=spread)))


def test_what_could_not_be_looked_for_is_never_told_as_not_found() -> None:
    few = [row("a", "b", n) for n in range(3)] + [row("a", "a", n) for n in range(3, 20)]
    results = EvalResult(
        metrics={"macro_f1": Interval(value=0.5, low=0.4, high=0.6)},
        count=20,
        split="test",
        data_sha256="x",
        baseline={
            "majority": Score(
                metrics={"macro_f1": Interval(value=0.2, low=0.1, high=0.3)},
                count=20,
                gain=Interval(value=0.3, low=0.2, high=0.4),
            )
        },
    )
    names = {
        "a loss that rose",
        "a loss that did not fall",
        "a model that is no better than the prompted base model or the most frequent answer",
        "labels that are taken for each other",
        "words that wrong rows have in common",
        "wrong rows that are longer or shorter",
    }
    looks = [look for look in LOOKS if look.what in names]
    short = [{"step": n, "loss": 2.0} for n in range(5)]
    causes, ruled_out, unchecked = look_at(material(predictions=few, results=results, metrics=short), looks)
    assert (causes, ruled_out, {one.what for one in unchecked}) == ([], [], names)
    why = {one.what: one.why for one in unchecked}
    assert why["a model that is no better than the prompted base model or the most frequent answer"] == (
        "versions/v1/results.json does not compare macro_f1 with the base model with a prompt: nlp-skills evaluate-version"
        " t --version v1"
    )


def curve(losses: list[float], se: float = 0.01) -> list[dict[str, float]]:
    return [{"step": 10 * n, "eval_loss": loss, "eval_loss_se": se} for n, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ([1.0, 0.6, 0.4], {"STILL-FALLING": "some"}),
        ([1.0, 0.5, 0.48], {"STILL-FALLING": "weak"}),
        ([1.0, 0.5, 0.499], {}),
        ([1.0, 0.5, 0.6, 0.7], {"RUN-OVERFIT": "strong"}),
        ([1.0, 0.5, 0.7, 0.6], {"RUN-OVERFIT": "some", "STILL-FALLING": "some"}),
    ],
)
def test_the_shape_of_the_validation_loss(losses: list[float], named: dict[str, str]) -> None:
    given = material(metrics=curve(losses))
    found = [*loss_curve.learned_by_heart(given), *loss_curve.still_falling(given)]
    assert {c.id: c.sure for c in found} == named


def test_a_loss_that_stays_or_rises_is_named_with_the_next_rate() -> None:
    flat = [{"step": n, "loss": 2.0 + 0.01 * (n % 3)} for n in range(80)]
    (found,) = loss_curve.flat(material(metrics=flat))
    assert found.fix.command == "nlp-skills create-version t --parent v1 --learning-rate 0.0008"
    rising = [{"step": n, "loss": 1.0 if n < 40 else 8.0} for n in range(80)]
    (found,) = loss_curve.diverged(material(metrics=rising))
    assert found.fix.command == "nlp-skills create-version t --parent v1 --learning-rate 0.0001"
    falling = [{"step": n, "loss": 2.0 - 0.02 * n} for n in range(80)]
    assert not [*loss_curve.flat(material(metrics=falling)), *loss_curve.diverged(material(metrics=falling))]


@given(st.floats(0.05, 0.4), st.floats(0.2, 3.0), st.floats(0.1, 1.5))
def test_a_power_law_is_read_off_three_doublings(limit: float, scale: float, power: float) -> None:
    error = [limit + scale * (rows**-power) for rows in (100, 200, 400, 800)]
    values = [1 - e for e in error]
    gain = Interval(value=values[2] - values[1], low=0.001, high=0.2)
    found = forecast_doubling(values[:3], gain)
    if min(values) >= 0 and found.at_double is not None and found.limit is not None:
        assert found.at_double == pytest.approx(values[3], abs=1e-4)
        assert found.limit == pytest.approx(1 - limit, abs=2e-3)
    assert found.verdict == "more rows help"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.05, "more rows help"), (-0.01, 0.005, "more rows do not help"), (-0.02, 0.04, "cannot tell")],
)
def test_the_interval_of_the_last_doubling_decides(low: float, high: float, verdict: str) -> None:
    assert forecast_doubling([0.5, 0.6, 0.62], Interval(value=0.02, low=low, high=high)).verdict == verdict


def test_a_part_holds_the_smaller_ones_and_labels_keep_their_shares() -> None:
    rows = [
        Example(meta=Meta(id=str(n), source="s", label="rare" if n % 10 == 0 else "usual"), messages=[])
        for n in range(200)
    ]
    parts = [[r.meta.id for r in part] for part in take_parts(rows)]
    assert [len(part) for part in parts] == [50, 100, 200]
    for smaller, larger in pairwise(parts):
        assert set(smaller) < set(larger)
        assert larger == sorted(larger, key=int)
    rare = [sum(int(id) % 10 == 0 for id in part) for part in parts]
    assert rare == [5, 10, 20]


def test_what_a_look_needs_is_a_field_of_the_material() -> None:
    fields = set(Material.__dataclass_fields__)
    for look in LOOKS:
        assert set(look.needs) <= fields, look.what


def test_a_diagnosis_is_shown_with_its_commands_on_lines_of_their_own() -> None:
    from rich.console import Console

    from nlp_skills.tables import render

    named = cause("LABEL-NOISE", "data", "strong").model_copy(
        update={"rows": [ShownRow(file="data/train.jsonl", id="r1", text="late [/b]", note="labelled 'a'")]}
    )
    found = Diagnosis(
        task="t",
        version="v1",
        split="test",
        verdict="The cause is LABEL-NOISE.",
        causes=[named],
        ruled_out=["a leak"],
        unchecked=[Unchecked(what="the model", why="it was not loaded")],
    )
    console = Console(width=60, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(render(found), crop=False)
    shown = captured.get().splitlines()
    assert shown[0] == "The cause is LABEL-NOISE."
    assert "  nlp-skills list" in [line.rstrip() for line in shown]
    assert "Looked for and not found: a leak." in shown
    assert "  the model: it was not loaded" in [line.rstrip() for line in shown]
    assert any("late [/b]" in line for line in shown)


def test_twice_the_epochs_take_twice_the_training() -> None:
    spent = {"seconds": 60.0, "usd": 0.5, "peak_memory_mb": 1}
    job = Job.model_validate(
        {"id": "x", "target": "local", "status": "succeeded", "started": "", "log": "", "cost": spent}
    )
    rows = [row("ab"[n % 2], "a", n, milliseconds=500.0) for n in range(10)]
    (found,) = answers.one_answer(material(predictions=rows, job=job))
    assert found.fix.command == "nlp-skills create-version t --parent v1 --epochs 6"
    assert (found.fix.seconds, found.fix.usd) == (125.0, 1.0)
    assert found.fix.takes == "a training of twice the epochs (v1's took 60 s); a test (v1's took 5 s)"


def test_a_fault_of_the_data_is_mended_as_its_check_says() -> None:
    def finding(check: str, fix: str) -> Finding:
        return Finding(check=check, level="warning", message=f"{check}: 9 rows.", count=9, fix=fix)

    report = ValidationReport(
        data_sha256="x",
        files={"data/train.jsonl": 100},
        checks={},
        passed=True,
        findings=[
            finding("DATA-MOJIBAKE", "Have the rows repaired with: nlp-skills fix-data t"),
            finding("DATA-MOJIBAKE", "Read the source anew with its right encoding"),
            finding("DATA-NEARDUP", "Set near_duplicates: 0.8 and run nlp-skills regenerate-data t"),
        ],
    )
    garbled, near = faults_of_rows(material(report=report))
    assert (garbled.fix.does, garbled.fix.command) == (
        "Have the rows repaired with: nlp-skills fix-data t; Read the source anew with its right encoding",
        "nlp-skills fix-data t --checks DATA-MOJIBAKE",
    )
    assert (near.fix.does, near.fix.command) == (
        "Set near_duplicates: 0.8 and run nlp-skills regenerate-data t",
        "nlp-skills validate-data t",
    )
