"""A wheel of the package that runs at this moment: the other machine gets the very same code, released or not.

A wheel is a zip file with the metadata that pip has written when this package was installed (PEP 427).
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

import nlp_skills

_WHEEL = "Wheel-Version: 1.0\nGenerator: nlp-skills\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_LONG_AGO = (2020, 1, 1, 0, 0, 0)
"""Equal code gives equal bytes."""


def build_wheel() -> tuple[str, bytes]:
    """Its file name and its bytes."""
    version = metadata.version("nlp-skills")
    package = Path(nlp_skills.__file__).parent
    files = {f"nlp_skills/{name}": path.read_bytes() for name, path in _sources(package).items()}
    info = f"nlp_skills-{version}.dist-info"
    files[f"{info}/METADATA"] = (metadata.distribution("nlp-skills").read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[record] = "".join(f"{line}\n" for line in [*lines, f"{record},,"]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name, _LONG_AGO), data, zipfile.ZIP_DEFLATED)
    return f"nlp_skills-{version}-py3-none-any.whl", made.getvalue()


def _sources(package: Path) -> dict[str, Path]:
    found = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(package).as_posix(): path for path in found}


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
