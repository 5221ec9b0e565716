"""The report: what it says, what it survives, and that it is one file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_sample import LABELS, make_full_task, make_task, read_predictions, write_predictions

from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation import charts
from nlp_skills.evaluation.charts import IntervalRow
from nlp_skills.evaluation.loss_chart import Curve, LossScale, loss_chart, loss_scale, thin
from nlp_skills.evaluation.page import render
from nlp_skills.evaluation.page.lineage_graph import Node, lanes_of, lineage_graph
from nlp_skills.evaluation.report import Report, collect, read_curve, write_report
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction, Score
from nlp_skills.evaluation.verdict import better_than_parent, good_enough, show_p, worth_it
from nlp_skills.page.charts import Bar, bar_chart
from nlp_skills.page.markup import element, json_block
from nlp_skills.records import write_atomic
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Criterion, Task, TaskType

HOSTILE = "</script><script>window.hacked=1;alert(1)</script><img src=x onerror='window.hacked=2'>\x00\u2028"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_task(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task in which everything was measured, with the page of v2."""
    task = make_full_task(tmp_path_factory.mktemp("full"))
    write_report(task, version="v2")
    return task


@pytest.fixture
def task(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / sample.name))


class Outline(HTMLParser):
    """Which elements a page has, in order, and whether each is closed where it should be."""

    VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def page_of(task: Path, version: str | None = None) -> str:
    report = write_report(task, version=version)
    return (task / report.path).read_text(encoding="utf-8")


def result(own: Interval, baselines: Mapping[str, Interval], count: int = 400) -> EvalResult:
    return EvalResult(
        metrics={"macro_f1": own},
        count=count,
        split="test",
        data_sha256="0" * 64,
        baseline={name: Score(metrics={"macro_f1": i}, count=count) for name, i in baselines.items()},
    )


def around(value: float, half: float = 0.03) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


ALL_LOW = {"majority": around(0.1), "tfidf": around(0.7), "prompted_base": around(0.5)}


def test_report_is_written_beside_its_version_and_says_what_it_wrote(task: Path) -> None:
    report = write_report(task)
    path = task / "versions" / "v2" / "report.html"
    assert report == Report(path="versions/v2/report.html", bytes=path.stat().st_size, versions=["v1", "v2"])


def test_equal_input_gives_equal_bytes(task: Path, tmp_path: Path) -> None:
    other = make_task(tmp_path / "elsewhere")
    assert page_of(task) == page_of(other)


def test_sections_stand_in_the_order_of_the_questions(task: Path) -> None:
    sections = [s["id"] for s in Outline(page_of(task)).named("section")]
    assert sections == [
        "verdict", "scores", "diagnosis", "changes", "slices", "labels", "confusion", "calibration",
        "forgetting", "cost", "training", "data", "lineage", "predictions", "again",
    ]  # fmt: skip


def test_page_needs_no_network_and_no_other_file(task: Path) -> None:
    page = page_of(task)
    outline = Outline(page)
    assert not re.search(r"https?://|@import|url\(", page)
    assert [a for _, a in outline.elements if "src" in a] == []
    assert [a["href"] for a in outline.named("link")] == ["data:,"]
    assert all((a["href"] or "").startswith("#") for a in outline.named("a"))


def test_each_link_of_the_page_leads_to_a_section(task: Path) -> None:
    outline = Outline(page_of(task))
    targets = {(a["href"] or "")[1:] for a in outline.named("a")}
    assert targets == {s["id"] for s in outline.named("section")} - {"verdict"}


def test_each_picture_has_a_text_alternative(task: Path) -> None:
    pictures = [a for a in Outline(page_of(task)).named("svg") if "preserveaspectratio" not in a]
    assert [a["role"] for a in pictures] == ["img"] * 9
    assert all(len(a["aria-label"] or "") > 30 for a in pictures)


