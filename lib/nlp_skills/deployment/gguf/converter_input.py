"""The folder that the converter reads: the whole model, with the base model's own tokenizer files where it has others.

transformers saves a tokenizer as tokenizer.json. For Gemma, Phi-3 and early Llama and Mistral models the converter reads
tokenizer.model instead, and makes something else of tokenizer.json or refuses it (P16). Where the training has left the
vocabulary as it was, the base model's files say the same and are put there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, load_tokenizer, resolve_base_model
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.version_model import original_model

SENTENCEPIECE = "tokenizer.model"
BESIDE_IT = ("tokenizer_config.json", "added_tokens.json", "special_tokens_map.json")
"""What the converter reads of a SentencePiece tokenizer beside the model itself."""


@contextmanager
def converter_input(task: Path, version: str, folder: Path, other: Path) -> Iterator[Path]:
    """`folder` itself, or for as long as it is needed `other`, which links to its files and has the base's tokenizer."""
    own = {} if (folder / SENTENCEPIECE).is_file() else _base_files(task, version, folder)
    if SENTENCEPIECE not in own:
        yield folder
        return
    other.mkdir()
    try:
        for file in folder.iterdir():
            if file.is_file() and file.name not in own:
                _link(file, other / file.name)
        for name, file in own.items():
            shutil.copyfile(file, other / name)
        yield other
    finally:
        shutil.rmtree(other, ignore_errors=True)


def _base_files(task: Path, version: str, folder: Path) -> dict[str, Path]:
    """The base model's files by name, where it has a SentencePiece model and its vocabulary is still the same."""
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    base = resolve_base_model(*original_model(task, config.base_model, config.base_revision))
    file = _file(base, SENTENCEPIECE)
    if file is None or _vocabulary(base) != _vocabulary(BaseModelFiles(name=folder.name, path=str(folder))):
        return {}
    beside = ((name, _file(base, name)) for name in BESIDE_IT)
    return {SENTENCEPIECE: file, **{name: found for name, found in beside if found}}


def _file(base: BaseModelFiles, name: str) -> Path | None:
    """From the folder, from the Hub's cache, or fetched; None where the base model has none."""
    from transformers.utils.hub import cached_file

    found: Any = cached_file(
        base.path,
        name,
        revision=base.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None


def _vocabulary(files: BaseModelFiles) -> dict[str, int]:
    return load_tokenizer(files, chat=False).get_vocab()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one that has no links
        shutil.copyfile(source, target)
