"""What people say of a model, in English, Chinese or Japanese, and the causes that are looked at first for it."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files

import yaml

from nlp_skills.records import Record


class Symptom(Record):
    """One entry of symptoms.yaml."""

    id: str
    words: list[str]
    causes: list[str]


@cache
def known_symptoms() -> list[Symptom]:
    """The symptoms in the order of the file."""
    text = files("nlp_skills.evaluation.diagnosis").joinpath("symptoms.yaml").read_text(encoding="utf-8")
    return [Symptom.parse(entry, "diagnosis/symptoms.yaml") for entry in yaml.safe_load(text)]


def understand(said: str) -> Symptom | None:
    """The symptom whose words were said; of several the one with the longest words. None where none is meant."""
    text = _folded(said)
    heard = [
        (len(word), -place, symptom)
        for place, symptom in enumerate(known_symptoms())
        for word in symptom.words
        if _pattern(word).search(text)
    ]
    return max(heard, key=lambda found: found[:2])[2] if heard else None


@cache
def _pattern(words: str) -> re.Pattern[str]:
    """Words in this order with up to three others between two of them; a word may go on (memoris-e)."""
    parts = [re.escape(part) for part in _folded(words).split()]
    begins = r"\b" if parts[0].isascii() else ""
    return re.compile(begins + r"(?:\W+\w+){0,3}?\W+".join(parts))


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
