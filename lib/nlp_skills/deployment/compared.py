"""Was what is served of a version compared with what was trained? One answer for each place where it is served.

registry.json  what was deployed ──▶ its parity report ─┐
nothing deployed: models/vN/*.parity.json ──────────────┴─▶ of these very weights, and of this very file?
"""

from __future__ import annotations

from pathlib import Path

from nlp_skills.deployment.artefact import content_sha256, trained_info
from nlp_skills.deployment.deploy_plan import repeated
from nlp_skills.deployment.parity.report import ParityReport
from nlp_skills.task.registry import Deployment, GateAnswer, read_registry

SERVED = "what is served is what was trained"


def ask_compared(task: Path, version: str) -> list[GateAnswer]:
    """Of everything that was deployed of the version; of what was compared where nothing was deployed yet."""
    trained = trained_info(task, version).sha256
    if deployed := _deployed(task, version):
        return [_of_deployment(task, deployment, trained) for deployment in deployed]
    files = sorted((task / "models" / version).glob("*.parity.json"))
    reports = {file.relative_to(task).as_posix(): ParityReport.load(file) for file in files}
    valid = [
        _of_report(task, file, report, None)
        for file, report in reports.items()
        if _speaks_of(report, version, trained, _present(task, report))
    ]
    return valid or [_nothing(task, version, reports)]


def _speaks_of(report: ParityReport, version: str, trained: str, served: str | None) -> bool:
    """Whether it compared these two; what was trained again or exported again since was compared with nothing."""
    compared = (report.version, report.trained_sha256, report.sha256)
    return served is not None and compared == (version, trained, served)


def _present(task: Path, report: ParityReport) -> str | None:
    """The hash, now, of the file or folder that was compared."""
    return content_sha256(task / report.path) if report.path else None


def _nothing(task: Path, version: str, stale: dict[str, ParityReport]) -> GateAnswer:
    reason = f"Nothing that is served of {version} was compared with what was trained"
    if stale:
        reason += f" ({', '.join(stale)}: made of other weights or another file than are there now)"
    reason += ". Deploy it, or compare what you serve yourself with check-parity."
    command = f"nlp-skills deploy-version {task.name} --version {version}"
    return GateAnswer(check=SERVED, answer="cannot tell", reason=reason, next=command)


def _deployed(task: Path, version: str) -> list[Deployment]:
    """The newest of each place and name."""
    found = {(d.target, d.name): d for d in read_registry(task).deployments if d.version == version}
    return [one for one in found.values() if one.removed is None]


def _of_deployment(task: Path, deployment: Deployment, trained: str) -> GateAnswer:
    check = f"{SERVED} ({deployment.parity or deployment.name})"
    if deployment.parity is None and deployment.sha256 == trained:
        return GateAnswer(check=check, answer="yes", reason="It is what was trained, to the byte.")
    again = repeated(task, deployment, deployment.version)
    file = task / (deployment.parity or "")
    if deployment.parity is None or not file.is_file():
        reason = (
            f"What was put there ({deployment.target}) was compared with nothing."
            if deployment.parity is None
            else f"{deployment.parity} is not there any more."
        )
        return GateAnswer(check=check, answer="cannot tell", reason=reason, next=again)
    report = ParityReport.load(file)
    if not _speaks_of(report, deployment.version, trained, deployment.sha256):
        reason = f"{deployment.parity} speaks of other weights or another file than were deployed. Deploy it again."
        return GateAnswer(check=check, answer="cannot tell", reason=reason, next=again)
    return _of_report(task, deployment.parity, report, deployment)


def _of_report(task: Path, file: str, report: ParityReport, deployment: Deployment | None) -> GateAnswer:
    check = f"{SERVED} ({file})"
    if report.answer == "yes":
        return GateAnswer(check=check, answer="yes", reason=report.message)
    accepted = deployment.accepted if deployment is not None else None
    if accepted is not None and set(report.told) <= set(accepted.differences):
        reason = f"{report.message} {accepted.by} accepted that on {accepted.at}: {accepted.why}"
        return GateAnswer(check=check, answer="yes", reason=reason)
    again = (
        repeated(task, deployment, deployment.version)
        if deployment is not None
        else f'nlp-skills check-parity {task.name} --version {report.version} --model "{report.model}"'
    )
    return GateAnswer(check=check, answer=report.answer, reason=report.message, next=again)
