"""Should a task be fine-tuned: each rule speaks from its facts, and none without evidence."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.example import read_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sample import SUPPORT_MESSAGES
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.advice.advise import NEXT, Advice, advise, give_advice
from nlp_skills.evaluation.advice.baseline import AdviceBaseline
from nlp_skills.evaluation.advice.facts import FACTS, more_rows_to_tell, read_facts
from nlp_skills.evaluation.advice.rules import (
    COMPARISONS,
    Evidence,
    Rule,
    apply_rules,
    facts_of,
    load_rules,
)
from nlp_skills.evaluation.results import EvalResult, Interval, Score
from nlp_skills.operations import find_operation
from nlp_skills.records import sha256_file, write_atomic
from nlp_skills.task.task import Task, TaskType, create_task

RULES = {rule.id: rule for rule in load_rules()}

HOLDS: dict[str, dict[str, Any]] = {
    "ADV-NO-ROWS": {"rows": 0},
    "ADV-CONFLICT": {"conflict_share": 0.08},
    "ADV-FACTS-CHANGE": {"type": "qa", "changed_share": 0.1},
    "ADV-CLOSED-BOOK": {"type": "qa", "closed_book_share": 0.9, "distinct_answers_share": 0.8},
    "ADV-PROMPT-ENOUGH": {"prompted_low": 0.91, "target": 0.9},
    "ADV-CLASSIFIER-ENOUGH": {"tfidf_low": 0.9, "target": 0.9},
    "ADV-TUNING-DID-NOT-HELP": {"gain_high": -0.01},
    "ADV-FEW-PAIRS": {"type": "preference", "rows": 29},
    "ADV-FEW-ROWS": {"type": "qa", "rows": 49},
    "ADV-FEW-OF-A-LABEL": {"smallest_label": 9},
    "ADV-BUDGET": {"cheapest_usd": 12.0, "budget_usd": 10},
    "ADV-PAIRS": {"type": "preference", "rows": 30},
    "ADV-REWARD": {"type": "tool_use", "tuned_high": 0.8, "target": 0.9, "gain_low": 0.1, "rows": 500},
    "ADV-TUNING-HELPS": {"gain_low": 0.02},
    "ADV-GAP": {"prompted_high": 0.6, "target": 0.9},
    "ADV-TOO-SLOW": {"prompted_p95_ms": 900.0, "latency_ms": 200.0},
    "ADV-PRIVATE": {"privacy": "nobody outside", "rows": 200},
    "ADV-ENOUGH-ROWS": {"type": "extraction", "rows": 500},
    "ADV-CLASSIFIER-PERHAPS": {"tfidf_low": 0.84, "tfidf_high": 0.9, "tfidf_more_rows": 60, "target": 0.9},
}
"""For each rule, facts on which it just about speaks."""

FAILS: dict[str, dict[str, Any]] = {
    "ADV-NO-ROWS": {"rows": 1},
    "ADV-CONFLICT": {"conflict_share": 0.04},
    "ADV-FACTS-CHANGE": {"changed_share": 0.01},
    "ADV-CLOSED-BOOK": {"type": "generation"},
    "ADV-PROMPT-ENOUGH": {"prompted_low": 0.89},
    "ADV-CLASSIFIER-ENOUGH": {"tfidf_low": 0.899},
    "ADV-TUNING-DID-NOT-HELP": {"gain_high": 0.01},
    "ADV-FEW-PAIRS": {"rows": 30},
    "ADV-FEW-ROWS": {"type": "preference"},
    "ADV-FEW-OF-A-LABEL": {"smallest_label": 10},
    "ADV-BUDGET": {"cheapest_usd": 10.0},
    "ADV-PAIRS": {"type": "qa"},
    "ADV-REWARD": {"gain_low": 0.0},
    "ADV-TUNING-HELPS": {"gain_low": 0.0},
    "ADV-GAP": {"prompted_high": 0.9},
    "ADV-TOO-SLOW": {"latency_ms": 900.0},
    "ADV-PRIVATE": {"rows": 199},
    "ADV-ENOUGH-ROWS": {"type": "generation"},
    "ADV-CLASSIFIER-PERHAPS": {"tfidf_high": 0.89},
}
"""For each rule, the one change to those facts on which it is silent."""


def evidence(facts: dict[str, Any]) -> dict[str, Evidence]:
    return {
        name: Evidence(figure=FACTS[name], value=value, file="task.yaml") for name, value in facts.items()
    }


def speaks(rule: Rule, facts: dict[str, Any]) -> bool:
    return bool(apply_rules([rule], evidence(facts)))


def test_every_rule_is_tested_and_asks_for_facts_that_there_are() -> None:
    assert set(RULES) == set(HOLDS) == set(FAILS)
    for rule in RULES.values():
        assert set(facts_of(rule)) <= set(FACTS)
        assert rule.verdict in NEXT
        assert {comparison for asked in rule.when.values() for comparison in asked} <= set(COMPARISONS)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_speaks_where_its_facts_hold_and_is_silent_where_one_does_not(rule: Rule) -> None:
    facts = HOLDS[rule.id]
    assert set(facts) == set(facts_of(rule))
    points = apply_rules([rule], evidence(facts))
    assert [point.verdict for point in points] == [rule.verdict]
    assert "{" not in points[0].says
    assert {e.figure for e in points[0].evidence} == {FACTS[name] for name in facts}
    assert not speaks(rule, {**facts, **FAILS[rule.id]})
    for missing in facts:
        assert not speaks(rule, {name: value for name, value in facts.items() if name != missing})


SOME_FACTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.floats(0, 1) for name in FACTS if name.endswith(("_low", "_high", "_share", "target"))},
        **{
            name: st.floats(0, 5000)
            for name in ("latency_ms", "budget_usd", "prompted_p95_ms", "cheapest_usd")
        },
        "rows": st.integers(0, 3000),
        "smallest_label": st.integers(0, 100),
        "type": st.sampled_from([kind.value for kind in TaskType]),
        "privacy": st.text(min_size=1),
    },
)


@given(SOME_FACTS)
def test_no_rule_speaks_without_evidence_and_the_first_point_decides(facts: dict[str, Any]) -> None:
    found = give_advice("task", evidence(facts))
    known = {FACTS[name] for name in facts}
    for point in found.points:
        assert point.evidence
        assert {e.figure for e in point.evidence} <= known
        assert all(e.file for e in point.evidence)
    assert found.verdict == (found.points[0].verdict if found.points else "cannot tell")
    order = list(RULES)
    assert [p.rule for p in found.points] == sorted((p.rule for p in found.points), key=order.index)


def test_rows_that_would_tell_follow_from_the_interval() -> None:
    assert (
        more_rows_to_tell(Interval(value=0.85, low=0.75, high=0.95), 0.9, 50) == 150
    )  # half the width: 4 times
    assert more_rows_to_tell(Interval(value=0.9, low=0.8, high=1.0), 0.9, 50) == 4_950
    assert more_rows_to_tell(Interval(value=0.6, low=0.5, high=0.7), 0.9, 50) == 0
    assert more_rows_to_tell(Interval(value=0.8, low=0.7, high=0.9), 0.9, 50) == 1


def test_without_facts_nobody_can_tell() -> None:
    found = give_advice("task", {})
    assert (found.verdict, found.points) == ("cannot tell", [])
    assert found.next == "Measure what a prompt and TF-IDF do: nlp-skills advise task --baseline"


def test_what_was_measured_and_leaves_it_open_wants_more_rows() -> None:
    known = {"tfidf_low": 0.84, "tfidf_high": 0.96, "tfidf_more_rows": 60, "target": 0.9}
    found = give_advice(
        "task", {name: Evidence(figure=name, value=value, file="f") for name, value in known.items()}
    )
    assert (found.verdict, found.points[0].rule) == ("cannot tell", "ADV-CLASSIFIER-PERHAPS")
    assert found.next.startswith(
        "Add labelled rows, of which some go to the validation: nlp-skills add-source task FILE"
    )


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with the sample's rows and a target."""
    create_task(
        tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Route the message.", target=0.9
    )
    folder = tmp_path / "tasks" / "support"
    add_source(folder, str(SUPPORT_MESSAGES), copy=True)
    regenerate_data(folder)
    return folder