def test_page_holds_verdict_numbers_rows_and_hashes(task: Path) -> None:
    words = Outline(page_of(task)).words
    snapshot = json.loads((task / "versions/v2/data_snapshot.json").read_text(encoding="utf-8"))
    for expected in (
        "v2 beats everything that needs no fine-tuning. v2 is better than v1.",
        "Cannot tell",
        "TF-IDF",
        "McNemar p < 0.001",
        "learning_rate",
        "the model starts to learn its rows by heart",
        "DATA-NEAR-DUP",
        "not run: the tokenizer of the base model is not on this machine",
        "uv run scripts/04_train.py",
        "git commit".capitalize(),
        snapshot["source_hash"],
        snapshot["splits"]["test"]["sha256"],
    ):
        assert expected in words


def test_script_that_publishes_is_not_among_the_commands(task: Path) -> None:
    assert "06_upload_hf" not in page_of(task)


def test_report_of_an_older_version_leaves_newer_ones_out(task: Path) -> None:
    report = write_report(task, version="v1")
    page = (task / report.path).read_text(encoding="utf-8")
    assert report.versions == ["v1"]
    assert "v1 is the first version." in page
    assert "v2" not in Outline(page).words


def test_versions_are_ordered_by_number(task: Path) -> None:
    (task / "versions" / "v10").mkdir()
    assert write_report(task).versions == ["v1", "v2", "v10"]


def test_unknown_version_is_named_with_those_that_exist(task: Path) -> None:
    with pytest.raises(NotFound, match="v1, v2"):
        write_report(task, version="v7")


def test_task_without_versions_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="no version yet"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("versions/v2/results.json", "v2 has not been evaluated yet."),
        ("versions/v2/predictions.jsonl", "v2 has no predictions yet."),
        ("versions/v2/metrics.jsonl", "No loss was recorded. Its job is succeeded."),
        ("versions/v2/config.yaml", "v2 has no config.yaml yet."),
        ("versions/v2/data_snapshot.json", "v2 has no data snapshot yet."),
        ("versions/v2/lineage.yaml", "not recorded"),
        ("versions/v2/job.json", "not started"),
        ("versions/v2/model_info.json", "v2 is better than v1."),
        ("versions/v1/results.json", "v2 was not compared with v1."),
        ("data/validation.json", "The data has not been validated: data/validation.json is not there."),
        ("data_source.yaml", "v2 beats everything that needs no fine-tuning."),
    ],
)
def test_absent_file_is_said_in_its_place(task: Path, missing: str, said: str) -> None:
    (task / missing).unlink()
    page = page_of(task)
    assert said in Outline(page).words
    assert str(task) not in page


def test_new_version_with_nothing_but_its_folder_has_a_report(task: Path) -> None:
    (task / "versions" / "v3").mkdir()
    words = Outline(page_of(task)).words
    assert "v3 has not been evaluated yet." in words
    assert "No loss was recorded. It has not been trained yet." in words


def test_broken_predictions_name_file_and_line(task: Path) -> None:
    path = task / "versions" / "v2" / "predictions.jsonl"
    write_atomic(path, path.read_bytes() + b"{half\n")
    with pytest.raises(NotValid, match=r"predictions\.jsonl:201: "):
        write_report(task)


def test_failed_training_is_a_warning_beside_the_verdict(task: Path) -> None:
    path = task / "versions" / "v2" / "job.json"
    job = json.loads(path.read_text(encoding="utf-8")) | {"status": "failed", "error": "out of memory"}
    write_atomic(path, json.dumps(job).encode())
    assert "The training of v2 is failed, not succeeded: out of memory" in Outline(page_of(task)).words


def test_source_is_named_with_its_path_and_without_what_is_not_set(task: Path) -> None:
    page = page_of(task)
    assert "path: tickets.csv" in page and "None" not in page


def test_hostile_text_is_text_wherever_it_stands(task: Path) -> None:
    definition = Task.load(task / "task.yaml")
    definition.with_changes(goal=HOSTILE, labels=[*LABELS, HOSTILE]).save(task / "task.yaml")
    predictions = read_predictions(task, "v2")
    predictions[0] = Prediction(
        id=HOSTILE, expected=HOSTILE, predicted=HOSTILE, correct=False, scores={HOSTILE: 0.5}, input=HOSTILE
    )
    write_predictions(task, "v2", predictions)
    path = task / "versions" / "v2" / "results.json"
    changed = EvalResult.load(path).with_changes(confusion={HOSTILE: {HOSTILE: 3, "billing": 1}})
    changed.with_changes(per_label={HOSTILE: {"precision": 0, "recall": 0, "f1": 0, "support": 1}}).save(path)
    page = page_of(task)
    outline = Outline(page)
    assert [a.get("type") for a in outline.named("script")] == ["application/json", None]
    assert outline.named("img") == []
    assert "window.hacked=1" in outline.words
    assert "\x00" not in page


