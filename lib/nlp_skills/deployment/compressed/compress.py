"""A version as GPTQ or ONNX.

models/v2/merged/ ──worker.py, an environment of its own──▶ models/v2/gptq/ ──EXP-COMPRESS──▶ models/v2/gptq.json
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.deployment.artefact import artefact, record_file, trained_info
from nlp_skills.deployment.compressed.kinds import KINDS, Kind
from nlp_skills.deployment.equivalence import held_out_rows, probes
from nlp_skills.errors import NotReady, RunFailed, clip
from nlp_skills.own_environment import fetch_line, find_uv, plain_environment, worker_command
from nlp_skills.records import Progress, now, sha256_tree, sync_folder, to_json, unfinished
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelCheck, ModelInfo

CALIBRATION = 128
"""Training rows, as the model is shown them: what it will be asked is what should be kept best."""
CALIBRATION_TOKENS = 65_536


def compress_version(task: Path, version: str, name: str, progress: Progress) -> ModelInfo:
    """Write models/vN/NAME/ and its record, where NAME is gptq or onnx; merged before. The caller holds its lock.

    Raises NotReady where uv or the library is not to be had, RunFailed where the library fails or what it made says
    something else than the merged model.
    """
    kind = KINDS[name]
    uv = find_uv(f"{kind.packages[0]}, which makes {name},")
    folder, merged = artefact(task, version, "merged")
    target = folder.with_name(name)
    staging = unfinished(target)
    staging.mkdir()
    try:
        progress(f"compressing to {name} (the first time {kind.packages[0]} is fetched)", 0, None)
        found = _run(uv, kind, {"kind": name, **_given(task, version, folder)}, folder, staging, name)
        for file in folder.iterdir():
            if "token" in file.name or file.suffix == ".jinja":
                shutil.copyfile(file, staging / file.name)
        check = judge_compression(name, kind, found)
        if not check.passed:
            raise RunFailed(f"{task.name} {version} as {name}: {check.message} Nothing was kept.")
        record = record_file(task, version, name)
        record.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return merged.with_changes(
        path=target.relative_to(task).as_posix(),
        format=kind.format,
        quantization=name,
        sha256=sha256_tree(target),
        size_bytes=sum(file.stat().st_size for file in target.rglob("*") if file.is_file()),
        made_from_sha256=trained_info(task, version).sha256,
        created=now(),
        checks=[check.model_dump()],
    ).save(record)


def _given(task: Path, version: str, folder: Path) -> dict[str, Any]:
    """Rows as token ids, as the version's config.yaml shows them to the model."""
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    tokenizer = load_tokenizer(BaseModelFiles(name=folder.name, path=str(folder)), chat=False)
    train = list(read_examples(task / "data" / "train.jsonl"))
    shown = probes(tokenizer, train, config, most=CALIBRATION, tokens=CALIBRATION_TOKENS)
    asked = probes(tokenizer, held_out_rows(task), config)
    return {
        "calibration": [[*one.prompt, *one.answer] for one in shown],
        "probes": [{"prompt": one.prompt, "answer": one.answer} for one in asked],
    }


def _run(
    uv: str, kind: Kind, given: dict[str, Any], model: Path, out: Path, name: str
) -> dict[str, float | int]:
    """What the worker measured."""
    with tempfile.TemporaryDirectory() as place:
        result, told = Path(place) / "result.json", Path(place) / "given.json"
        told.write_bytes(to_json({**given, "model": str(model), "out": str(out), "result": str(result)}))
        worker = Path(__file__).with_name("worker.py")
        ran = subprocess.run(
            [*worker_command(uv, kind.packages, worker, offline=False), str(told)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=plain_environment(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1"),
            cwd=place,
            check=False,
        )
        found = json.loads(result.read_bytes()) if result.is_file() else {}
    if ran.returncode == 0 and "mean_kl" in found:
        return found
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
    words = clip(" ".join(lines[-3:]), 500) or "it said nothing"
    if not found:
        raise NotReady(
            f"{kind.packages[0]}, which makes {name}, could not be started: {words} Fetch it once where a package index"
            f" can be reached: {fetch_line(kind.packages)}"
        )
    raise RunFailed(f"{kind.packages[0]} could not make {name}: {words}")


def judge_compression(name: str, kind: Kind, found: dict[str, float | int]) -> ModelCheck:
    """EXP-COMPRESS: how far the compressed model is from the merged one."""
    apart = (
        f"mean KL {found['mean_kl']:.2g} nats a token from the merged model, another token is the most probable at"
        f" {found['other_best_token']} of {found['tokens']}"
    )
    measured: dict[str, float | int | str] = {**found}
    if found["mean_kl"] <= kind.most_kl:
        message = f"{name}: {apart}."
        return ModelCheck(id="EXP-COMPRESS", passed=True, measured=measured, message=message)
    message = (
        f"It says something else: {apart}, where {kind.most_kl:g} nats are allowed. More training rows to calibrate on,"
        " or a GGUF file of 8 bits (q8_0), are nearer."
    )
    return ModelCheck(id="EXP-COMPRESS", passed=False, measured=measured, message=message)