def score(value: float, low: float, high: float, **more: Any) -> Score:
    return Score(metrics={"macro_f1": Interval(value=value, low=low, high=high)}, count=50, **more)


def test_facts_are_read_from_the_files_that_are_named(task: Path) -> None:
    snapshot = json.loads((task / "data" / "data_snapshot.json").read_bytes())
    train = snapshot["splits"]["train"]
    facts = read_facts(task).facts
    assert facts["rows"] == Evidence(
        figure=FACTS["rows"], value=train["count"], file="data/data_snapshot.json"
    )
    assert facts["smallest_label"].value == min(train["label_counts"].values())
    assert (facts["target"].value, facts["target"].file) == (0.9, "task.yaml")
    assert "changed_share" not in facts, "there were no data before"
    assert "prompted_low" not in facts, "nothing was measured"


def test_a_measured_prompt_that_is_good_enough_says_so_and_a_later_evaluation_goes_before_it(
    task: Path,
) -> None:
    AdviceBaseline(
        base_model=Task.load(task / "task.yaml").base_model,
        split="valid",
        data_sha256=sha256_file(task / "data" / "valid.jsonl"),
        rows=50,
        seed=13,
        baseline={"prompted_base": score(0.95, 0.92, 0.98), "tfidf": score(0.5, 0.4, 0.6)},
    ).save(AdviceBaseline.place(task))
    found = advise(task)
    assert found.verdict == "prompt"
    assert found.points[0].evidence[0] == Evidence(
        figure=FACTS["prompted_low"], value=0.92, file="benchmarks/advise.json"
    )
    version = task / "versions" / "v1"
    version.mkdir()
    gain = Interval(value=0.3, low=0.2, high=0.4)
    EvalResult(
        **score(0.95, 0.91, 0.98).model_dump(),
        split="test",
        data_sha256=sha256_file(task / "data" / "test.jsonl"),
        baseline={"prompted_base": score(0.6, 0.5, 0.7, gain=gain)},
    ).save(version / "results.json")
    found = advise(task)
    assert found.verdict == "sft"
    assert [point.rule for point in found.points] == ["ADV-TUNING-HELPS", "ADV-GAP"]
    assert {e.file for e in found.points[0].evidence} == {"versions/v1/results.json"}


