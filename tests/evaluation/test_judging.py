"""A model as judge: swapped pairs, marks, and how far it agrees with people; over a real socket."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_servers import Call, ModelServer, Reply, serving
from nlp_skills.data.example import Example, write_examples
from nlp_skills.data.format import detect_layout, to_example
from nlp_skills.data.sources.source import Columns
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.compare import read_predictions
from nlp_skills.evaluation.judging import judge_version
from nlp_skills.evaluation.metrics.agreement import cohen_kappa, measure_agreement
from nlp_skills.evaluation.metrics.judge import (
    Pair,
    Verdict,
    answer_questions,
    pair_questions,
    preferred_pairs,
    read_marks,
    read_pairs,
)
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction
from nlp_skills.records import write_lines
from nlp_skills.task.registry import Registry, registry_file
from nlp_skills.task.task import Task, TaskType, create_task


def shown(prompt: str, name: str) -> str:
    return prompt.partition(f"=== {name} ===\n")[2].partition(f"\n=== end of {name} ===")[0]


def longer_wins(call: Call) -> Reply:
    """A judge that has a rule: of two answers the longer one; a mark for each word."""
    if "=== answer A ===" in call.prompt:
        a, b = len(shown(call.prompt, "answer A")), len(shown(call.prompt, "answer B"))
        return Reply(f"It says more.\n[[{'A' if a > b else 'B' if b > a else 'TIE'}]]")
    return Reply(f"I count words.\n[[{min(5, len(shown(call.prompt, 'answer').split()))}]]")


def first_wins(call: Call) -> Reply:
    """A judge that only looks at the order."""
    return Reply("[[A]]")


@pytest.mark.parametrize(
    ("replies", "verdict", "winner", "score"),
    [
        (("[[A]]", "[[B]]"), Verdict("a", "a"), "a", 0.0),
        (("[[B]]", "[[A]]"), Verdict("b", "b"), "b", 1.0),
        (("[[A]]", "[[A]]"), Verdict("a", "b"), "tie", 0.5),
        (("[[TIE]]", "[[tie]]"), Verdict("tie", "tie"), "tie", 0.5),
        (("[[A]]", "[[TIE]]"), Verdict("a", "tie"), "tie", 0.5),
        (("[[A]]", "no idea"), Verdict("a", None), None, None),
        (("no idea", "A"), Verdict(None, None), None, None),
        (("First [[B]] came to mind.\nBut: [[ a ]]\n", "[[B]]"), Verdict("a", "a"), "a", 0.0),
        (("[[A]], [[B]] or [[TIE]]", "[[3]]"), Verdict(None, None), None, None),
    ],
)
def test_an_answer_wins_only_in_both_orders(
    replies: tuple[str, str], verdict: Verdict, winner: str | None, score: float | None
):
    assert read_pairs(replies) == [verdict]
    assert (verdict.winner, verdict.score) == (winner, score)


def test_marks_go_from_0_to_1_and_what_is_none_is_none():
    replies = ["[[1]]", "Good.\n[[5]]", "[[3]]", "[[6]]", "[[A]]", "5", "[[4]] or [[5]]"]
    assert read_marks(replies) == [0.0, 1.0, 0.5, None, None, None, None]


def test_each_pair_is_asked_in_both_orders_and_nothing_else_differs():
    ab, ba = pair_questions([Pair("7", "What is it?", "a cat", "a dog")], "Be strict.")
    assert [(q.meta.id, len(q.messages or [])) for q in (ab, ba)] == [("7-ab", 3), ("7-ba", 3)]
    one, other = ab.input_text, ba.input_text
    assert (shown(one, "answer A"), shown(one, "answer B")) == ("a cat", "a dog")
    assert one.replace("a cat", "X").replace("a dog", "a cat").replace("X", "a dog") == other
    assert ab.context[0] == ba.context[0]
    assert "Be strict." in (ab.context[0].content or "")
    row = Prediction(id="1", input="2 + 2?", expected="4", predicted="5", correct=False)
    (asked,) = answer_questions([row])
    assert [shown(asked.input_text, name) for name in ("request", "answer")] == ["2 + 2?", "5"]


def test_agreement_says_how_often_both_orders_agree_and_how_often_people_do():
    same, first, last, unread = Verdict("a", "a"), Verdict("a", "b"), Verdict("b", "a"), Verdict("a", None)
    found = measure_agreement([same, same, first, last, unread], ["a", "b", "a", None, "a"])
    assert found.model_dump() == {
        "count": 5,
        "a": 2,
        "b": 0,
        "ties": 2,
        "unread": 1,
        "consistency": 0.5,
        "first": 1,
        "second": 1,
        "people": 3,
        "agreement": pytest.approx(1 / 3),
        "kappa": pytest.approx(-0.2),
    }
    assert measure_agreement([]).model_dump(exclude_defaults=True) == {
        "count": 0,
        "a": 0,
        "b": 0,
        "ties": 0,
        "unread": 0,
    }


@settings(max_examples=60)
@given(pairs=st.lists(st.tuples(*[st.sampled_from(["a", "b", "tie"])] * 2), min_size=1, max_size=30))
def test_kappa_is_scikit_learns(pairs: list[tuple[str, str]]):
    from sklearn.metrics import cohen_kappa_score

    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    found = cohen_kappa(a, b)
    if len({*a, *b}) > 1:
        assert found == pytest.approx(float(cohen_kappa_score(a, b)))
    else:
        assert found is None


def preferences(shared_data: Path, count: int) -> list[Example]:
    rows = json.loads((shared_data / "preference" / "dpo_en_demo.json").read_text(encoding="utf-8"))[:count]
    task = Task.parse({"name": "a", "type": TaskType.PREFERENCE, "goal": "g", "created": "now"}, "here")
    layout = detect_layout(rows, Columns(), TaskType.PREFERENCE)
    return [to_example(row, layout, task=task, source="dpo", line=n) for n, row in enumerate(rows, 1)]


def test_a_judges_agreement_with_people_is_measured_on_real_preferences(shared_data: Path, tmp_path: Path):
    examples = preferences(shared_data, 40)
    _, people = preferred_pairs(examples)
    assert 10 < people.count("a") < 30
    create_task(tmp_path, "wishes", type=TaskType.PREFERENCE, goal="Be good.")
    task = tmp_path / "wishes"
    (task / "versions" / "v1").mkdir(parents=True)
    (task / "data").mkdir(exist_ok=True)
    write_examples(task / "data" / "test.jsonl", examples)
    with serving(ModelServer(longer_wins)) as server:
        found = judge_version(task, judge=f"{server.url}/v1#judge")
    longer = ["a" if len(p.a) > len(p.b) else "b" for p in preferred_pairs(examples)[0]]
    said = sum(x == y for x, y in zip(longer, people, strict=True)) / 40
    assert found.agreement is not None
    assert (found.agreement.consistency, found.agreement.people) == (1.0, 40)
    assert found.agreement.agreement == pytest.approx(said)
    assert found.agreement.kappa == pytest.approx(cohen_kappa(longer, people))
    assert (found.score, found.unread) == (None, 0)


def version(task: Path, name: str, answers: list[str]) -> None:
    """An evaluated version, with these answers."""
    folder = task / "versions" / name
    folder.mkdir(parents=True)
    rows = [
        Prediction(id=str(n), input=f"Question {n}?", expected="one two three", predicted=said, correct=False)
        for n, said in enumerate(answers)
    ]
    write_lines(folder / "predictions.jsonl", map(msgspec.json.encode, rows))
    result = EvalResult(
        metrics={"token_f1": Interval(value=0, low=0, high=1)}, count=len(rows), split="test", data_sha256="0"
    )
    result.save(folder / "results.json")
    (folder / "config.yaml").write_text("base_model: smollm2-135m-instruct\n", encoding="utf-8")
    (folder / "data_snapshot.json").write_text('{"source_hash": "0", "splits": {}}', encoding="utf-8")
    lineage = {
        "version": name,
        "created": "now",
        "data": dict.fromkeys(("train_count", "valid_count", "test_count"), 0) | {"source_hash": "0"},
        "config": {},
    }
    (folder / "lineage.yaml").write_text(json.dumps(lineage), encoding="utf-8")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path, "essays", type=TaskType.GENERATION, goal="Write.")
    version(tmp_path / "essays", "v1", ["one", "one two", "one", "a b c"])
    version(tmp_path / "essays", "v2", ["one two", "one", "one", "a b c d e f"])
    return tmp_path / "essays"


def test_marks_stand_in_the_versions_predictions_results_and_lineage(task: Path):
    with serving(ModelServer(longer_wins)) as server:
        found = judge_version(task, judge=f"{server.url}/v1#judge", version="v1")
        assert len(server.calls) == 4
    assert found.score is not None
    assert (found.score.value, found.unread, found.against) == (
        pytest.approx((0 + 0.25 + 0 + 0.5) / 4),
        0,
        None,
    )
    folder = task / "versions" / "v1"
    assert [row.judged for row in read_predictions(folder)] == [0.0, 0.25, 0.0, 0.5]
    assert EvalResult.load(folder / "results.json").metrics["judge_score"] == found.score
    assert "judge_score" in (folder / "lineage.yaml").read_text(encoding="utf-8")
    replies = [
        json.loads(line) for line in (folder / "judgement.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert replies[1] == {"id": "1", "reply": "I count words.\n[[2]]"}
    assert sorted(p.name for p in folder.glob("judgement*")) == ["judgement.json", "judgement.jsonl"]


def test_of_two_versions_the_judge_says_how_often_the_newer_one_wins(task: Path):
    with serving(ModelServer(longer_wins)) as server:
        found = judge_version(task, judge=f"{server.url}/v1#judge", against="v1")
        assert len(server.calls) == 8
    assert found.score is not None
    assert (found.version, found.against, found.count) == ("v2", "v1", 4)
    assert found.score.value == (1 + 0 + 0.5 + 1) / 4
    assert found.agreement is not None
    assert (found.agreement.b, found.agreement.a, found.agreement.ties, found.agreement.consistency) == (
        2,
        1,
        1,
        1.0,
    )
    assert found.file == "versions/v2/judgement_v1.jsonl"
    assert "judge_score" not in EvalResult.load(task / "versions" / "v2" / "results.json").metrics


def test_what_is_said_against_an_alias_is_kept_by_the_versions_name(task: Path):
    Registry(aliases={"prod": "v1"}).save(registry_file(task))
    found = judge_version(task, judge="https://api.example.com/v1#big", against="prod")
    assert found.against == "v1"


def test_a_judge_that_looks_at_the_order_alone_decides_nothing(task: Path):
    with serving(ModelServer(first_wins)) as server:
        found = judge_version(task, judge=f"{server.url}/v1#judge", against="v1")
    assert found.score is not None
    assert found.agreement is not None
    assert (found.score.value, found.agreement.ties, found.agreement.consistency, found.agreement.first) == (
        0.5,
        4,
        0.0,
        4,
    )


def test_nothing_is_sent_over_the_network_without_confirm(task: Path):
    found = judge_version(task, judge="https://api.example.com/v1#big", against="v1")
    assert found.would is not None
    assert found.would.startswith("It would send 8 rows, about ")
    assert (found.score, found.file) == (None, None)
    assert not list((task / "versions" / "v2").glob("judgement*"))


def test_a_judge_that_gives_no_verdict_leaves_nothing_measured(task: Path):
    with serving(ModelServer(lambda call: Reply("I would rather not say."))) as server:
        found = judge_version(task, judge=f"{server.url}/v1#judge", version="v1")
    assert (found.score, found.unread) == (None, 4)
    assert "judge_score" not in EvalResult.load(task / "versions" / "v1" / "results.json").metrics


def test_labels_need_no_judge_and_other_rows_cannot_be_compared(tmp_path: Path, task: Path):
    create_task(tmp_path, "labels", type=TaskType.CLASSIFICATION, goal="Sort.")
    version(tmp_path / "labels", "v1", ["a"])
    with pytest.raises(NotValid, match="are right or wrong, so no judge is needed"):
        judge_version(tmp_path / "labels", judge="base")
    version(task, "v3", ["one"])
    with pytest.raises(NotValid, match="v1 and v3 were tested on different rows"):
        judge_version(task, judge="base", against="v1")
