"""Deploying to Ollama's stand-in: compared there as a candidate, and only what passes gets the name."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import small_gguf
import typer
from ollama_stand_in import OllamaStandIn
from ollama_store import Stored
from small_gguf import BEGIN, PAD, write_gguf

from nlp_skills.cli import run_operation
from nlp_skills.deployment.deploy import deploy_version
from nlp_skills.deployment.ollama.removing import ollama_remove
from nlp_skills.deployment.parity.check import check_parity
from nlp_skills.deployment.parity.prompts import COUNTS
from nlp_skills.deployment.parity.report import ParityReport
from nlp_skills.deployment.registry import list_aliases, promote_version, record_deployment, roll_back
from nlp_skills.errors import AlreadyExists, NotReady
from nlp_skills.operations import find_operation
from nlp_skills.records import now
from nlp_skills.task.registry import Deployment, read_registry

NAME = "small:v1-f32"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_gguf.make_task(tmp_path_factory.mktemp("small"))


@pytest.fixture
def task(small: Path) -> Path:
    """The version with its GGUF file as it was trained, and nothing deployed of it."""
    (small / "registry.json").unlink(missing_ok=True)
    write_gguf(small)
    return small


def deploy(task: Path, version: str = "v1", name: str | None = None) -> None:
    deploy_version(task, version=version, to="ollama", quantization="f32", name=name, confirm=True, by="mei")


def test_what_passes_has_its_name_and_its_alias_and_no_candidate_stays(
    task: Path, ollama: OllamaStandIn
) -> None:
    promote_version(task, version="v1", alias="dev", why="a try", by="mei", confirm=True)
    deploy(task, "dev")
    assert sorted(ollama.store.models) == ["small:dev", NAME]
    (kept,) = list_aliases(task).deployments
    assert (kept.target, kept.name, kept.alias, kept.by) == ("ollama", NAME, "dev", "mei")
    assert kept.parity == "models/v1/ollama-small-v1-f32.parity.json"
    report = ParityReport.load(task / kept.parity)
    assert (report.model, report.differences, report.not_compared) == (f"ollama/{NAME}", [], {})
    (where,) = {one.where for one in report.renderings}
    assert re.fullmatch(r"small:candidate-[0-9a-f]{8} in Ollama", where)
    assert (kept.host, kept.under_way, kept.state) == (ollama.url, False, "not looked at")
    assert "small:v1-f32 and small:dev would be replaced there" in dry_run(task, "dev")
    asked = ollama_remove("Small:v1-f32", confirm=True, home=task.parent)
    assert asked.tasks == ["small"]
    (gone,) = list_aliases(task).deployments
    assert (gone.state, gone.removed is None) == ("removed", False)
    assert len(report.renderings) == 13
    assert all(one.equal for one in report.renderings)
    assert report.answers is not None
    assert (report.answers.rows, report.answers.answer) == (10, "cannot tell")
    assert "The version was evaluated by the probability of each label; there it writes its answer" in (
        report.answers.reason
    )


def test_a_kill_while_it_gets_its_name_leaves_a_record_that_says_so(
    task: Path, ollama: OllamaStandIn
) -> None:
    command = [sys.executable, "-m", "nlp_skills", "deploy-version", "small", "--home", str(task.parent)]
    command += ["--to", "ollama", "--quantization", "f32", "--confirm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as killed:
        ollama.when_copied = killed.kill
        assert killed.stdout is not None
        said = killed.stdout.read()
    assert killed.returncode < 0 or sys.platform == "win32", said.decode()
    ollama.when_copied = lambda: None
    (begun,) = list_aliases(task).deployments
    assert (begun.name, begun.host, begun.state) == (NAME, ollama.url, "not finished")
    (left,) = [name for name in ollama.store.models if name != NAME]
    told = dry_run(task)
    assert f"A deployment of v1 there was begun on {begun.created} and not finished" in told
    assert f"nlp-skills ollama-remove {left} --confirm" in told
    (known,) = read_registry(task).deployments
    record_deployment(
        task, known.with_changes(under_way=False, created=now())
    )  # as the next run that is finished
    (done,) = list_aliases(task).deployments
    assert (done.name, done.state) == (NAME, "not looked at")


def test_a_copy_that_is_gone_from_its_path_is_listed_so(task: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    copied = {
        "version": "v1",
        "artefact": "f32",
        "target": "gguf",
        "name": str(file),
        "created": now(),
        "by": "mei",
    }
    record_deployment(task, Deployment.parse(copied, "the copy"))
    assert [one.state for one in list_aliases(task).deployments] == ["gone"]
    file.touch()
    assert [one.state for one in list_aliases(task).deployments] == ["there"]


def dry_run(task: Path, version: str = "v1") -> str:
    return deploy_version(task, version=version, to="ollama", quantization="f32").message


def test_a_dry_run_says_whether_it_could_be_done_now(
    task: Path, ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    assert re.fullmatch(
        rf"Nothing was done\. Ollama 0\.33\.0 answers at {ollama.url}; {NAME} is free there\. It takes \d+ kB; [\d.]+ GB are"
        rf" free in {re.escape(str(tmp_path))}\.\nTo do it: nlp-skills deploy-version small --version v1 --to ollama .*",
        dry_run(task),
    )
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "elsewhere"))
    assert "; how much is free there cannot be seen from here.\n" in dry_run(task)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert (
        "Nothing was done. It would be refused now: Ollama cannot be reached at http://127.0.0.1:1."
        in dry_run(task)
    )
    assert (list(ollama.store.models), read_registry(task).deployments) == ([], [])


def test_a_tool_copies_nothing_out_of_the_project(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"task": "small", "to": "gguf", "quantization": "f32", "name": str(tmp_path / "x.gguf")}
    deploying = find_operation("deploy_version")
    run_operation(deploying, task.parent, given, as_json=True)
    assert json.loads(capfd.readouterr().out)["name"] == given["name"]
    monkeypatch.setenv("NLP_SKILLS_PROGRESS", "json")  # as the MCP server runs it
    inside = str(task.parent.parent / "shipped" / "x.gguf")
    run_operation(deploying, task.parent, {**given, "name": inside}, as_json=True)
    assert json.loads(capfd.readouterr().out)["name"] == inside
    for outside in (given["name"], f"{task}/../../../x.gguf"):
        with pytest.raises(typer.Exit):
            run_operation(deploying, task.parent, {**given, "name": outside}, as_json=True)
        assert "is outside of the project" in json.loads(capfd.readouterr().out)["message"]


FAULTS: dict[str, Callable[[Stored], Stored]] = {
    "double BOS": lambda model: replace(model, template=f"{BEGIN}{model.template}"),
    "wrong template": lambda model: replace(
        model, template=str(model.template).replace("<|turn|>{{", "<|turn|> {{")
    ),
    "dropped tool block": lambda model: replace(
        model, template=str(model.template).replace("{{ .Function.Name }}: {{ .Function.Description }}", "")
    ),
}
"""Cause → what somebody has changed in the model that Ollama serves."""


def test_what_was_changed_in_ollama_later_is_found_with_its_cause(task: Path, ollama: OllamaStandIn) -> None:
    deploy(task)
    deployed = ollama.store.models[NAME]
    found = {}
    for cause, change in FAULTS.items():
        ollama.store.put(NAME, change(deployed))
        report = check_parity(task, version="v1", model=f"ollama/{NAME}")
        found[cause] = [one.cause for one in report.differences]
    assert found == {cause: [cause] for cause in FAULTS}
    ollama.store.put(NAME, deployed)
    ollama.tells_counts = False
    report = check_parity(task, version="v1", model=f"ollama/{NAME}")
    assert (report.answer, report.differences) == ("cannot tell", [])
    assert report.not_compared[COUNTS].startswith(f"{NAME} in Ollama did not say how many it read of: ")
    write_gguf(task, shift=0.1)
    with pytest.raises(NotReady, match=r"which are no GGUF file of v1 of small"):
        check_parity(task, version="v1", model=f"ollama/{NAME}")


def test_a_model_of_somebody_else_is_left_alone(task: Path, ollama: OllamaStandIn) -> None:
    ollama.store.put("theirs:latest", Stored(ollama.store.keep(task / "models" / "v1" / "f32.gguf")))
    theirs = ollama.store.models["theirs:latest"]
    with pytest.raises(AlreadyExists, match="Ollama has a model theirs:latest already"):
        deploy(task, name="theirs")
    assert ollama.store.models == {"theirs:latest": theirs}
    promote_version(task, version="v1", alias="dev", why="a try", confirm=True)
    ollama.store.put("theirs:dev", theirs)
    with pytest.raises(AlreadyExists, match="Ollama has a model theirs:dev already"):
        deploy(task, "dev", name="theirs:v1")
    assert ollama.store.models == {"theirs:latest": theirs, "theirs:dev": theirs}


def test_a_difference_leaves_nothing_in_ollama_and_nothing_in_the_registry(
    task: Path, ollama: OllamaStandIn
) -> None:
    write_gguf(task, eos=PAD)
    with pytest.raises(NotReady, match=r"missing stop token\. A trained answer ends with <\|close\|>"):
        deploy(task)
    assert list(ollama.store.models) == []
    assert read_registry(task).deployments == []


def test_a_roll_back_says_how_what_is_served_follows_to_where_it_was_put(
    task: Path, ollama: OllamaStandIn, tmp_path: Path
) -> None:
    second = task / "versions" / "v2"
    try:
        second.mkdir()
        for file in (task / "versions" / "v1").iterdir():
            (second / file.name).write_bytes(file.read_bytes())
        for version in ("v1", "v2", "v1"):
            promote_version(task, version=version, alias="dev", why="a try", confirm=True)
        place = str(tmp_path / "out.gguf")
        deploy_version(task, version="dev", to="gguf", quantization="f32", name=place, confirm=True)
        deploy(task, "dev", name="sorter:now")
        again = "nlp-skills deploy-version small --version dev --to"
        assert roll_back(task, alias="dev", why="it is slow").message == (
            f"dev of small is v2 again; it was v1.\nWhat was deployed to gguf follows with: {again} gguf"
            f' --quantization f32 --name "NEW_PLACE" --confirm\nWhat was deployed to ollama follows with: {again} ollama'
            " --quantization f32 --name sorter:now --confirm"
        )
        assert sorted(ollama.store.models) == ["sorter:dev", "sorter:now"]
    finally:
        for file in second.iterdir():
            file.unlink()
        second.rmdir()