def test_what_was_measured_on_other_data_does_not_count_and_is_named_with_its_command(task: Path) -> None:
    validate_data(task)
    assert "conflict_share" in read_facts(task).facts
    valid, test = (task / "data" / f"{split}.jsonl" for split in ("valid", "test"))
    AdviceBaseline(
        base_model=Task.load(task / "task.yaml").base_model,
        split="valid",
        data_sha256=sha256_file(valid),
        rows=50,
        seed=13,
        baseline={"prompted_base": score(0.95, 0.92, 0.98)},
    ).save(AdviceBaseline.place(task))
    assert (advise(task).verdict, advise(task).old) == ("prompt", [])
    with valid.open("ab") as file:
        file.write(valid.read_bytes().splitlines(keepends=True)[0])
    version = task / "versions" / "v3"
    version.mkdir()
    (version / "results.json").write_bytes(
        EvalResult(**score(0.9, 0.8, 1.0).model_dump(), split="test", data_sha256="x").to_bytes()
    )
    found = advise(task)
    assert found.verdict != "prompt"
    assert found.old == [
        "data/validation.json is of other data than there are now. Check these: nlp-skills validate-data support",
        "benchmarks/advise.json is of other valid rows than there are now. Measure it again: nlp-skills advise support"
        " --baseline",
        "versions/v3/results.json is of other test rows than there are now. Evaluate again: nlp-skills evaluate-version"
        " support --version v3",
    ]
    assert not {"conflict_share", "prompted_low", "tuned_low"} & set(read_facts(task).facts)
    assert test.is_file()
    definition = Task.load(task / "task.yaml")
    definition.with_changes(base_model="owner/other").save(task / "task.yaml")
    assert (
        "benchmarks/advise.json is of smollm2-135m-instruct, and base_model is owner/other"
        in advise(task).old[1]
    )


