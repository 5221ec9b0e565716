"""The `bfcl-eval` package (Apache 2.0): its data and API classes, fetched once into the cache and never installed.

    <cache>/bfcl/2026.3.23/bfcl_eval/data/BFCL_v4_simple_python.json …

Its own dependencies (vLLM, faiss, pinned numpy) are left out. The wheel's hash is checked by the installer; the
folder appears whole or not at all, and is read offline from then on.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from nlp_skills.base_model import cache_folder
from nlp_skills.errors import NotReady, clip
from nlp_skills.records import Progress, silent, sync_folder

VERSION = "2026.3.23"
WHEEL_SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
REQUIREMENT = f"bfcl-eval=={VERSION} --hash=sha256:{WHEEL_SHA256}"


def bfcl_folder() -> Path:
    """Where the package lies once it is fetched: the folder that holds `bfcl_eval`."""
    return cache_folder() / "bfcl" / VERSION


def is_fetched() -> bool:
    """Whether the package is on this machine."""
    return (bfcl_folder() / "bfcl_eval" / "data").is_dir()


def bfcl_package(progress: Progress = silent) -> Path:
    """The folder of the package, fetched now if it is not there (1.9 MB).

    Raises NotReady with the command where no package index can be reached.
    """
    if not is_fetched():
        progress(f"fetching the BFCL data (bfcl-eval {VERSION}, 1.9 MB)", 0, None)
        _fetch(bfcl_folder())
    return bfcl_folder()


def _fetch(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        requirement = staging / "requirement.txt"
        requirement.write_text(f"{REQUIREMENT}\n", encoding="utf-8")
        whole = staging / "package"
        command = [*_installer(), "--target", str(whole), "--no-deps", "--require-hashes", "-r"]
        try:
            ran = subprocess.run(
                [*command, str(requirement)],
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise NotReady(_not_here(str(error))) from None
        if ran.returncode != 0 or not (whole / "bfcl_eval" / "data").is_dir():
            lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
            raise NotReady(_not_here(clip(" ".join(lines[-3:]), 300) or "the installer said nothing"))
        try:
            whole.rename(folder)
        except OSError:
            if not is_fetched():
                raise
            # Another process fetched it at the same time: its copy is as good.
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _installer() -> list[str]:
    """uv where it is, else this environment's pip."""
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable, "--only-binary", ":all:"]
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary", ":all:"]
    raise NotReady(_not_here("neither uv nor pip is on this machine"))


def _not_here(reason: str) -> str:
    return (
        f"The BFCL data (bfcl-eval {VERSION}, Apache 2.0, 1.9 MB) are not on this machine and could not be fetched:"
        f" {reason} Fetch them once where a package index can be reached, and copy the folder:"
        f' uv pip install --no-deps --target "{bfcl_folder()}" bfcl-eval=={VERSION}'
    )