def test_json_in_the_page_is_the_value_that_was_put_in() -> None:
    block = json_block("rows", {"text": HOSTILE, "more": ["<!--", "&amp;", "中文", "\ud800"]})
    inside = re.fullmatch(r'<script type="application/json" id="rows">(.*)</script>', block)
    assert inside is not None
    assert "<" not in inside[1]
    assert json.loads(inside[1]) == {"text": HOSTILE, "more": ["<!--", "&amp;", "中文", "\ud800"]}
    assert block.encode("utf-8").decode("utf-8") == block


def test_element_escapes_text_and_attributes() -> None:
    assert element("p", "3 < 4 & 5", title='"<', class_="a", hidden=False, lang=None) == (
        '<p title="&quot;&lt;" class="a">3 &lt; 4 &amp; 5</p>'
    )


def test_long_inputs_are_cut_and_the_page_says_by_how_much(task: Path) -> None:
    write_predictions(
        task, "v1", [Prediction(id="1", expected="a", predicted="b", correct=False, input="x" * 50_000)] * 40
    )
    page = page_of(task, "v1")
    assert "… (49,000 more characters)" in page
    assert len(page) < 200_000


def test_predictions_beyond_the_limit_are_counted(task: Path) -> None:
    write_predictions(
        task, "v1", [Prediction(id=str(i), expected="a", predicted="b", correct=False) for i in range(10_050)]
    )
    words = Outline(page_of(task, "v1")).words
    assert "10,050 of 10,050 rows are wrong." in words
    assert "50 more rows stand in versions/v1/predictions.jsonl." in words


def test_one_row_is_a_row_and_not_one_rows(task: Path) -> None:
    write_predictions(task, "v1", [Prediction(id="1", expected="a", predicted="b", correct=False)])
    words = Outline(page_of(task, "v1")).words
    assert "1 of 1 row is wrong. It comes first." in words
    assert "1 rows" not in words


def test_task_without_labels_has_a_report(task: Path) -> None:
    definition = Task.load(task / "task.yaml")
    definition.with_changes(type="qa", labels=[], target=None, metric="exact_match").save(task / "task.yaml")
    for version in ("v1", "v2"):
        path = task / "versions" / version / "results.json"
        EvalResult.load(path).with_changes(
            metrics={"exact_match": {"value": 0.4, "low": 0.3, "high": 0.5}},
            per_label={},
            confusion={},
            baseline={},
        ).save(path)
    words = Outline(page_of(task)).words
    shown = [s["id"] for s in Outline(page_of(task)).named("section")]
    assert {"labels", "confusion", "calibration", "tools"}.isdisjoint(shown)
    assert "nothing that needs no fine-tuning was measured beside it" in words


def test_task_that_calls_tools_says_where_that_was_not_measured(task: Path) -> None:
    definition = Task.load(task / "task.yaml")
    definition.with_changes(type="tool_use", labels=[], target=None, metric=None).save(task / "task.yaml")
    words = Outline(page_of(task)).words
    for said in (
        "How well tools are called was not measured. Run: nlp-skills evaluate-tools support-tickets",
        "Measured on 200 rows of the test split. Call accuracy was not measured.",
    ):
        assert said in words


# What was measured, and what was not


def test_what_was_not_measured_is_said_in_its_place(task: Path) -> None:
    words = Outline(page_of(task)).words
    for said in (
        "Nobody has asked yet why these figures are as they are. Run: nlp-skills diagnose support-tickets --version v2",
        "Kinds of rows were not looked at",
        "How sure the model was is not known",
        "What was forgotten was not measured. Run: nlp-skills evaluate-version support-tickets --version v2",
        "Whether the measurement itself is sound was not checked.",
        "How much memory answering takes was not measured.",
    ):
        assert said in words


