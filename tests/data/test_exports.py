"""Rows as other programs export them: SQuAD, OpenAI's fine-tuning files, ChatGPT's conversations, ShareGPT."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_tokenizers import chatml

from nlp_skills.data.convert import Conversion
from nlp_skills.data.example import Example, Message
from nlp_skills.data.format import detect_layout, to_example
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.source import Columns, FileSource
from nlp_skills.data.tokens import IGNORED, tokenize
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task, TaskType

QA = Task(name="qa", type=TaskType.QA, goal="", instruction="", created="")
CHAT = Task(name="chat", type=TaskType.GENERATION, goal="", instruction="", created="")
TOOLS = Task(name="tools", type=TaskType.TOOL_USE, goal="", instruction="", created="")


def examples(path: Path, task: Task = CHAT) -> list[Example]:
    rows = [row for _, row in read_file(path)]
    source = FileSource(name="s", path=str(path))
    made = Conversion(source, detect_layout(rows, Columns(), task.type), task, 0)
    return [
        to_example(row, made.layout, task=task, source="s", line=line)
        for line, row in enumerate(rows, start=1)
    ]


def write(path: Path, content: Any) -> Path:
    """A JSON document, or of a list under a name with jsonl one value a line."""
    lines = map(json.dumps, content) if path.suffix == ".jsonl" else [json.dumps(content)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def said(example: Example) -> list[tuple[str, str | None]]:
    return [(m.role, m.content) for m in example.messages or []]


# SQuAD


def test_the_offset_of_a_squad_answer_is_kept_and_true(shared_data: Path):
    made = examples(shared_data / "instruction_chat" / "drcd_dev_subset_zh_hant.json", QA)
    assert len(made) == 1594
    for example in made:
        assert example.meta.origin is not None
        start, text = example.meta.origin["answer_start"], example.output_text
        assert example.input_text[start : start + len(text)] == text


SQUAD_2 = {
    "version": "v2.0",
    "data": [
        {
            "title": "Normans",
            "paragraphs": [
                {
                    "context": "The Normans gave their name to Normandy.",
                    "qas": [
                        {
                            "question": "What region took their name?",
                            "id": "a1",
                            "answers": [{"text": "Normandy", "answer_start": 31}],
                            "is_impossible": False,
                        },
                        {
                            "question": "Who gave their name to Paris?",
                            "id": "a2",
                            "answers": [],
                            "plausible_answers": [{"text": "The Normans", "answer_start": 0}],
                            "is_impossible": True,
                        },
                    ],
                }
            ],
        }
    ],
}


def test_an_unanswerable_question_of_squad_2_is_one_with_that_answer(tmp_path: Path):
    one, two = examples(write(tmp_path / "dev-v2.0.json", SQUAD_2), QA)
    assert (one.output_text, one.meta.origin) == ("Normandy", {"answer_start": 31})
    assert (two.output_text, two.meta.origin) == ("unanswerable", {"unanswerable": True})
    assert (one.meta.id, two.meta.id) == ("s-a1", "s-a2")


def test_squad_as_a_table_says_the_same_as_the_nested_file(tmp_path: Path):
    context = SQUAD_2["data"][0]["paragraphs"][0]["context"]  # type: ignore[index]
    table = [
        {
            "context": context,
            "question": "What region?",
            "answers": {"text": ["Normandy"], "answer_start": [31]},
        },
        {"context": context, "question": "Who gave Paris?", "answers": {"text": [], "answer_start": []}},
    ]
    one, two = examples(write(tmp_path / "squad.jsonl", table), QA)
    assert (one.output_text, one.meta.origin) == ("Normandy", {"answer_start": 31})
    assert (two.output_text, two.meta.origin) == ("unanswerable", {"unanswerable": True})


# OpenAI

CALL = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def test_openai_chat_rows_with_tools_and_weights(tmp_path: Path):
    row = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "What?", "weight": 0},
            {"role": "user", "content": "Weather in Paris?"},
            {
                "role": "assistant",
                "weight": 1,
                "tool_calls": [{"id": "call_1", "type": "function", "function": CALL}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "21"},
            {"role": "assistant", "content": "unlearned", "weight": 0},
        ],
        "parallel_tool_calls": False,
        "tools": [{"type": "function", "function": WEATHER}],
    }
    (made,) = examples(write(tmp_path / "train.jsonl", [row]), TOOLS)
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Paris"}},
    }
    assert made.messages == [
        Message("user", "Hi"),
        Message("assistant", "What?", weight=0),
        Message("user", "Weather in Paris?"),
        Message("assistant", None, tool_calls=[call]),
    ]
    assert made.tools == [{"type": "function", "function": WEATHER}]


def test_functions_are_what_openai_called_tools_first(tmp_path: Path):
    row = {
        "messages": [
            {"role": "user", "content": "Weather in Paris?"},
            {"role": "assistant", "content": None, "function_call": CALL},
            {"role": "function", "name": "get_weather", "content": "21"},
            {"role": "assistant", "content": "21 degrees"},
        ],
        "functions": [WEATHER],
    }
    (made,) = examples(write(tmp_path / "train.jsonl", [row]), TOOLS)
    assert [m.role for m in made.messages or []] == ["user", "assistant", "tool", "assistant"]
    assert made.messages and made.messages[1].tool_calls == [
        {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    ]
    assert made.tools == [{"type": "function", "function": WEATHER}]


def test_the_older_prompt_and_completion(tmp_path: Path):
    row = {"prompt": "Company: BHFF insurance\nAd:", "completion": " yes"}
    (made,) = examples(write(tmp_path / "old.jsonl", [row]))
    assert said(made) == [("user", "Company: BHFF insurance\nAd:"), ("assistant", " yes")]


def test_openai_preferences_are_preferences(tmp_path: Path):
    row = {
        "input": {
            "messages": [{"role": "user", "content": "Hello"}],
            "tools": [],
            "parallel_tool_calls": True,
        },
        "preferred_output": [{"role": "assistant", "content": "Hi! How can I help?"}],
        "non_preferred_output": [{"role": "assistant", "content": "Go away."}],
    }
    task = CHAT.with_changes(type="preference")
    (made,) = examples(write(tmp_path / "dpo.jsonl", [row]), task)
    assert (made.prompt, made.chosen, made.rejected) == (
        [Message("user", "Hello")],
        [Message("assistant", "Hi! How can I help?")],
        [Message("assistant", "Go away.")],
    )


@pytest.mark.parametrize(
    ("weights", "why"),
    [((0, 0), "every answer has weight 0"), ((1, 0.5), "has the weight 0.5; it can be 0 or 1")],
)
def test_weights_that_cannot_be_used_are_named(tmp_path: Path, weights: tuple[float, float], why: str):
    turns = [
        turn
        for number, weight in enumerate(weights)
        for turn in (
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": f"answer {number}", "weight": weight},
        )
    ]
    with pytest.raises(NotValid, match=why):
        examples(write(tmp_path / "w.jsonl", [{"messages": turns}]))


# ChatGPT


def node(name: str, parent: str | None, role: str, text: str, **message: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    return {
        "id": name,
        "parent": parent,
        "children": [],
        "message": {"author": {"role": role}, "content": content, "recipient": "all", **message},
    }


def export(*nodes: dict[str, Any], current: str) -> list[dict[str, Any]]:
    root = {"id": "root", "message": None, "parent": None, "children": []}
    return [
        {
            "title": "Chat",
            "create_time": 1700000000.1,
            "mapping": {one["id"]: one for one in (root, *nodes)},
            "current_node": current,
            "conversation_id": "c-1",
        }
    ]


def test_of_a_chatgpt_conversation_the_branch_that_was_seen_last_is_kept(tmp_path: Path):
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    code = {"content_type": "code", "text": "print(6 * 7)"}
    conversations = export(
        node("sys", "root", "system", "", **hidden),
        node("u1", "sys", "user", "What is 6 times 7?"),
        node("a-old", "u1", "assistant", "41"),
        node("call", "u1", "assistant", "", recipient="python", content=code),
        node("out", "call", "tool", "42"),
        node("a1", "out", "assistant", "It is 42."),
        node("a2", "a1", "assistant", "Anything else?"),
        node("u2-old", "a2", "user", "an earlier wording"),
        node("u2", "a2", "user", "No."),
        node("a3", "u2", "assistant", "Bye."),
        current="a3",
    )
    (made,) = examples(write(tmp_path / "conversations.json", conversations))
    assert said(made) == [
        ("user", "What is 6 times 7?"),
        ("assistant", "It is 42.\n\nAnything else?"),
        ("user", "No."),
        ("assistant", "Bye."),
    ]


def test_a_chatgpt_conversation_about_a_picture_is_refused_by_its_type(tmp_path: Path):
    picture = {
        "content_type": "multimodal_text",
        "parts": [
            {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"},
            "What is this?",
        ],
    }
    conversations = export(
        node("u1", "root", "user", "", content=picture), node("a1", "u1", "assistant", "A cat."), current="a1"
    )
    with pytest.raises(
        NotValid, match="turn 1 has a part of type 'image_asset_pointer', and models here read text alone"
    ):
        examples(write(tmp_path / "conversations.json", conversations))


def test_a_circle_in_a_chatgpt_tree_ends_where_it_closes(tmp_path: Path):
    conversations = export(
        node("u1", "a1", "user", "Hi"), node("a1", "u1", "assistant", "Hello"), current="a1"
    )
    (made,) = examples(write(tmp_path / "conversations.json", conversations))
    assert said(made) == [("user", "Hi"), ("assistant", "Hello")]


# ShareGPT


@pytest.mark.parametrize("column", ["conversations", "items", "dialog"])
def test_sharegpt_turns_may_stand_in_any_of_its_columns(tmp_path: Path, column: str):
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    rows = [{"id": f"x{n}", column: turns, "system": "Be brief."} for n in range(2)]
    made = examples(write(tmp_path / "share.json", rows))
    assert [said(e) for e in made] == [[("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello")]] * 2


def test_a_real_sharegpt_export_with_tools_as_json_text(shared_data: Path):
    made = examples(shared_data / "tool_use" / "glaive_toolcall_en_demo.json", TOOLS)
    assert len(made) == 300
    with_tools = [e for e in made if e.tools]
    assert with_tools and all(t["type"] == "function" for e in with_tools for t in e.tools or [])
    assert any(m.tool_calls for e in made for m in e.messages or [])


def test_an_answer_of_weight_0_is_shown_to_the_model_and_not_learned(tmp_path: Path):
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    (made,) = examples(write(tmp_path / "w.jsonl", [{"messages": turns}]))
    tokenizer = chatml()
    row = tokenize(tokenizer, made)
    learned = [token for token in row.labels if token != IGNORED]
    assert tokenizer.decode(learned) == "d<|im_end|>"
    assert "assistant\nb<|im_end|>" in tokenizer.decode(row.input_ids)
