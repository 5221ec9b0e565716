"""What is asked before a version becomes staging or prod: the criteria, the parity, and that no test row was learned.

trained?   criteria of task.yaml   parity of what was deployed   leaks in validation.json and diagnosis.json
   dev, staging, prod        │             staging, prod
"""

from __future__ import annotations

from pathlib import Path

from nlp_skills.data.checked import digest
from nlp_skills.data.report import NOT_APPLICABLE, ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.deployment.parity.report import ParityReport
from nlp_skills.errors import counted
from nlp_skills.evaluation.diagnosis.record import Diagnosis
from nlp_skills.evaluation.promotion import check_promotion
from nlp_skills.records import Record
from nlp_skills.task.registry import Alias, Deployment, GateAnswer, read_registry

LEAK = "SPLIT-LEAK"

ASKED: dict[Alias, tuple[str, ...]] = {
    "dev": ("trained",),
    "staging": ("trained", "criteria", "parity", "leak"),
    "prod": ("trained", "criteria", "parity", "leak"),
}
"""dev is where a version is tried before anything of this is known."""


class Gate(Record):
    """`passed` only where every answer is a yes."""

    version: str
    alias: Alias
    passed: bool
    answers: list[GateAnswer]

    @property
    def told(self) -> str:
        """What stands in the way, each with its reason."""
        return " ".join(
            f"{one.check} ({one.answer}): {one.reason}" for one in self.answers if one.answer != "yes"
        )


def ask_gate(task: Path, version: str, alias: Alias) -> Gate:
    """Ask what the alias asks of a version; reads records only."""
    answers = [answer for name in ASKED[alias] for answer in _QUESTIONS[name](task, version)]
    passed = all(one.answer == "yes" for one in answers)
    return Gate(version=version, alias=alias, passed=passed, answers=answers)


def _trained(task: Path, version: str) -> list[GateAnswer]:
    if (task / "versions" / version / "model_info.json").is_file():
        return [GateAnswer(check="it is trained", answer="yes", reason="model_info.json names its weights.")]
    reason = f"{version} has no model. Run: nlp-skills train-model {task.name} --version {version}"
    return [GateAnswer(check="it is trained", answer="no", reason=reason)]


def _criteria(task: Path, version: str) -> list[GateAnswer]:
    return [
        GateAnswer(check=one.criterion, answer=one.answer, reason=one.reason)
        for one in check_promotion(task, version=version).criteria
    ]


def _parity(task: Path, version: str) -> list[GateAnswer]:
    """Of everything that was deployed of the version; of what was compared where nothing was deployed yet."""
    if deployed := _deployed(task, version):
        return [_of_deployment(task, deployment) for deployment in deployed]
    if compared := sorted((task / "models" / version).glob("*.parity.json")):
        return [_of_report(task, file.relative_to(task).as_posix(), None) for file in compared]
    reason = (
        f"Nothing that is served of {version} was compared with what was trained. Run: nlp-skills deploy-version"
        f" {task.name} --version {version} (or check-parity, of what you serve yourself)."
    )
    return [GateAnswer(check="what is served is what was trained", answer="cannot tell", reason=reason)]


def _deployed(task: Path, version: str) -> list[Deployment]:
    """The newest of each place and name."""
    found = {(d.target, d.name): d for d in read_registry(task).deployments if d.version == version}
    return list(found.values())


def _of_deployment(task: Path, deployment: Deployment) -> GateAnswer:
    if deployment.parity is not None:
        return _of_report(task, deployment.parity, deployment)
    name = f" --name {deployment.name}" if deployment.target == "hub" else ""
    reason = (
        f"What was put there ({deployment.target}) was compared with nothing. Run: nlp-skills deploy-version {task.name}"
        f" --version {deployment.version} --to {deployment.target} --quantization {deployment.artefact}{name} --confirm"
    )
    check = f"what is served is what was trained ({deployment.name})"
    return GateAnswer(check=check, answer="cannot tell", reason=reason)


def _of_report(task: Path, file: str, deployment: Deployment | None) -> GateAnswer:
    check = f"what is served is what was trained ({file})"
    if not (task / file).is_file():
        reason = f"{file} is not there any more. Run: nlp-skills check-parity {task.name}"
        return GateAnswer(check=check, answer="cannot tell", reason=reason)
    report = ParityReport.load(task / file)
    if deployment is not None and deployment.sha256 != report.sha256:
        reason = "It was made of another file than was deployed. Deploy it again."
        return GateAnswer(check=check, answer="cannot tell", reason=reason)
    accepted = deployment.accepted if deployment is not None else None
    if report.answer != "yes" and accepted is not None and set(report.told) <= set(accepted.differences):
        reason = f"{report.message} {accepted.by} accepted that on {accepted.at}: {accepted.why}"
        return GateAnswer(check=check, answer="yes", reason=reason)
    return GateAnswer(check=check, answer=report.answer, reason=report.message)


def _leak(task: Path, version: str) -> list[GateAnswer]:
    return [_in_validation(task, version), *_in_diagnosis(task, version)]


def _in_validation(task: Path, version: str) -> GateAnswer:
    check = "no test row was learned (data/validation.json)"
    file = task / "data" / "validation.json"
    again = f"Run: nlp-skills validate-data {task.name}"
    if not file.is_file():
        return GateAnswer(check=check, answer="cannot tell", reason=f"The data were not validated. {again}")
    report = ValidationReport.load(file)
    splits = DataSnapshot.load(task / "versions" / version / "data_snapshot.json").splits
    if report.data_sha256 != digest({f"data/{s}.jsonl": splits[s].sha256 for s in SPLITS if s in splits}):
        reason = f"It speaks of other data than {version} was trained on. {again}"
        return GateAnswer(check=check, answer="cannot tell", reason=reason)
    state = report.checks.get(LEAK, "was not looked for")
    rows = sum(f.count for f in report.findings if f.check == LEAK and f.level == "error")
    if rows:
        reason = f"{counted(rows, 'row')} of train also stand in valid or test. Mend it: nlp-skills fix-data {task.name}"
        return GateAnswer(check=check, answer="no", reason=reason)
    if state in ("passed", "found") or state.startswith(NOT_APPLICABLE):
        warned = " There are warnings about it." if state == "found" else ""
        return GateAnswer(check=check, answer="yes", reason=f"{LEAK} found no such row.{warned}")
    return GateAnswer(check=check, answer="cannot tell", reason=f"{LEAK} {state}. {again}")


def _in_diagnosis(task: Path, version: str) -> list[GateAnswer]:
    """Only where there is one: nobody has to have asked why a version is as it is."""
    file = task / "versions" / version / "diagnosis.json"
    if not file.is_file():
        return []
    found = [c for c in Diagnosis.load(file).causes if c.id == LEAK and c.sure == "strong"]
    check = "no test row was learned (diagnosis.json)"
    if found:
        return [GateAnswer(check=check, answer="no", reason=f"{found[0].says} {found[0].fix.does}")]
    return [GateAnswer(check=check, answer="yes", reason="It names no such row.")]


_QUESTIONS = {"trained": _trained, "criteria": _criteria, "parity": _parity, "leak": _leak}
