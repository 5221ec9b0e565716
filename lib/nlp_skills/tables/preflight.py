"""A preflight as people read it: what the loss will see, what one step took, what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import counted

if TYPE_CHECKING:
    from nlp_skills.data.report import Finding
    from nlp_skills.training.preflight.check import PreflightReport
    from nlp_skills.training.preflight.dry_step import DryStep
    from nlp_skills.training.preflight.row_faults import RowFacts

STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def preflight(found: PreflightReport) -> RenderableType:
    """The verdict first."""
    verdict = Text(f"{found.version} can be trained", style="bold green")
    if not found.passed:
        verdict = Text(f"{found.version} cannot be trained as it is", style="bold red")
    parts: list[RenderableType] = [verdict]
    parts += _rows(found.rows) if found.rows else []
    if found.trainable_parameters and found.total_parameters:
        share = found.trainable_parameters / found.total_parameters
        parts.append(
            Text(
                f"Trained: {found.trainable_parameters:,} of {found.total_parameters:,} parameters ({share:.2%})"
            )
        )
    parts += _step(found.step) if found.step else []
    parts += [_finding(finding) for finding in found.findings]
    if found.adjusted:
        made = ", ".join(f"{name} {value}" for name, value in found.adjusted.items())
        parts.append(Text(f"Made smaller by an earlier run: {made}"))
    return Group(*parts)


def _rows(rows: RowFacts) -> list[RenderableType]:
    longest = f"; the longest row has {rows.longest.longest:,}" if rows.longest else ""
    share = rows.trained / max(1, rows.tokens)
    return [
        Text(f"Rows: {rows.rows:,} with {counted(rows.tokens, 'token')}{longest}"),
        Text(f"Mask: {rows.trained:,} tokens are trained ({share:.1%})"),
        Text(
            f"EOS: {rows.ended:,} of {rows.answers:,} answers end with a trained end token; BOS: at most {rows.most_bos}"
        ),
    ]


def _step(step: DryStep) -> list[RenderableType]:
    where = "GPU memory" if step.peak_gpu_memory_mb else "memory"
    memory = step.peak_gpu_memory_mb or step.peak_memory_mb
    looked = "" if step.eval_loss is None else f", validation loss {step.eval_loss:.3f}"
    told = (
        f"Step on the longest batch: {step.tokens:,} tokens, {step.seconds:g} s, loss {step.loss:.3f}{looked}"
    )
    return [Text(told), Text(f"Peak {where}: {memory:,.0f} MiB")]


def _finding(finding: Finding) -> RenderableType:
    text = Text(f"{finding.check} ", style=STYLES[finding.level])
    text.append(f"{finding.message} {finding.fix.rstrip('.')}.", style="default")
    for row in finding.rows:
        text.append(f"\n    {row.file}:{row.line} {row.text}", style="default")
    return text
