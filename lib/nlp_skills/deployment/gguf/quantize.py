"""K-quants (q4_k_m and its kin) by llama.cpp's own program `llama-quantize`, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from nlp_skills.errors import NotReady, RunFailed, clip
from nlp_skills.training.environment import free_cores

K_QUANTS = (
    "q2_k",
    "q3_k_s",
    "q3_k_m",
    "q3_k_l",
    "q4_k_s",
    "q4_k_m",
    "q5_k_s",
    "q5_k_m",
    "q6_k",
)

INSTALL = {
    "win32": "winget install llama.cpp",
    "darwin": "brew install llama.cpp",
    "linux": "brew install llama.cpp (or, with conda: conda install -c conda-forge llama.cpp; with Nix: nix profile install nixpkgs#llama-cpp)",
}
"""As llama.cpp's docs/install.md has them."""


def llama_quantize() -> str:
    """The program. Raises NotReady with the line that installs it on this system."""
    program = shutil.which("llama-quantize")
    if program is None:
        line = INSTALL.get(sys.platform, INSTALL["linux"])
        raise NotReady(
            "K-quants are made by llama.cpp's program llama-quantize, which is not on this machine's PATH. Install it"
            f" with: {line}. Without it there are f32, f16, bf16 and q8_0."
        )
    return program


def quantize(program: str, source: Path, file: Path, quantization: str) -> None:
    """Write `file` from an unquantised GGUF file. Raises RunFailed."""
    ran = subprocess.run(
        [program, str(source), str(file), quantization.upper(), str(free_cores())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if ran.returncode != 0 or not file.is_file():
        lines = [line.strip() for line in f"{ran.stdout}\n{ran.stderr}".splitlines() if line.strip()]
        raise RunFailed(
            f"llama-quantize could not make {quantization} of {source.name}:"
            f" {clip(' '.join(lines[-3:]), 400) or 'it said nothing'}"
        )
