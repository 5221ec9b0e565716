"""Models behind Ollama and OpenAI-compatible addresses, asked by the official clients over real HTTP."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from model_servers import Call, ModelServer, Reply, serving
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotFound, NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding, open_predictor, predict
from nlp_skills.evaluation.predictors.ollama import OllamaPredictor, without_ids
from nlp_skills.evaluation.predictors.openai_url import UrlPredictor
from nlp_skills.evaluation.predictors.predictor import Predictor
from nlp_skills.task.task import Endpoint, Task, TaskType, create_task

pytest.importorskip("openai", reason="the llm extra is not installed")

HOW = Decoding(max_new_tokens=16, batch_size=4)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Taipei"}}}


def row(text: str, *, tools: list[dict[str, Any]] | None = None, number: int = 0) -> Example:
    turns = [Message("system", "Be brief."), Message("user", text), Message("assistant", "yes")]
    return Example(meta=Meta(id=f"r-{number}", source="r"), messages=turns, tools=tools)


def connect(kind: str, url: str) -> Predictor:
    if kind == "ollama":
        return OllamaPredictor("tiny", host=url, first_wait=0.001)
    return UrlPredictor(f"{url}/v1", "tiny", first_wait=0.001)


both = pytest.mark.parametrize("kind", ["ollama", "openai"])


@both
def test_rows_are_answered_in_their_order_with_tokens_and_time(kind: str) -> None:
    rows = [row(f"question {n}", number=n) for n in range(9)]
    with serving(
        ModelServer(lambda call: Reply(f"to {call.prompt} ", stop="cut" if "8" in call.prompt else "end"))
    ) as server:
        model = connect(kind, server.url)
        hashes = model.prompt_hashes(rows)
        heard: list[float] = []
        found = predict(model, rows, HOW, progress=lambda _, done, total: heard.append(done))
        model.close()
    assert [a.text for a in found] == [f"to question {n}" for n in range(9)]
    assert [a.prompt_sha256 for a in found] == hashes
    assert len(set(hashes)) == 9
    assert [(a.prompt_tokens, a.tokens) for a in found] == [(100, 50)] * 9
    assert [a.cut for a in found] == [False] * 8 + [True]
    assert all(a.milliseconds is not None and a.milliseconds > 0 for a in found)
    assert heard == [*range(1, 10)]
    sent = server.bodies[0]
    if kind == "ollama":
        options = sent["options"]
        assert (options["temperature"], options["num_predict"], options["repeat_penalty"]) == (0.0, 16, 1.0)
    else:
        assert (sent["temperature"], sent["max_tokens"]) == (0.0, 16)
        assert found[0].log_prob == -1.5


@both
def test_no_more_requests_are_under_way_than_the_batch_has_rows(kind: str) -> None:
    # All three wait for each other: with fewer at once the barrier would break, with more a fourth would have come.
    barrier = threading.Barrier(3, timeout=30)

    def answer(call: Call) -> Reply:
        barrier.wait()
        return Reply("ok")

    with serving(ModelServer(answer)) as server:
        model = connect(kind, server.url)
        found = predict(model, [row(str(n)) for n in range(9)], HOW.with_changes(batch_size=3))
        model.close()
    assert [a.text for a in found] == ["ok"] * 9
    assert server.most_at_once == 3


@both
def test_what_passes_is_asked_again_and_costs_no_answer(kind: str) -> None:
    troubles = [Reply(status=429, headers={"retry-after": "0"}), Reply(status=503), Reply(broken=True)]

    def answer(call: Call) -> Reply:
        return troubles.pop() if troubles else Reply("ok")

    with serving(ModelServer(answer)) as server:
        model = connect(kind, server.url)
        found = predict(model, [row("a"), row("b")], HOW.with_changes(batch_size=1))
        model.close()
    assert [a.text for a in found] == ["ok", "ok"]
    assert len(server.bodies) == 5


@both
def test_what_does_not_pass_ends_the_prediction_with_the_servers_words(kind: str) -> None:
    with serving(ModelServer(lambda call: Reply(status=404, message="model 'tiny' not found"))) as server:
        model = connect(kind, server.url)
        with pytest.raises(RunFailed, match=r"tiny.* gave no answer \(HTTP 404\).*not found.*is kept"):
            predict(model, [row(str(n)) for n in range(20)], HOW.with_changes(batch_size=2))
        model.close()
    assert len(server.bodies) <= 4


@both
def test_a_server_that_asks_to_wait_an_hour_is_left_alone(kind: str) -> None:
    with serving(ModelServer(lambda call: Reply(status=429, headers={"retry-after": "3600"}))) as server:
        model = connect(kind, server.url)
        with pytest.raises(RunFailed, match="asks to wait 1 hour"):
            predict(model, [row("a")], HOW)
        model.close()
    assert len(server.bodies) == 1


@both
def test_tool_calls_become_the_text_that_a_row_would_have(kind: str) -> None:
    arguments: Any = {"city": "Taipei"}

    def answer(call: Call) -> Reply:
        assert call.body["tools"][0]["function"]["parameters"]["properties"] == {"city": {"type": "string"}}
        return Reply("", calls=[("get_weather", arguments if kind == "ollama" else json.dumps(arguments))])

    wanted = Example(meta=Meta(id="w", source="r"), messages=[Message("assistant", None, [CALL])])
    with serving(ModelServer(answer)) as server:
        model = connect(kind, server.url)
        found = predict(model, [row("Weather?", tools=[WEATHER])], HOW)
        model.close()
    assert found[0].text == wanted.output_text


@both
def test_earlier_calls_and_their_results_are_told_as_each_server_wants_them(kind: str) -> None:
    turns = [
        Message("user", "Weather?"),
        Message("assistant", None, [CALL]),
        Message("tool", "18 degrees"),
        Message("assistant", "It is 18 degrees."),
    ]
    example = Example(meta=Meta(id="t", source="r"), messages=turns, tools=[WEATHER])
    with serving(ModelServer(lambda call: Reply("mild"))) as server:
        model = connect(kind, server.url)
        predict(model, [example], HOW)
        model.close()
    _, call, result = server.bodies[0]["messages"]
    if kind == "ollama":
        assert call["tool_calls"] == [{"function": {"name": "get_weather", "arguments": {"city": "Taipei"}}}]
        assert result == {"role": "tool", "content": "18 degrees", "tool_name": "get_weather"}
    else:
        assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Taipei"}
        assert result == {
            "role": "tool",
            "content": "18 degrees",
            "tool_call_id": call["tool_calls"][0]["id"],
        }


def test_arguments_that_are_no_json_stay_what_they_are() -> None:
    with serving(ModelServer(lambda call: Reply(None, calls=[("get_weather", '{"city": Taipei')]))) as server:
        model = connect("openai", server.url)
        found = predict(model, [row("Weather?", tools=[WEATHER])], HOW)
        model.close()
    broken = {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": Taipei'}}
    assert json.loads(found[0].text) == [broken]


@both
def test_several_samples_are_drawn_with_seeds_of_their_own(kind: str) -> None:
    def answer(call: Call) -> Reply:
        return Reply(f"seed {call.body.get('options', call.body)['seed']}")

    how = Decoding(max_new_tokens=4, batch_size=1, samples=3, temperature=0.7, seed=5)
    with serving(ModelServer(answer)) as server:
        model = connect(kind, server.url)
        found = predict(model, [row("a")], how)[0]
        model.close()
    assert found.samples == ("seed 5", "seed 6", "seed 7")
    assert (found.text, found.tokens) == ("seed 5", 150)


@both
def test_labels_cannot_be_scored_there_and_the_error_names_the_way_out(kind: str) -> None:
    model = connect(kind, "http://127.0.0.1:9")
    assert not model.can_score
    with pytest.raises(NotValid, match="generate the answer"):
        predict(model, [row("a")], Decoding(labels=["a", "b"], batch_size=2))
    with pytest.raises(NotValid, match="generate the answer"):
        model.score_choices([row("a")], [["a", "b"]])
    model.close()


def test_a_server_that_refuses_a_setting_is_asked_without_it_and_the_name_says_so() -> None:
    def answer(call: Call) -> Reply:
        for name in ("temperature", "logprobs", "chat_template_kwargs"):
            if name in call.body:
                return Reply(status=400, message=f"Unsupported parameter: '{name}'")
        if "max_tokens" in call.body:
            return Reply(status=400, message="Use 'max_completion_tokens' instead of 'max_tokens'.")
        return Reply("ok")

    with serving(ModelServer(answer)) as server:
        model = UrlPredictor(f"{server.url}/v1", "tiny", thinking=False, first_wait=0.001)
        found = predict(model, [row("a"), row("b")], HOW.with_changes(batch_size=1))
        model.close()
    assert [a.text for a in found] == ["ok", "ok"]
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.bodies[-1]["max_completion_tokens"] == 16
    assert len(server.bodies) == 6
    assert model.name.endswith("at its own temperature, thinking as it likes")


def test_a_prompt_that_a_filter_refuses_has_an_empty_answer_and_the_others_their_own() -> None:
    def answer(call: Call) -> Reply:
        return (
            Reply(status=400, message="filtered", code="content_filter")
            if call.prompt == "b"
            else Reply("ok")
        )

    with serving(ModelServer(answer)) as server:
        model = connect("openai", server.url)
        rows = [row(text) for text in "abc"]
        found = predict(model, rows, HOW.with_changes(batch_size=1))
        assert [a.prompt_sha256 for a in found] == model.prompt_hashes(rows)
        model.close()
    assert [a.text for a in found] == ["ok", "", "ok"]
    assert [a.tokens for a in found] == [50, None, 50]
    assert len(server.bodies) == 3


def test_a_result_is_named_after_the_call_whose_id_it_has() -> None:
    calls = [
        {"id": f"call{n}", **CALL, "function": {"name": name, "arguments": {}}} for n, name in enumerate("ab")
    ]
    turns = [
        Message("user", "Both."),
        Message("assistant", tool_calls=calls),
        Message("tool", "of b", tool_call_id="call1"),
        Message("tool", "of a", tool_call_id="call0"),
        Message("assistant", "yes"),
    ]
    model = OllamaPredictor("tiny", host="http://127.0.0.1:1")
    messages = model.asked(Example(meta=Meta("r", "r"), messages=turns))["messages"]
    model.close()
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call0", "call1"]
    assert [(turn["tool_name"], turn["tool_call_id"]) for turn in messages[2:]] == [
        ("b", "call1"),
        ("a", "call0"),
    ]
    assert "call" not in str([m for m in without_ids(messages) if m["role"] == "tool"])


def test_tools_that_ollamas_client_would_cut_are_refused_before_anything_is_asked() -> None:
    nested = json.loads(json.dumps(WEATHER))
    nested["function"]["parameters"]["properties"]["place"] = {"type": "object", "properties": {"lat": {}}}
    with serving(ModelServer(lambda call: Reply("ok"))) as server:
        model = connect("ollama", server.url)
        with pytest.raises(NotValid, match=r"leaves properties out of the parameter 'place'"):
            predict(model, [row("Weather?", tools=[nested])], HOW)
        model.close()
    assert server.bodies == []


def test_all_rows_have_one_window_in_ollama_that_the_longest_fits_into() -> None:
    with serving(ModelServer(lambda call: Reply("ok"))) as server:
        model = connect("ollama", server.url)
        predict(model, [row("short"), row("long " * 2000)], HOW)
        assert model.identity == "ollama tiny feed"
        model.close()
    assert {body["options"]["num_ctx"] for body in server.bodies} == {16_384}


def make_task(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "qa", type=TaskType.QA, goal="Answer.")
    return tmp_path / "tasks" / "qa"


def test_the_key_of_the_endpoint_reaches_its_server_only_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QA_KEY", "a-very-secret-value")
    monkeypatch.setenv("OPENAI_API_KEY", "another-secret-value")
    task = make_task(tmp_path)
    keep = tmp_path / "keep.jsonl"

    def answer(call: Call) -> Reply:
        return (
            Reply(status=401, message="wrong key a-very-secret-value") if call.prompt == "x" else Reply("ok")
        )

    with serving(ModelServer(answer)) as mine, serving(ModelServer(answer)) as other:
        endpoint = Endpoint(url=f"{mine.url}/v1", model="big", api_key="${QA_KEY}")
        Task.load(task / "task.yaml").with_changes(endpoint=endpoint.model_dump()).save(task / "task.yaml")
        for reference in (endpoint.reference, f"{other.url}/v1#big"):
            model = open_predictor(task, reference)
            assert predict(model, [row("a")], HOW, keep=keep)[0].text == "ok"
            with pytest.raises(RunFailed) as failed:
                predict(model, [row("x")], HOW, keep=keep)
            model.close()
            assert "secret-value" not in f"{failed.value}{model.name}{keep.read_text(encoding='utf-8')}"
    assert {call.headers["authorization"] for call in mine.calls} == {"Bearer a-very-secret-value"}
    assert {call.headers["authorization"] for call in other.calls} == {"Bearer none"}
    monkeypatch.delenv("QA_KEY")
    with pytest.raises(NotReady, match="QA_KEY"):
        open_predictor(task, endpoint.reference)


def test_what_a_reference_cannot_be_is_said_with_what_it_can(tmp_path: Path) -> None:
    task = make_task(tmp_path)
    with pytest.raises(NotValid, match="lacks the model's name"):
        open_predictor(task, "http://127.0.0.1:9/v1")
    with pytest.raises(NotFound, match=r"no model 'v7'.*none yet.*ollama/NAME"):
        open_predictor(task, "v7")
