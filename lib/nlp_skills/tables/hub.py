"""What was published on the Hugging Face Hub, or what would be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.deployment.hub import HubUpload

THERE = {
    "new": "is made",
    "private": "is there and private",
    "public": "is there and public",
    "unknown": "could not be looked up",
}


def upload(found: HubUpload) -> RenderableType:
    """Where to, the files, what to know, what stands against it."""
    version = f"{found.task} {found.version}, {found.what}" if found.version else found.task
    repository = f"{found.repo_id} {THERE[found.repository]}" if not found.uploaded else found.repo_id
    lines: list[RenderableType] = [Text(f"{version} → {repository} ({found.visibility})")]
    if found.license:
        lines.append(Text(f"license: {found.license}"))
    if found.files:
        files = table("file", "bytes", right=("bytes",))
        for file in found.files:
            files.add_row(file.name, f"{file.bytes:,}")
        lines += ["", files]
    lines += [Text(f"removed there: {name}") for name in found.removed]
    lines += ["", *(Text(f"• {note}") for note in found.notes)] if found.notes else []
    lines += ["", *(Text(f"✗ {reason}", style="red") for reason in found.blocked)] if found.blocked else []
    lines += ["", Text(f"Uploaded: {found.url}", style="bold green")] if found.uploaded else [""]
    return Group(*lines, Text(found.next))
