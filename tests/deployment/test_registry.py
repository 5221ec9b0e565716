"""Aliases: the gate, who and why, one command back; and that two writers and a kill lose nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import typer

from nlp_skills.cli import run_operation
from nlp_skills.data.checked import digest
from nlp_skills.data.report import Finding, ValidationReport
from nlp_skills.data.snapshot import DataSnapshot, SplitSnapshot
from nlp_skills.deployment.parity.report import Difference, ParityReport
from nlp_skills.deployment.registry import (
    AliasState,
    list_aliases,
    promote_version,
    record_deployment,
    roll_back,
    who,
)
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.advice.rules import Evidence
from nlp_skills.evaluation.diagnosis.record import LEAK_LOOK, Cause, Diagnosis, Fix, Unchecked
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.operations import find_operation
from nlp_skills.records import write_atomic
from nlp_skills.task.registry import Acceptance, AliasChange, Deployment, Registry, read_registry
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.task.version import version_folder
from nlp_skills.training.model_info import ModelInfo

SPLITS = {name: SplitSnapshot(sha256=name * 3, count=50) for name in ("train", "valid", "test")}
WEIGHTS = b"GGUF"
SERVED = sha256(WEIGHTS).hexdigest()
DATA = digest({f"data/{name}.jsonl": split.sha256 for name, split in SPLITS.items()})


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Three trained versions of 0.9; nothing of them is deployed or compared yet."""
    create_task(tmp_path / "tasks", "news", type=TaskType.CLASSIFICATION, goal="g", metric="accuracy")
    folder = tmp_path / "tasks" / "news"
    definition = Task.load(folder / "task.yaml")
    criteria = [{"metric": "accuracy", "at_least": 0.8}]
    definition.with_changes(criteria=criteria).save(folder / "task.yaml")
    for version in ("v1", "v2", "v3"):
        make_version(folder, version)
    validation().save(folder / "data" / "validation.json")
    return folder


def make_version(task: Path, version: str) -> None:
    folder = task / "versions" / version
    DataSnapshot(source_hash="s", sources={}, splits=SPLITS, seed=0).save(folder / "data_snapshot.json")
    ModelInfo(
        path=f"models/{version}/adapter",
        format="adapter",
        sha256="a",
        base_model="b",
        chat_template_sha256="c",
        trainable_parameters=1,
        total_parameters=2,
    ).save(folder / "model_info.json")
    score = Interval(value=0.9, low=0.87, high=0.93)
    result = EvalResult(metrics={"accuracy": score}, count=400, split="test", data_sha256="d")
    result.save(folder / "results.json")


def validation(*findings: Finding, state: str = "passed", data: str = DATA) -> ValidationReport:
    return ValidationReport(
        data_sha256=data, files={}, checks={"SPLIT-LEAK": state}, findings=[*findings], passed=not findings
    )


def compared(task: Path, version: str, *differences: Difference) -> str:
    """A parity report of the version's q8_0 file, which is made here; its path as a deployment names it."""
    place = f"models/{version}/q8_0.parity.json"
    write_atomic(task / "models" / version / "q8_0.gguf", WEIGHTS)
    ParityReport(
        task=task.name,
        version=version,
        model="q8_0",
        sha256=SERVED,
        path=f"models/{version}/q8_0.gguf",
        trained_sha256="a",
        created="2026-11-21T08:00:00Z",
        differences=[*differences],
        answer="no" if differences else "yes",
        message="It is served otherwise." if differences else "It is served as it was trained.",
    ).save(task / place)
    return place


def deployed(task: Path, version: str, *differences: Difference, accepted: bool = False) -> Deployment:
    told = [f"{one.cause}: {one.says}" for one in differences]
    return record_deployment(
        task,
        Deployment(
            version=version,
            artefact="q8_0",
            target="ollama",
            name=f"news:{version}",
            created="2026-11-21T08:00:00Z",
            by="mei",
            sha256=SERVED,
            parity=compared(task, version, *differences),
            accepted=Acceptance(by="mei", why="a demo", at="today", differences=told) if accepted else None,
        ),
    )


WRONG = Difference(cause="wrong template", says="The template differs.", where="its own template")