def test_a_budget_of_nothing_is_enough_where_this_machine_can_train(task: Path, smollm2: object) -> None:
    assert smollm2
    definition = Task.load(task / "task.yaml")
    definition.with_changes(constraints={"budget_usd": 0}).save(task / "task.yaml")
    assert "ADV-BUDGET" not in {point.rule for point in advise(task).points}
    large = task.parent / "large"
    large.mkdir()
    sizes = {
        "model_type": "llama",
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
    (large / "config.json").write_text(json.dumps(sizes), encoding="utf-8")
    Task.load(task / "task.yaml").with_changes(base_model=str(large)).save(task / "task.yaml")
    [budget] = [point for point in advise(task).points if point.rule == "ADV-BUDGET"]
    assert budget.verdict == "prompt"
    assert isinstance(budget.evidence[0].value, float)
    assert budget.evidence[0].value > 0


def test_a_version_that_is_better_already_goes_before_the_budget() -> None:
    found = give_advice("task", evidence({"gain_low": 0.1, "cheapest_usd": 5.0, "budget_usd": 0.0}))
    assert [(point.rule, point.verdict) for point in found.points] == [
        ("ADV-TUNING-HELPS", "sft"),
        ("ADV-BUDGET", "prompt"),
    ]


def test_preferences_have_no_baseline_to_be_asked_for(tmp_path: Path) -> None:
    create_task(tmp_path, "pairs", type=TaskType.PREFERENCE, goal="Prefer the better.")
    with pytest.raises(NotValid, match="pairs: rows of a preference task have no one right answer"):
        advise(tmp_path / "pairs", baseline=True)


def test_questions_whose_answers_stand_nowhere_want_retrieval(tmp_path: Path) -> None:
    create_task(tmp_path, "facts", type=TaskType.QA, goal="Answer questions about the company.")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Who leads office {n}?"},
                {"role": "assistant", "content": f"Person{n} Surname{n}"},
            ],
            "meta": {"id": f"q-{n}", "source": "q"},
        }
        for n in range(60)
    ]
    file = tmp_path / "facts" / "data" / "train.jsonl"
    write_atomic(file, "".join(json.dumps(row) + "\n" for row in rows).encode())
    points = {
        point.rule: point for point in give_advice("facts", read_facts(tmp_path / "facts").facts).points
    }
    assert points["ADV-CLOSED-BOOK"].verdict == "retrieval"
    rows[0]["messages"][0]["content"] += " (Person0 Surname0 does.)"
    for row in rows:
        row["messages"][0]["content"] += f" Hint: {row['messages'][1]['content']}"
    write_atomic(file, "".join(json.dumps(row) + "\n" for row in rows).encode())
    open_book = give_advice("facts", read_facts(tmp_path / "facts").facts).points
    assert "ADV-CLOSED-BOOK" not in {point.rule for point in open_book}


def test_the_base_model_is_asked_validation_rows(task: Path, smollm2: object) -> None:
    assert smollm2
    found = advise(task, baseline=True, rows=4)
    assert isinstance(found, Advice)
    measured = AdviceBaseline.load(AdviceBaseline.place(task))
    assert (measured.rows, measured.split, sorted(measured.baseline)) == (
        4,
        "valid",
        ["prompted_base", "tfidf"],
    )
    every = len(list(read_examples(task / "data" / "valid.jsonl")))
    assert {name: score.count for name, score in measured.baseline.items()} == {
        "prompted_base": 4,
        "tfidf": every,
    }
    assert every > 4
    latency = measured.baseline["prompted_base"].latency
    assert latency is not None
    assert read_facts(task).facts["prompted_p95_ms"].value == latency.p95


def test_advice_is_found_by_the_words_that_people_use() -> None:
    operation = find_operation("advise")
    assert operation.tool
    for word in ("RAG", "微調", "ファインチューニング"):
        assert word in f"{operation.summary} {operation.words}"