def test_reason_that_the_results_give_is_shown_where_something_was_left_out(task: Path) -> None:
    path = task / "versions" / "v2" / "results.json"
    left_out = {
        "forgetting": "No general questions at 0 of 120.",
        "slices": "Too few rows.",
        "calibration": "Generated.",
    }
    EvalResult.load(path).with_changes(not_measured=left_out).save(path)
    words = Outline(page_of(task)).words
    assert all(why in words for why in left_out.values())


@pytest.mark.parametrize(
    "said",
    [
        "9 of 120 general questions that the base model answers were lost",
        "Worse than the base model with a prompt: length=long",
        "length=long : worse than the base model; below the rest",
        "May it go to users? v2 of support-tickets is not to be promoted",
        "The measurement is sound. Every answer could be read",
        "Labels of billing and returns contradict each other",
        "What is the capital of Japan?",
        "p = 0.013 (paired)",
        "On average it is 0.767 sure and 0.745 right, on 200 rows: too sure by 0.021.",
        "The task allows 200 ms: the 95th percentile is within that.",
        "Answering took at most 934 MB of memory.",
        "All together 33 min $0.00",
        "smollm2-135m-instruct with versions/v2: BFCL v4",
        "missing_parameter. day is required",
    ],
)
def test_what_was_measured_is_on_the_page(full: Path, said: str) -> None:
    page = (full / "versions" / "v2" / "report.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert " ".join(said.split()) in text.replace(" .", ".").replace("&gt;", ">")


def test_each_cause_of_the_diagnosis_has_evidence_and_a_fix(full: Path) -> None:
    outline = Outline((full / "versions" / "v2" / "report.html").read_text(encoding="utf-8"))
    for said in (
        "rows of billing that the model gives to returns: 41",
        "labelled billing; the model says returns with 0.97",
        "nlp-skills review-data support-tickets --label billing",
        "about 14 minutes of reading",
        "Looked at and not found: a leak from training into test, a wrong chat template.",
        "more rows: no learning curve was measured",
    ):
        assert said in outline.words


def test_a_target_of_nothing_stands_on_the_axis_and_a_loss_below_nothing_is_told_as_any_other(task: Path):
    rows = [IntervalRow("v1", Interval(value=0.5, low=0.45, high=0.55))]
    chart = str(charts.interval_chart(rows, alternative="x", target=0.0))
    assert ">0</text>" in chart
    metrics = task / "versions" / "v1" / "metrics.jsonl"
    for last, told in ((-0.5, "at or near the end"), (-0.51, "at or near the end"), (-0.4, "rises to")):
        losses = [(1, -0.3), (2, -0.5), (3, last)]
        lines = "".join(json.dumps({"step": step, "eval_loss": loss}) + "\n" for step, loss in losses)
        metrics.write_text(lines, encoding="utf-8")
        assert told in Outline(render(collect(task, "v1"))).words


def test_a_diagnosis_of_the_test_before_says_so(tmp_path: Path):
    task = make_full_task(tmp_path)
    old = "The version was tested again since; this speaks of the test before. Ask again: nlp-skills diagnose support-tickets"
    write_report(task, version="v2")
    page = task / "versions" / "v2" / "report.html"
    assert old not in page.read_text(encoding="utf-8")
    write_predictions(task, "v2", list(reversed(read_predictions(task, "v2"))))
    write_report(task, version="v2")
    assert old in page.read_text(encoding="utf-8")


def test_limits_of_the_criteria_are_limits_too(tmp_path: Path) -> None:
    task = make_full_task(tmp_path)
    asked = [
        Criterion(metric="latency_p95_ms", at_most=50),
        Criterion(metric="latency_p99_ms", at_most=300),
        Criterion(metric="memory_gb", at_most=0.5),
    ]
    Task.load(task / "task.yaml").with_changes(criteria=asked).save(task / "task.yaml")
    words = Outline(page_of(task, "v2")).words
    for said in (
        "The task allows 50 ms: the 95th percentile is over that. The task allows 300 ms: the 99th percentile is within",
        "The task allows 0.5 GB: over that.",
    ):
        assert said in words


def test_predictions_on_the_page_begin_with_the_wrong_ones(full: Path) -> None:
    page = (full / "versions" / "v2" / "report.html").read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page)
    assert block is not None
    right = [row[5] for row in json.loads(block[1])["rows"]]
    assert len(right) == 200
    assert right == sorted(right)
    assert right.index(1) > 0


