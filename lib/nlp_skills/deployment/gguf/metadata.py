"""What a GGUF file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_skills.errors import MissingExtra, NotValid


def read_metadata(file: Path, *names: str) -> dict[str, Any]:
    """Its key-value pairs (`general.architecture`, `tokenizer.ggml.tokens` …), or those of `names`; no weights are read.

    Raises MissingExtra, or NotValid for what is no GGUF file.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingExtra("Reading a GGUF file", "train") from None
    try:
        fields = GGUFReader(file).fields
    except (ValueError, IndexError, OSError) as error:
        raise NotValid(f"{file} is no GGUF file that can be read: {error}") from None
    return {name: fields[name].contents() for name in names or fields if name in fields}
