"""Rows that a model writes: asked once, paid once, kept only when they are new."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_servers import Call, ModelServer, Reply, sentence, serving, write_rows

from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.llm_generated import Estimate, estimate, read
from nlp_skills.data.sources.source import DataSources, GeneratedSource
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, RunFailed
from nlp_skills.task.task import Task

KEY = "sk-test-0f9a8b7c6d5e4f3a2b1c"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "OLLAMA_HOST", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(ModelServer()) as running:
        yield running


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "notes")


def make_task(folder: Path, **fields: Any) -> Path:
    given = {"name": "notes", "type": "generation", "goal": "Write notes.", "created": "2026-11-21T08:00:00Z"}
    Task.parse({**given, **fields}, "task").save(folder / "task.yaml")
    return folder


def source(server: ModelServer, **fields: Any) -> GeneratedSource:
    """Through the OpenAI protocol, free (a loopback address without a price)."""
    given = {
        "name": "made",
        "provider": "openai",
        "model": "gpt-test",
        "base_url": f"{server.url}/v1",
        "prompt_template": "Write {count} notes.",
        "count": 20,
        "rows_per_request": 5,
    }
    return GeneratedSource.parse({**given, **fields}, "source")


def rows_of(source: GeneratedSource, task: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for _, row in read(source, Fetch(task, **options))]


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def journal(task: Path) -> Path:
    return task / "data" / "cache" / "made" / "journal.jsonl"


# ── asking ──


def test_rows_come_in_the_order_of_the_requests_whatever_order_the_answers_come_in(task, server):
    in_order = rows_of(source(server, parallel=1), task)
    waiting: list[Any] = []

    def last_first(call: Call) -> None:
        """The first three answers leave only when the fourth request has come in, last first."""
        import threading

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


def example(text: str, label: str, source: str, number: int) -> Example:
    messages = [Message("user", text), Message("assistant", label)]
    return Example(meta=Meta(f"{source}-{text}", source, number, label=label), messages=messages)


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


def near(text: str) -> str:
    """Eleven of twelve words are the same: 9 of 11 shingles."""
    return f"{text.rpartition(' ')[0]} changed"


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


# ── never paid twice ──


def test_a_finished_generation_costs_nothing_however_often_it_is_read(task, server):
    made = source(server, price={"input": 3, "output": 15})
    first = Fetch(task, confirm=True)
    rows = list(read(made, first))
    again = Fetch(task)  # not confirmed: there is nothing to pay
    assert list(read(made, again)) == rows
    assert again.notes == first.notes
    assert len(server.calls) == 4


def test_a_higher_count_pays_only_for_the_difference(task, server):
    first = rows_of(source(server, count=18), task)
    assert len(server.calls) == 4
    more = rows_of(source(server, count=40), task)
    assert len(more) == 40
    assert more[:18] == first
    assert sum(call.rows_wanted for call in server.calls) == 40
    assert rows_of(source(server, count=18), task) == first
    assert len(server.calls) == 9


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_template": "Please write {count} notes."},
        {"model": "gpt-other"},
        {"schema": {"text": "string", "tone": "string"}},
        {"seed": 14},
    ],
)
def test_another_prompt_model_schema_or_seed_is_another_generation(task, server, change):
    rows_of(source(server), task)
    server.answer = lambda call: Reply(
        json.dumps(
            {
                "rows": [
                    {"text": sentence(f"{call.prompt} {n}"), "tone": "dry"} for n in range(call.rows_wanted)
                ]
            }
        )
    )
    rows_of(source(server, **change), task)
    assert len(server.calls) == 8
    assert len({call.key for call in server.calls}) == 8


def test_what_only_says_how_to_ask_changes_no_request(task, server):
    rows = rows_of(source(server), task)
    assert rows_of(source(server, parallel=1, budget_tokens=10**9), task) == rows
    assert len(server.calls) == 4


def test_new_training_rows_change_no_prompt_that_was_sent_before(task, server):
    made = source(server, prompt_template="{examples} Write {count} notes.")
    server.answer = lambda call: Reply(status=401) if len(server.calls) > 2 else write_rows(call)
    with pytest.raises(RunFailed):
        rows_of(made.with_changes(parallel=1), task)
    sent = {call.key: call.prompt for call in server.calls}
    write_examples(task / "data" / "train.jsonl", [example(f"new {n}", "x", "files", n) for n in range(9)])
    server.answer = write_rows
    rows_of(made, task)
    assert {call.key: call.prompt for call in server.calls if call.key in sent} == sent


PROGRAM = """
import json, sys
from pathlib import Path
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.llm_generated import read
from nlp_skills.data.sources.source import GeneratedSource
made = GeneratedSource.model_validate_json(sys.argv[2])
rows = [row for _, row in read(made, Fetch(Path(sys.argv[1]), confirm=True))]
sys.stdout.write(json.dumps(rows))
"""


def run_until_killed(
    made: GeneratedSource, task: Path, arm: Callable[[Callable[[], None]], None]
) -> str | None:
    """The output, or None where the process was killed. `arm` is given what kills it."""
    arguments = [sys.executable, "-c", PROGRAM, str(task), made.model_dump_json()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        arm(lambda: process.send_signal(signal.SIGKILL))
        output, _ = process.communicate(timeout=120)
    return None if process.returncode else output


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
@pytest.mark.parametrize(
    ("moment", "honours_keys"),
    [("when_received", True), ("when_worked", True), ("when_answered", True), ("when_worked", False)],
)
def test_killed_at_any_moment_it_goes_on_and_pays_nothing_twice(tmp_path, monkeypatch, moment, honours_keys):
    def forgetful(call: Call) -> Reply:
        """One row is in every answer, so that further requests are needed to replace it."""
        rows = json.loads(write_rows(call).text)["rows"]
        return Reply(json.dumps({"rows": [{"text": sentence("again")}, *rows[1:]]}))

    with serving(ModelServer(forgetful)) as undisturbed:
        made = source(
            undisturbed, count=16, rows_per_request=4, parallel=2, base_url="http://${MODEL_HOST}/v1"
        )
        monkeypatch.setenv("MODEL_HOST", undisturbed.url.removeprefix("http://"))
        wanted = rows_of(made, make_task(tmp_path / "undisturbed"))
        needed = len(undisturbed.calls)
    task = make_task(tmp_path / "notes")
    with serving(ModelServer(forgetful, honours_keys=honours_keys)) as server:
        monkeypatch.setenv("MODEL_HOST", server.url.removeprefix("http://"))
        kills, output = 0, None
        while output is None:
            # At the second request of a run, at the third, at the first, and so on.
            last = len(server.calls) + 1 + (kills + 1) % 3

            def arm(kill: Callable[[], None], last: int = last) -> None:
                setattr(server, moment, lambda call: kill() if call.number >= last else None)

            output = run_until_killed(made, task, arm)
            kills += output is None
        assert json.loads(output) == wanted
        assert kills >= 2
        if honours_keys:
            assert server.paid_twice == {}
            assert len(server.bills) == needed
        else:
            assert needed <= len(server.bills) <= needed + kills * made.parallel
        # What is sent again is the same to the letter, and afterwards nothing is.
        assert (
            len({call.prompt for call in server.calls}) == len({call.key for call in server.calls}) == needed
        )
        sent = len(server.calls)
        assert rows_of(made, task) == wanted
        assert len(server.calls) == sent


def test_a_journal_that_a_kill_has_cut_anywhere_gives_the_same_rows(task, server):
    made = source(server, parallel=1, count=10)
    wanted = rows_of(made, task)
    whole = journal(task).read_bytes()
    lines = whole.splitlines(keepends=True)
    assert [json.loads(line)["line"] for line in lines] == [*["sent", "answered"] * 2, "finished"]
    start = 0
    for number, line in enumerate(lines):
        for cut in (start, start + len(line) // 2, start + len(line) - 1):
            journal(task).write_bytes(whole[:cut])
            before = len(server.calls)
            assert rows_of(made, task) == wanted
            assert len(server.calls) - before == 2 - number // 2
        start += len(line)


def test_a_line_that_was_damaged_later_is_named(task, server):
    rows_of(source(server), task)
    lines = journal(task).read_bytes().splitlines(keepends=True)
    journal(task).write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    with pytest.raises(NotValid, match=r"journal.jsonl:2 is damaged: .* Take the line out"):
        rows_of(source(server), task)


# ── money ──


def test_nothing_is_spent_before_somebody_has_agreed(task, server):
    made = source(server, price={"input": 3, "output": 15}, max_output_tokens=1000)
    with pytest.raises(NotReady) as error:
        rows_of(made, task)
    assert server.calls == []
    asked = estimate(made, Fetch(task))
    assert str(error.value) == (
        f"This costs money, so it has to be confirmed. {asked} To go ahead, call regenerate_data again with"
        " confirm=true (nlp-skills regenerate-data notes --confirm)."
    )
    assert str(asked).startswith(
        "made would send 4 requests to openai (gpt-test), at most 12 with those that"
    )
    assert len(rows_of(made, task, confirm=True)) == 20


def test_an_estimate_says_what_is_left_to_pay(task, server):
    made = source(server, price={"input": 3, "output": 15}, max_output_tokens=1000)
    before = estimate(made, Fetch(task))
    assert (before.requests, before.most_requests, before.answered, before.spent_usd) == (4, 12, 0, 0)
    assert before.most_tokens > 12 * 1000
    assert before.most_usd is not None and before.most_usd >= 12 * 1000 * 15 / 1e6
    rows_of(made, task, confirm=True)
    assert estimate(made, Fetch(task)) == Estimate(
        source="made",
        provider="openai",
        model="gpt-test",
        answered=4,
        requests=0,
        most_requests=0,
        most_tokens=0,
        most_usd=0,
        spent_tokens=600,
        spent_usd=0.0042,
        free=False,
    )
    assert estimate(made.with_changes(count=30), Fetch(task)).requests == 2


@pytest.mark.parametrize("limit", [{"budget_tokens": 9_000}, {"budget_usd": 0.09}])
def test_the_budget_stops_it_hard_and_the_next_run_counts_what_was_spent(task, server, limit):
    server.answer = lambda call: Reply(write_rows(call).text, input_tokens=500, output_tokens=1000)
    price = {"input": 10, "output": 10}
    made = source(server, price=price, max_output_tokens=1000, count=100, **limit)
    with pytest.raises(RunFailed) as error:
        rows_of(made, task, confirm=True)
    spent = len(server.bills) * 1500
    worst = 9_000 - spent
    assert 0 <= worst < 3_000  # another request might have passed it
    assert "the next request might pass the budget" in str(error.value)
    assert f"{spent:,} tokens, {spent / 1e5:.4f} USD" in str(error.value)
    asked = len(server.calls)
    with pytest.raises(RunFailed, match="might pass the budget"):
        rows_of(made, task, confirm=True)
    assert len(server.calls) == asked
    more = {name: value * 10 for name, value in limit.items()}
    assert len(rows_of(made.with_changes(**more), task, confirm=True)) == 100
    assert len(server.calls) == 20


def test_requests_that_were_lost_count_at_their_worst(task, server):
    server.answer = lambda call: Reply(broken=True)
    made = source(
        server, parallel=1, price={"input": 10, "output": 10}, budget_tokens=5_000, max_output_tokens=1000
    )
    with pytest.raises(RunFailed, match="2 without an answer counted at their worst"):
        rows_of(made, task, confirm=True)
    assert len(server.calls) == 2
    assert 2_000 < estimate(made, Fetch(task)).spent_tokens <= 5_000


def test_a_preview_sends_nothing_and_shows_the_prompt_or_the_rows_there_are(task, server):
    made = source(server)
    with pytest.raises(NotReady) as error:
        rows_of(made, task, preview=True)
    assert "made has no rows yet, and a preview sends nothing." in str(error.value)
    assert "The first prompt would be:\n\nWrite 5 notes.\n\nThis is part 1 of a larger set." in str(
        error.value
    )
    assert server.calls == []
    assert not journal(task).exists()
    rows = rows_of(made, task)
    assert rows_of(made, task, preview=True) == rows
    assert len(server.calls) == 4


def test_no_key_stands_in_any_file_error_or_output(task, server, capfd, monkeypatch):
    monkeypatch.setenv("HOST_SECRET", "hush-hush-7f3e")
    made = source(server, base_url=f"{server.url}/${{HOST_SECRET}}/v1")
    errors = []
    for message in (f"Bad key {KEY}", "path hush-hush-7f3e is gone"):
        server.answer = lambda call, message=message: Reply(status=401, message=message)
        with pytest.raises(NlpSkillsError) as error:
            rows_of(made, task)
        errors.append(str(error.value))
    assert "Bad key ${OPENAI_API_KEY}" in errors[0]
    assert "path ${HOST_SECRET} is gone" in errors[1]
    server.answer = write_rows
    notes = Fetch(task)
    list(read(made, notes))
    written = b"".join(path.read_bytes() for path in task.rglob("*") if path.is_file())
    seen = written.decode() + str(notes.notes) + "".join(errors) + "".join(capfd.readouterr())
    assert KEY not in seen
    assert "hush-hush" not in seen
    assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in server.calls)


def test_the_source_is_known_by_its_type():
    assert SOURCES["llm_generated"] is read


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
    from nlp_skills.data.example import read_examples
    from nlp_skills.data.regenerate import regenerate_data
    from nlp_skills.data.validation import validate_data

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
