"""Rewards: what each answer earns, and that nothing else is taken for one."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.prompted_tools import read_calls, with_prompted_tools, write_calls
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.training.rewards import (
    REWARDS,
    exact_answer,
    label,
    length_limit,
    load_rewards,
    rewards_sha256,
    valid_json,
    valid_tool_call,
)

META = Meta(id="r-1", source="r")


def tool(name: str, **types: str) -> dict[str, Any]:
    properties = {key: {"type": value} for key, value in types.items()}
    parameters = {"type": "object", "properties": properties, "required": list(types)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [tool("add", a="integer", b="integer"), tool("weather", city="string")]
SUM = Example(
    meta=META,
    messages=[Message("user", "1+2?"), Message("assistant", tool_calls=[call("add", a=1, b=2)])],
    tools=TOOLS,
)
BOTH = Example(
    meta=META,
    messages=[
        Message("user", "1+2? and the weather?"),
        Message("assistant", tool_calls=[call("add", a=1, b=2), call("weather", city="Taipei")]),
    ],
    tools=TOOLS,
)
WORDS = Example(meta=META, messages=[Message("user", "hello"), Message("assistant", "Hello!")], tools=TOOLS)


@pytest.mark.parametrize(
    ("answer", "earned"),
    [
        ("", 0.0),
        ("The sum is 3.", 0.0),
        ("{a: 1}", 0.0),
        ('{"a": 1, "b": 2}', 0.0),
        ('{"name": "add"}', 0.0),
        ('Sure: {"name": "subtract", "arguments": {}}', 0.1),
        ('{"name": "subtract", "arguments": {}}', 0.2),
        ('{"name": "weather", "arguments": {"city": 3}}', 0.4),
        ('{"name": "weather", "arguments": {"city": "Taipei"}}', 0.6),
        ('{"name": "add", "arguments": {"a": "one"}}', 0.6),
        ('{"name": "add", "arguments": {"a": 1, "b": 3}}', 0.9),
        ('Sure: {"name": "add", "arguments": {"a": 1, "b": 2}}', 0.9),
        ('{"name": "add", "arguments": {"a": 1, "b": 2}}', 1.0),
        ('<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>', 1.0),
        ('```json\n{"name": "add", "parameters": {"a": 1, "b": 2}}\n```', 1.0),
        (
            '[{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "add", "arguments": {"a": 1, "b": 2}}]',
            0.8,
        ),
    ],
)
def test_a_tool_call_earns_more_the_nearer_it_is_to_the_right_one(answer: str, earned: float) -> None:
    assert valid_tool_call(answer, SUM) == pytest.approx(earned)


def test_several_calls_have_to_be_there_and_none_where_words_are_right() -> None:
    first, second = write_calls([call("add", a=1, b=2)]), write_calls([call("weather", city="Taipei")])
    assert valid_tool_call(first, BOTH) == pytest.approx(0.5)
    assert valid_tool_call(f"{first}\n{second}", BOTH) == pytest.approx(1.0)
    assert valid_tool_call(f"[{first}, {second}]", BOTH) == pytest.approx(1.0)
    assert [valid_tool_call(said, WORDS) for said in ("Hi there", first, " ")] == [1.0, 0.0, 0.0]


def test_other_rewards() -> None:
    assert [exact_answer(said, WORDS) for said in ("Hello! ", "hello!")] == [1.0, 0.0]
    assert exact_answer('{"arguments": {"b": 2, "a": 1}, "name": "add"}', SUM) == 1.0
    labelled = Example(
        meta=Meta(id="x", source="x", label="Billing"),
        messages=[Message("user", "?"), Message("assistant", "Billing")],
    )
    assert [label(said, labelled) for said in ("Billing\n", "billing", "card")] == [1.0, 0.5, 0.0]
    said = ('{"a": 1}', "[]", "it is {}", "it is {", "3", "")
    assert [valid_json(each, WORDS) for each in said] == [1.0, 1.0, 0.5, 0.0, 0.0, 0.0]
    assert [length_limit("x" * n, WORDS) for n in (0, 6, 12, 18, 24, 99)] == [0, 0, 0, -0.5, -1, -1]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.text(min_size=1), st.dictionaries(st.text(), values)), min_size=1, max_size=3))
def test_calls_that_were_written_are_read_again(calls: list[tuple[str, dict[str, Any]]]) -> None:
    given_calls = [{"name": name, "arguments": arguments} for name, arguments in calls]
    found = read_calls(write_calls([{"function": each} for each in given_calls]))
    assert (found.calls, found.alone) == (given_calls, True)


def test_a_mark_inside_an_argument_stays() -> None:
    said = write_calls([call("say", text="<tool_call>```json")])
    assert read_calls(said).calls[0]["arguments"] == {"text": "<tool_call>```json"}
    assert read_calls(f"<tool_call>{write_calls([call('say', text='a')])}</tool_call>").alone


@given(st.text())
def test_any_answer_has_a_reward_in_its_range(answer: str) -> None:
    for name, reward in REWARDS.items():
        earned = reward(answer, SUM)
        assert (-1 if name == "length_limit" else 0) <= earned <= 1


def test_tools_in_words_keep_the_rows_own_system_prompt_and_the_results() -> None:
    messages = [
        Message("system", "Be brief."),
        Message("user", "1+2?"),
        Message("assistant", tool_calls=[call("add", a=1, b=2)]),
        Message("tool", "3"),
        Message("assistant", "It is 3."),
    ]
    shown = with_prompted_tools(Example(meta=META, messages=messages, tools=TOOLS[:1]))
    assert shown.tools is None and shown.messages is not None
    assert [(m.role, m.content) for m in shown.messages[1:]] == [
        ("user", "1+2?"),
        ("assistant", '{"name": "add", "arguments": {"a": 1, "b": 2}}'),
        ("user", "Result of the tool: 3"),
        ("assistant", "It is 3."),
    ]
    system = shown.messages[0].content or ""
    assert system.startswith('Be brief.\n\nYou can call these tools:\n{"name": "add", "parameters": ')
    assert system.endswith('{"name": …, "arguments": {…}}. Several calls are a JSON list.')
    plain = Example(meta=META, messages=messages[:2])
    assert with_prompted_tools(plain) is plain


def test_own_rewards_stand_in_the_task_folder_and_are_hashed(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text(
        "def short(answer, example):\n    return -len(answer)\n", encoding="utf-8"
    )
    names = ["valid_json", "rewards.py:short"]
    hashes = rewards_sha256(names, tmp_path)
    assert list(hashes) == ["rewards.py"]
    functions = load_rewards(names, hashes, tmp_path)
    assert functions[0] is valid_json and functions[1]("abc", SUM) == -3
    for wrong, error, reason in (
        ("valid_jsn", NotValid, r'there is no reward \'valid_jsn\' \(did you mean "valid_json"\?\)'),
        ("other.py:short", NotFound, r"other\.py does not exist"),
        ("../rewards.py:short", NotValid, "outside the task folder"),
    ):
        with pytest.raises(error, match=reason):
            rewards_sha256([wrong], tmp_path)
    with pytest.raises(NotValid, match=r"rewards\.py has no function long"):
        load_rewards(["rewards.py:long"], {}, tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def short(answer, example)\n    return 1\n", r"rewards\.py is no valid Python: .* \(line 1\)"),
        ("def shorter(answer, example):\n    return 1\n", r'no function short \(did you mean "shorter"\?\)'),
    ],
)
def test_a_file_of_rewards_that_cannot_be_is_refused_when_the_version_is_made(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "rewards.py").write_text(text, encoding="utf-8")
    with pytest.raises(NotValid, match=told):
        rewards_sha256(["rewards.py:short"], tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "short = len",
        "from os.path import basename as short",
        "from rewarding import *",
        "try:\n    import fast\nexcept ImportError:\n    def short(answer, example):\n        return 1",
    ],
)
def test_a_reward_may_come_into_its_file_in_any_way(tmp_path: Path, text: str) -> None:
    (tmp_path / "rewards.py").write_text(text, encoding="utf-8")
    assert list(rewards_sha256(["rewards.py:short"], tmp_path)) == ["rewards.py"]


def test_a_file_of_rewards_that_fails_when_it_is_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("import absent_words\ndef short(answer, example):\n    return 1\n")
    hashes = rewards_sha256(["rewards.py:short"], tmp_path)
    with pytest.raises(NotValid, match=r"rewards\.py cannot be imported: ModuleNotFoundError: .* Mend it"):
        load_rewards(["rewards.py:short"], hashes, tmp_path)
