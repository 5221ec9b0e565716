"""What a judge said of a version's answers, and how far it can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from nlp_skills.evaluation.figures import show_interval, show_value
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.judging import Judgement
    from nlp_skills.evaluation.metrics.agreement import JudgeAgreement


def judgement(found: Judgement) -> RenderableType:
    """The score with its interval first, then what it is worth."""
    if found.would is not None:
        return Text(found.would)
    shown = table("", "")
    shown.show_header = False
    for name, value in (
        ("judge", found.judge),
        ("judged", f"{found.count} " + ("answers" if found.agreement is None else "pairs")),
        (_score_name(found), _score(found)),
        ("without a verdict", str(found.unread) if found.unread else ""),
        *(_agreement(found.agreement) if found.agreement else ()),
        ("replies", found.file or ""),
    ):
        if value:
            shown.add_row(Text(name, style="bold"), value)
    return shown


def _score_name(found: Judgement) -> str:
    return f"{found.version} wins against {found.against}" if found.against else "judge_score"


def _score(found: Judgement) -> str:
    score = found.score
    if score is None:
        return "" if found.agreement and found.agreement.people else "cannot tell: the judge gave no verdict"
    return show_interval(score)


def _agreement(found: JudgeAgreement) -> tuple[tuple[str, str], ...]:
    same = "cannot tell" if found.consistency is None else f"{found.consistency:.1%} of the pairs"
    kappa = "" if found.kappa is None else f", Cohen's kappa {show_value(found.kappa, '.2f')}"
    people = "" if found.agreement is None else f"{found.agreement:.1%} of {found.people} pairs{kappa}"
    return (
        ("same in both orders", same),
        ("the first won both times", str(found.first)),
        ("the last won both times", str(found.second)),
        ("as people say", people),
    )
