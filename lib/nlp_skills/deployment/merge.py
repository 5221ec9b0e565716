"""A version's adapter merged into its base model, and proved to say the same.

models/v2/adapter ──base model, float32, same revision──▶ models/v2/merged/ ──EXP-MERGE──▶ models/v2/merged.json
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, load_tokenizer, require_training
from nlp_skills.data.example import Example
from nlp_skills.deployment.artefact import artefact, models_folder, record_file, trained_info
from nlp_skills.deployment.equivalence import Difference, difference, held_out_rows, look, probes
from nlp_skills.deployment.rounded_weights import rounded_to_4_bits
from nlp_skills.errors import NotReady, NotValid, RunFailed, counted
from nlp_skills.records import Progress, now, read_mapping, sha256_tree, silent, sync_folder
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelCheck, ModelInfo
from nlp_skills.training.version_model import base_of, load_adapted, merging, save_merged

MOST_KL = 1e-3
"""Nats a token, mean: rounding to bfloat16 is well below it, rounding to 8 or 4 bits above (equivalence.py)."""


def merge_version(task: Path, *, version: str | None = None, progress: Progress = silent) -> ModelInfo:
    """Merge a version's adapter into the base model that it was trained on, and write models/vN/merged/ and merged.json.

    The saved model has to say what base and adapter together say (EXP-MERGE); one that does not is refused, and nothing
    is left of it. A version that was trained without an adapter is whole already; what was merged before stays.
    Raises NotReady for a version without its weights, NotValid for one that is a GGUF file, RunFailed for a merge that
    differs.
    """
    version = version_folder(task, version).name
    trained = trained_info(task, version)
    if trained.format == "gguf":
        raise NotValid(
            f"{task.name} {version} is a GGUF file ({trained.path}); only an adapter can be merged."
        )
    if trained.format == "merged":
        return artefact(task, version, "merged")[1]
    with merging(models_folder(task, version) / "merged", progress) as staging:
        try:
            return artefact(task, version, "merged")[1]
        except NotReady:
            adapter, trained = artefact(task, version, "adapter")
            return _merge(task, version, adapter, trained, staging, progress)


def _merge(
    task: Path, version: str, adapter: Path, trained: ModelInfo, staging: Path, progress: Progress
) -> ModelInfo:
    require_training()
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    base = base_of(task, version)
    _same_base(task, version, base, trained)
    rows = held_out_rows(task)
    if not rows:
        raise NotReady(
            f"{task.name}: data/ has no rows to compare the merged model with base and adapter on. Make them with:"
            f" nlp-skills regenerate-data {task.name}"
        )
    target, record = models_folder(task, version) / "merged", record_file(task, version, "merged")
    check = _saved_and_compared(rows, config, base, adapter, staging, progress)
    if not check.passed:
        raise RunFailed(f"{task.name} {version}: {check.message} Nothing was kept.")
    record.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    sync_folder(target.parent)
    return trained.with_changes(
        path=target.relative_to(task).as_posix(),
        format="merged",
        sha256=sha256_tree(target),
        size_bytes=sum(file.stat().st_size for file in target.rglob("*") if file.is_file()),
        made_from_sha256=trained.sha256,
        created=now(),
        checks=[check.model_dump()],
        hub=None,
        ollama=None,
    ).save(record)


def _same_base(task: Path, version: str, base: BaseModelFiles, trained: ModelInfo) -> None:
    """An adapter belongs to the weights that it was trained on, to no others."""
    if trained.base_sha256 not in (None, base.weights_sha256):
        raise NotValid(
            f"{task.name} {version} was trained on {trained.base_model} with other weights (SHA-256"
            f" {str(trained.base_sha256)[:12]}…) than are there now ({str(base.weights_sha256)[:12]}…). Put the base model"
            " back that it was trained on: merged into another, the adapter means nothing."
        )


def _saved_and_compared(
    rows: list[Example],
    config: TrainConfig,
    base: BaseModelFiles,
    adapter: Path,
    folder: Path,
    progress: Progress,
) -> ModelCheck:
    tokenizer = load_tokenizer(BaseModelFiles(name=adapter.name, path=str(adapter)), chat=False)
    asked = probes(tokenizer, rows, config)
    progress(f"loading {base.name} and its adapter", 0, 3)
    adapted = load_adapted(base, adapter)
    before = look(adapted, tokenizer, asked)
    progress("merging", 1, 3)
    save_merged(adapted, base, adapter, folder)
    progress("comparing the merged model with base and adapter", 2, 3)
    return judge_merge(difference(before, look(_load(folder), tokenizer, asked)), folder)


def _load(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained
    return load(folder, dtype=torch.float32)


def judge_merge(found: Difference, folder: Path) -> ModelCheck:
    """EXP-MERGE for a merged model in `folder` that is so far from base and adapter."""
    measured: dict[str, float | int | str] = {
        "mean_kl": found.mean_kl if math.isfinite(found.mean_kl) else "infinite",
        "worst_kl": found.worst_kl if math.isfinite(found.worst_kl) else "infinite",
        "top_10_difference": found.highest if math.isfinite(found.highest) else "infinite",
        "other_best_token": found.other_best,
        "tokens": found.tokens,
        "other_greedy_texts": found.other_texts,
        "texts": found.texts,
    }
    texts = f"{found.texts - found.other_texts} of {counted(found.texts, 'greedy text')} are equal"
    if found.mean_kl <= MOST_KL:
        told = f"The merged model says what base and adapter say: mean KL {found.mean_kl:.2g} nats a token, {texts}."
        return ModelCheck(id="EXP-MERGE", passed=True, measured=measured, message=told)
    told = (
        f"The merged model does not say what base and adapter say: mean KL {found.mean_kl:.2g} nats a token where"
        f" {MOST_KL:g} is allowed, {texts}. {_cause(folder)}"
    )
    return ModelCheck(id="EXP-MERGE", passed=False, measured=measured, message=told)


def _cause(folder: Path) -> str:
    config = read_mapping(folder / "config.json")
    if "quantization_config" in config:
        return "Its weights are quantised (config.json): merge into the 16-bit base model."
    if rounded_to_4_bits(folder):
        return "Its weights were rounded to 4 bits (at most 16 numbers in a block): merge into the 16-bit base model."
    return "It was merged into rounded weights or into another revision of the base model; merge into the one that was trained on."