def test_without_confirm_a_promotion_says_what_the_gate_answers_and_changes_nothing(task: Path) -> None:
    move = promote_version(task, version="v1", alias="dev", why="first try", by="mei")
    assert (move.done, move.version, move.before) == (False, "v1", None)
    assert move.gate is not None
    assert move.gate.passed
    assert not (task / "registry.json").exists()


def test_a_promotion_is_recorded_with_who_why_and_the_answers(task: Path) -> None:
    deployed(task, "v1")
    promote_version(task, version="v1", alias="prod", why="better on Japanese", by="mei", confirm=True)
    change = read_registry(task).history[0]
    assert (change.alias, change.version, change.before, change.kind) == ("prod", "v1", None, "promoted")
    assert (change.by, change.why) == ("mei", "better on Japanese")
    assert {one.check: one.answer for one in change.gate} == {
        "it is trained": "yes",
        "accuracy at least 0.8": "yes",
        "what is served is what was trained (models/v1/q8_0.parity.json)": "yes",
        "no test row was learned (data/validation.json)": "yes",
    }


def test_who_promotes_is_the_user_of_the_machine_where_nobody_is_named(task: Path, monkeypatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "kenji")
    promote_version(task, version="v1", alias="dev", why="a try", confirm=True)
    assert (who(None), read_registry(task).history[0].by) == ("kenji", "kenji")


def test_an_alias_goes_back_one_version_at_a_time_in_one_command(task: Path) -> None:
    for version in ("v1", "v2", "v3"):
        promote_version(task, version=version, alias="dev", why="a try", confirm=True)
    assert [roll_back(task, alias="dev", why="it is slow").version for _ in range(2)] == ["v2", "v1"]
    with pytest.raises(NotReady, match=r"dev of news has no earlier version to go back to\. It names v1\."):
        roll_back(task, alias="dev", why="it is slow")
    assert read_registry(task).aliases == {"dev": "v1"}
    assert [(c.version, c.before, c.kind) for c in read_registry(task).history[-2:]] == [
        ("v2", "v3", "rolled back"),
        ("v1", "v2", "rolled back"),
    ]


def test_what_was_rolled_back_from_is_not_gone_back_to(task: Path) -> None:
    for version in ("v1", "v2"):
        promote_version(task, version=version, alias="dev", why="a try", confirm=True)
    roll_back(task, alias="dev", why="wrong")
    promote_version(task, version="v3", alias="dev", why="mended", confirm=True)
    assert roll_back(task, alias="dev", why="wrong too").version == "v1"


def test_a_version_that_was_deleted_is_passed_over(task: Path) -> None:
    for version in ("v1", "v2", "v3"):
        promote_version(task, version=version, alias="dev", why="a try", confirm=True)
    (task / "versions" / "v2").rename(task / "versions" / "gone")
    assert roll_back(task, alias="dev", why="wrong").version == "v1"


def test_an_alias_whose_version_was_deleted_is_shown_as_such_and_can_be_rolled_back(task: Path) -> None:
    for version in ("v1", "v2"):
        promote_version(task, version=version, alias="dev", why="a try", by="mei", confirm=True)
    (task / "versions" / "v2").rename(task / "versions" / "gone")
    since = read_registry(task).history[-1].at
    assert list_aliases(task).aliases == [
        AliasState(alias="dev", version="v2", since=since, by="mei", why="a try", there=False),
        AliasState(alias="staging"),
        AliasState(alias="prod"),
    ]
    with pytest.raises(NotFound, match=r"news has no version 'v2', which dev names\. Versions: v1, v3\."):
        version_folder(task, "dev")
    assert roll_back(task, alias="dev", why="it is gone").version == "v1"


def test_an_alias_is_a_version_wherever_one_is_named(task: Path) -> None:
    promote_version(task, version="v2", alias="dev", why="a try", confirm=True)
    assert version_folder(task, "dev") == task / "versions" / "v2"
    deployed(task, "v2")
    promote_version(task, version="dev", alias="staging", why="it is good", confirm=True)
    assert read_registry(task).aliases == {"dev": "v2", "staging": "v2"}
    with pytest.raises(
        NotReady, match=r"news has no prod version yet\. Make one: nlp-skills promote-version"
    ):
        version_folder(task, "prod")


