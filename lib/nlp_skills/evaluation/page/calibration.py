"""Whether the model is right as often as it is sure: a dot for each group of answers of like confidence."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.errors import counted
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.results import CalibrationBin
from nlp_skills.page.charts import percent, picture, text_at, tick_anchor, vertical
from nlp_skills.page.markup import Html, element, number
from nlp_skills.page.parts import absent, figure, lead, section, table

TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
HEIGHT = 220.0


def calibration_section(evidence: Evidence) -> Html | None:
    """The plot, in words, and as a table; None for a task without labels, whose answers have no confidence."""
    result = evidence.latest.result
    if result is None or not result.calibration:
        if not evidence.task.type.has_labels:
            return None
        return section("calibration", "Calibration", absent(_why_none(evidence)))
    bins = [found for found in result.calibration if found.count]
    told = _told(bins)
    error = result.metrics.get("expected_calibration_error")
    if error is not None:
        told += f" Expected calibration error: {error.value:.3f} ({error.low:.3f} to {error.high:.3f})."
    grid = table(
        ["How sure", "Right", "Rows"],
        [[f"{b.confidence:.3f}", f"{b.right:.3f}", f"{b.count:,}"] for b in bins],
        numbers=True,
    )
    return section(
        "calibration",
        "Calibration",
        lead(
            "Left to right: how sure the model was. Upwards: how often it was right. On the dashed line it is right as "
            "often as it is sure; below, it is too sure. The larger a dot, the more rows."
        ),
        figure(calibration_chart(bins, alternative=f"Calibration plot. {told}"), table=grid),
        lead(told),
    )


def _why_none(evidence: Evidence) -> str:
    result = evidence.latest.result
    if result is None:
        return f"{evidence.latest.version} has not been evaluated yet."
    return result.not_measured.get(
        "calibration",
        "How sure the model was is not known: no labels were scored, or these results are older.",
    )


def _told(bins: Sequence[CalibrationBin]) -> str:
    rows = sum(b.count for b in bins)
    sure = sum(b.count * b.confidence for b in bins) / rows
    right = sum(b.count * b.right for b in bins) / rows
    gap = sure - right
    side = "too sure" if gap > 0 else "not sure enough"
    verdict = "as sure as it is right" if abs(gap) < 0.02 else f"{side} by {abs(gap):.3f}"
    return f"On average it is {sure:.3f} sure and {right:.3f} right, on {counted(rows, 'row')}: {verdict}."


def calibration_chart(bins: Sequence[CalibrationBin], *, alternative: str) -> Html:
    """Confidence to the right, share of right answers upwards; both from 0 to 1."""
    most = max((b.count for b in bins), default=1)
    parts = [vertical(percent(t, TICKS), 0, HEIGHT, "grid") for t in TICKS]
    parts += [element("line", x1="0", x2="100%", y1=_down(t), y2=_down(t), class_="grid") for t in TICKS]
    parts += [text_at("0", _down(t) + 4, f"{t:g}", "tick", "end", dx=-8) for t in TICKS]
    parts += [text_at(percent(t, TICKS), HEIGHT + 18, f"{t:g}", "tick", tick_anchor(t, TICKS)) for t in TICKS]
    parts.append(element("line", x1="0", y1=HEIGHT, x2="100%", y2="0", class_="ideal"))
    for b in bins:
        x = percent(b.confidence, TICKS)
        parts.append(element("line", x1=x, x2=x, y1=_down(b.confidence), y2=_down(b.right), class_="miss"))
        radius = 3.5 + 6.5 * (b.count / most) ** 0.5
        parts.append(element("circle", cx=x, cy=_down(b.right), r=radius, class_="dot evaluation"))
    return picture(parts, HEIGHT + 26, alternative, "chart with-axis")


def _down(share: float) -> float:
    return float(number(HEIGHT * (1 - share)))