def test_criterion_about_kinds_of_rows_needs_predictions_and_says_so(task: Path) -> None:
    definition = Task.load(task / "task.yaml")
    asked = Criterion(metric="accuracy", slice="language", at_least=0.7)
    definition.with_changes(criteria=[asked]).save(task / "task.yaml")
    (task / "versions" / "v2" / "predictions.jsonl").unlink()
    page = page_of(task)
    assert (
        "Whether v2 may go to users cannot be told: support-tickets v2 was not evaluated."
        in Outline(page).words
    )
    assert str(task) not in page


# The page of the whole task


def test_task_has_a_page_with_all_versions_and_links_to_those_with_a_page(full: Path) -> None:
    outline = Outline((full / "report.html").read_text(encoding="utf-8"))
    links = [a["href"] for a in outline.named("a") if not (a["href"] or "").startswith("#")]
    assert links == ["versions/v2/report.html"]
    assert all((full / (link or "")).is_file() for link in links)
    for said in (
        "v2 has the best macro F1. v2 beats everything that needs no fine-tuning.",
        "v2 ★ best",
        "data: 300 rows from the shop's chat added; label_smoothing: 0 → 0.1",
        "All together71 min$0.00",
        "The best of several looks a little better than it is.",
    ):
        assert said in outline.words


def test_task_page_of_versions_that_were_not_evaluated_says_so(task: Path) -> None:
    for version in ("v1", "v2"):
        (task / "versions" / version / "results.json").unlink()
    write_report(task)
    words = Outline((task / "report.html").read_text(encoding="utf-8")).words
    assert "Nothing has been evaluated yet, of 2 versions." in words
    assert "not evaluated; training succeeded" in words
    assert "No version has been evaluated yet." in words


def test_best_version_is_sought_among_those_tested_on_the_newest_file(task: Path) -> None:
    path = task / "versions" / "v1" / "results.json"
    result = EvalResult.load(path)
    raised = {"macro_f1": around(0.99, 0.01), "accuracy": result.metrics["accuracy"]}
    result.with_changes(metrics=raised).save(path)
    assert (best := collect(task).best) is not None and best.version == "v1"
    result.with_changes(metrics=raised, data_sha256="1" * 64).save(path)
    assert (best := collect(task).best) is not None and best.version == "v2"


# The lineage graph


def test_lanes_keep_an_edge_off_versions_that_it_does_not_belong_to() -> None:
    #  v1 ┬ v2 ─ v5
    #     ├ v3 ─ v4
    #     └ v6            v7 is a start
    parents = {"v1": None, "v2": "v1", "v3": "v1", "v4": "v3", "v5": "v2", "v6": "v1", "v7": None}
    nodes = [Node(name, parent) for name, parent in parents.items()]
    assert lanes_of(nodes) == {"v1": 0, "v2": 0, "v5": 0, "v3": 1, "v4": 1, "v6": 2, "v7": 0}
    picture = lineage_graph(nodes, alternative="seven versions")
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', picture)
    assert len(set(places)) == 7
    assert picture.count('class="edge"') == 5


def test_best_and_current_version_stand_out_in_the_graph() -> None:
    picture = lineage_graph(
        [Node("v1", None, best=True), Node("v2", "v1", current=True)], alternative="two versions"
    )
    assert re.findall(r'<g class="(node[^"]*)"', picture) == ["node best-node", "node current"]
    assert picture.count("★ best") == 1


# The verdict


@pytest.mark.parametrize(
    ("own", "baselines", "answer", "headline"),
    [
        (around(0.9), ALL_LOW, "yes", "v2 beats everything that needs no fine-tuning."),
        (
            around(0.9),
            {"tfidf": around(0.7)},
            "yes",
            "v2 beats everything that was measured and needs no fine-tuning.",
        ),
        (around(0.72), ALL_LOW, "cannot tell", "Cannot tell whether v2 beats TF-IDF."),
        (around(0.7), ALL_LOW, "no", "TF-IDF does as well: you do not need a language model."),
        (around(0.6), ALL_LOW, "no", "TF-IDF does better than v2."),
        (
            around(0.5),
            {"prompted_base": around(0.51)},
            "no",
            "The base model with a prompt does as well: you do not need to fine-tune.",
        ),
        (around(0.5), {}, "cannot tell", "Cannot tell whether v2 was worth it."),
    ],
)
def test_verdict_against_baselines(
    own: Interval, baselines: dict[str, Interval], answer: str, headline: str
) -> None:
    statement = worth_it("v2", "macro_f1", result(own, baselines))
    assert (statement.answer, statement.headline) == (answer, headline)


