"""What an Ollama keeps: blobs by digest, and models that are layers of them. Files below a folder, as there.

A model is named `owner/name:tag` with Ollama's defaults (types/model/name.go); two names may be one model.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gguf_header import FILE_TYPES, Header, NoGguf, read_header

_NAME = re.compile(r"(?:[\w][\w.:-]*/)?(?:[\w][\w-]*/)?[\w][\w.-]{0,79}(?::[\w][\w.-]{0,79})?", re.ASCII)


class Refused(Exception):
    """An error as Ollama answers it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def full_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Refused(400, "invalid model name")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


@dataclass(frozen=True)
class Stored:
    """The manifest of a model."""

    weights: str
    adapters: list[str] = field(default_factory=list)
    template: str | None = None
    system: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    license: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class Store:
    """`convert` makes a GGUF file of a folder with safetensors; Ollama has a converter of its own for that."""

    def __init__(self, folder: Path, convert: Callable[[Path], Path] | None = None) -> None:
        self.blobs = folder / "blobs"
        self.blobs.mkdir(parents=True)
        self.models: dict[str, Stored] = {}
        self.modified: dict[str, str] = {}
        self.convert = convert

    def path(self, digest: str) -> Path:
        if not re.fullmatch(r"sha256[:-][0-9a-f]{64}", digest):
            raise Refused(400, "invalid digest format")
        return self.blobs / digest.replace(":", "-")

    def add_blob(self, digest: str, read: Callable[[], Iterator[bytes]]) -> int:
        """201 for a new one, 200 for one that is there; the bytes have to be those of the digest."""
        target = self.path(digest)
        found = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self.blobs, delete=False) as temporary:
            for piece in read():
                found.update(piece)
                temporary.write(piece)
        if target.is_file() or digest != f"sha256:{found.hexdigest()}":
            Path(temporary.name).unlink()
            if target.is_file():
                return 200
            raise Refused(400, f'digest mismatch, expected "{digest}", got "sha256:{found.hexdigest()}"')
        Path(temporary.name).replace(target)
        return 201

    def keep(self, source: Path) -> str:
        """A file as a blob, without its bytes where the file system can."""
        with source.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        target = self.path(digest)
        if not target.is_file():
            try:
                target.hardlink_to(source)
            except OSError:
                shutil.copy2(source, target)
        return digest

    def find(self, name: str) -> tuple[str, Stored]:
        """Raises Refused 404; case does not count."""
        wanted = full_name(name)
        for known, stored in self.models.items():
            if known.lower() == wanted.lower():
                return known, stored
        raise Refused(404, f"model '{name}' not found")

    def put(self, name: str, stored: Stored) -> None:
        known = next((k for k in self.models if k.lower() == full_name(name).lower()), full_name(name))
        self.models[known] = stored
        self.modified[known] = datetime.now(UTC).isoformat()

    def remove(self, name: str) -> None:
        known, _ = self.find(name)
        del self.models[known], self.modified[known]
        kept = {digest for stored in self.models.values() for digest in (stored.weights, *stored.adapters)}
        for blob in self.blobs.iterdir():
            if blob.name.replace("-", ":", 1) not in kept:
                blob.unlink()

    def header(self, stored: Stored) -> Header:
        return read_header(self.path(stored.weights))

    def size(self, stored: Stored) -> int:
        return sum(self.path(digest).stat().st_size for digest in (stored.weights, *stored.adapters))

    def details(self, stored: Stored) -> dict[str, Any]:
        header = self.header(stored)
        family = header.keys["general.architecture"]
        return {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": f"{header.parameters / 1e6:.2f}M",
            "quantization_level": FILE_TYPES.get(header.keys.get("general.file_type", -1), "unknown"),
        }

    def weights_of(self, files: dict[str, str]) -> str:
        """The blob that the files of a create request become: the GGUF file itself, or what is made of a folder."""
        if not files:
            raise Refused(400, "no files provided to convert")
        for name, digest in files.items():
            if name.startswith("/") or ".." in name.split("/"):
                raise Refused(400, "file path must be relative")
            if not self.path(digest).is_file():
                raise Refused(500, f"open {self.path(digest)}: no such file or directory")
        if any(name.endswith(".safetensors") for name in files):
            return self._converted(files)
        (digest,) = files.values()
        try:
            read_header(self.path(digest))
        except NoGguf:
            raise Refused(400, "supplied file was not in GGUF format") from None
        return digest

    def _converted(self, files: dict[str, str]) -> str:
        if self.convert is None:
            raise Refused(500, "this stand-in converts no safetensors")
        folder = Path(tempfile.mkdtemp(dir=self.blobs.parent))
        for name, digest in files.items():
            shutil.copy2(self.path(digest), folder / name)
        return self.keep(self.convert(folder))
