"""Under which terms a tuned model can be handed on: those of its base model, and those of its data.

base model ──▶ licence ─┐
                        ├─▶ the card's `license`, what has to be said, and what nobody has said
Hub datasets ─▶ licence ┘

A licence is read where the work itself states it: in a GGUF file, in a folder's README.md, or on the Hub. What
is not stated is unknown, and unknown is never called open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from nlp_skills.deployment.gguf.metadata import read_metadata
from nlp_skills.deployment.publishing.origin import PACKAGED, Origin
from nlp_skills.errors import MissingExtra, NotValid

UNKNOWN = "unknown"
"""The Hub's own word for it."""


class Licence(NamedTuple):
    """One work's terms. `id` is one of https://huggingface.co/docs/hub/repositories-licenses."""

    id: str = UNKNOWN
    name: str | None = None
    """Of an own licence (`id` other)."""
    link: str | None = None

    @property
    def shown(self) -> str:
        """As people read it."""
        if self.id == UNKNOWN:
            return "not stated"
        label = self.name or (TERMS[self.id].name if self.id in TERMS else self.id)
        link = self.link or (TERMS[self.id].link if self.id in TERMS else None)
        return f"[{label}]({link})" if link else label


class Terms(NamedTuple):
    """A licence that asks something of those who hand on a tuned model."""

    name: str
    link: str
    notice: str
    """The line that a file NOTICE has to hold."""
    asks: str
    name_begins: str | None = None
    """What the tuned model's name has to begin with."""
    shown: str | None = None
    """What the page has to show."""


_META = "Copyright © Meta Platforms, Inc. All Rights Reserved."
_AGREEMENT = (
    "pass a copy of the agreement on with the model, keep the notice, and hold to its acceptable use policy"
)


def _llama(version: str, link: str, *, built: str = "Built with Llama", begins: str = "Llama") -> Terms:
    name = f"Llama {version} Community License Agreement"
    notice = f"Llama {version} is licensed under the Llama {version} Community License, {_META}"
    asks = f'{_AGREEMENT}; show "{built}", and begin the model\'s name with "{begins}"'
    return Terms(name, link, notice, asks, begins, built)


TERMS: dict[str, Terms] = {
    "gemma": Terms(
        "Gemma Terms of Use",
        "https://ai.google.dev/gemma/terms",
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
        "pass a copy of the terms on with the model, keep the notice, say which files were changed, and hold to the"
        " prohibited use policy, which binds those who get the model too",
    ),
    "llama2": Terms(
        "Llama 2 Community License Agreement",
        "https://ai.meta.com/llama/license/",
        "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms, Inc. All Rights Reserved.",
        f"{_AGREEMENT}; what it answers may not be used to improve other language models",
    ),
    "llama3": _llama(
        "3", "https://www.llama.com/llama3/license/", built="Built with Meta Llama 3", begins="Llama 3"
    )._replace(notice=f"Meta Llama 3 is licensed under the Meta Llama 3 Community License, {_META}"),
    "llama3.1": _llama("3.1", "https://www.llama.com/llama3_1/license/"),
    "llama3.2": _llama("3.2", "https://www.llama.com/llama3_2/license/"),
    "llama3.3": _llama("3.3", "https://www.llama.com/llama3_3/license/"),
}
"""Terms of models that are no open licence; sections 1.b of Meta's agreements, 3.1 of Google's terms."""

_ASKS_NOTHING_OF_MODELS = {
    *("apache-2.0", "mit", "isc", "unlicense", "wtfpl", "zlib", "ncsa", "postgresql", "bsl-1.0", "bsd"),
    *("bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "cc0-1.0", "pddl", "odc-by", "etalab-2.0"),
    *("cdla-permissive-1.0", "cdla-permissive-2.0"),
    *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
}
"""Licences of data that ask for attribution at most; the card names every data set."""


class Licensing(NamedTuple):
    """What the card says of licences."""

    license: str
    license_name: str | None
    license_link: str | None
    base: Licence
    data: dict[str, Licence]
    """Hub dataset → its licence."""

    @property
    def terms(self) -> Terms | None:
        """What the base model's licence asks for, where it is no open one."""
        return TERMS.get(self.base.id)


def carry_licences(base: Licence, data: dict[str, Licence]) -> Licensing:
    """The licence of a model tuned from `base` on `data`.

    The base model's, unless that is unknown, or a data set asks for more than attribution (not commercial, share alike,
    no derivatives, own terms) or does not say: then `other`, and the card lists who asks for what.
    """
    asking = sorted({found.id for found in data.values()} - _ASKS_NOTHING_OF_MODELS - {base.id})
    if base.id == UNKNOWN:
        return Licensing(UNKNOWN, None, None, base, data)
    if not asking:
        return Licensing(base.id, base.name, base.link, base, data)
    name = "-and-".join([base.name or base.id, *asking])
    return Licensing("other", name, "LICENSE.md", base, data)


def base_licence(origin: Origin, ask_hub: Callable[[str, str | None], Any] | None) -> Licence:
    """Of the base model: from its file or folder on this machine, else from its card on the Hub.

    `ask_hub(id, revision)` gives the card's metadata or None; without it nobody is asked.
    """
    path = Path(origin.reference).expanduser()
    found = Licence()
    if origin.reference in PACKAGED:
        return Licence(PACKAGED[origin.reference].licence)
    if path.suffix == ".gguf" and path.is_file():
        found = _of_gguf(path)
    elif (path / "README.md").is_file():
        found = _of_card(_card(path / "README.md"), None)
    if found.id == UNKNOWN and origin.hub_id and ask_hub is not None:
        found = _of_card(ask_hub(origin.hub_id, origin.revision), f"https://huggingface.co/{origin.hub_id}")
    return found


def dataset_licences(
    datasets: Iterable[tuple[str, str | None]], ask_hub: Callable[[str, str | None], Any] | None
) -> dict[str, Licence]:
    """Of Hub datasets, each at its revision."""
    found = {}
    for name, revision in datasets:
        card = ask_hub(name, revision) if ask_hub is not None else None
        found[name] = _of_card(card, f"https://huggingface.co/datasets/{name}")
    return found


def _of_card(data: Any, page: str | None) -> Licence:
    """From a card's metadata; several licences are one that has to be looked up on its page."""
    if data is None:
        return Licence()
    stated = data.get("license")
    if isinstance(stated, list):
        stated = stated[0] if len(stated) == 1 else "other" if stated else None
    if not isinstance(stated, str) or not stated:
        return Licence()
    link = data.get("license_link")
    if isinstance(link, str) and not link.startswith("http"):  # a file of the repository
        link = f"{page}/blob/main/{link}" if page else None
    return Licence(stated.lower(), data.get("license_name"), link or (page if stated == "other" else None))


def _card(file: Path) -> Any:
    from huggingface_hub import ModelCard

    try:
        return ModelCard.load(file, ignore_metadata_errors=True).data
    except ValueError:  # a README without metadata, or one that cannot be read
        return None


def _of_gguf(file: Path) -> Licence:
    """`general.license`, `general.license.name`, `general.license.link` of the file's own metadata."""
    keys = ("general.license", "general.license.name", "general.license.link")
    try:
        said = read_metadata(file, *keys)
    except (MissingExtra, NotValid):  # nobody can read what it states
        return Licence()
    stated, name, link = map(said.get, keys)
    return Licence(str(stated).lower(), name, link) if stated else Licence()
