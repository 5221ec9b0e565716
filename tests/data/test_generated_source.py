"""Rows that a model writes: what is asked, and which rows are kept."""

import hashlib
import json
import threading
from typing import Any

import pytest
from generating import example, make_task, near, rows_of, source, texts

from model_servers import Call, Reply, sentence, write_rows
from nlp_skills.data.example import read_examples, write_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.llm_generated import read
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotReady, NotValid, RunFailed

# ── asking ──


def test_rows_come_in_the_order_of_the_requests_whatever_order_the_answers_come_in(task, server):
    in_order = rows_of(source(server, parallel=1), task)
    waiting: list[Any] = []

    def last_first(call: Call) -> None:
        """The first three answers leave only when the fourth request has come in, last first."""
        gate = threading.Event()
        waiting.append(gate)
        if len(waiting) == 4:
            for other in reversed(waiting):
                other.set()
        gate.wait(60)

    other = make_task(task.parent / "other")
    server.when_received = last_first
    assert rows_of(source(server, parallel=4), other) == in_order
    assert server.most_at_once == 4
    assert len(in_order) == 20


def test_each_request_says_something_else(task, server):
    rows_of(source(server, count=40), task)
    prompts = [call.prompt for call in server.calls]
    assert len(set(prompts)) == len(prompts) == 8
    assert all(prompt.startswith("Write 5 notes.") for prompt in prompts)


def test_no_more_requests_are_under_way_than_parallel_allows(task, server):
    rows_of(source(server, count=60, parallel=3), task)
    assert server.most_at_once <= 3


def test_every_row_says_which_model_wrote_it_from_which_prompt_and_at_what_cost(task, server):
    rows = rows_of(source(server, count=5, price={"input": 1, "output": 4}), task, confirm=True)
    prompt = hashlib.sha256(server.calls[0].prompt.encode()).hexdigest()
    assert [row["_origin"] for row in rows] == [
        {
            "provider": "openai",
            "model": "gpt-test-2026-11-01",
            "prompt_sha256": prompt,
            "request": 1,
            "tokens": 30.0,
            "cost_usd": 0.00006,
        }
    ] * 5


def test_the_snapshot_is_told_what_was_asked_and_what_it_cost(task, server):
    fetch = Fetch(task, confirm=True)
    made = source(server, price={"input": 1, "output": 4})
    assert len(list(read(made, fetch))) == 20
    assert fetch.notes == {
        "provider": "openai",
        "model": "gpt-test",
        "prompt_template_sha256": hashlib.sha256(b"Write {count} notes.").hexdigest(),
        "requests": 4,
        "input_tokens": 400,
        "output_tokens": 200,
        "cost_usd": 0.0012,
    }


def test_with_a_label_the_rows_are_divided_evenly_and_each_carries_its_label(tmp_path, server):
    task = make_task(tmp_path / "mood", type="classification", labels=["good", "bad", "mixed"])
    made = source(server, prompt_template="Write {count} {label} reviews.", count=20)
    rows = rows_of(made, task)
    assert [sum(row["label"] == label for row in rows) for label in ("good", "bad", "mixed")] == [7, 7, 6]
    assert [list(row) for row in rows] == [["text", "label", "_origin"]] * 20
    asked = {call.prompt.split(" reviews.")[0] for call in server.calls}
    assert asked == {
        *(f"Write 5 {label}" for label in ("good", "bad", "mixed")),
        *("Write 2 good", "Write 2 bad", "Write 1 mixed"),
    }


def test_a_label_that_the_task_does_not_know_is_dropped_and_replaced(tmp_path, server):
    task = make_task(tmp_path / "mood", type="classification", labels=["good", "bad"])

    def write(call: Call) -> Reply:
        rows = [
            {"text": sentence(f"{call.prompt} {number}"), "label": "odd" if number == 3 else "good"}
            for number in range(call.rows_wanted)
        ]
        return Reply(json.dumps({"rows": rows}))

    server.answer = write
    fetch = Fetch(task)
    made = source(server, schema={"text": "string", "label": {"enum": ["good", "bad", "odd"]}}, count=4)
    rows = [row for _, row in read(made, fetch)]
    assert {row["label"] for row in rows} == {"good"}
    assert fetch.notes["dropped_unknown_label"] == 1
    assert [call.rows_wanted for call in server.calls] == [4, 1]


