"""Files on their way: a tar stream with a manifest of SHA-256 in front, unpacked beside and moved into place when all is right.

manifest.json  {"data/train.jsonl": "…sha256…", …}
data/train.jsonl …
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from nlp_skills.errors import RunFailed
from nlp_skills.records import sha256_file

Contents: TypeAlias = Mapping[str, Path | bytes]
"""Path in the folder there → file here, or its bytes."""
MANIFEST = "manifest.json"
STAGING = ".parcel.tmp"


def manifest(contents: Contents) -> dict[str, str]:
    """Path → SHA-256 in hex."""
    return {
        name: hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else sha256_file(data)
        for name, data in contents.items()
    }


def files_below(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Every file of a folder by its path, hidden ones left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            found[prefix + "/".join(parts)] = path
    return found


def pack(contents: Contents, stream: IO[bytes]) -> None:
    """Write the parcel."""
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        _add(tar, MANIFEST, json.dumps(manifest(contents)).encode())
        for name, data in contents.items():
            if isinstance(data, bytes):
                _add(tar, name, data)
            else:
                tar.add(data, arcname=name, recursive=False)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def unpack(stream: IO[bytes], folder: Path) -> dict[str, str]:
    """Read a parcel into a folder and return its manifest; nothing there is touched unless every file has come whole.

    Raises RunFailed naming what is missing or damaged.
    """
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for entry in tar:
                    _extract(tar, entry, staging)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise RunFailed(f"The files did not come through ({error}). Try again.") from None
        expected = _expected(staging)
        wrong = [name for name, digest in expected.items() if not _is(staging / name, digest)]
        if wrong:
            raise RunFailed(f"These files did not come through whole: {', '.join(wrong)}. Try again.")
        for name in expected:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(target)
        return expected
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, staging: Path) -> None:
    """A plain file below the folder, and nothing else (Pythons before 3.11.4 have no filters of their own)."""
    place = PurePosixPath(entry.name)
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None or place.is_absolute() or ".." in place.parts:
        raise RunFailed(f"The files that came hold {entry.name!r}, which is not one of ours.")
    target = staging / place
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file)


def _expected(staging: Path) -> dict[str, str]:
    file = staging / MANIFEST
    if not file.is_file():
        raise RunFailed("The files did not come through: nothing arrived. Try again.")
    return json.loads(file.read_bytes())


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256_file(file) == digest


def differing(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """The paths of a manifest that the folder lacks, or has otherwise."""
    return [name for name, digest in wanted.items() if not _is(folder / name, digest)]


def chosen(contents: Contents, names: Iterable[str]) -> Contents:
    """Some of the contents."""
    return {name: contents[name] for name in names}