def test_baselines_that_were_not_measured_are_named() -> None:
    statement = worth_it("v2", "macro_f1", result(around(0.9), {"tfidf": around(0.7)}))
    assert "Not measured: the most frequent answer, the base model with a prompt." in statement.reason


def test_few_test_rows_decide_nothing_against_baselines() -> None:
    statement = worth_it("v2", "macro_f1", result(around(0.9), ALL_LOW, count=29))
    assert statement.answer == "cannot tell"
    assert "Fewer than 30 test rows decide nothing." in statement.reason


@pytest.mark.parametrize(
    ("verdict", "answer", "headline"),
    [
        ("better", "yes", "v2 is better than v1."),
        ("worse", "no", "v2 is worse than v1."),
        ("cannot tell", "cannot tell", "Cannot tell whether v2 is better than v1."),
    ],
)
def test_verdict_against_the_parent_gives_the_comparisons_reason(
    verdict: str, answer: str, headline: str
) -> None:
    comparison = Comparison.model_validate(
        {
            "task": "t",
            "a": "v1",
            "b": "v2",
            "verdict": verdict,
            "reason": "macro_f1 moved.",
        }
    )
    statement = better_than_parent("v2", "v1", "macro_f1", comparison)
    assert statement is not None
    assert (statement.answer, statement.headline) == (answer, headline)
    assert statement.reason == "Macro F1 moved."


def test_reason_why_there_is_no_comparison_is_shown() -> None:
    statement = better_than_parent("v2", "v1", "macro_f1", "They were tested on different rows.")
    assert statement is not None
    assert statement.answer == "cannot tell"
    assert statement.reason == "They were tested on different rows."


def test_different_test_rows_are_said_instead_of_compared(task: Path) -> None:
    path = task / "versions" / "v1" / "predictions.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b'"input":"', b'"input":"Another row. ') + b"".join(others))
    words = Outline(page_of(task)).words
    assert "v2 was not compared with v1." in words
    assert "were tested on different rows" in words


@pytest.mark.parametrize(
    ("own", "answer"), [(around(0.9), "yes"), (around(0.86), "cannot tell"), (around(0.8), "no")]
)
def test_target_is_reached_when_the_whole_interval_is(own: Interval, answer: str) -> None:
    task = Task(name="t", type=TaskType.CLASSIFICATION, goal="g", target=0.85, created="2026-11-02T09:00:00Z")
    statement = good_enough("v2", task.chosen_metric, task.target, result(own, {}))
    assert statement is not None
    assert statement.answer == answer


def test_p_value_is_never_shown_as_zero() -> None:
    assert [show_p(p) for p in (0.5, 0.0012, 0.0004, 0.0)] == [
        "p = 0.500",
        "p = 0.001",
        "p < 0.001",
        "p < 0.001",
    ]


# Charts


