"""Rows asked, judged and recorded: BFCL's shared questions, its packaged scenarios, rows of the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding
from nlp_skills.evaluation.tool_use.asking import choose_calling, drawn, question_example
from nlp_skills.evaluation.tool_use.bfcl import category_names, read_questions, read_scenarios
from nlp_skills.evaluation.tool_use.bfcl_package import VERSION, bfcl_folder, bfcl_package, is_fetched
from nlp_skills.evaluation.tool_use.calls import Call, openai_calls
from nlp_skills.evaluation.tool_use.evaluate_tools import summarise
from nlp_skills.evaluation.tool_use.judging import Asked, ask_category, ask_rows
from nlp_skills.evaluation.tool_use.multi_turn import as_call
from nlp_skills.records import Progress, silent

Answer = Callable[[Example], str]


class Written:
    """A predictor whose answers are written down: what is measured here is what is made of them."""

    name = "written-1.5B"
    identity = "written"
    can_score = False

    def __init__(self, answer: Answer, shows_tools: bool = True) -> None:
        self._answer = answer
        self._shows_tools = shows_tools
        self.asked: list[Example] = []

    def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
        return [str(hash((str(e.messages), str(e.tools) if self._shows_tools else ""))) for e in examples]

    def answer(
        self, examples: Sequence[Example], how: Decoding, progress: Progress
    ) -> Iterator[tuple[int, Answered]]:
        for index in reversed(range(len(examples))):
            self.asked.append(examples[index])
            yield index, Answered(self._answer(examples[index]), milliseconds=100.0, tokens=10)

    def score_choices(
        self, examples: Sequence[Example], choices: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        raise NotValid("it only writes")

    def close(self) -> None:
        self._answer = lambda _: ""


def asking(predictor: Written, limit: int | None = None, batch_size: int = 1) -> Asked:
    return Asked(predictor, Decoding(max_new_tokens=64, batch_size=batch_size), None, limit, 13, silent)


@pytest.fixture
def laid_out(shared_data: Path, tmp_path: Path) -> Path:
    """The shared categories as they lie in the package."""
    shared, data = shared_data / "tool_use" / "bfcl_v4", tmp_path / "bfcl_eval" / "data"
    (data / "possible_answer").mkdir(parents=True)
    for file in (*shared.glob("*.jsonl"), *shared.glob("possible_answer/*.jsonl")):
        folder = data / "possible_answer" if file.parent != shared else data
        (folder / f"BFCL_v4_{file.stem}.json").write_bytes(file.read_bytes())
    return tmp_path


def test_bfcls_questions_are_asked_judged_and_recorded(laid_out: Path):
    answers = {}
    for question in read_questions(laid_out, "simple_python"):
        (name, accepted), *_ = question.answers[0].items()
        values = {key: options[0] for key, options in accepted.items() if options[0] != ""}
        answers[question.id] = json.dumps(openai_calls([Call(name.replace(".", "_"), values)]))
    predictor = Written(lambda example: answers[example.meta.id])
    asked = asking(predictor, limit=50)
    judged = ask_category(laid_out, "simple_python", asked)
    result = summarise([judged], asked, "BFCL", 5.0, 1.5)
    assert (result.count, result.calling, result.model) == (50, "native", "written-1.5B")
    assert {name: found.value for name, found in result.metrics.items()} == {
        "call_accuracy": 1.0,
        "tool_selection": 1.0,
        "parameter_accuracy": 1.0,
        "format_errors": 0.0,
    }
    assert result.categories[0].metrics == result.metrics
    assert {target.name: target.state for target in result.targets} == {
        "tool selection accuracy": "met",
        "parameter accuracy": "met",
        "latency (1.5B)": "met",
        "latency (7B)": "measuring",
    }
    assert (result.tokens_per_second, result.answers_per_minute) == (100.0, 600.0)
    assert [row.id for row in judged.rows] == [example.meta.id for example in reversed(predictor.asked)]


def test_irrelevance_is_right_without_a_call(laid_out: Path):
    def every_second(example: Example) -> str:
        number = int(example.meta.id.rsplit("_", 1)[1])
        return "I cannot." if number % 2 else '<tool_call>{"name": "f", "arguments": {}}</tool_call>'

    asked = asking(Written(every_second))
    result = summarise([ask_category(laid_out, "irrelevance", asked)], asked, "BFCL", 5.0, None)
    assert {name: found.value for name, found in result.metrics.items()} == {
        "call_accuracy": 0.5,
        "irrelevance": 0.5,
        "format_errors": 0.0,
    }
    assert result.categories[0].faults == {"unwanted_call": 120}
    assert result.failures[0].message == "calls f, though no tool fits"
    assert result.targets[0].state == "measuring"


def test_a_template_that_cannot_write_calls_gets_the_tools_in_the_system_prompt(laid_out: Path):
    class Unwritable(Written):
        def prompt_hashes(self, examples: Sequence[Example]) -> list[str]:
            raise NotValid(
                "The chat template cannot write a conversation of user, assistant with tool calls."
            )

    question = question_example(read_questions(laid_out, "simple_python")[0])
    assert choose_calling(Unwritable(lambda _: ""), question, None) == "prompted"
    with pytest.raises(NotValid, match="--calling prompted"):
        choose_calling(Unwritable(lambda _: ""), question, "native")


def test_tools_stand_in_the_system_prompt_where_the_template_shows_none(laid_out: Path):
    question = read_questions(laid_out, "simple_python")[0]
    predictor = Written(lambda _: "", shows_tools=False)
    assert choose_calling(predictor, question_example(question), None) == "prompted"
    assert choose_calling(Written(lambda _: ""), question_example(question), None) == "native"
    with pytest.raises(NotValid, match=r"^The chat template of written-1\.5B shows no tools to the model"):
        choose_calling(predictor, question_example(question), "native")
    ask_category(laid_out, "simple_python", asking(predictor, limit=1))
    (seen,) = predictor.asked
    assert seen.tools is None
    assert (seen.context[0].content or "").startswith("You can call these tools:\n{")


def test_functions_are_offered_with_json_schemas_types_and_plain_names(laid_out: Path):
    question = read_questions(laid_out, "simple_python")[1]
    assert question_example(question).tools == [
        {
            "type": "function",
            "function": {
                "name": "math_factorial",
                "description": "Calculate the factorial of a given number.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "number": {
                            "type": "integer",
                            "description": "The number for which factorial needs to be calculated.",
                        }
                    },
                    "required": ["number"],
                },
            },
        }
    ]


TOOL = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


def own_row(number: int, *calls: Call) -> Example:
    answer = (
        Message("assistant", tool_calls=openai_calls(list(calls))) if calls else Message("assistant", "Hi.")
    )
    return Example(meta=Meta(f"a-{number}", "a"), messages=[Message("user", "?"), answer], tools=[TOOL])


def test_own_rows_are_judged_by_their_own_calls():
    rows = [own_row(1, Call("get_time", {})), own_row(2, Call("get_time", {"zone": "UTC"})), own_row(3)]
    asked = asking(Written(lambda _: '{"name": "get_time", "arguments": {}}'), batch_size=2)
    result = summarise([ask_rows(rows, asked)], asked, "own", 1.0, 1.5)
    assert {name: found.value for name, found in result.metrics.items()} == {
        "call_accuracy": 1 / 3,
        "tool_selection": 1.0,
        "parameter_accuracy": 0.0,
        "irrelevance": 0.0,
        "format_errors": 0.0,
    }
    assert [(failure.id, failure.fault) for failure in result.failures] == [
        ("a-2", "wrong_value"),
        ("a-3", "unwanted_call"),
    ]
    # Answers of a batch share its time: it tells nothing about how long one of them takes.
    assert [target.state for target in result.targets][2:] == ["measuring", "measuring"]


def test_the_same_rows_are_drawn_for_the_same_seed():
    rows = list(range(100))
    assert drawn(rows, 5, 13) == drawn(rows, 5, 13) == sorted(drawn(rows, 5, 13))
    assert drawn(rows, 5, 14) != drawn(rows, 5, 13)
    assert drawn(rows, None, 13) == drawn(rows, 100, 13) == rows


def test_categories_are_named_alone_or_in_groups():
    assert category_names(["parallel", "live_simple", "parallel"]) == ["parallel", "live_simple"]
    assert len(category_names(["single_turn"])) == 13
    assert len(category_names(["all"])) == 17
    with pytest.raises(
        NotValid, match=r"^BFCL has no category 'simple_pyton' \(did you mean \"simple_python\"\?\)"
    ):
        category_names(["simple_pyton"])


@pytest.fixture
def package() -> Path:
    if not is_fetched():
        absent = pytest.fail if "CI" in os.environ else pytest.skip
        absent(f"bfcl-eval {VERSION} is not in the cache; evaluate-tools --categories multi_turn fetches it")
    return bfcl_folder()


@pytest.mark.parametrize("category", ["multi_turn_base", "multi_turn_miss_func"])
def test_the_packaged_calls_played_step_by_step_end_right(package: Path, category: str):
    scenarios = {scenario.id: scenario for scenario in drawn(read_scenarios(package, category), 6, 13)}

    def next_calls(example: Example) -> str:
        """The calls of the turn at first, then words that end it."""
        if example.context[-1].role == "tool":
            return "Done."
        turn = sum(message.role == "user" for message in example.context) - 1
        calls = [as_call(code) for code in scenarios[example.meta.id].truth[turn]]
        return (
            json.dumps(openai_calls([Call(call.name, call.arguments) for call in calls])) if calls else "No."
        )

    predictor = Written(next_calls)
    judged = ask_category(package, category, asking(predictor, limit=6, batch_size=3))
    plain = {
        name
        for name, scenario in scenarios.items()
        if not any(as_call(code).positional for turn in scenario.truth for code in turn)
    }
    assert [row.id for row in judged.rows if not row.correct and row.id in plain] == []
    assert len(plain) >= 4
    seen = [len(example.tools or []) for example in predictor.asked]
    assert (min(seen) < max(seen)) or category == "multi_turn_base"


def test_a_model_that_never_stops_calling_is_stopped(package: Path):
    predictor = Written(lambda _: '{"name": "pwd", "arguments": {}}')
    judged = ask_category(package, "multi_turn_base", asking(predictor, limit=1))
    (row,) = judged.rows
    assert row.calls is not None
    assert (row.correct, row.calls.fault, len(judged.answers)) == (False, "too_many_steps", 21)


def test_without_a_package_index_the_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NLP_SKILLS_CACHE", str(tmp_path / "cache"))
    for name, value in (("UV_OFFLINE", "1"), ("UV_CACHE_DIR", str(tmp_path / "uv")), ("PIP_NO_INDEX", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(NotReady) as told:
        bfcl_package()
    message = str(told.value)
    assert message.startswith(
        f"The BFCL data (bfcl-eval {VERSION}, Apache 2.0, 1.9 MB) are not on this machine and could not be fetched: "
    )
    folder = tmp_path / "cache" / "bfcl" / VERSION
    assert message.endswith(f'uv pip install --no-deps --target "{folder}" bfcl-eval=={VERSION}')
    assert list(folder.parent.iterdir()) == []
