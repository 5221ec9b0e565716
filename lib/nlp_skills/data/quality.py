"""The quality gate: what task.yaml asks of the data, applied to what was found.

    quality: {DATA-DUP: 0.01, DATA-PII: error, DATA-LANG: off}

A share: the check's findings are errors once they touch more than this share of the rows, and keep
their level otherwise. A level: it takes the place of the findings' own. off: the check does not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nlp_skills.data.report import Finding
from nlp_skills.errors import NotValid, counted, did_you_mean

OFF = "off in task.yaml"


def require_known_checks(quality: Iterable[str], known: Iterable[str], file: Path) -> None:
    """Raises NotValid for an id that is no check's."""
    known = list(known)
    for check in quality:
        if check not in known:
            raise NotValid(
                f"{file}: quality: there is no check {check!r}{did_you_mean(check.upper(), known)}."
                f" Known checks: {', '.join(known)}."
            )


def apply_quality(
    quality: Mapping[str, float | str],
    findings: Sequence[Finding],
    checks: Mapping[str, str],
    rows: int,
    examined: Mapping[str, int],
) -> tuple[list[Finding], dict[str, str]]:
    """The findings at the level that is asked for, and what is asked and was found, by check."""
    judged, gate = list(findings), {}
    for check, asked in quality.items():
        touched = sum(finding.count for finding in findings if finding.check == check)
        of = examined.get(check, rows)
        level: str | None = None
        if not isinstance(asked, str):
            wanted = f"at most {asked:.4g} of the rows"
            level = "error" if of and touched / of > asked else None
        else:
            wanted = asked
            level = asked if asked != "off" else None
        judged = [f.model_copy(update={"level": level}) if level and f.check == check else f for f in judged]
        gate[check] = asked if asked == "off" else f"{wanted}: {_found(checks[check], touched, of)}"
    return judged, gate


def _found(state: str, touched: int, rows: int) -> str:
    if state != "found":
        return state
    share = f" ({min(touched / rows, 1):.2%})" if rows else ""
    return f"found in {counted(touched, 'row')} of {rows:,}{share}"