@pytest.mark.parametrize(
    ("low", "high", "limit", "ticks"),
    [
        (0.05, 0.92, (0.0, 1.0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.81, 0.88, (0.0, 1.0), [0.8, 0.82, 0.84, 0.86, 0.88]),
        (0, 312, None, [0, 100, 200, 300, 400]),
        (0, 2.3, None, [0, 0.5, 1.0, 1.5, 2.0, 2.5]),
        (1.0, 1.0, (0.0, 1.0), [0.94, 0.96, 0.98, 1.0]),
        (0, 0, None, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(
    low: float, high: float, limit: tuple[float, float] | None, ticks: list[float]
) -> None:
    found = charts.nice_ticks(low, high, limit=limit)
    assert found == ticks or (found[0] <= low and found[-1] >= high and found == pytest.approx(ticks))


def test_dots_and_intervals_stand_where_the_axis_says() -> None:
    rows = [
        IntervalRow("v1", Interval(value=0.5, low=0.25, high=0.75)),
        IntervalRow("v2", Interval(value=1, low=0, high=1)),
    ]
    picture = charts.interval_chart(rows, alternative="two versions")
    assert re.findall(r'<circle cx="([^"]+)"', picture) == ["50%", "100%"]
    assert re.findall(r'<line x1="([^"]+)" x2="([^"]+)" y1="30" y2="30"', picture) == [("25%", "75%")]


def test_long_curve_is_thinned_to_means_and_keeps_its_ends() -> None:
    points = [(float(step), 1.0 if step % 2 else 3.0) for step in range(10_001)]
    thinned = thin(points)
    assert len(thinned) <= 300
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert all(1.9 < loss < 2.1 for _, loss in thinned[1:-2])


def test_folding_many_labels_loses_no_row() -> None:
    labels = [f"intent {n:02}" for n in range(77)]
    confusion = {label: {label: 10, labels[(i * 7) % 77]: 1 + i % 3} for i, label in enumerate(labels)}
    folded, names = charts.fold_confusion(confusion)
    assert len(names) == 20
    assert names[-1] == "58 others"
    assert sum(sum(row.values()) for row in folded.values()) == sum(
        sum(row.values()) for row in confusion.values()
    )


def test_longest_bar_leaves_room_for_its_text() -> None:
    picture = bar_chart({"a": [Bar(0.5, "50 %"), Bar(0.25, "25 %", 1)]}, alternative="bars")
    assert re.findall(r'<rect x="0" y="[^"]+" width="([^"]+)"', picture) == ["72%", "36%"]


def test_text_is_shortened_by_the_width_that_it_takes() -> None:
    assert charts.shorten("learning_rate: 0.0002", 14) == "learning_rate…"
    assert charts.shorten("包裹顯示已送達", 8) == "包裹顯…"
    assert charts.shorten("short", 14) == "short"


@pytest.mark.parametrize(
    "curve",
    [Curve(), Curve([(1, 2.0)], []), Curve([], [(10, 0.5)]), Curve([(1, 0.0), (2, 0.0)], [(2, 0.0)])],
)
def test_short_curves_can_be_drawn(curve: Curve) -> None:
    Outline(loss_chart(curve, loss_scale([curve]), alternative="loss"))


def test_run_far_above_the_others_does_not_press_them_flat() -> None:
    usual = Curve([(1, 6.9), (40, 0.2)], [(20, 0.4), (40, 0.17)])
    burst = Curve([(1, 6.9), (2, 117.9), (40, 10.8)], [(40, 10.8)])
    even, uneven = loss_scale([usual]), loss_scale([usual, burst])
    assert loss_scale([Curve([(1, 2.3), (9, 0.4)])]) == LossScale([0, 1, 2, 3])
    assert even == LossScale([0.1, 1, 10], logarithmic=True)
    assert uneven == LossScale([0.1, 1, 10, 100, 200], logarithmic=True)
    assert uneven.share(0.4) - uneven.share(0.17) > 0.1
    picture = loss_chart(usual, uneven, alternative=f"Loss. {uneven.told}")
    assert 'aria-label="Loss. The scale is logarithmic, from 0.1 to 200, as some losses' in picture


def test_losses_below_zero_stand_above_the_lowest_line() -> None:
    scale = loss_scale([Curve([(1, -0.4), (2, 60.0)])])
    assert not scale.logarithmic
    assert 0 < scale.share(-0.4) < scale.share(60.0) <= 1


def test_step_that_was_trained_again_counts_once(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
        {"step": 2, "eval_loss": 1.5},
        {"step": 2, "loss": 1.0},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, "lo', encoding="utf-8")
    assert read_curve(path) == Curve([(1, 3.0), (2, 1.0)], [(2, 1.5)])


def test_rendering_does_not_touch_the_task(task: Path) -> None:
    before = {path: path.read_bytes() for path in task.rglob("*") if path.is_file()}
    render(collect(task))
    assert {path: path.read_bytes() for path in task.rglob("*") if path.is_file()} == before