def test_examples_are_training_rows_of_the_label_and_never_of_the_test_split(tmp_path, server):
    task = make_task(tmp_path / "mood", type="classification", labels=["good", "bad"])
    for split in ("train", "valid", "test"):
        write_examples(
            task / "data" / f"{split}.jsonl",
            [
                example(f"{split} {label} {n}", label, "files", n)
                for label in ("good", "bad")
                for n in range(9)
            ],
        )
    made = source(server, prompt_template="Like these:\n{examples}\nWrite {count} {label}.", count=20)
    rows_of(made, task)
    for call in server.calls:
        label = "good" if " good." in call.prompt else "bad"
        shown = [line for line in call.prompt.splitlines() if line.startswith(("Input:", "Answer:"))]
        assert len(shown) == 6
        assert all(line.startswith(f"Input: train {label} ") for line in shown[::2])
        assert set(shown[1::2]) == {f"Answer: {label}"}
    assert len({call.prompt.split("Write")[0] for call in server.calls}) == len(server.calls)


def test_rows_that_it_has_written_itself_are_no_examples(task, server):
    write_examples(task / "data" / "train.jsonl", [example(f"own {n}", "x", "made", n) for n in range(5)])
    rows_of(source(server, prompt_template="{examples} Write {count}."), task)
    assert not any("own" in call.prompt for call in server.calls)


# ── what is wrong with the template, the schema and the budget ──


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"prompt_template": "Write notes."},
            "made: prompt_template: {count} is missing. Say with it how many rows to write, for example:"
            ' "Write {count} customer reviews of a phone."',
        ),
        (
            {"prompt_template": "Write {count} {lable}."},
            'made: prompt_template: {lable} is no field (did you mean "label"?); there are {count}, {label},'
            " {examples}. To show the model the word in braces, write {{lable}}.",
        ),
        (
            {"schema": {"text": "sting"}},
            "made: schema: text: unknown type 'sting' (did you mean \"string\"?); choose from: string, integer,"
            " number, boolean, or write a JSON Schema: {type: array, items: {type: string}}",
        ),
        (
            {"schema": {"text": {"type": "strin"}}},
            "made: schema: text is not a JSON Schema: 'strin' is not valid under any of the given schemas",
        ),
        (
            {"base_url": "https://api.example.com/v1", "budget_usd": 1},
            "made: budget_usd needs the price of gpt-test. Add what openai charges for a million tokens:"
            " price: {input: …, output: …}, or set budget_tokens in its place.",
        ),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_asked(task, server, fields, message):
    with pytest.raises(NotValid) as error:
        rows_of(source(server, **fields), task)
    assert str(error.value) == message
    assert server.calls == []


def test_braces_that_are_no_field_reach_the_model_as_they_are(task, server):
    template = 'Write {count} like {"text": "…", "tags": {"a": [1]}} with {} and {0} for {{customer}}.'
    rows_of(source(server, prompt_template=template, count=5), task)
    wanted = 'Write 5 like {"text": "…", "tags": {"a": [1]}} with {} and {0} for {customer}.'
    assert server.calls[0].prompt.startswith(f"{wanted}\n\n")


def test_labels_that_are_asked_for_have_to_be_known(task, server):
    with pytest.raises(NotReady, match="names no labels yet"):
        rows_of(source(server, prompt_template="{count} {label}"), task)


# ── only what is new ──


def test_rows_that_repeat_each_other_are_replaced_by_further_requests(task, server):
    def write(call: Call) -> Reply:
        """Every request up to the fourth writes one row that stands in all of them, in other words for case."""
        rows = json.loads(write_rows(call).text)["rows"]
        if "part 1 of" not in call.prompt and call.rows_wanted == 5:
            rows[0] = {"text": sentence("the same").upper() + "!"}
        return Reply(json.dumps({"rows": rows}))

    server.answer = write
    fetch = Fetch(task)
    rows = [row for _, row in read(source(server), fetch)]
    assert len({text.casefold() for text in texts(rows)}) == len(rows) == 20
    assert fetch.notes["dropped_repeats"] == 2  # of the three the first is kept
    assert [call.rows_wanted for call in server.calls] == [5, 5, 5, 5, 2]


