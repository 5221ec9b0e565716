"""A model's name in Ollama: `entity-sentiment:v2`, `owner/model:tag`, `host/owner/model:tag`.

The rules are those of Ollama's types/model/name.go: parts of at most 80 characters (a host of 350), the first of them a
letter, a digit or an underscore; without a tag it is `latest`.
"""

from __future__ import annotations

import re

from nlp_skills.errors import NotValid

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_OWNER = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"
_NAME = re.compile(rf"(?:(?:{_HOST}/)?{_OWNER}/)?{_PART}(?::{_PART})?")

LATEST = "latest"


def full_name(name: str) -> str:
    """The name with its tag, as Ollama lists it: `llama3.2` is `llama3.2:latest`. Raises NotValid."""
    if not _NAME.fullmatch(name):
        raise NotValid(
            f"{name!r} is no name of a model in Ollama: letters, digits, '.', '_' and '-', with a tag behind a colon"
            " (entity-sentiment:v2) and an owner before a slash."
        )
    return name if ":" in name.rpartition("/")[2] else f"{name}:{LATEST}"


def version_name(task: str, version: str, artefact: str, usual: str) -> str:
    """`entity-sentiment:v2`; of another artefact than the usual one `entity-sentiment:v2-f16`."""
    return full_name(f"{task}:{version}" if artefact == usual else f"{task}:{version}-{artefact}")


def with_tag(name: str, tag: str) -> str:
    """The same model under another tag: `entity-sentiment:v2` and prod give `entity-sentiment:prod`. Raises NotValid."""
    return full_name(f"{full_name(name).rpartition(':')[0]}:{tag}")
