"""A version as a GGUF file, for llama.cpp and Ollama.

models/v2/merged/ ──converter──▶ f32, f16, bf16, q8_0 ──┬──▶ EXP-VOCAB ──▶ models/v2/q8_0.gguf, q8_0.json
                  └─────────────▶ f16 ──llama-quantize──┘
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_skills.deployment.artefact import artefact, models_folder, record_file, trained_info
from nlp_skills.deployment.compressed.compress import compress_version
from nlp_skills.deployment.compressed.kinds import KINDS
from nlp_skills.deployment.equivalence import held_out_rows
from nlp_skills.deployment.gguf.convert import CONVERTED, convert
from nlp_skills.deployment.gguf.converter_input import converter_input
from nlp_skills.deployment.gguf.metadata import read_metadata
from nlp_skills.deployment.gguf.quantize import K_QUANTS, llama_quantize, quantize
from nlp_skills.deployment.gguf.vocabulary import check_vocabulary
from nlp_skills.deployment.merge import merge_version
from nlp_skills.errors import NotReady, NotValid, RunFailed, did_you_mean
from nlp_skills.locks import locked
from nlp_skills.records import Progress, clear_unfinished, now, sha256_file, silent, sync_folder, unfinished
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelCheck, ModelInfo

QUANTIZATIONS = (*CONVERTED, *K_QUANTS, *KINDS)


def export_model(
    task: Path, *, version: str | None = None, quantization: str = "q8_0", progress: Progress = silent
) -> ModelInfo:
    """Write a version as models/vN/<quantization>.gguf, with its record beside it; an adapter is merged first.

    f32, f16, bf16 and q8_0 are written by llama.cpp's converter, the k-quants (q4_k_m …) by llama-quantize where it is
    installed. The file has to cut texts into the tokens of the training (EXP-VOCAB). gptq (4 bits, for vLLM) and onnx are
    folders, made by llm-compressor and Optimum in environments of their own, and have to say what the merged model says
    (EXP-COMPRESS). Otherwise nothing is kept. What was exported before stays. Raises NotValid for an unknown quantization or a model that the converter does not know,
    NotReady for a tool that is missing, with the line that installs it, RunFailed for a file that differs.
    """
    quantization = _known(quantization)
    version = version_folder(task, version).name
    if trained_info(task, version).format == "gguf":
        raise NotValid(f"{task.name} {version} is a GGUF file already: {trained_info(task, version).path}.")
    target = models_folder(task, version) / (
        quantization if quantization in KINDS else f"{quantization}.gguf"
    )
    with locked(
        target.with_name(f".{quantization}.lock"),
        f"exports {quantization} of {version} of {task.name}",
        progress,
    ):
        try:
            return artefact(task, version, quantization)[1]
        except NotReady:
            program = llama_quantize() if quantization in K_QUANTS else None
        merge_version(task, version=version, progress=progress)
        clear_unfinished(target)
        if quantization in KINDS:
            return compress_version(task, version, quantization, progress)
        return _export(task, version, target, program, progress)


def _known(quantization: str) -> str:
    name = quantization.lower()
    if name not in QUANTIZATIONS:
        raise NotValid(
            f"There is no quantization {quantization!r}{did_you_mean(name, QUANTIZATIONS)}. Choose from:"
            f" {', '.join(QUANTIZATIONS)}."
        )
    return name


def _export(task: Path, version: str, target: Path, program: str | None, progress: Progress) -> ModelInfo:
    quantization, name = target.stem, f"{task.name} {version}"
    folder, merged = artefact(task, version, "merged")
    staging = unfinished(target)
    try:
        with converter_input(task, version, folder, unfinished(target)) as given:
            if program is None:
                convert(given, staging, quantization, name, progress)
            else:
                with _unquantised(given, target, name, progress) as whole:
                    progress(f"quantising to {quantization}", 0, None)
                    quantize(program, whole, staging, quantization)
        check = _checked(task, version, staging, folder, progress)
        if not check.passed:
            raise RunFailed(f"{name} as {quantization}: {check.message} Nothing was kept.")
        record = record_file(task, version, quantization)
        record.unlink(missing_ok=True)
        staging.replace(target)
        sync_folder(target.parent)
    finally:
        staging.unlink(missing_ok=True)
    return merged.with_changes(
        path=target.relative_to(task).as_posix(),
        format="gguf",
        quantization=quantization,
        sha256=sha256_file(target),
        size_bytes=target.stat().st_size,
        made_from_sha256=trained_info(task, version).sha256,
        created=now(),
        checks=[check.model_dump()],
    ).save(record)


@contextmanager
def _unquantised(folder: Path, target: Path, name: str, progress: Progress) -> Iterator[Path]:
    """The same weights in the type that they are saved in, for as long as they are needed."""
    from transformers import AutoConfig

    kind = str(AutoConfig.from_pretrained(folder).dtype or "").removeprefix("torch.")
    whole = unfinished(target)
    try:
        convert(folder, whole, {"bfloat16": "bf16", "float16": "f16"}.get(kind, "f32"), name, progress)
        yield whole
    finally:
        whole.unlink(missing_ok=True)


def _checked(task: Path, version: str, file: Path, folder: Path, progress: Progress) -> ModelCheck:
    progress("comparing its tokens with the tokenizer's", 0, None)
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    return check_vocabulary(file, folder, held_out_rows(task), config, read_metadata(file))