def test_it_stops_with_what_there_is_when_the_model_repeats_itself(task, server):
    server.answer = lambda call: Reply(json.dumps({"rows": [{"text": sentence(str(n))} for n in range(5)]}))
    fetch = Fetch(task)
    rows = [row for _, row in read(source(server), fetch)]
    assert texts(rows) == [sentence(str(n)) for n in range(5)]
    assert fetch.notes["missing"] == 15
    asked = len(server.calls)
    assert asked <= 12
    assert rows_of(source(server), task) == rows
    assert len(server.calls) == asked


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize("change", [str, str.upper, near])
def test_a_row_that_copies_the_test_split_is_never_kept(task, server, split, change):
    planned = texts(rows_of(source(server), task))
    other = make_task(task.parent / "other")
    held = [example(change(text), "x", "files", n) for n, text in enumerate(planned[3:6])]
    write_examples(other / "data" / f"{split}.jsonl", held)
    fetch = Fetch(other)
    # Whatever the source's own threshold: here only equal rows would count as duplicates.
    rows = texts([row for _, row in read(source(server, near_duplicates=1), fetch)])
    assert set(planned) - set(rows) == set(planned[3:6])
    assert fetch.notes["dropped_copies_test"] == 3
    assert len(rows) == 20


def test_rows_like_those_of_sources_read_before_are_not_written_again(task, server):
    planned = texts(rows_of(source(server), task))
    other = make_task(task.parent / "other")
    raw = {"kept": ("data/raw", planned[0]), "exam": ("data/.next/raw", planned[1])}
    for name, (folder, text) in raw.items():
        file = other / folder / f"{name}.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"text": near(text)}) + "\n", encoding="utf-8")
    made = source(server)
    listed = [
        {"type": "file", "name": "kept", "path": "kept.jsonl"},
        {"type": "file", "name": "exam", "path": "exam.jsonl", "side": "test"},
        made.model_dump(mode="json"),
    ]
    DataSources.parse({"sources": listed}, "sources").save(other / "data_source.yaml")
    fetch = Fetch(other)
    rows = texts([row for _, row in read(made, fetch)])
    assert set(planned) - set(rows) == set(planned[:2])
    dropped = {name: count for name, count in fetch.notes.items() if name.startswith("dropped")}
    assert dropped == {"dropped_copies_test": 1, "dropped_near_duplicate": 1}


def test_a_finished_generation_loses_a_row_that_the_test_split_has_now_and_costs_nothing(task, server):
    made = source(server, price={"input": 1, "output": 1})
    first = texts(rows_of(made, task, confirm=True))
    write_examples(task / "data" / "test.jsonl", [example(near(first[7]), "x", "files", 1)])
    fetch = Fetch(task)
    again = texts([row for _, row in read(made, fetch)])
    assert again == [*first[:7], *first[8:]]
    assert (fetch.notes["dropped_copies_test"], fetch.notes["missing"]) == (1, 1)
    assert len(server.calls) == 4


def test_its_own_rows_in_the_test_split_are_no_copies(task, server):
    first = rows_of(source(server), task)
    own = [example(text, "x", "made", n) for n, text in enumerate(texts(first))]
    write_examples(task / "data" / "test.jsonl", own)
    assert rows_of(source(server), task) == first


# ── answers that cannot be used ──


def test_answers_that_cannot_be_used_are_counted_and_asked_again(task, server):
    good = write_rows

    def write(call: Call) -> Reply:
        part = int(call.prompt.split("This is part ")[1].split()[0])
        rows = json.loads(good(call).text)["rows"]
        return {
            2: Reply(stop="refused"),
            3: Reply("I would rather talk about the weather."),
            4: Reply(json.dumps({"rows": [*rows[:3], {"text": 7}, {"txt": "x"}]})),
            5: Reply(json.dumps({"rows": rows})[:-40], stop="cut"),
        }.get(part, Reply(json.dumps({"rows": rows})))

    server.answer = write
    fetch = Fetch(task)
    rows = [row for _, row in read(source(server, count=25), fetch)]
    assert len(rows) == 25
    dropped = {name: count for name, count in fetch.notes.items() if name.startswith("dropped")}
    assert dropped == {"dropped_cut": 1, "dropped_not_json": 1, "dropped_refused": 1, "dropped_schema": 2}


