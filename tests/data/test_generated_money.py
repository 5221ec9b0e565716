"""Generated rows are paid once: the journal, kills, budgets, confirmation, secrets."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generating import KEY, example, journal, make_task, rows_of, source

from model_servers import Call, ModelServer, Reply, sentence, serving, write_rows
from nlp_skills.data.example import read_examples, write_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.generation.answer import NoAnswer
from nlp_skills.data.sources.generation.journal import Asked, Journal
from nlp_skills.data.sources.generation.place import NO_KEY, is_own_machine, key_of
from nlp_skills.data.sources.llm_generated import Estimate, estimate, read
from nlp_skills.data.sources.source import DataSources
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, RunFailed
from nlp_skills.task.task import Task

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
import sys
from pathlib import Path
from typing import Any
from nlp_skills.data.regenerate import regenerate_data
regenerate_data(Path(sys.argv[1]), confirm=True)
"""


def killed(task: Path, arm: Callable[[Callable[[], None]], None]) -> bool:
    """Regenerate in a process of its own; whether it was killed. `arm` is given what kills it."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(task)]) as process:
        arm(lambda: process.send_signal(signal.SIGKILL))
        process.wait(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def made_data(task: Path) -> dict[str, Any]:
    """Raw rows, splits and snapshot, without the times."""
    files = {path.name: path.read_bytes() for path in sorted((task / "data").rglob("*.jsonl"))}
    snapshot = json.loads((task / "data" / "data_snapshot.json").read_bytes())
    for fetched in snapshot["sources"].values():
        del fetched["fetched"]
    return {**{name: data for name, data in files.items() if name != "journal.jsonl"}, "snapshot": snapshot}


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

    def task_at(folder: Path, server: ModelServer) -> Path:
        monkeypatch.setenv("MODEL_HOST", server.url.removeprefix("http://"))
        price = {"input": 1, "output": 4}
        made = source(server, count=16, rows_per_request=4, parallel=2, price=price)
        made = made.with_changes(base_url="http://${MODEL_HOST}/v1")
        task = make_task(folder)
        rows = "".join(json.dumps({"text": sentence(f"file {n}")}) + "\n" for n in range(12))
        (task / "rows.jsonl").write_text(rows, encoding="utf-8")
        files = {"type": "file", "name": "files", "path": "rows.jsonl"}
        listed = [files, made.model_dump(mode="json", by_alias=True)]
        DataSources.parse({"sources": listed}, "sources").save(task / "data_source.yaml")
        return task

    with serving(ModelServer(forgetful)) as undisturbed:
        whole = task_at(tmp_path / "undisturbed", undisturbed)
        regenerate_data(whole, confirm=True)
        wanted, needed = made_data(whole), len(undisturbed.calls)
    with serving(ModelServer(forgetful, honours_keys=honours_keys)) as server:
        task = task_at(tmp_path / "notes", server)
        kills = 0

        def arm(kill: Callable[[], None]) -> None:
            """At the second request of a run, at the third, at the first, and so on."""
            last = len(server.calls) + 1 + (kills + 1) % 3
            setattr(server, moment, lambda call: kill() if call.number >= last else None)

        while killed(task, arm):
            kills += 1
        assert made_data(task) == wanted
        assert kills >= 2
        if honours_keys:
            assert server.paid_twice == {}
            assert len(server.bills) == needed
        else:
            assert needed <= len(server.bills) <= needed + kills * 2  # at most those that were under way
        # What is sent again is the same to the letter, and afterwards nothing is.
        assert len({call.prompt for call in server.calls}) == needed
        assert len({call.key for call in server.calls}) == needed
        sent = len(server.calls)
        regenerate_data(task)
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
        f"This costs money, so it has to be confirmed.\n{asked}\nTo go ahead: nlp-skills regenerate-data notes --confirm"
        " (as a tool: confirm=true)."
    )
    assert str(asked) == (
        "made would send 4 requests to openai (gpt-test), at most 12 with those that replace dropped rows.\n"
        f"At the worst: {asked.most_tokens:,} tokens, {asked.most_usd:,.4f} USD.\n"
        "Answered before, and not paid again: 0 requests.\n"
        "Spent so far: 0 tokens, 0.0000 USD.\n"
        "It ends before budget_tokens: 1000000000."
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
        budget="budget_tokens: 1000000000",
    )
    assert estimate(made.with_changes(count=30), Fetch(task)).requests == 2


def test_whoever_pays_is_told_that_there_are_no_training_rows_to_show_yet(task, server):
    made = source(server, prompt_template="{examples} Write {count}.", price={"input": 1, "output": 1})
    warning = (
        "made: {examples} stays empty: there are no training rows of other sources. To show the model some,"
        " add a source that has them."
    )
    asked = estimate(made.with_changes(budget_tokens=50_000), Fetch(task))
    assert asked.warnings == [warning]
    assert str(asked).endswith(f"\nIt ends before budget_tokens: 50000.\n{warning}")
    write_examples(task / "data" / "train.jsonl", [example("a row", "x", "files", 1)])
    assert estimate(made, Fetch(task)).warnings == []


def test_whoever_pays_is_told_that_somebody_else_would_see_rows_that_are_private(task, server):
    file = task / "task.yaml"
    Task.load(file).with_changes(constraints={"privacy": "stays in the clinic"}).save(file)
    write_examples(task / "data" / "train.jsonl", [example("a row", "x", "files", 1)])
    shown = {"prompt_template": "{examples} Write {count}.", "price": {"input": 1, "output": 1}}
    [warning] = estimate(source(server, base_url="https://llm.example.com/v1", **shown), Fetch(task)).warnings
    assert warning.startswith(
        "made: task.yaml says of the data: stays in the clinic. https://llm.example.com/v1 would see the rows"
    )
    assert estimate(source(server, **shown), Fetch(task)).warnings == []  # on this machine


@pytest.mark.parametrize(
    "unlimited",
    [
        {"price": {"input": 1, "output": 1}, "budget_tokens": None},
        {"base_url": "http://8.8.8.8/v1"},
        {"provider": "ollama", "base_url": "http://8.8.8.8:11434"},
        {"provider": "anthropic", "base_url": None},
    ],
)
def test_what_costs_money_needs_a_limit(task, server, unlimited):
    for read_so in ({}, {"preview": True}, {"confirm": True}):
        with pytest.raises(NotValid) as error:
            rows_of(source(server, **unlimited), task, **read_so)
        assert str(error.value) == (
            "made: a source of type llm_generated that costs money needs a limit. Set budget_tokens, for example"
            " budget_tokens: 200000 (input and output together), or budget_usd: 2 with price: {input: …, output: …}."
            " Without one goes only a model that runs on your own machines."
        )
    assert server.calls == []
    assert len(rows_of(source(server, price={"input": 0, "output": 0}, budget_tokens=None), task)) == 20


@pytest.mark.parametrize(
    ("limit", "what"),
    [({"budget_tokens": 3_000}, "budget_tokens: 3000"), ({"budget_usd": 0.03}, "budget_usd: 0.03")],
)
def test_a_budget_that_may_not_be_enough_is_told_before_the_first_request(task, server, limit, what):
    made = source(server, price={"input": 10, "output": 10}, max_output_tokens=1_000, **limit)
    asked = estimate(made, Fetch(task))
    [warning] = asked.warnings
    assert warning.startswith(f"made: {what} may not be enough. The 4 requests can cost up to ")
    assert "what is left of the budget pays in any case for 1 of them, that is 5 of 20 rows." in warning
    with pytest.raises(NotReady, match="may not be enough"):
        rows_of(made, task)
    with pytest.raises(NotReady, match="may not be enough"):
        rows_of(made, task, preview=True)
    told: list[str] = []
    server.when_received = lambda call: told.append(call.path)
    assert len(rows_of(made, task, confirm=True, tell=told.append)) == 20, "the answers were shorter"
    assert told == [f"Warning: {warning}", *["/v1/chat/completions"] * 4]
    assert estimate(made.with_changes(**dict.fromkeys(limit, 10**6)), Fetch(task)).warnings == []


@pytest.mark.parametrize("limit", [{"budget_tokens": 900}, {"budget_usd": 0.009}])
def test_a_budget_that_pays_for_no_request_is_refused_before_anybody_is_asked(task, server, limit):
    made = source(server, price={"input": 10, "output": 10}, max_output_tokens=1_000, **limit)
    for read_so in ({}, {"preview": True}, {"confirm": True}):
        with pytest.raises(
            NotValid, match=r"does not pay for a single request, which can cost up to \d,\d+ tok"
        ):
            rows_of(made, task, **read_so)
    assert server.calls == []


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


@pytest.mark.parametrize("status", [408, 502, 504, 524])
def test_a_gateway_that_lost_the_answer_may_have_been_billed_and_counts_at_the_worst(task, server, status):
    server.answer = lambda call: Reply(status=status, message="the model did not answer in time")
    made = source(
        server, parallel=1, price={"input": 0, "output": 42}, budget_usd=0.05, max_output_tokens=1000
    )
    with pytest.raises(RunFailed, match="1 without an answer counted at their worst"):
        rows_of(made, task, confirm=True)
    assert len(server.calls) == 1
    assert estimate(made, Fetch(task)).spent_usd == 0.042
    assert [json.loads(line)["line"] for line in journal(task).read_bytes().splitlines()] == ["sent"]


@pytest.mark.parametrize("status", [401, 429, 500, 503, 529])
def test_a_request_that_was_refused_with_a_status_costs_nothing(status):
    assert not NoAnswer("no", status).may_be_billed


def test_an_ollama_on_the_internet_is_paid_for_only_when_somebody_has_agreed(task, server):
    made = source(server, provider="ollama", base_url="http://8.8.8.8:11434", budget_tokens=10**6)
    with pytest.raises(NotReady, match="This costs money, so it has to be confirmed"):
        rows_of(made, task)
    with pytest.raises(NotValid, match="budget_usd needs the price of gpt-test"):
        rows_of(made.with_changes(budget_usd=1), task)
    assert not estimate(made, Fetch(task)).free
    assert (is_own_machine(made), key_of(made)) == (False, NO_KEY)


@pytest.mark.parametrize("host", ["", "0.0.0.0", ":11434", "127.0.0.1:11434", "http://192.168.1.5:11434"])
def test_an_ollama_in_the_own_network_is_free_however_its_host_is_written(server, monkeypatch, host):
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert is_own_machine(source(server, provider="ollama", base_url=None))


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


# ── one journal, one writer ──


def test_what_another_process_has_paid_in_the_meantime_is_seen(task, server):
    late = Journal(journal(task))
    rows_of(source(server), task)
    with late.writing():
        assert len(late.answers) == 4
        with pytest.raises(NotReady, match="another process is generating these rows"):
            with Journal(journal(task)).writing():
                pass


def test_a_request_without_an_answer_stays_open_until_it_has_one(task):
    book = Journal(journal(task))
    with book.writing():
        book.sent("a", Asked("Write.", 5), 100, 0.1)
        book.sent("a", Asked("Write.", 5), 100, 0.1)
        book.turned_away("a", 429)
    again = Journal(journal(task))
    assert again.asked == {"a": Asked("Write.", 5)}
    assert [(sent.key, sent.worst_tokens) for sent in again.unanswered] == [("a", 100)]


# ── as a source among others ──


def test_data_that_cost_money_are_made_only_when_somebody_has_agreed(task, server):
    made = source(server, price={"input": 1, "output": 1})
    listed = [made.model_dump(mode="json", by_alias=True)]
    DataSources.parse({"sources": listed}, "sources").save(task / "data_source.yaml")
    with pytest.raises(NotReady, match="This costs money, so it has to be confirmed"):
        regenerate_data(task)
    assert not (task / "data" / "train.jsonl").exists()
    first = regenerate_data(task, confirm=True)
    assert (first.sources["made"].rows, len(server.calls)) == (20, 4)
    again = regenerate_data(task)
    assert (again.source_hash, again.sources["made"].request) == (
        first.source_hash,
        first.sources["made"].request,
    )
    assert len(server.calls) == 4
    [row] = list(read_examples(task / "data" / "train.jsonl"))[:1]
    assert row.meta.origin is not None
    assert row.meta.origin["model"] == "gpt-test-2026-11-01"
