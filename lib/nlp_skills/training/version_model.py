"""A version of the same task as base model: `base_model: v1` begins where v1 ended.

models/v1/adapter  ──merged into its base model, once──▶  models/v1/merged

So a short sft version teaches the form of an answer, and dpo or grpo go on from there with an adapter of their
own; what is held on to (beta) is then v1, not the model that v1 began with.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlp_skills.base_model import (
    BaseModelFiles,
    load_tokenizer,
    require_training,
    resolve_base_model,
)
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import answer_ids
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.locks import locked
from nlp_skills.records import Progress, clear_unfinished, sha256_file, silent, sync_folder, unfinished
from nlp_skills.task.version import version_folder, version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo


def is_version(task: Path, name: str) -> bool:
    """Whether a base_model names a version of the task."""
    return name in version_names(task)


def require_trained(task: Path, version: str) -> None:
    """Raises NotReady for a version that has no model yet."""
    if not (version_folder(task, version) / "model_info.json").is_file():
        raise NotReady(
            f"base_model: {task.name} {version} has not been trained. Train it first: nlp-skills train-model"
            f" {task.name} --version {version}"
        )


def original_model(task: Path, name: str, revision: str | None = None) -> tuple[str, str | None]:
    """The base model that a version goes back to, through all the versions between, with its revision.

    Its tokenizer and its shape are the version's own; no weights are merged for them. Another base_model is what it is.
    """
    while is_version(task, name):
        config = TrainConfig.load(version_folder(task, name) / "config.yaml")
        name, revision = config.base_model, config.base_revision
    return name, revision


def resolve_model(task: Path, name: str, revision: str | None = None) -> BaseModelFiles:
    """As resolve_base_model; for a version of the task its merged weights, which are made the first time."""
    if not is_version(task, name):
        return resolve_base_model(name, revision)
    require_trained(task, name)
    folder = task / ModelInfo.load(version_folder(task, name) / "model_info.json").path
    if (folder / "adapter_config.json").is_file():
        folder = _merged(task, name, folder)
    weights = sorted(folder.glob("*.safetensors"))
    return BaseModelFiles(
        name=name, path=str(folder), weights_sha256=sha256_file(weights[0]) if len(weights) == 1 else None
    )


def _merged(task: Path, version: str, adapter: Path) -> Path:
    """The folder of the merged weights; it appears whole or not at all."""
    target = task / "models" / version / "merged"
    with merging(target) as staging:
        if not (target / "config.json").is_file():
            base = base_of(task, version)
            save_merged(load_adapted(base, adapter), base, adapter, staging)
            staging.rename(target)
            sync_folder(target.parent)
    return target


@contextmanager
def merging(target: Path, progress: Progress = silent) -> Iterator[Path]:
    """A place to merge in, for one process at a time; what a killed one left there is cleared away."""
    version = f"{target.parent.name} of {target.parent.parent.parent.name}"
    with locked(target.with_name(".merged.lock"), f"merges {version}", progress):
        clear_unfinished(target)
        staging = unfinished(target)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def base_of(task: Path, version: str) -> BaseModelFiles:
    """What a version was trained on, in the revision that its training had."""
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    trained = ModelInfo.load(version_folder(task, version) / "model_info.json")
    return resolve_model(task, config.base_model, config.base_revision or trained.base_revision)


def load_adapted(base: BaseModelFiles, adapter: Path) -> Any:
    """The base model in float32 with its adapter beside it (PEFT).

    Never in 4 bits, whatever the training used: what is merged into rounded weights is rounded itself (P12).
    """
    require_training()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    load: Any = AutoModelForCausalLM.from_pretrained
    model = load(base.path, revision=base.revision, dtype=torch.float32)
    with _without_remark():
        return PeftModel.from_pretrained(model, adapter)


def save_merged(adapted: Any, base: BaseModelFiles, adapter: Path, folder: Path) -> None:
    """Write the whole model: weights, the adapter's own tokenizer and chat template, generation config.

    The change is added in float32; the sum is saved in the type that the base model's own file has (16 bits for nearly
    every one). `adapted` is used up. What ends an answer ends it for whoever follows the generation config too.
    """
    import torch
    from transformers import AutoConfig

    kept = AutoConfig.from_pretrained(base.path, revision=base.revision).dtype or torch.float32
    tokenizer = load_tokenizer(BaseModelFiles(name=adapter.name, path=str(adapter)), chat=False)
    with _without_remark():
        try:
            whole = adapted.merge_and_unload(safe_merge=True).to(kept)
        except ValueError as error:  # weights that are no numbers
            raise NotValid(
                f"{adapter.parent.name}/{adapter.name} cannot be merged into {base.name}: {error}"
            ) from None
    if whole.generation_config is not None:
        whole.generation_config.eos_token_id = _ends(tokenizer, whole.generation_config.eos_token_id)
    whole.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _ends(tokenizer: Any, known: int | list[int] | None) -> int | list[int] | None:
    """The end tokens of a generation config, with the one that the template writes behind an answer (P02)."""
    ends = known if isinstance(known, list) else [] if known is None else [known]
    said = [Message("user", "x"), Message("assistant", "y")]
    example = Example(meta=Meta(id="x", source="x"), messages=said)
    try:
        end = answer_ids(tokenizer, example)[-1] if tokenizer.chat_template else tokenizer.eos_token_id
    except NotValid:  # a template of another kind of turns: the rows' own were trained
        end = tokenizer.eos_token_id
    return known if end is None or end in ends else [*ends, end]


@contextmanager
def _without_remark() -> Iterator[None]:
    """PEFT 0.21 asks for an attribute that transformers 5.23 calls deprecated; nobody here can mend that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