def test_when_no_answer_can_be_used_it_stops_before_everything_is_paid(task, server):
    server.answer = lambda call: Reply('{"rows": [{"text": "It beg', stop="cut")
    made = source(server, count=500, parallel=1)
    with pytest.raises(RunFailed, match=r"first 3 answers hold no row that can be used \(cut: 3\)"):
        rows_of(made, task)
    asked = len(server.calls)
    assert asked <= 4  # the fourth may have left before the third was looked at
    with pytest.raises(RunFailed, match="hold no row that can be used"):
        rows_of(made, task)
    assert len(server.calls) == asked


def test_rows_that_could_not_become_examples_stop_it_after_the_first_answer(tmp_path, server):
    task = make_task(tmp_path / "mood", type="classification", labels=["good", "bad"])
    with pytest.raises(NotValid, match="made: the rows that the model writes cannot be used: "):
        rows_of(source(server, count=500, parallel=1), task)
    assert len(server.calls) <= 2


# ── rows with messages and tools ──


def test_rows_with_tools_become_examples_that_can_be_trained_on(tmp_path, server):
    task = make_task(tmp_path / "tools", type="tool_use", goal="Call the right tool.")
    function = {
        "type": "object",
        "properties": {
            "name": {"enum": ["set_alarm"]},
            "arguments": {"type": "object", "properties": {"time": {"type": "string"}}},
        },
    }
    turn = {
        "type": "object",
        "properties": {
            "role": {"enum": ["user", "assistant"]},
            "content": {"type": ["string", "null"]},
            "tool_calls": {
                "type": ["array", "null"],
                "items": {"type": "object", "properties": {"function": function}},
            },
        },
    }
    tool = {
        "type": "object",
        "properties": {
            "name": {"const": "set_alarm"},
            "parameters": {
                "type": "object",
                "properties": {
                    "type": {"const": "object"},
                    "properties": {
                        "type": "object",
                        "properties": {
                            "time": {"type": "object", "properties": {"type": {"const": "string"}}}
                        },
                    },
                    "required": {"type": "array", "items": {"const": "time"}},
                },
            },
        },
    }
    schema = {
        "messages": {"type": "array", "minItems": 2, "items": turn},
        "tools": {"type": "array", "minItems": 1, "items": tool},
    }

    def write(call: Call) -> Reply:
        parameters = {"type": "object", "properties": {"time": {"type": "string"}}, "required": ["time"]}
        rows = [
            {
                "messages": [
                    {
                        "role": "user",
                        "content": f"Wake me, {sentence(call.prompt + str(n))}",
                        "tool_calls": None,
                    },
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"function": {"name": "set_alarm", "arguments": {"time": f"0{n}:30"}}}
                        ],
                    },
                ],
                "tools": [{"name": "set_alarm", "parameters": parameters}],
            }
            for n in range(call.rows_wanted)
        ]
        broken = {
            "messages": [{"role": "robot", "content": "x", "tool_calls": None}],
            "tools": rows[0]["tools"],
        }
        return Reply(json.dumps({"rows": [*rows, broken]}))

    server.answer = write
    made = source(server, schema=schema, count=10)
    DataSources.parse({"sources": [made.model_dump(mode="json", by_alias=True)]}, "sources").save(
        task / "data_source.yaml"
    )
    regenerate_data(task)
    examples = [
        e for split in ("train", "valid", "test") for e in read_examples(task / "data" / f"{split}.jsonl")
    ]
    assert len(examples) == 10
    assert {
        e.messages[-1].tool_calls[0]["function"]["name"]
        for e in examples
        if e.messages and e.messages[-1].tool_calls
    } == {"set_alarm"}
    assert all(e.tools and e.tools[0]["function"]["name"] == "set_alarm" for e in examples)
    assert server.calls[0].body["response_format"]["json_schema"]["strict"] is True
    assert validate_data(task).checks.get("DATA-ROLES", "passed") == "passed"