def test_a_version_that_is_not_there_gets_no_alias(task: Path) -> None:
    with pytest.raises(NotFound, match=r"news has no version 'v9'\. Versions: v1, v2, v3\."):
        promote_version(task, version="v9", alias="dev", why="a try", confirm=True)
    with pytest.raises(NotFound, match="no version 'v9'"):
        deployed(task, "v9")
    assert read_registry(task) == Registry()


def test_a_promotion_without_a_reason_is_refused(task: Path) -> None:
    with pytest.raises(NotValid, match="why: say in a sentence why"):
        promote_version(task, version="v1", alias="dev", why=" ", confirm=True)


def test_a_version_that_was_compared_with_nothing_cannot_become_prod(task: Path) -> None:
    with pytest.raises(
        NotReady, match=r"what is served is what was trained \(cannot tell\): Nothing that is served"
    ):
        promote_version(task, version="v1", alias="prod", why="w", confirm=True)


def test_a_difference_that_nobody_accepted_keeps_a_version_from_users(task: Path) -> None:
    deployed(task, "v1", WRONG)
    with pytest.raises(NotReady, match=r"\(no\): It is served otherwise\."):
        promote_version(task, version="v1", alias="staging", why="w", confirm=True)


def test_an_accepted_difference_lets_it_pass_and_says_who_accepted_it(task: Path) -> None:
    deployed(task, "v1", WRONG, accepted=True)
    move = promote_version(task, version="v1", alias="staging", why="w", confirm=True)
    assert move.gate is not None
    assert [a.reason for a in move.gate.answers if "q8_0" in a.check] == [
        "It is served otherwise. mei accepted that on today: a demo"
    ]


def test_another_difference_than_the_accepted_one_is_not_accepted(task: Path) -> None:
    deployed(task, "v1", WRONG, accepted=True)
    compared(task, "v1", WRONG, WRONG.with_changes(cause="double BOS"))
    with pytest.raises(NotReady, match="is refused"):
        promote_version(task, version="v1", alias="staging", why="w", confirm=True)


def test_everything_that_was_deployed_of_a_version_has_to_have_been_compared(task: Path) -> None:
    known = deployed(task, "v1")
    elsewhere = {"target": "hub", "name": "ann/news", "parity": None, "commit": "c" * 40}
    record_deployment(task, known.with_changes(**elsewhere))
    with pytest.raises(
        NotReady, match=r"\(ann/news\) \(cannot tell\): What was put there \(hub\) was compared with"
    ):
        promote_version(task, version="v1", alias="prod", why="w", confirm=True)
    record_deployment(task, known.with_changes(**elsewhere | {"parity": known.parity, "sha256": "0" * 64}))
    # The two share one report, which speaks of the first one's file.
    with pytest.raises(NotReady, match=r"speaks of other weights or another file"):
        promote_version(task, version="v1", alias="prod", why="w", confirm=True)
    record_deployment(task, known.with_changes(**elsewhere | {"parity": known.parity}))
    assert promote_version(task, version="v1", alias="prod", why="w", confirm=True).done


def test_what_was_trained_itself_needs_no_comparison(task: Path) -> None:
    known = deployed(task, "v1")
    itself = {"target": "hub", "name": "ann/news", "artefact": "adapter", "parity": None, "sha256": "a"}
    record_deployment(task, known.with_changes(**itself))
    assert promote_version(task, version="v1", alias="prod", why="w", confirm=True).done


def test_what_was_compared_before_counts_where_nothing_was_deployed(task: Path) -> None:
    compared(task, "v1")
    assert promote_version(task, version="v1", alias="prod", why="w", confirm=True).done


def trained_again(task: Path) -> None:
    file = task / "versions" / "v1" / "model_info.json"
    ModelInfo.load(file).with_changes(sha256="b").save(file)


def exported_again(task: Path) -> None:
    (task / "models" / "v1" / "q8_0.gguf").write_bytes(b"GGUF of other weights")


