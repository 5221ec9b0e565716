"""The `bfcl-eval` package (Apache 2.0): its data and API classes, fetched once into the cache and never installed.

    <cache>/bfcl/2026.3.23/bfcl_eval/data/BFCL_v4_simple_python.json …

Its own dependencies (vLLM, faiss, pinned numpy) are left out.
"""

from __future__ import annotations

from pathlib import Path

from nlp_skills.fetched_package import FetchedPackage
from nlp_skills.records import Progress, silent

VERSION = "2026.3.23"
PACKAGE = FetchedPackage(
    name="bfcl-eval",
    version=VERSION,
    wheel_sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    place="bfcl",
    proof="bfcl_eval/data",
    words="The BFCL data",
    about="Apache 2.0, 1.9 MB",
)


def bfcl_folder() -> Path:
    """Where the package lies once it is fetched: the folder that holds `bfcl_eval`."""
    return PACKAGE.folder


def is_fetched() -> bool:
    """Whether the package is on this machine."""
    return PACKAGE.is_fetched


def bfcl_package(progress: Progress = silent) -> Path:
    """The folder of the package, fetched now if it is not there (1.9 MB).

    Raises NotReady with the command where no package index can be reached.
    """
    return PACKAGE.fetch(progress)
