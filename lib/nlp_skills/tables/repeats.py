"""What is trained again to know how far to trust it: the folds of a cross-validation, a version from its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import clip
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.cross_validate import CrossValidation
    from nlp_skills.training.reproduce import Reproduction


def cross_validation(found: CrossValidation) -> RenderableType:
    """The folds below each other, then mean and spread."""
    if not found.results:
        return Text(found.message)
    metrics = [name for name in found.spread if name != "loss"]
    heads = ("trained on", "held out", "loss", *metrics)
    rows = table("fold", *heads, right=heads)
    for result in found.results:
        values = [f"{result.metrics[name]:.4f}" for name in metrics]
        rows.add_row(
            str(result.fold), str(result.train_rows), str(result.held_out_rows), f"{result.loss:.4f}", *values
        )
    for name, told in (("mean", "mean"), ("standard deviation", "deviation")):
        values = [f"{getattr(found.spread[figure], told):.4f}" for figure in ("loss", *metrics)]
        rows.add_row(Text(name, style="bold"), "", "", *values)
    return Group(rows, Text(), Text(found.message))


def reproduction(found: Reproduction) -> RenderableType:
    """What differs, with both values; otherwise how much was compared."""
    parts: list[RenderableType] = [Text(found.message, style="bold green" if found.passed else "bold yellow")]
    if found.different:
        rows = table("differs", "recorded", "made again")
        for difference in found.different:
            rows.add_row(difference.what, clip(difference.recorded, 40), clip(difference.reproduced, 40))
        parts.append(rows)
    parts.append(Text(f"The same: {', '.join(found.same)}"))
    parts.append(Text(f"All of it: {found.folder}/reproduction.json"))
    return Group(*parts)
