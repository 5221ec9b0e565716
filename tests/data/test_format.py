"""Rows of every shape become examples; what cannot become one says why."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_skills.data.example import Example, Message, encode, read_examples, write_examples
from nlp_skills.data.format import Layout, Shape, detect_layout, instruction, to_example
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import Columns
from nlp_skills.data.sourcing import add_source
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task, TaskType, create_task

NONE = Columns()


def make_task(type: str = "generation", **fields: Any) -> Task:
    return Task.parse({"name": "t", "type": type, "goal": "Help.", "created": "now", **fields}, "the test")


def convert(rows: list[dict[str, Any]], task: Task, columns: Columns = NONE) -> list[Example]:
    layout = detect_layout(rows, columns, task.type)
    return [to_example(row, layout, task=task, source="s", line=n) for n, row in enumerate(rows, start=1)]


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        encoding = "cp1252" if "latin1" in path.name else "utf-8"
        with path.open(encoding=encoding, newline="") as stream:
            return list(csv.DictReader(stream))
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    return json.loads(text)


REAL_SETS = [
    ("finance_sentiment/financial_phrasebank.csv", "text_label", {"text": "Headline", "label": "Sentiment"}),
    ("finance_sentiment/finfe_zh_hans.jsonl", "text_label", {"text": "text", "label": "label"}),
    ("finance_sentiment/finfe_zh_hant_converted.jsonl", "text_label", {"text": "text", "label": "label"}),
    (
        "finance_sentiment/sentfin_entity.jsonl",
        "text_label",
        {"text": "text", "label": "label", "entity": "entity", "group": "headline_id"},
    ),
    ("classification/banking77_train.csv", "text_label", {"text": "text", "label": "category"}),
    ("classification/banking77_test.csv", "text_label", {"text": "text", "label": "category"}),
    ("classification/sms_spam_latin1.csv", "text_label", {"text": "v2", "label": "v1"}),
    ("classification/waimai_10k_zh_hans.csv", "text_label", {"text": "review", "label": "label"}),
    (
        "instruction_chat/alpaca_en_demo.json",
        "alpaca",
        {"prompt": "instruction", "text": "input", "completion": "output"},
    ),
    (
        "instruction_chat/alpaca_zh_demo.json",
        "alpaca",
        {"prompt": "instruction", "text": "input", "completion": "output"},
    ),
    (
        "instruction_chat/identity.json",
        "alpaca",
        {"prompt": "instruction", "text": "input", "completion": "output"},
    ),
    ("instruction_chat/v1_sft_demo.jsonl", "messages", {"messages": "messages"}),
    ("instruction_chat/c4_demo.jsonl", "text", {"text": "text"}),
    ("instruction_chat/wikisql_text_train.jsonl", "text", {"text": "text"}),
    (
        "instruction_chat/gsm8k_test.jsonl",
        "prompt_completion",
        {"prompt": "question", "completion": "answer"},
    ),
    (
        "instruction_chat/HumanEval.jsonl.gz",
        "prompt_completion",
        {"prompt": "prompt", "completion": "canonical_solution", "id": "task_id"},
    ),
    ("tool_use/glaive_toolcall_en_demo.json", "sharegpt", {"messages": "conversations"}),
    ("tool_use/reason_tool_use_demo_50.jsonl", "messages", {"messages": "messages"}),
    (
        "preference/dpo_en_demo.json",
        "preference",
        {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
    ),
    (
        "preference/v1_dpo_demo.jsonl",
        "preference",
        {"chosen": "chosen_messages", "rejected": "rejected_messages"},
    ),
    ("preference/kto_en_demo.json", "unpaired_preference", {"messages": "messages", "label": "label"}),
]


@pytest.mark.parametrize(("name", "shape", "columns"), REAL_SETS, ids=[name for name, _, _ in REAL_SETS])
def test_real_sets_are_understood_without_hints_and_every_row_converts(
    shared_data: Path, tmp_path: Path, name: str, shape: str, columns: dict[str, str]
) -> None:
    rows = read_rows(shared_data / name)
    layout = detect_layout(rows, NONE, None)
    assert (layout.shape, layout.columns) == (shape, Columns(**columns))
    task = make_task("generation")
    examples = [to_example(r, layout, task=task, source="s", line=n) for n, r in enumerate(rows, start=1)]
    write_examples(tmp_path / "train.jsonl", examples)
    assert list(read_examples(tmp_path / "train.jsonl")) == examples


@pytest.mark.parametrize(
    "name",
    [
        "finance_sentiment/sentfin_raw.csv",
        "tool_use/bfcl_v4/simple_python.jsonl",
        "drift/electricity_nsw.csv",
    ],
)
def test_a_set_without_input_and_answer_columns_is_refused_with_its_columns(
    shared_data: Path, name: str
) -> None:
    rows = read_rows(shared_data / name)
    with pytest.raises(NotValid, match=r"Columns found: .*data_source\.yaml.*columns: \{text") as error:
        detect_layout(rows, NONE, TaskType.CLASSIFICATION)
    assert all(repr(column) in str(error.value) for column in rows[0])


def test_the_reason_says_what_was_seen(shared_data: Path) -> None:
    rows = read_rows(shared_data / "finance_sentiment/financial_phrasebank.csv")
    reason = detect_layout(rows, NONE, TaskType.CLASSIFICATION).reason
    assert reason == "a table with the texts in 'Headline' and the labels in 'Sentiment'"


def test_a_classified_text_becomes_system_user_and_assistant() -> None:
    task = make_task("classification", labels=["ham", "spam"], goal="Keep junk out")
    rows = [{"v1": "ham", "v2": "Ok lar"}, {"v1": "spam", "v2": "Win a prize"}]
    first, _ = convert(rows, task)
    assert json.loads(encode(first)) == {
        "meta": {"id": "s-1", "source": "s", "line": 1, "label": "ham"},
        "messages": [
            {
                "role": "system",
                "content": "Keep junk out. Classify the text. Answer with exactly one of: ham, spam.",
            },
            {"role": "user", "content": "Ok lar"},
            {"role": "assistant", "content": "ham"},
        ],
    }


def test_entities_of_one_headline_share_a_group_when_no_column_says_so() -> None:
    task = make_task("entity_classification", labels=["up", "down"])
    text = "Gold shines; Silver dull"
    rows = [
        {"text": text, "entity": "Gold", "label": "up"},
        {"text": f" {text} ", "entity": "Silver", "label": "down"},
        {"text": "Oil falls", "entity": "Oil", "label": "down"},
    ]
    gold, silver, oil = convert(rows, task)
    assert gold.input_text == f"Entity: Gold\nText: {text}"
    assert (gold.meta.entity, gold.meta.label) == ("Gold", "up")
    assert gold.meta.group == silver.meta.group != oil.meta.group


def test_a_group_column_counts_when_its_values_may_repeat_behind_the_sample() -> None:
    rows = [{"document_id": n, "text": f"text number {n}", "label": "ab"[n % 2]} for n in range(200)]
    assert detect_layout(rows, NONE, TaskType.CLASSIFICATION).columns.group == "document_id"
    assert detect_layout(rows[:199], NONE, TaskType.CLASSIFICATION).columns.group is None


def test_the_answer_of_a_labelled_row_is_its_label_to_the_letter() -> None:
    turns = [{"role": "user", "content": "Charged twice."}, {"role": "assistant", "content": " billing\n"}]
    [example] = convert([{"messages": turns}], make_task("classification"))
    assert (example.output_text, example.meta.label) == ("billing", "billing")
    [example] = convert([{"messages": turns}], make_task("generation"))
    assert example.output_text == " billing\n"


def test_a_group_column_is_found_by_its_repeating_ids() -> None:
    rows = [{"story_id": n // 2, "text": f"words {n}", "label": "ab"[n % 2]} for n in range(20)]
    examples = convert(rows, make_task("classification"))
    assert [e.meta.group for e in examples] == [str(n // 2) for n in range(20)]


def test_a_column_of_distinct_ids_names_the_examples() -> None:
    rows = [{"id": f"T{n}", "text": f"words {n}", "label": "ab"[n % 2]} for n in range(20)]
    assert convert(rows, make_task("classification"))[3].meta.id == "s-T3"
    same = [{**row, "id": "T"} for row in rows]
    assert convert(same, make_task("classification"))[3].meta.id == "s-4"


@pytest.mark.parametrize(("label", "expected"), [(1, "1"), (1.0, "1"), (True, "true"), (" 1 ", "1")])
def test_labels_become_strings(label: Any, expected: str) -> None:
    (example,) = convert([{"text": "fine words", "label": label}], make_task("classification"))
    assert (example.meta.label, example.output_text) == (expected, expected)


def test_given_columns_win_over_names() -> None:
    rows = [{"text": "short", "label": "x", "body": "the real thing", "verdict": v} for v in ("good", "bad")]
    columns = Columns(text="body", label="verdict")
    examples = convert(rows, make_task("classification"), columns)
    assert [(e.input_text, e.meta.label) for e in examples] == [
        ("the real thing", "good"),
        ("the real thing", "bad"),
    ]


def test_a_given_column_that_is_not_there_is_refused_with_a_suggestion() -> None:
    with pytest.raises(NotValid, match=r"columns\.text: no column 'Headlin' \(did you mean \"Headline\"\?\)"):
        detect_layout([{"Headline": "a", "Sentiment": "b"}], Columns(text="Headlin"), None)


def test_an_unnamed_label_is_found_when_the_task_is_classification() -> None:
    rows = [{"words": f"some words {n}", "speaker": "AB"[n % 2], "n": n} for n in range(40)]
    layout = detect_layout(rows, NONE, TaskType.CLASSIFICATION)
    assert (layout.shape, layout.columns) == (Shape.TEXT_LABEL, Columns(text="words", label="speaker"))


def test_an_entity_task_without_entity_column_is_told_so() -> None:
    with pytest.raises(NotValid, match=r"no column holds the entity.*entity: <column>"):
        detect_layout([{"text": "a", "label": "b"}], NONE, TaskType.ENTITY_CLASSIFICATION)


def test_text_without_answers_is_refused_where_answers_are_needed() -> None:
    rows = [{"text": "Once upon a time."}]
    with pytest.raises(NotValid, match="no answer beside it, and a task of type qa learns from answers"):
        detect_layout(rows, NONE, TaskType.QA)
    layout = detect_layout(rows, NONE, None)
    with pytest.raises(NotValid, match="text without an answer"):
        to_example(rows[0], layout, task=make_task("qa"), source="s", line=1)
    (example,) = convert(rows, make_task("generation"))
    assert example.messages == [Message("system", "Help."), Message("assistant", "Once upon a time.")]


def test_alpaca_joins_instruction_and_input_and_keeps_history_and_system() -> None:
    row = {
        "instruction": "Translate.",
        "input": "chat",
        "output": "cat",
        "system": "You know French.",
        "history": [["Hello", "Salut"]],
    }
    (example,) = convert([row], make_task())
    assert example.messages == [
        Message("system", "You know French."),
        Message("user", "Hello"),
        Message("assistant", "Salut"),
        Message("user", "Translate.\nchat"),
        Message("assistant", "cat"),
    ]


def test_an_alpaca_input_that_is_empty_in_the_whole_sample_is_not_lost_later() -> None:
    rows = [{"instruction": f"Do {n}", "input": "", "output": "done"} for n in range(300)]
    layout = detect_layout(rows, NONE, None)
    late = to_example({**rows[0], "input": "this"}, layout, task=make_task(), source="s", line=301)
    assert late.input_text == "Do 0\nthis"


def test_the_answer_of_a_chat_is_the_label_of_a_classification() -> None:
    row = {"instruction": "Positive or negative?", "input": "I love it", "output": "positive"}
    (example,) = convert([row], make_task("classification"))
    assert example.meta.label == "positive"


def test_sharegpt_function_calls_become_tool_calls() -> None:
    call = '{"name": "weather", "arguments": {"city": "Taipei 台北"}}'
    row = {
        "conversations": [
            {"from": "human", "value": "Rain?"},
            {"from": "function_call", "value": call},
            {"from": "observation", "value": '{"rain": true}'},
            {"from": "gpt", "value": "Yes."},
        ],
        "tools": '[{"name": "weather", "parameters": {}}]',
        "system": "Be brief.",
    }
    (example,) = convert([row], make_task("tool_use"))
    function = {"name": "weather", "arguments": {"city": "Taipei 台北"}}
    assert example.messages == [
        Message("system", "Be brief."),
        Message("user", "Rain?"),
        Message("assistant", tool_calls=[{"type": "function", "function": function}]),
        Message("tool", '{"rain": true}'),
        Message("assistant", "Yes."),
    ]
    assert example.tools == [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def test_openai_messages_lose_loss_weights_and_keep_template_fields() -> None:
    parts = [{"type": "text", "value": "I am {{name}}, "}, {"type": "text", "text": "by {{author}}."}]
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = [
        {"role": "developer", "content": "Hi."},
        {"role": "user", "content": "Who?", "loss_weight": 0.0},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "", "tool_call_id": "c1"},
        {"role": "assistant", "content": parts, "loss_weight": 1.0},
    ]
    (example,) = convert([{"messages": turns}], make_task("tool_use"))
    assert example.messages == [
        Message("system", "Hi."),
        Message("user", "Who?"),
        Message(
            "assistant",
            tool_calls=[{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
        ),
        Message("tool", "", tool_call_id="c1"),
        Message("assistant", "I am {{name}}, by {{author}}."),
    ]


def test_reasoning_parts_stand_in_think_tags(shared_data: Path) -> None:
    rows = read_rows(shared_data / "tool_use/reason_tool_use_demo_50.jsonl")
    first = convert(rows, make_task("tool_use"))[0]
    answer = first.output_text
    assert answer.startswith("<think>\nOkay, the user is asking for schools")
    assert "\n</think>\n\nI'm sorry, but the available tools" in answer


def test_turns_may_be_json_text_in_a_table_cell() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    (example,) = convert([{"n": "1", "messages": json.dumps(turns)}], make_task(instruction=""))
    assert example.messages == [Message("user", "Hi"), Message("assistant", "Hello")]


def test_prompts_and_completions_keep_their_blanks() -> None:
    (example,) = convert([{"prompt": "def f():\n", "completion": "    return 1\n"}], make_task())
    assert (example.input_text, example.output_text) == ("def f():\n", "    return 1\n")


def test_a_context_stands_before_its_question_and_squad_answers_are_read() -> None:
    row = {
        "context": "台北在北部。",
        "question": "台北在哪？",
        "answers": {"text": ["北部"], "answer_start": [3]},
    }
    (example,) = convert([row], make_task("qa"))
    assert (example.input_text, example.output_text) == ("台北在北部。\n\n台北在哪？", "北部")


PASSAGE = "Passage {n}, which is long enough to be told from a title or a topic: the river of this place is {n} km long, and rises in the hills."


def test_questions_about_one_passage_are_one_group_whoever_says_so() -> None:
    rows = [
        {"context": PASSAGE.format(n=n // 3), "question": f"Question {n}?", "answer": f"{n}"}
        for n in range(36)
    ]
    for columns in (NONE, Columns(group="context")):
        examples = convert(rows, make_task("qa"), columns)
        assert all(e.input_text.startswith("Passage") for e in examples)  # it stays in the row
        groups = [e.meta.group for e in examples]
        assert all(len(group or "") == 16 for group in groups)  # its hash, not the passage once more
        assert [groups.index(group) for group in groups] == [n // 3 * 3 for n in range(36)]
    [*few] = convert(rows[:12], make_task("qa"))
    assert {e.meta.group for e in few} == {None}  # of four passages no side could be filled


def test_a_column_named_as_the_group_is_read_only_where_no_other_is() -> None:
    rows = [
        {"title": f"Post {n // 2}", "words": f"what is said in {n}", "label": "ab"[n % 2]} for n in range(20)
    ]
    layout = detect_layout(rows, Columns(group="title", text="words"), TaskType.CLASSIFICATION)
    assert (layout.columns.text, layout.columns.group) == ("words", "title")
    rows = [{**row, "review": row["words"]} for row in rows]
    layout = detect_layout(rows, Columns(group="title"), TaskType.CLASSIFICATION)
    assert layout.columns.text == "review"


def test_an_object_as_completion_becomes_json_text() -> None:
    (example,) = convert([{"text": "Ann, 台北", "entities": {"city": "台北"}}], make_task("extraction"))
    assert example.output_text == '{"city": "台北"}'


PROMPT = [{"role": "user", "content": "Tea?"}]
GOOD = [{"role": "assistant", "content": "Gladly."}]
BAD = [{"role": "assistant", "content": "No."}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Tea?", "chosen": "Gladly.", "rejected": "No."},
        {"prompt": PROMPT, "chosen": GOOD, "rejected": BAD},
        {"prompt": "Tea?", "chosen": PROMPT + GOOD, "rejected": PROMPT + BAD},
        {"chosen": PROMPT + GOOD, "rejected": PROMPT + BAD},
        {"chosen_messages": PROMPT + GOOD, "rejected_messages": PROMPT + BAD},
        {"instruction": "Tea?", "input": "", "chosen": "Gladly.", "rejected": "No."},
        {
            "conversations": [{"from": "human", "value": "Tea?"}],
            "chosen": {"from": "gpt", "value": "Gladly."},
            "rejected": {"from": "gpt", "value": "No."},
        },
    ],
    ids=["texts", "turns", "texts-and-turns", "implicit", "chosen_messages", "alpaca", "llama-factory"],
)
def test_every_kind_of_preference_becomes_prompt_chosen_and_rejected(row: dict[str, Any]) -> None:
    (example,) = convert([row], make_task("preference"))
    assert example.prompt == [Message("system", "Help."), Message("user", "Tea?")]
    assert example.chosen == [Message("assistant", "Gladly.")]
    assert example.rejected == [Message("assistant", "No.")]


@pytest.mark.parametrize(
    "row",
    [{"messages": PROMPT + GOOD, "label": True}, {"prompt": "Tea?", "completion": "Gladly.", "label": True}],
)
def test_answers_marked_good_or_bad_keep_their_mark(row: dict[str, Any]) -> None:
    good, bad = convert([row, {**row, "label": False}], make_task("preference"))
    assert (good.meta.label, bad.meta.label) == ("true", "false")
    assert good.messages == [
        Message("system", "Help."),
        Message("user", "Tea?"),
        Message("assistant", "Gladly."),
    ]


TABLE = Layout(Shape.TEXT_LABEL, Columns(text="text", label="label"), "")
CHAT = Layout(Shape.MESSAGES, Columns(messages="messages"), "")
PAIR = Layout(Shape.PREFERENCE, Columns(prompt="prompt", chosen="chosen", rejected="rejected"), "")
USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("layout", "row", "reason"),
    [
        (TABLE, {"text": " ", "label": "a"}, "the text is empty (column 'text')"),
        (TABLE, {"text": float("nan"), "label": "a"}, "the text is empty (column 'text')"),
        (TABLE, {"text": "x", "label": None}, "the label is empty (column 'label')"),
        (TABLE, {"text": "x"}, "the label is missing: the row has no column 'label'"),
        (TABLE, {"text": "x", "label": ["a", "b"]}, "is a list or an object; one label is needed"),
        (TABLE, {"text": "\ud83d", "label": "a"}, "half a character (a lone surrogate) at 0"),
        (CHAT, {"messages": [USER]}, "the answer is missing: the conversation ends with the turn of 'user'"),
        (CHAT, {"messages": [{"role": "narrator", "content": "x"}]}, "unknown role 'narrator'"),
        (CHAT, {"messages": [USER, {"role": "assistant", "content": ""}]}, "turn 2 (assistant) is empty"),
        (CHAT, {"messages": []}, "column 'messages' holds no conversation"),
        (CHAT, {"messages": "[[[["}, "column 'messages' holds no conversation"),
        (CHAT, {"messages": "[" * 100_000}, "column 'messages' holds no conversation"),
        (CHAT, {"messages": [USER, {"role": "function_call", "content": "{"}]}, "is not valid JSON"),
        (CHAT, {"messages": [USER, {"role": "function_call", "content": "{}"}]}, "call without a name"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "a part of type 'image_url', and models here read text alone: leave such parts out",
        ),
        (CHAT, {"messages": PROMPT + GOOD, "tools": "["}, "tools is not valid JSON"),
        (PAIR, {"prompt": "Tea?", "chosen": "Yes", "rejected": ""}, "the rejected answer is empty"),
        (
            PAIR,
            {"prompt": PROMPT + GOOD, "chosen": "Yes", "rejected": "No"},
            "the prompt ends with an answer",
        ),
    ],
)
def test_a_row_that_cannot_be_an_example_says_why(layout: Layout, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotValid) as error:
        to_example(row, layout, task=make_task("generation"), source="s", line=1)
    assert reason in str(error.value)


def test_the_instruction_is_the_tasks_own_or_made_from_goal_type_and_labels() -> None:
    assert instruction(make_task("classification", instruction=" Sort it. ")) == "Sort it."
    assert instruction(make_task("generation", goal="寫得像我們。")) == "寫得像我們。"
    many = make_task("classification", labels=[f"label number {n}" for n in range(100)])
    assert instruction(many) == "Help. Classify the text. Answer with the label only."


def test_no_rows_and_empty_rows_are_refused() -> None:
    for rows in ([], [{}], [{"text": ""}]):
        with pytest.raises(NotValid, match="no row with anything in it"):
            detect_layout(rows, NONE, None)


_cells = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "from", "content", "value", "text", "type"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
_names = st.sampled_from(
    "text label entity messages conversations prompt completion chosen rejected instruction input output tools "
    "history system id headline_id".split()
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # the machine may be busy
@given(st.lists(st.dictionaries(_names, _cells, max_size=5), max_size=4), st.sampled_from([None, *TaskType]))
def test_whatever_a_row_holds_it_becomes_an_example_or_is_refused(
    rows: list[dict[str, Any]], type: TaskType | None
) -> None:
    task = make_task(type or "generation")
    try:
        layout = detect_layout(rows, NONE, type)
    except NotValid:
        return
    for row in rows:
        try:
            example = to_example(row, layout, task=task, source="s", line=1)
        except NotValid:
            continue
        assert example.answer.role == "assistant"
        assert encode(example)


def mixed(tmp_path: Path, type: TaskType, **files: list[dict[str, Any]]) -> Path:
    """A task with a source of each list of rows."""
    create_task(tmp_path / "tasks", "mixed", type=type, goal="Answer.")
    for name, rows in files.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path / "tasks" / "mixed"


def preferred(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"question {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(count)]


def chats(count: int) -> list[dict[str, Any]]:
    turns = [("user", "question"), ("assistant", "answer")]
    return [{"messages": [{"role": r, "content": f"{t} {n}"} for r, t in turns]} for n in range(count)]


def test_a_chat_row_in_a_preference_task_is_refused_with_file_line_and_what_is_expected(
    tmp_path: Path,
) -> None:
    task = mixed(tmp_path, TaskType.PREFERENCE, rows=[*preferred(6), *chats(1), *preferred(6)])
    add_source(task, str(tmp_path / "*.jsonl"))
    with pytest.raises(NotValid) as error:
        regenerate_data(task)
    assert (
        f"1 row cannot be used. {tmp_path / 'rows.jsonl'}:7: this is no preference: there is no column 'chosen'."
        " Every row needs a prompt with a better and a worse answer. "
    ) in str(error.value)
    assert not (task / "data" / "train.jsonl").exists()


def test_a_preference_in_a_task_of_chats_is_refused_with_file_and_line(tmp_path: Path) -> None:
    task = mixed(tmp_path, TaskType.TOOL_USE, rows=[*chats(6), *preferred(1), *chats(6)])
    add_source(task, str(tmp_path / "*.jsonl"))
    with pytest.raises(NotValid) as error:
        regenerate_data(task)
    assert (
        f"1 row cannot be used. {tmp_path / 'rows.jsonl'}:7: this is no conversation: there is no column 'messages'"
        " with turns of role and content. "
    ) in str(error.value)


def test_a_source_of_another_shape_than_its_task_is_refused_before_it_is_added(tmp_path: Path) -> None:
    task = mixed(tmp_path, TaskType.PREFERENCE, chat=chats(9))
    with pytest.raises(NotValid) as error:
        add_source(task, str(tmp_path / "chat.jsonl"))
    assert str(error.value) == (
        f"Source chat ({tmp_path / 'chat.jsonl'}): this is conversations of role and content in 'messages', but mixed is"
        " a task of type preference. There every row needs a prompt with a better and a worse answer (columns prompt,"
        " chosen and rejected), or an answer that label marks as good (true) or bad (false). Give such rows, or make"
        " another task for these."
    )
    (tmp_path / "other").mkdir()
    other = mixed(tmp_path / "other", TaskType.TOOL_USE, pairs=preferred(9))
    with pytest.raises(NotValid, match=r"Set type: preference in task\.yaml"):
        add_source(other, str(tmp_path / "other" / "pairs.jsonl"))


def test_pairs_and_single_verdicts_are_not_mixed_in_a_task(tmp_path: Path) -> None:
    marked = [{"prompt": f"ask {n}?", "completion": f"yes {n}", "label": n % 2 == 0} for n in range(9)]
    task = mixed(tmp_path, TaskType.PREFERENCE, pairs=preferred(9), marked=marked)
    for name in ("pairs", "marked"):
        add_source(task, str(tmp_path / f"{name}.jsonl"))
    with pytest.raises(
        NotValid, match="pairs holds pairs of a better and a worse answer, marked single answers"
    ):
        regenerate_data(task)