def of_another_version(task: Path) -> None:
    file = task / compared(task, "v1")
    ParityReport.load(file).with_changes(version="v2").save(file)


@pytest.mark.parametrize("change", [trained_again, exported_again, of_another_version])
def test_a_comparison_counts_for_the_weights_and_the_file_that_it_was_made_of(
    task: Path, change: Callable[[Path], None]
) -> None:
    compared(task, "v1")
    change(task)
    shown = promote_version(task, version="v1", alias="prod", why="w")
    assert shown.gate is not None
    (answer,) = [one for one in shown.gate.answers if one.answer != "yes"]
    assert (
        "(models/v1/q8_0.parity.json: made of other weights or another file than are there now)"
        in answer.reason
    )
    assert answer.next == "nlp-skills deploy-version news --version v1"


LEAKED = Cause(
    id="SPLIT-LEAK",
    kind="data",
    title="Test rows stand in the training rows",
    says="In 3 test rows (1.5%) it stands in one but for case.",
    sure="some",
    evidence=[Evidence(figure="leaked test rows", value=3, file="data/test.jsonl")],
    fix=Fix(does="Divide the rows anew", command="nlp-skills regenerate-data news", takes="a training"),
)
UNSEEN = Unchecked(what=LEAK_LOOK, why="data/test.jsonl is not the file that the version was made for")


@pytest.mark.parametrize(
    ("found", "answer", "reason"),
    [
        ({"ruled_out": [LEAK_LOOK]}, "yes", "It looked, and names no such row."),
        ({"unchecked": [UNSEEN]}, "cannot tell", f"Not looked for: {UNSEEN.why}."),
        ({"causes": [LEAKED]}, "cannot tell", f"{LEAKED.says} Divide the rows anew."),
        ({"causes": [LEAKED.with_changes(sure="strong")]}, "no", f"{LEAKED.says} Divide the rows anew."),
    ],
)
def test_a_diagnosis_that_did_not_look_for_leaks_is_no_yes(
    task: Path, found: dict[str, Any], answer: str, reason: str
) -> None:
    record = Diagnosis(task="news", version="v1", split="test", verdict="x", **found)
    record.save(task / "versions" / "v1" / "diagnosis.json")
    shown = promote_version(task, version="v1", alias="prod", why="w")
    assert shown.gate is not None
    (told,) = [one for one in shown.gate.answers if "diagnosis.json" in one.check]
    assert (told.answer, told.reason) == (answer, reason)


