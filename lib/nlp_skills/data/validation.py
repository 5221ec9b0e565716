"""Checking a task's data: every row's structure, then the rows themselves, one report.

data/{train,valid,test}.jsonl → STRUCTURE: every row → ROWS, TOKENS: every row, or a sample → data/validation.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nlp_skills.data.checked import digest, last_report, split_files
from nlp_skills.data.checks import CHECKS, ROWS, STRUCTURE, TOKENS, Distributed, Family
from nlp_skills.data.checks.examine import FEW, SAMPLE, Examined, examine_rows
from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.reading import Reader
from nlp_skills.data.checks.rows import Context, RowFamily
from nlp_skills.data.deep_findings import known_deep, looked_with
from nlp_skills.data.partitions import Where
from nlp_skills.data.quality import OFF, apply_quality, require_known_checks
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.report import (
    NOT_APPLICABLE,
    NOT_RUN,
    OTHERS,
    SAID,
    DoesNotApply,
    Finding,
    ValidationReport,
)
from nlp_skills.data.snapshot import DataSnapshot, in_buckets
from nlp_skills.data.sources.source import SPLITS, DataSources
from nlp_skills.data.token_findings import CHECKS as CHECKS_OF_TOKENS
from nlp_skills.data.token_findings import known_tokens, told_with
from nlp_skills.data.tokens import configured_max_length, configured_thinking, configured_tools_in_prompt
from nlp_skills.data.validation_page import render_validation
from nlp_skills.errors import NotFound, NotReady
from nlp_skills.records import Progress, now, silent, write_atomic
from nlp_skills.task.task import Task

MAX_LISTED = 200
"""Labels and sources that a distribution lists; what is rarer is counted together."""
LEFT_OUT = "checks of tokens were left out"


def validate_data(
    task: Path, *, deep: bool = False, tokens: bool = True, ray: bool = False, progress: Progress = silent
) -> ValidationReport:
    """Check the task's data, write data/validation.json, and data/validation.html for people.

    `deep` looks at every row where otherwise, beyond 200,000 rows, a sample is looked at; what it finds stays in
    the reports of later looks at a sample while data and settings are the same. Without
    `tokens` the checks that need the base model's tokenizer are left out, and what the report before says
    of them stays where it is of the same data, base model and settings; `ray` spreads the work over the
    Ray cluster that RAY_ADDRESS names, which has to see the same files, or else this machine.

    Raises NotReady when there is no data yet, NotValid for an unknown check under quality in task.yaml,
    MissingExtra for ray where it is not installed.
    """
    definition = Task.load(task / "task.yaml")
    require_known_checks(definition.quality, CHECKS, task / "task.yaml")
    settle_data(task)
    files = {name: path.resolve() for name, path in split_files(task).items()}
    if not files:
        raise NotReady(f"{task.name} has no data yet. Make it with: nlp-skills regenerate-data {task.name}")
    context = _context(task, definition, files)
    before = last_report(task)
    where = "ray" if ray else None
    report = check_data(context, progress, deep=deep, tokens=tokens, where=where, before=before)
    page = render_validation(
        report, definition, context.snapshot, edited=_is_edited(context.snapshot, report.data_sha256)
    )
    write_atomic(task / "data" / "validation.html", page.encode("utf-8"))
    report.save(task / "data" / "validation.json")
    return report.model_copy(update={"page": str(task / "data" / "validation.html")})


def _is_edited(snapshot: DataSnapshot | None, data_sha256: str) -> bool:
    """Whether the files that were read are others than the snapshot names, or it is itself of edited files."""
    if snapshot is None:
        return False
    named = {f"data/{name}.jsonl": snapshot.splits[name].sha256 for name in SPLITS if name in snapshot.splits}
    return snapshot.edited or digest(named) != data_sha256


def _context(task: Path, definition: Task, files: Mapping[str, Path]) -> Context:
    sources = snapshot = before = None
    with suppress(NotFound):
        sources = DataSources.load(task / "data_source.yaml")
    with suppress(NotFound):
        snapshot = DataSnapshot.load(task / "data" / "data_snapshot.json")
    if snapshot is not None and snapshot.before:
        kept = (DataSnapshot.load(p) for p in sorted(task.glob("data/snapshots/*/data_snapshot.json")))
        before = next((one for one in kept if one.source_hash == snapshot.before), None)
    return Context(
        definition,
        files,
        today=now(),
        sources=sources,
        snapshot=snapshot,
        before=before,
        max_length=configured_max_length(task),
        tools_in_prompt=configured_tools_in_prompt(task),
        enable_thinking=configured_thinking(task),
    )


def check_files(
    files: Mapping[str, Path], task: Task, progress: Progress = silent, *, tokens: bool = False
) -> ValidationReport:
    """Every check over these files, which are named as the report shall name them, in this process."""
    return check_data(Context(task, files), progress, tokens=tokens, where="here")


def check_data(
    context: Context,
    progress: Progress = silent,
    *,
    deep: bool = False,
    tokens: bool = True,
    where: Where | None = None,
    partition_size: int | None = None,
    spill: int | None = None,
    sample: int = SAMPLE,
    before: ValidationReport | None = None,
) -> ValidationReport:
    """Every check of CHECKS over the files of the context. Nothing is written.

    `where` is for both passes; None: the structure in this process, the rows on all cores if they are many.
    `partition_size` in bytes and `spill` in rows are Reader's. None of the three changes the report.
    `sample`: of more rows about so many are looked at, without `deep`. `before`: the report from which the
    findings in tokens are kept without `tokens`, and those of a look at every row without `deep`, if they still hold.
    """
    task = context.task
    off = {check for check, asked in task.quality.items() if asked == "off"}
    reader = Reader(context.files, task, progress, where or "here", partition_size, spill)
    structure = [make(context, reader) for make in STRUCTURE if not off.issuperset(make.checks)]
    for batch in reader.batches():
        for family in structure:
            family.see(batch)
    rows = sum(reader.rows.values())
    data_sha256 = digest(reader.sha256)
    known = _known(before, data_sha256, context, deep=deep, tokens=tokens)
    settled = off.union(known.checks)
    examined = examine_rows(
        [make for make in (*ROWS, *(TOKENS if tokens else ())) if not settled.issuperset(make.checks)],
        context,
        reader.partitions,
        rows,
        progress,
        deep=deep,
        where=where or ("cores" if rows >= FEW else "here"),
        sample=sample,
    )
    families = [*structure, *examined.families]
    findings = [
        finding.model_copy(update={"fix": finding.fix.replace("{task}", task.name)})
        for family in families
        for finding in family.findings()
        if finding.check not in settled
    ]
    checks = _states(families, findings) | known.checks
    checks |= dict.fromkeys(off.intersection(checks), OFF)
    findings += known.findings
    looked = [check for check in _looked_at(examined, checks) if check not in settled]
    sampled = {check: examined.rows for check in looked if examined.sampled and checks[check] in SAID}
    sampled |= known.examined
    all_seen = dict.fromkeys(looked if deep and rows > sample else (), context.today) | known.deep
    findings, gate = apply_quality(task.quality, findings, checks, rows + reader.unread, sampled)
    return ValidationReport(
        data_sha256=data_sha256,
        files=reader.rows,
        checks=checks,
        examined=sampled,
        deep=all_seen,
        deep_with=looked_with(context) if all_seen else "",
        findings=findings,
        distributions=_distributions(reader, families) | known.distributions,
        tokens=told_with(context) if tokens or CHECKS_OF_TOKENS.intersection(known.checks) else "",
        gate=gate,
        passed=not any(finding.level == "error" for finding in findings),
    )


def _known(
    before: ValidationReport | None, data_sha256: str, context: Context, *, deep: bool, tokens: bool
) -> ValidationReport:
    """What the report before says that still holds and is not looked for anew."""
    if before is None:
        return ValidationReport(data_sha256=data_sha256, files={}, checks={}, passed=True)
    of_tokens = frozenset[str]() if tokens else known_tokens(before, data_sha256, context)
    of_all_rows = frozenset[str]() if deep else known_deep(before, data_sha256, context)
    return before.about(of_tokens | of_all_rows)


def _states(families: Sequence[Family | RowFamily], findings: Iterable[Finding]) -> dict[str, str]:
    """By check: found by any family, or not run by one that could not, or passed, or not for these data."""
    found = {finding.check for finding in findings}
    not_run = [(family, family.not_run()) for family in families]
    return {
        check: "found"
        if check in found
        else _state([reasons.get(check) for family, reasons in not_run if check in family.checks])
        for check in CHECKS
    }


def _state(reasons: Sequence[str | None]) -> str:
    """`reasons`: why each family of the check said nothing; None for one that ran."""
    for reason in reasons or [LEFT_OUT]:
        if reason is not None and not isinstance(reason, DoesNotApply):
            return NOT_RUN + reason
    return "passed" if None in reasons else f"{NOT_APPLICABLE}{reasons[0]}"


def _looked_at(examined: Examined, checks: Mapping[str, str]) -> list[str]:
    """The checks whose families were shown rows and could all make something of them."""
    seen = {check for family in examined.families for check in family.checks}
    reasons = [item for family in examined.families for item in family.not_run().items()]
    seen -= {check for check, reason in reasons if not isinstance(reason, DoesNotApply)}
    return [check for check, state in checks.items() if check in seen and not state.startswith(NOT_RUN)]


def _distributions(reader: Reader, families: Iterable[object]) -> dict[str, dict[str, int]]:
    shown = _listed("labels", reader.labels)
    for file, lengths in reader.lengths.items():
        shown[f"characters {split_of(file)}"] = in_buckets(lengths)
    shown |= _listed("sources", reader.sources)
    for family in families:
        if isinstance(family, Distributed):
            shown |= family.distributions()
    return {name: counts for name, counts in shown.items() if counts}


def _listed(
    kind: str, files: Mapping[str, Mapping[str | None, int] | Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """By split the most frequent first; of equally frequent ones the one that came first. All splits list the same."""
    named = {
        split_of(file): Counter({value: count for value, count in values.items() if value is not None})
        for file, values in files.items()
    }
    total = sum(named.values(), Counter[str]())
    kept = {value for value, _ in total.most_common(MAX_LISTED)}
    shown = {}
    for split, counts in named.items():
        listed = {value: count for value, count in counts.most_common() if value in kept}
        rest = counts.total() - sum(listed.values())
        shown[f"{kind} {split}"] = {**listed, OTHERS: rest} if rest else listed
    return shown
