"""The command line: every operation is a command, a result is a table or a record's bytes, an error is a line."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from click.testing import Result
from typer.testing import CliRunner

from nlp_skills import cli, tables
from nlp_skills.cli import app, occasional_lines, progress_bar
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sourcing import preview_source
from nlp_skills.errors import NlpSkillsError, NotValid
from nlp_skills.operations import OPERATIONS, find_operation
from nlp_skills.parameters import PARAMETERS
from nlp_skills.task.comparison import ChangedRow, Comparison
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_names
from nlp_skills.training.config import TrainConfig

ROWS = [
    {"text": f"message {n} about thing {n * 7}", "label": ("good", "bad", "neither")[n % 3]}
    for n in range(60)
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a file of rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NLP_SKILLS_HOME", raising=False)
    monkeypatch.delenv("NLP_SKILLS_PROGRESS", raising=False)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def succeed(*words: str) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def reviews(here: Path) -> Path:
    """A task with data."""
    succeed("create-task", "reviews", "--type", "classification", "--goal", "Good or bad?")
    succeed("add-source", "reviews", "rows.jsonl")
    succeed("regenerate-data", "reviews")
    return here / "tasks" / "reviews"


def test_every_operation_is_a_command_that_help_lists():
    listed = succeed("--help").output
    for operation in OPERATIONS:
        assert f" {operation.command} " in listed


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.command)
def test_help_of_a_command_names_every_parameter_with_its_meaning(operation):
    shown = " ".join(succeed(operation.command, "--help").output.split())
    assert operation.summary in shown
    for parameter in operation.parameters:
        name = parameter.name
        assert name in PARAMETERS, f"{name} is not explained in operations.PARAMETERS"
        assert (
            f"--{name.replace('_', '-')} " in shown or f" {name.upper()} " in shown.partition("Arguments:")[2]
        )
        assert operation.meaning(name) in shown
    assert "--json" in shown and "--home" in shown
    assert "Raises" not in shown


def test_every_parameter_that_is_explained_exists():
    used = {p.name for operation in OPERATIONS for p in operation.parameters}
    own = {f"{operation.name} {p.name}" for operation in OPERATIONS for p in operation.parameters}
    assert set(PARAMETERS) - used - own == set()


def test_without_a_command_help_is_shown_and_an_unknown_one_is_refused():
    assert "create-task" in run().output
    result = run("lsit")
    assert result.exit_code == 2 and "No such command 'lsit' (did you mean \"list\"?)." in result.stderr
    assert "nlp-skills 2" in succeed("--version").output


def test_list_is_the_short_name_of_list_tasks(reviews: Path):
    assert succeed("list", "--json").stdout_bytes == succeed("list-tasks", "--json").stdout_bytes
    assert "reviews" in succeed("list").stdout
    with pytest.raises(NotValid, match='did you mean "list-tasks"'):
        find_operation("list-task")


def test_json_is_the_bytes_of_the_record(reviews: Path):
    def record(file: str) -> bytes:
        return (reviews / file).read_bytes()

    assert succeed("validate-data", "reviews", "--json").stdout_bytes == record("data/validation.json")
    assert succeed("regenerate-data", "reviews", "--json").stdout_bytes == record("data/data_snapshot.json")
    made = succeed("create-task", "b", "--type", "qa", "--goal", "回答", "--json").stdout_bytes
    assert made == Task.load(reviews.parent / "b" / "task.yaml").to_bytes()
    assert "回答".encode() in made


def test_a_result_is_readable_without_json(reviews: Path):
    assert "train" in succeed("regenerate-data", "reviews").stdout
    verdict = ValidationReport.parse(
        json.loads(succeed("validate-data", "reviews", "--json").stdout), "the output"
    ).verdict
    assert verdict in succeed("validate-data", "reviews").stdout
    assert "Next: " in succeed("show-task", "reviews").stdout
    assert "message 0 about thing 0" in succeed("preview-source", "reviews").stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("show-task", "nws"), 1, "No task named 'nws' in tasks. Known tasks: reviews."),
        (("show-task", "revews"), 1, '(did you mean "reviews"?)'),
        (("show-task", "../reviews"), 1, "No task named '../reviews'"),
        (("create-task", "My Task", "--type", "qa", "--goal", "g"), 2, 'for example "my-task"'),
        (("create-task", "reviews", "--type", "qa", "--goal", "g"), 1, "is left as it is"),
        (("add-source", "reviews", "nowhere.csv"), 1, "nowhere.csv does not exist"),
        (
            ("create-version", "reviews", "--lora-r", "0"),
            2,
            "lora_r: input should be greater than or equal to 1",
        ),
        (("create-version", "reviews", "--settings", "lorar=1"), 2, "lorar: unknown field"),
        (("training-status", "reviews"), 1, "nlp-skills create-version reviews"),
        (("compare-versions", "reviews", "v1", "v2"), 1, "no version yet"),
        (("run", "nowhere"), 1, "No task named 'nowhere'"),
        (("start", "--task", "qa", "--data", "nowhere.json"), 1, "nowhere.json does not exist"),
    ],
)
def test_an_error_of_the_library_is_one_line_and_an_exit_status(
    reviews: Path, words: tuple[str, ...], status: int, said: str
):
    result = run(*words)
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert said in result.stderr
    result = run(*words, "--json")
    assert result.exit_code == status
    answer = json.loads(result.stdout)
    assert set(answer) == {"error", "message"} and said in answer["message"]
    assert issubclass(
        getattr(__import__("nlp_skills.errors", fromlist=["x"]), answer["error"]), NlpSkillsError
    )


@pytest.mark.parametrize(
    "words",
    [
        ("create-task", "x", "--type", "sentiment", "--goal", "g"),
        ("create-task", "x"),
        ("create-version", "reviews", "--settings", "lora_dropout"),
        ("create-version", "reviews", "--settings", "target_modules=[a"),
        ("create-version", "reviews", "--epochs", "many"),
        ("show-task",),
        ("show-task", "reviews", "--unknown"),
    ],
)
def test_a_command_that_is_written_wrongly_is_status_2_and_does_nothing(
    reviews: Path, words: tuple[str, ...]
):
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr and "Traceback" not in result.output
    assert version_names(reviews) == [] and not (reviews.parent / "x").exists()


def test_a_file_that_may_not_be_read_is_one_line_too(reviews: Path):
    file = reviews / "task.yaml"
    file.unlink()
    file.mkdir()
    result = run("show-task", "reviews")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "Traceback" not in result.output


def test_options_reach_the_operation(reviews: Path):
    succeed(
        *("create-version", "reviews", "--lora-r", "4", "--epochs", "0.5", "--peft", "dora"),
        *("--settings", "target_modules=[q_proj, v_proj]", "--settings", "lora_dropout=0.1"),
        *("--changes", "smaller", "--changes", "drier"),
    )
    config = TrainConfig.load(reviews / "versions" / "v1" / "config.yaml")
    assert (config.lora_r, config.epochs, config.peft) == (4, 0.5, "dora")
    assert (config.target_modules, config.lora_dropout) == (["q_proj", "v_proj"], 0.1)
    assert json.loads(succeed("record-lineage", "reviews", "--json").stdout)["changes"] == [
        "smaller",
        "drier",
    ]


def test_training_is_not_started_without_confirm_which_is_spelled_as_the_one_who_asks_writes_it(
    reviews: Path, monkeypatch: pytest.MonkeyPatch
):
    succeed("create-version", "reviews")
    plan = json.loads(succeed("start-training", "reviews", "--json").stdout)
    assert plan["confirmed"] is False and plan["message"].endswith("Call again with --confirm.")
    monkeypatch.setenv("NLP_SKILLS_PROGRESS", "json")
    plan = json.loads(succeed("start-training", "reviews", "--json").stdout)
    assert plan["message"].endswith("Call again with confirm=true.")
    assert "learning_rate" not in plan["message"]
    succeed("create-version", "reviews", "--learning-rate", "0.02")
    told = json.loads(succeed("start-training", "reviews", "--json").stdout)["message"]
    assert "learning_rate 0.02 is 100 times what sft with lora usually takes (0.0002)" in told
    assert not (reviews / "versions" / "v1" / "job.json").exists()


def test_home_is_the_option_then_the_environment_then_tasks(here: Path, monkeypatch: pytest.MonkeyPatch):
    succeed("create-task", "a", "--type", "qa", "--goal", "g", "--home", "one")
    monkeypatch.setenv("NLP_SKILLS_HOME", "two")
    succeed("create-task", "b", "--type", "qa", "--goal", "g")
    succeed("create-task", "c", "--type", "qa", "--goal", "g", "--home", "one")
    assert sorted(p.parent.as_posix() for p in Path().glob("*/*/task.yaml")) == ["one/a", "one/c", "two/b"]


def test_without_a_tokenizer_the_verdict_is_no_pass(reviews: Path):
    file = reviews / "task.yaml"
    Task.load(file).with_changes(base_model="nobody/no-such-model").save(file)
    shown = succeed("validate-data", "reviews").stdout
    assert shown.startswith("No error found, but 7 checks did not run, ")
    assert "Passed" not in shown


def test_restoring_says_what_was_restored_and_where_the_data_before_are(reviews: Path, here: Path):
    first = succeed("regenerate-data", "reviews").stdout
    assert "0 added" in first
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:50]), encoding="utf-8")
    succeed("regenerate-data", "reviews")
    listed = json.loads(succeed("list-snapshots", "reviews", "--json").stdout)["snapshots"]
    old = listed[1]["name"]
    shown = " ".join(succeed("restore-data", "reviews", old).stdout.split())
    (kept,) = {path.name for path in (reviews / "data" / "snapshots").iterdir()} - {old}
    assert shown.endswith(f"Restored {old}; the data before is kept as {kept}.")
    assert "Against" not in shown


def test_the_first_data_are_said_to_differ_from_nothing_and_a_hand_edit_is_said(reviews: Path, here: Path):
    succeed("create-task", "again", "--type", "classification", "--goal", "g")
    succeed("add-source", "again", "rows.jsonl")
    assert "Against" not in succeed("regenerate-data", "again").stdout
    train = reviews / "data" / "train.jsonl"
    train.write_bytes(train.read_bytes().replace(b"message ", b"Message ", 1))
    assert "edited by hand" in succeed("list-snapshots", "reviews").stdout
    shown = " ".join(succeed("regenerate-data", "reviews").stdout.split())
    assert "which had been edited by hand: 0 added, 0 removed, 1 changed." in shown
    assert "present" in succeed("list-snapshots", "reviews").stdout.splitlines()[1]


def test_fix_data_lists_only_what_does_something(reviews: Path):
    train = reviews / "data" / "train.jsonl"
    train.write_bytes(train.read_bytes() + train.read_bytes().splitlines(keepends=True)[0])
    found = json.loads(succeed("fix-data", "reviews", "--json").stdout)["fixes"]
    assert {check: (count["changed"], count["dropped"]) for check, count in found.items()} == {
        "DATA-DUP": (0, 1)
    }


def test_data_with_errors_end_with_status_1_and_are_shown(reviews: Path):
    test = reviews / "data" / "test.jsonl"
    test.write_bytes((reviews / "data" / "train.jsonl").read_bytes())
    result = run("validate-data", "reviews")
    assert result.exit_code == 1 and "Not passed" in result.stdout
    report = ValidationReport.parse(json.loads(run("validate-data", "reviews", "--json").stdout), "output")
    assert not report.passed


def test_examples_are_commands_that_exist():
    found = json.loads(succeed("examples", "--json").stdout)["commands"]
    commands = [line.split() for lines in found.values() for line in lines]
    assert len(commands) > 10
    for program, command, *_ in commands:
        assert program == "nlp-skills" and find_operation(command)


HOSTILE = ["[/INST] done", "[bold]x[/bold]", "[red", ":tea:", "[link=http://x]y[/link]", "a\\[b"]


def test_texts_of_the_user_are_printed_as_they_are(
    reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    rows = [{"text": text, "label": text} for text in HOSTILE]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    tables.show(preview_source(reviews))
    changed = [ChangedRow(id=t, input=t, expected=t, a=t, b=t) for t in HOSTILE[:5]]
    tables.show(Comparison(task="t", a="v1", b="v2", reason="[/x]", fixed_rows=changed))
    snapshot = DataSnapshot.load(reviews / "data" / "data_snapshot.json").model_dump()
    for split in snapshot["splits"].values():
        split["label_counts"] = dict.fromkeys(HOSTILE, 1)
    tables.show(DataSnapshot.model_validate(snapshot))
    shown = capsys.readouterr().out
    for text in HOSTILE:
        assert text in shown


def test_a_step_says_which_comes_next(here: Path):
    steps = [
        (("create-task", "reviews", "--type", "classification", "--goal", "g"), "add-source reviews FILE"),
        (("add-source", "reviews", "rows.jsonl"), "regenerate-data reviews"),
        (("regenerate-data", "reviews"), "validate-data reviews"),
        (("validate-data", "reviews"), "create-version reviews"),
        (("create-version", "reviews"), "train-model reviews"),
    ]
    for words, following in steps:
        said = succeed(*words).stderr
        assert said.startswith("\nNext: ") and said.endswith(f": nlp-skills {following}\n")
    assert "settings" in succeed("create-version", "reviews", "--epochs", "5").stdout
    assert succeed("validate-data", "reviews", "--json").stderr == ""


def test_a_command_to_copy_is_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = succeed("examples").stdout.splitlines()
    commands = json.loads(succeed("examples", "--json").stdout)["commands"]
    assert {line.strip() for line in shown} >= {line for lines in commands.values() for line in lines}


def test_every_result_is_told_in_words_and_none_as_raw_yaml():
    returned = [get_type_hints(operation.function)["return"] for operation in OPERATIONS]
    kinds = {kind.__name__ for one in returned for kind in get_args(one) or (one,)}
    assert kinds <= set(tables.RENDERERS)


def as_program(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nlp_skills", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_program_reads_writes_and_fails_like_the_commands(reviews: Path, here: Path):
    assert as_program("show-task", "nws", cwd=here).returncode == 1
    shown = as_program("show-task", "reviews", "--json", cwd=here, PYTHONIOENCODING="ascii")
    assert json.loads(shown.stdout)["task"]["name"] == "reviews"


def test_progress_of_unknown_length_does_not_keep_the_length_of_what_was_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NLP_SKILLS_PROGRESS", raising=False)
    with progress_bar(quiet=False) as (progress, _):
        progress("reading", 100, 100)
        progress("loading the model", 0, None)
        progress("reading rows", 12_000, None)
        progress("writing", 3, 40)
    shown = capsys.readouterr().err
    assert " 100/100 " in shown and "/?" not in shown
    unknown = shown.partition("reading rows")[2].partition("writing")[0]
    assert " 12,000 " in unknown and "/" not in unknown
    assert " 3/40 " in shown.rpartition("writing")[2]


def test_an_empty_message_gives_the_terminal_to_what_follows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NLP_SKILLS_PROGRESS", raising=False)
    with progress_bar(quiet=False) as (progress, _):
        progress("loading the model", 0, None)
        progress("", 0, None)
        capsys.readouterr()
        threading.Event().wait(0.5)  # a bar is drawn ten times a second
        assert capsys.readouterr().err == ""
        progress("reading rows", 1, 2)
    assert "reading rows" in capsys.readouterr().err


def test_long_work_tells_a_log_now_and_then_and_short_work_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    clock = iter([0.0, 1.0, 31.0, 31.0, 40.0])
    monkeypatch.setattr("nlp_skills.cli.time.monotonic", lambda: next(clock))
    listen = occasional_lines()
    for done in (1, 2, 3):
        listen("answering", done, 40)
    assert capsys.readouterr().err == "answering 2/40\n"


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent to a process of its own")
def test_an_interrupted_regeneration_says_what_is_true_of_the_data(reviews: Path, here: Path):
    before = {file.name: file.read_bytes() for file in (reviews / "data").glob("*.json*")}
    many = "".join(f'{{"text": "row {n} of many", "label": "good"}}\n' for n in range(60_000))
    (here / "many.jsonl").write_text(many, encoding="utf-8")
    succeed("add-source", "reviews", "many.jsonl")
    command = [sys.executable, "-m", "nlp_skills", "regenerate-data", "reviews"]
    environment = {**os.environ, "NLP_SKILLS_PROGRESS": "json"}
    with subprocess.Popen(
        command, cwd=here, env=environment, stderr=subprocess.PIPE, encoding="utf-8"
    ) as run:
        assert run.stderr is not None
        assert json.loads(run.stderr.readline())["message"].startswith("reading ")
        run.send_signal(signal.SIGINT)
        told = run.stderr.read().splitlines()[-1]
    assert run.returncode == 130
    assert told == (
        "Stopped. The old data are in place (or, at the very last moment, the new ones, whole). Run the same command"
        " again. Pages that were fetched and rows that were paid for are kept for it."
    )
    assert {file.name: file.read_bytes() for file in (reviews / "data").glob("*.json*")} == before


def test_a_program_that_starts_the_command_gets_progress_as_json_lines(reviews: Path, here: Path):
    ran = as_program("regenerate-data", "reviews", "--json", cwd=here, NLP_SKILLS_PROGRESS="json")
    reports: list[dict[str, Any]] = [json.loads(line) for line in ran.stderr.splitlines()]
    assert {"message", "done", "total"} == {key for report in reports for key in report}
    assert "writing train" in [report["message"] for report in reports]
    assert json.loads(ran.stdout)["splits"]["train"]["count"] > 0


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SELECT a # b FROM t WHERE c = 'd: e'", "SELECT a # b FROM t WHERE c = 'd: e'"),
        ("2026-01-01", "2026-01-01"),
        ("${DATABASE_URL}", "${DATABASE_URL}"),
        ("0.05", 0.05),
        ("true", True),
        ("[q_proj, v_proj]", ["q_proj", "v_proj"]),
        ('"7"', "7"),
    ],
)
def test_a_setting_is_text_unless_it_is_clearly_something_else(written: str, meant: object) -> None:
    assert cli._value("settings", [f"x={written}"]) == {"x": meant}


@pytest.mark.parametrize(
    "given", [["a,b c"], ["a", "b c"], ["[a, b c]"], ["[a]", "'b c'".strip("'")], [" a , b c ,"]]
)
def test_several_labels_are_given_with_commas_or_as_a_list_or_again(here: Path, given: list[str]):
    options = [word for value in given for word in ("--labels", value)]
    succeed("create-task", "x", "--type", "classification", "--goal", "g", *options)
    assert Task.load(here / "tasks" / "x" / "task.yaml").labels == ["a", "b c"]


def test_quotes_keep_a_comma_and_a_list_keeps_what_yaml_would_read_otherwise(here: Path):
    succeed("create-task", "x", "--type", "classification", "--goal", "g", "--labels", '"yes, please",no')
    assert Task.load(here / "tasks" / "x" / "task.yaml").labels == ["yes, please", "no"]
    succeed("create-task", "y", "--type", "classification", "--goal", "g", "--labels", "[no, 1]")
    assert Task.load(here / "tasks" / "y" / "task.yaml").labels == ["no", "1"]


def test_checks_and_lines_are_split_at_commas_too(reviews: Path):
    assert succeed("fix-data", "reviews", "--checks", "DATA-DUP,DATA-PII", "--json").exit_code == 0
    wrong = run("preview-tokens", "reviews", "--line", "1,x")
    assert wrong.exit_code == 2
    assert "--line: 'x' is no whole number." in wrong.output


def test_a_list_that_cannot_be_read_says_how_it_is_written(here: Path):
    wrong = run("create-task", "x", "--type", "classification", "--goal", "g", "--labels", "[a, {b: 1}]")
    assert wrong.exit_code == 2
    assert "is no list of plain values" in wrong.output and not (here / "tasks").exists()


def test_help_says_how_several_are_given():
    shown = " ".join(succeed("create-task", "--help").output.split())
    assert "for several give --labels again, or a,b" in shown
    shown = " ".join(succeed("create-version", "--help").output.split())
    assert "for several give --changes again" in shown and "--changes again, or" not in shown


def test_a_broken_data_source_yaml_is_the_next_thing_to_mend(here: Path):
    succeed("create-task", "lat", "--type", "classification", "--goal", "g")
    file = here / "tasks" / "lat" / "data_source.yaml"
    file.write_text("# mine\nsources:\n  - name: lat\n    type: ftp\n", encoding="utf-8")
    shown = " ".join(succeed("show-task", "lat").output.split())
    assert (
        "Next: Mend what is wrong here: tasks/lat/data_source.yaml, line 3: source lat: there is no type 'ftp'; choose"
        " from: file, database, api, web_scrape, llm_generated, hub"
    ) in shown
