"""Handing a version over: merged, exported, compared with what was trained, and only then put where it is used.

gguf, folder, hub    merge ─▶ export ─▶ parity ────────────────────────────▶ its place ─▶ registry.json
ollama               merge ─▶ export ─▶ a candidate in Ollama ─▶ parity ───▶ its name ──▶ registry.json
                                                                  └── a difference ends it, with its cause
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from nlp_skills.deployment.deploy_plan import MERGED, Plan, copied_to, plan_deployment, steps_of
from nlp_skills.deployment.gguf.export import export_model
from nlp_skills.deployment.hub import publish, require_writable
from nlp_skills.deployment.merge import merge_version
from nlp_skills.deployment.ollama.creating import USUAL, ollama_create
from nlp_skills.deployment.ollama.models import ollama_copy, ollama_list_models, ollama_remove
from nlp_skills.deployment.ollama.names import with_tag
from nlp_skills.deployment.parity.check import compare, report_file
from nlp_skills.deployment.parity.report import ParityReport
from nlp_skills.deployment.registry import record_deployment, who
from nlp_skills.errors import AlreadyExists, NlpSkillsError, NotReady, NotValid
from nlp_skills.records import Progress, Record, now, silent, sync_folder, unfinished
from nlp_skills.task.registry import Acceptance, Deployment, Target, read_registry
from nlp_skills.training.model_info import ModelInfo

CANDIDATE = "-candidate"
"""Behind the name in Ollama while it is compared: nobody is served by it."""


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
    progress: Progress = silent,
) -> DeployedVersion:
    """Hand a version over to Ollama, a GGUF file, a folder of safetensors or the Hub, if it answers as it was trained to.

    It is merged and exported where that was not done, and what is served is compared with what was trained: prompts
    token by token, the end of an answer, weights, answers to the test rows. A difference ends it, with its cause;
    `accept_difference` says why it is deployed all the same, which is kept with `by` in registry.json. `version` may be
    an alias (prod), which is then what Ollama's tag follows. Without `confirm` it says what it would do.

    Raises NotReady for a difference, and for what is missing; NotValid, AlreadyExists, RunFailed, MissingExtra.
    """
    plan = plan_deployment(task, version, to, quantization, name)
    if accept_difference is not None and not accept_difference.strip():
        raise NotValid(
            "accept_difference: say in a sentence why; it is kept in registry.json with your name."
        )
    if not confirm:
        return _result(plan, None, None, f"Nothing was done. To do it: {plan.command}")
    _require_free(plan)
    made = _made(plan, progress)
    if plan.to == "ollama":
        report, accepted = _into_ollama(plan, accept_difference, by, progress)
    else:
        report = compare(task, plan.version, plan.what, progress)
        accepted = _accepted(plan, report, accept_difference, by)
    commit = _put(plan, progress)
    deployment = Deployment(
        version=plan.version,
        artefact=plan.what,
        target=plan.to,
        name=plan.name,
        created=now(),
        by=who(by),
        sha256=made.sha256,
        commit=commit,
        alias=plan.alias,
        parity=report_file(task, plan.version, plan.compared_as).relative_to(task).as_posix(),
        accepted=accepted,
    )
    record_deployment(task, deployment)
    return _result(plan, report, deployment, _message(plan, report, accepted))


def _require_free(plan: Plan) -> None:
    """Before anything long begins: whether it can be put there at all."""
    if plan.to == "ollama":
        there = {model.name.lower() for model in ollama_list_models().models}
        known = [d for d in read_registry(plan.task).deployments if d.target == "ollama"]
        ours = {d.name.lower() for d in known}
        own = plan.name.lower().partition(":")[0] == plan.task.name
        names = [plan.name, *([with_tag(plan.name, plan.alias)] if plan.alias else [])]
        ours |= {with_tag(d.name, d.alias).lower() for d in known if d.alias}
        if not own and (taken := [name for name in names if name.lower() in there - ours]):
            raise AlreadyExists(
                f"Ollama has a model {taken[0]} already, which was not deployed from here. Take another --name."
            )
    elif plan.to == "hub":
        require_writable(plan.name)
    elif (target := copied_to(plan)) is not None and target.exists():
        raise AlreadyExists(f"{target} is there already and is left as it is. Take another --name.")


def _made(plan: Plan, progress: Progress) -> ModelInfo:
    """The artefact, made where it is not there yet."""
    if plan.what == MERGED:
        return merge_version(plan.task, version=plan.version, progress=progress)
    return export_model(plan.task, version=plan.version, quantization=plan.what, progress=progress)


def _into_ollama(
    plan: Plan, why: str | None, by: str | None, progress: Progress
) -> tuple[ParityReport, Acceptance | None]:
    """As a candidate, compared there; only what passes gets the name, and no candidate stays."""
    candidate = f"{plan.name}{CANDIDATE}"
    try:
        ollama_create(
            plan.task, version=plan.version, what=plan.what, name=candidate, replace=True, progress=progress
        )
        report = compare(plan.task, plan.version, f"ollama/{candidate}", progress, called=plan.compared_as)
        accepted = _accepted(plan, report, why, by)
        ollama_copy(candidate, plan.name, replace=True)
        if plan.alias is not None:
            ollama_copy(candidate, with_tag(plan.name, plan.alias), replace=True)
    finally:
        with suppress(NlpSkillsError):  # it hides neither what went wrong nor what is deployed
            ollama_remove(candidate, confirm=True)
    return report, accepted


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
        progress(f"copying to {target}", 0, None)
        _copy(plan.own_place, target)
    return None


def _copy(source: Path, target: Path) -> None:
    """A file or a folder that appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
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
