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
from nlp_skills.deployment.compared import ask_compared
from nlp_skills.deployment.parity.report import Answer
from nlp_skills.errors import counted
from nlp_skills.evaluation.diagnosis.record import LEAK_LOOK, Diagnosis
from nlp_skills.evaluation.promotion import check_promotion
from nlp_skills.records import Record
from nlp_skills.task.registry import Alias, GateAnswer

LEAK = "SPLIT-LEAK"

ASKED: dict[Alias, tuple[str, ...]] = {
    "dev": (),
    "staging": ("criteria", "parity", "leak"),
    "prod": ("criteria", "parity", "leak"),
}
"""Of a version that is trained. dev is where it is tried before anything of this is known."""


class Gate(Record):
    """`passed` only where every answer is a yes."""

    version: str
    alias: Alias
    passed: bool
    answers: list[GateAnswer]

    @property
    def told(self) -> str:
        """What stands in the way, each with its reason and the command that goes on from it."""
        return " ".join(
            f"{one.check} ({one.answer}): {one.reason} Next: {one.next}"
            for one in self.answers
            if one.answer != "yes"
        )


def ask_gate(task: Path, version: str, alias: Alias) -> Gate:
    """Ask what the alias asks of a version; reads records, and hashes the files that were compared."""
    answers = [_trained(task, version)]
    if answers[0].answer == "yes":
        answers += [answer for name in ASKED[alias] for answer in _QUESTIONS[name](task, version)]
    passed = all(one.answer == "yes" for one in answers)
    return Gate(version=version, alias=alias, passed=passed, answers=answers)


def _trained(task: Path, version: str) -> GateAnswer:
    check = "it is trained"
    if (task / "versions" / version / "model_info.json").is_file():
        return GateAnswer(check=check, answer="yes", reason="model_info.json names its weights.")
    command = f"nlp-skills train-model {task.name} --version {version}"
    return GateAnswer(check=check, answer="no", reason=f"{version} has no model.", next=command)


def _criteria(task: Path, version: str) -> list[GateAnswer]:
    return [
        GateAnswer(check=one.criterion, answer=one.answer, reason=one.reason, next=one.next)
        for one in check_promotion(task, version=version).criteria
    ]


def _leak(task: Path, version: str) -> list[GateAnswer]:
    return [_in_validation(task, version), *_in_diagnosis(task, version)]


def _in_validation(task: Path, version: str) -> GateAnswer:
    check = "no test row was learned (data/validation.json)"
    answer, reason, command = _leak_in_validation(task, version)
    return GateAnswer(
        check=check, answer=answer, reason=reason, next=f"nlp-skills {command}" if command else ""
    )


def _leak_in_validation(task: Path, version: str) -> tuple[Answer, str, str]:
    """The answer, its reason, and the command that goes on from it."""
    file, snapshot = task / "data" / "validation.json", task / "versions" / version / "data_snapshot.json"
    again = f"validate-data {task.name}"
    if not snapshot.is_file():
        reason = (
            f"{snapshot.relative_to(task).as_posix()} is not there: nobody knows which rows it learned from."
        )
        return (
            "cannot tell",
            reason,
            f'create-version {task.name} --parent {version} --changes "the same again"',
        )
    if not file.is_file():
        return "cannot tell", "The data were not validated.", again
    report, splits = ValidationReport.load(file), DataSnapshot.load(snapshot).splits
    if report.data_sha256 != digest({f"data/{s}.jsonl": splits[s].sha256 for s in SPLITS if s in splits}):
        return "cannot tell", f"It speaks of other data than {version} was trained on.", again
    rows = sum(f.count for f in report.findings if f.check == LEAK and f.level == "error")
    if rows:
        reason = (
            f"{counted(rows, 'row')} of train also stand in valid or test. Take them out and train again."
        )
        return "no", reason, f"fix-data {task.name}"
    state = report.checks.get(LEAK, "was not looked for")
    if state in ("passed", "found") or state.startswith(NOT_APPLICABLE):
        warned = " There are warnings about it." if state == "found" else ""
        return "yes", f"{LEAK} found no such row.{warned}", ""
    return "cannot tell", f"{LEAK} {state}.", again


def _in_diagnosis(task: Path, version: str) -> list[GateAnswer]:
    """Only where there is one: nobody has to have asked why a version is as it is."""
    file = task / "versions" / version / "diagnosis.json"
    if not file.is_file():
        return []
    diagnosis = Diagnosis.load(file)
    check = "no test row was learned (diagnosis.json)"
    if LEAK_LOOK in diagnosis.ruled_out:
        return [GateAnswer(check=check, answer="yes", reason="It looked, and names no such row.")]
    for cause in diagnosis.causes:
        if cause.id == LEAK:
            answer: Answer = "no" if cause.sure == "strong" else "cannot tell"
            reason = f"{cause.says} {cause.fix.does}."
            return [
                GateAnswer(check=check, answer=answer, reason=reason, next=f"nlp-skills fix-data {task.name}")
            ]
    why = next(
        (one.why for one in diagnosis.unchecked if one.what == LEAK_LOOK), "it does not say whether it looked"
    )
    again = f"nlp-skills diagnose {task.name} --version {version}"
    return [GateAnswer(check=check, answer="cannot tell", reason=f"Not looked for: {why}.", next=again)]


_QUESTIONS = {"criteria": _criteria, "parity": ask_compared, "leak": _leak}
