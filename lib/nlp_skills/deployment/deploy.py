"""Handing a version over: merged, exported, compared with what was trained, and only then put where it is used.

gguf, folder, hub    merge ─▶ export ─▶ parity ────────────────────────────▶ its place ─▶ registry.json
ollama               merge ─▶ export ─▶ a candidate in Ollama ─▶ parity ───▶ its name ──▶ registry.json
                                                                  └── a difference ends it, with its cause
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_skills.data.sources.generation.ollama_server import ollama_url
from nlp_skills.deployment.deploy_plan import MERGED, Plan, copied_to, plan_deployment, steps_of
from nlp_skills.deployment.foreseen import foreseen, recorded_name, require_free
from nlp_skills.deployment.gguf.export import export_model
from nlp_skills.deployment.hub import publish
from nlp_skills.deployment.merge import merge_version
from nlp_skills.deployment.ollama.candidate import candidate, name_candidate
from nlp_skills.deployment.ollama.creating import USUAL
from nlp_skills.deployment.parity.check import compare, report_file
from nlp_skills.deployment.parity.report import ParityReport
from nlp_skills.deployment.registry import record_deployment, who
from nlp_skills.errors import AlreadyExists, NotReady, NotValid
from nlp_skills.locks import locked
from nlp_skills.records import Progress, Record, clear_unfinished, now, silent, sync_folder, unfinished
from nlp_skills.task.registry import Acceptance, Deployment, Target
from nlp_skills.training.model_info import ModelInfo


class DeployedVersion(Record):
    """What was deployed, or what would be."""

    task: str
    version: str
    to: Target
    name: str
    done: bool
    steps: list[str]
    parity: ParityReport | None = None
    deployment: Deployment | None = None
    message: str


def deploy_version(
    task: Path,
    *,
    version: str | None = None,
    to: Target = "ollama",
    quantization: str = USUAL,
    name: str | None = None,
    confirm: bool = False,
    accept_difference: str | None = None,
    by: str | None = None,
    within: Path | None = None,
    progress: Progress = silent,
) -> DeployedVersion:
    """Hand a version over to Ollama, a GGUF file, a folder of safetensors or the Hub, if it answers as it was trained to.

    It is merged and exported where that was not done, and what is served is compared with what was trained: prompts
    token by token, the end of an answer, weights, answers to the test rows. A difference ends it, with its cause;
    `accept_difference` says why it is deployed all the same, which is kept with `by` in registry.json. `version` may be
    an alias (prod), which is then what Ollama's tag follows. Without `confirm` it says what it would do, and what stands
    against it now. A tool copies nothing out of the project (`within`).

    Raises NotReady for a difference, and for what is missing; NotValid, AlreadyExists, RunFailed, MissingExtra.
    """
    plan = plan_deployment(task, version, to, quantization, name)
    if accept_difference is not None and not accept_difference.strip():
        raise NotValid(
            "accept_difference: say in a sentence why; it is kept in registry.json with your name."
        )
    _require_within(plan, within)
    if not confirm:
        return _result(plan, None, None, f"Nothing was done. {foreseen(plan)}\nTo do it: {plan.command}")
    require_free(plan)
    made = _made(plan, progress)
    with _compared(plan, made, progress) as (report, put):
        begun = _deployment(plan, made, by, _accepted(plan, report, accept_difference, by))
        record_deployment(task, begun)  # first, so that a kill leaves nothing that nobody knows of
        commit = put()
    deployment = record_deployment(task, begun.with_changes(under_way=False, commit=commit))
    return _result(plan, report, deployment, _message(plan, report, deployment.accepted))


def _require_within(plan: Plan, folder: Path | None) -> None:
    target = copied_to(plan)
    if folder is None or target is None:
        return
    if not any(target.resolve().is_relative_to(place.resolve()) for place in (folder, plan.task)):
        raise NotValid(
            f"name: {target.resolve()} is outside of the project ({folder.resolve()}), where a tool writes nothing. Take"
            f" a place within it, or let somebody run it on the command line: {plan.command}"
        )


def _deployment(plan: Plan, made: ModelInfo, by: str | None, accepted: Acceptance | None) -> Deployment:
    return Deployment(
        version=plan.version,
        artefact=plan.what,
        target=plan.to,
        name=recorded_name(plan),
        host=ollama_url() if plan.to == "ollama" else None,
        created=now(),
        by=who(by),
        sha256=made.sha256,
        alias=plan.alias,
        parity=report_file(plan.task, plan.version, plan.compared_as).relative_to(plan.task).as_posix(),
        accepted=accepted,
        under_way=True,
    )


def _made(plan: Plan, progress: Progress) -> ModelInfo:
    """The artefact, made where it is not there yet."""
    if plan.what == MERGED:
        return merge_version(plan.task, version=plan.version, progress=progress)
    return export_model(plan.task, version=plan.version, quantization=plan.what, progress=progress)


@contextmanager
def _compared(
    plan: Plan, made: ModelInfo, progress: Progress
) -> Iterator[tuple[ParityReport, Callable[[], str | None]]]:
    """What was compared, and the step that puts this very thing there; in Ollama it is a candidate until then."""
    if plan.to != "ollama":
        yield compare(plan.task, plan.version, plan.what, progress), lambda: _put(plan, progress)
        return
    with candidate(plan.task, plan.version, plan.task / made.path, plan.name, progress=progress) as found:
        report = compare(plan.task, plan.version, f"ollama/{found.name}", progress, called=plan.compared_as)
        yield report, lambda: name_candidate(found, plan.names_in_ollama)


def _accepted(plan: Plan, report: ParityReport, why: str | None, by: str | None) -> Acceptance | None:
    """Who accepted what. Raises NotReady for a difference that nobody did."""
    if report.answer == "yes" or (report.answer == "cannot tell" and why is None):
        return None
    if why is None:
        raise NotReady(
            f"{report.message} It was not deployed. To deploy it all the same, with your name beside it:"
            f' {plan.command} --accept-difference "WHY"'
        )
    return Acceptance(by=who(by), why=why.strip(), at=now(), differences=report.told)


def _put(plan: Plan, progress: Progress) -> str | None:
    """Copied to its place, or published; the commit of the Hub."""
    if plan.to == "hub":
        return publish(plan.task, plan.name, plan.version, plan.what, progress=progress)[0].commit
    if (target := copied_to(plan)) is not None:
        with locked(plan.task / ".copy.lock", f"copies what {plan.task.name} deploys", progress):
            progress(f"copying to {target}", 0, None)
            _copy(plan.own_place, target)
    return None


def _copy(source: Path, target: Path) -> None:
    """A file or a folder that appears whole or not at all; what a killed copy left there is cleared away."""
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_unfinished(target)
    staging = unfinished(target)
    try:
        if source.is_dir():
            shutil.copytree(source, staging)
        else:
            shutil.copyfile(source, staging)
        if target.exists():
            raise AlreadyExists(f"{target} has appeared meanwhile and is left as it is. Take another --name.")
        staging.rename(target)
    finally:
        if staging.is_dir():
            shutil.rmtree(staging)
        staging.unlink(missing_ok=True)
    sync_folder(target.parent)


def _message(plan: Plan, report: ParityReport, accepted: Acceptance | None) -> str:
    if accepted is not None:
        return f"{plan.name} is deployed. {report.message} {accepted.by} accepted that: {accepted.why}"
    return f"{plan.name} is deployed. {report.message}"


def _result(
    plan: Plan, report: ParityReport | None, deployment: Deployment | None, message: str
) -> DeployedVersion:
    return DeployedVersion(
        task=plan.task.name,
        version=plan.version,
        to=plan.to,
        name=plan.name,
        done=deployment is not None,
        steps=steps_of(plan),
        parity=report,
        deployment=deployment,
        message=message,
    )