def test_every_refusal_names_the_command_that_goes_on_from_it(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (task / "versions" / "v1" / "data_snapshot.json").unlink()
    (task / "versions" / "v1" / "results.json").unlink()
    with pytest.raises(typer.Exit) as ended:
        run_operation(
            find_operation("promote_version"),
            task.parent,
            {"task": "news", "version": "v1", "alias": "prod", "why": "w"},
            as_json=False,
        )
    assert ended.value.exit_code == 1
    told = " ".join(capsys.readouterr().out.split())
    for command in (
        "accuracy at least 0.8: nlp-skills evaluate-version news --version v1",
        "what is served is what was trained: nlp-skills deploy-version news --version v1",
        "no test row was learned (data/validation.json): nlp-skills create-version news --parent v1",
    ):
        assert command in told


def test_a_version_below_its_criteria_cannot_become_prod(task: Path) -> None:
    deployed(task, "v1")
    definition = Task.load(task / "task.yaml")
    high = [{"metric": "accuracy", "at_least": 0.95}]
    definition.with_changes(criteria=high).save(task / "task.yaml")
    with pytest.raises(NotReady, match=r"accuracy at least 0\.95 \(no\)"):
        promote_version(task, version="v1", alias="prod", why="w", confirm=True)


@pytest.mark.parametrize(
    ("report", "answer"),
    [
        (
            validation(
                Finding(check="SPLIT-LEAK", level="error", message="m", count=3, fix="f"), state="found"
            ),
            r"\(no\): 3 rows of train also stand in valid or test",
        ),
        (validation(state="not run: left out"), r"\(cannot tell\): SPLIT-LEAK not run: left out"),
        (validation(data="other"), r"\(cannot tell\): It speaks of other data than v1 was trained on"),
    ],
)
def test_a_leak_or_one_that_nobody_looked_for_keeps_a_version_from_users(
    task: Path, report: ValidationReport, answer: str
) -> None:
    deployed(task, "v1")
    report.save(task / "data" / "validation.json")
    with pytest.raises(NotReady, match=answer):
        promote_version(task, version="v1", alias="prod", why="w", confirm=True)


def test_a_broken_registry_is_named_and_left_as_it_is(task: Path) -> None:
    (task / "registry.json").write_text('{"aliases": {"live": "v1"}}', encoding="utf-8")
    with pytest.raises(NotValid, match=r"registry\.json"):
        promote_version(task, version="v1", alias="dev", why="w", confirm=True)
    assert (task / "registry.json").read_text(encoding="utf-8") == '{"aliases": {"live": "v1"}}'


WRITER = """
import sys
from pathlib import Path
from typing import Any
from nlp_skills.deployment.registry import promote_version, record_deployment, roll_back
from nlp_skills.task.registry import Deployment

task, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(rounds):
    version = f"v{number % 3 + 1}"
    promote_version(task, version=version, alias="dev", why=f"{name} {number}", by=name, confirm=True)
    print("promoted", number, flush=True)
    roll_back(task, alias="dev", why=f"{name} back {number}", by=name) if number % 3 == 2 else None
    record_deployment(
        task,
        Deployment(version=version, artefact="q8_0", target="folder", name=f"{name} {number}", created="c", by=name),
    )
    print("deployed", number, flush=True)
"""


def writer(task: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(task), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def holds_together(registry: Registry, task: Path) -> None:
    """Every alias names a version that is there, and every change began where the one before it ended."""
    named: dict[str, str] = {}
    for change in registry.history:
        assert change.before == named.get(change.alias)
        named[change.alias] = change.version
    assert registry.aliases == named
    assert all((task / "versions" / version).is_dir() for version in named.values())


def test_two_writers_at_the_same_time_lose_nothing(task: Path) -> None:
    rounds = 12
    writers = {name: writer(task, name, rounds) for name in ("mei", "kenji")}
    for process in writers.values():
        process.communicate()
        assert process.returncode == 0
    registry = read_registry(task)
    for name in writers:
        own = [change for change in registry.history if change.by == name]
        assert [c.why for c in own if c.kind == "promoted"] == [f"{name} {n}" for n in range(rounds)]
        assert [c.why for c in own if c.kind == "rolled back"] == [f"{name} back {n}" for n in (2, 5, 8, 11)]
        deployments = [d.name for d in registry.deployments if d.by == name]
        assert deployments == [f"{name} {n}" for n in range(rounds)]
    holds_together(registry, task)


def test_a_kill_at_any_moment_leaves_a_whole_registry_with_all_that_was_reported(task: Path) -> None:
    for kill in range(3):
        name = f"killed-{kill}"
        process = writer(task, name, 1000)
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(3 + 4 * kill)]
        process.kill()
        process.communicate()
        registry = Registry.load(task / "registry.json")
        promoted = {c.why for c in registry.history if c.by == name and c.kind == "promoted"}
        made = {d.name for d in registry.deployments if d.by == name}
        assert {f"{name} {number}" for what, number in told if what == "promoted"} <= promoted
        assert {f"{name} {number}" for what, number in told if what == "deployed"} <= made
        holds_together(registry, task)
    survivor = writer(task, "mei", 1)
    survivor.communicate()
    assert survivor.returncode == 0  # the lock of a killed program is nobody's
    assert [d.name for d in read_registry(task).deployments if d.by == "mei"] == ["mei 0"]


def test_registry_json_is_what_the_record_says(task: Path) -> None:
    promote_version(task, version="v1", alias="dev", why="a try", by="mei", confirm=True)
    content = json.loads((task / "registry.json").read_text(encoding="utf-8"))
    change = AliasChange.model_validate(content["history"][0])
    assert content["aliases"] == {"dev": "v1"}
    assert (change.version, change.by, change.gate[0].answer) == ("v1", "mei", "yes")
