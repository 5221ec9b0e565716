"""What was made of a version: one file of it, or all of them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import sized
from nlp_skills.evaluation.figures import show_value
from nlp_skills.tables.grid import filled, table

if TYPE_CHECKING:
    from nlp_skills.deployment.artefacts import ArtefactList, HeldOutScore
    from nlp_skills.training.model_info import ModelInfo

EVALUATED = ("adapter", "merged", "gguf")
"""What evaluate-version can load."""

SAID = {True: "passed", False: "failed", None: "not measured"}


def model(found: ModelInfo) -> RenderableType:
    """Where it is, and what was checked."""
    shown = table("", "")
    shown.show_header = False
    kind = f"{found.format}, {found.quantization}" if found.quantization else found.format
    for name, value in (
        ("model", f"{found.path} ({kind})"),
        ("size", sized(found.size_bytes) if found.size_bytes else ""),
        ("base model", found.base_model),
        ("SHA-256", found.sha256),
        *((check.id, f"{SAID[check.passed]}: {check.message}") for check in found.checks),
    ):
        if value:
            shown.add_row(Text(name, style="bold"), value)
    return shown


def artefacts(found: ArtefactList) -> RenderableType:
    """One a line; below them how those without a test result get one."""
    rows = [
        {
            "what": one.name,
            "path": one.path if one.there else f"{one.path} (is not there)",
            "size": sized(one.size_bytes) if one.size_bytes else "",
            "checks": ", ".join(f"{name} {SAID[passed]}" for name, passed in one.checks.items()),
            "test": _test(one.test),
        }
        for one in found.artefacts
    ]
    untested = next(
        (one for one in found.artefacts if one.test is None and one.there and one.format in EVALUATED), None
    )
    parts: list[RenderableType] = [
        Text(f"{found.task} {found.version}"),
        filled(rows, right=("size",), whole=("what", "path", "size")),
    ]
    if untested is not None:
        named = "" if untested is found.artefacts[0] else f" --model {untested.path}"
        told = f"nlp-skills evaluate-version {found.task} --version {found.version}{named}"
        parts += [Text(), Text(f"How good {untested.name} is on the test rows says: {told}")]
    return Group(*parts)


def _test(found: HeldOutScore | None) -> str:
    if found is None:
        return ""
    return f"{found.metric} {show_value(found.value)} [{show_value(found.low)}, {show_value(found.high)}]"
