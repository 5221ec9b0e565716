"""The run itself: a process of its own, started as `python -m nlp_skills.training.run TASK VERSION`.

It holds the version's lock while it lives, writes checkpoints that are whole or absent, and goes
on from the newest one when it is started again, whatever ended it before.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nlp_skills.base_model import (
    chat_template_sha256,
    load_base_model,
    load_tokenizer,
    resolve_base_model,
)
from nlp_skills.data.example import read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.tokens import TokenRow, tokenize_rows
from nlp_skills.errors import NlpSkillsError, NotFound, NotValid, RunFailed
from nlp_skills.records import (
    now,
    read_mapping,
    sha256_file,
    sha256_tree,
    sync_folder,
    to_json,
    write_atomic,
)
from nlp_skills.task.version import record_lineage
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import Stopwatch, environment, free_cores, peak_memory_mb
from nlp_skills.training.job import Cost, Job, lock_file
from nlp_skills.training.metrics_log import MetricsLog
from nlp_skills.training.model_info import ModelInfo


def run_training(task: Path, version: str) -> Job:
    """Train a version from its records, or go on with it; returns the job as it ended.

    When it raises, job.json says "failed" with the reason; a later call goes on from the newest checkpoint.
    """
    folder = task / "versions" / version
    lock = FileLock(lock_file(folder))
    try:
        lock.acquire(timeout=5)  # somebody may be looking at this moment whether it is held
    except Timeout:
        raise NotValid(f"{task.name} {version} is being trained by another process already.") from None
    try:
        return _run(task, folder)
    finally:
        lock.release()


def _run(task: Path, folder: Path) -> Job:
    job = Job.load(folder / "job.json")
    job = job.with_changes(status="running", pid=os.getpid(), ended=None, error=None, exit_code=None)
    job.save(folder / "job.json")
    try:
        ended = train_version(task, folder, job)
    except BaseException as error:
        text = str(error) if isinstance(error, NlpSkillsError) else f"{type(error).__name__}: {error}"
        job.with_changes(status="failed", ended=now(), exit_code=1, error=text).save(folder / "job.json")
        raise
    ended.save(folder / "job.json")
    record_lineage(task, version=folder.name)
    # Nothing goes on from here; with the optimiser's state they are three times the adapter.
    shutil.rmtree(task / "models" / folder.name / "checkpoints", ignore_errors=True)
    return ended


def train_version(task: Path, folder: Path, job: Job) -> Job:
    """From config.yaml and the splits to a model on disk; the job that succeeded."""
    config = TrainConfig.load(folder / "config.yaml")
    check_data_unchanged(task, DataSnapshot.load(folder / "data_snapshot.json"), folder.name)
    say(f"Loading the base model {config.base_model}")
    import torch
    import transformers

    from nlp_skills.training.sft import METHODS, checkpoints, total_steps

    transformers.logging.set_verbosity_warning()
    threads = config.threads or free_cores()
    torch.set_num_threads(threads)
    # PEFT draws the adapter's first weights from this, the trainer its order of rows.
    transformers.set_seed(config.seed)
    files = resolve_base_model(config.base_model, config.base_revision)
    tokenizer = load_tokenizer(files)
    rows = {name: tokenize_split(tokenizer, task, name, config.max_length) for name in ("train", "valid")}
    if not rows["train"]:
        raise NotValid(
            f"{task.name}: data/train.jsonl has no rows. Run: nlp-skills regenerate-data {task.name}"
        )
    say(
        f"{len(rows['train'])} training rows, {sum(len(r.input_ids) for r in rows['train'])} tokens,"
        f" {sum(r.trained for r in rows['train'])} of them trained, {threads} threads"
    )
    longest = max(len(row.input_ids) for split in rows.values() for row in split)
    model = load_base_model(files, config.dtype, longest)
    place = task / "models" / folder.name
    work = place / "checkpoints"
    work.mkdir(parents=True, exist_ok=True)
    newest = next(iter(reversed(checkpoints(work))), None)
    done = int(newest.name.rsplit("-", 1)[1]) if newest else 0
    log = MetricsLog(folder / "metrics.jsonl", resumed_at=done)
    stopwatch = Stopwatch(log.seconds_before)
    trainer = METHODS[config.method](config, model, tokenizer, rows, work, [log.callback(stopwatch)])
    counts = [(p.numel(), p.requires_grad) for p in trainer.model.parameters()]
    trainable, total = sum(n for n, learns in counts if learns), sum(n for n, _ in counts)
    say(
        f"{trainable:,} of {total:,} parameters are trained"
        + (f"; going on from step {done}" if done else "")
    )
    job = job.with_changes(
        resumed=job.resumed + (1 if newest else 0),
        environment=environment(task, threads).model_dump(mode="json"),
        total_steps=total_steps(config, len(rows["train"])),
    )
    job.save(folder / "job.json")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    saved = save_model(trainer, tokenizer, place, config)
    check_model(saved)
    ModelInfo(
        path=saved.relative_to(task).as_posix(),
        format="merged" if config.peft == "none" else "adapter",
        sha256=sha256_tree(saved),
        base_model=config.base_model,
        # Of a Hub model: the commit that "main" was at this moment.
        base_revision=config.base_revision or getattr(model.config, "_commit_hash", None),
        base_sha256=files.weights_sha256,
        chat_template_sha256=chat_template_sha256(tokenizer),
        trainable_parameters=trainable,
        total_parameters=total,
    ).save(folder / "model_info.json")
    memory, gpu_memory = peak_memory_mb()
    cost = Cost(seconds=round(stopwatch.seconds(), 1), peak_memory_mb=memory, peak_gpu_memory_mb=gpu_memory)
    return job.with_changes(status="succeeded", ended=now(), exit_code=0, cost=cost.model_dump(mode="json"))


def check_data_unchanged(task: Path, snapshot: DataSnapshot, version: str) -> None:
    """Raises NotValid when a split is no longer the one that the version was made for."""
    for name, split in snapshot.splits.items():
        file = task / "data" / f"{name}.jsonl"
        if not file.is_file() or sha256_file(file) != split.sha256:
            raise NotValid(
                f"{task.name}: data/{name}.jsonl is not the file that {version} was made for (its hash differs)."
                f" Make a new version with: nlp-skills create-version {task.name}"
            )


def tokenize_split(tokenizer: Any, task: Path, split: str, max_length: int) -> list[TokenRow]:
    """The split's rows as tokens. Raises NotValid naming the rows that are too long: nothing is cut silently."""
    try:
        examples = list(read_examples(task / "data" / f"{split}.jsonl"))
    except NotFound:
        if split == "train":
            raise
        return []
    cure = (
        f"Make a version that takes them: nlp-skills create-version {task.name} --max-length {{longest}}"
        " --per-device-train-batch-size 2 (long rows need memory)"
    )
    return tokenize_rows(tokenizer, examples, max_length, file=f" of data/{split}.jsonl", cure=cure)


def save_model(trainer: Any, tokenizer: Any, place: Path, config: TrainConfig) -> Path:
    """The adapter (or the full model) with its tokenizer, under its name only when it is whole."""
    name = "model" if config.peft == "none" else "adapter"
    staging, target = place / f".{name}.tmp", place / name
    shutil.rmtree(staging, ignore_errors=True)
    trainer.model.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    settings = staging / "adapter_config.json"
    if settings.is_file():
        # PEFT keeps the module names in a set, whose order is another one in each process.
        found = read_mapping(settings)
        found["target_modules"] = sorted(found["target_modules"])
        write_atomic(settings, to_json(found))
    if target.exists():
        shutil.rmtree(target)
    staging.rename(target)
    sync_folder(place)
    return target


def check_model(folder: Path) -> None:
    """RUN-NAN and RUN-DELTA: the saved tensors are finite, and an adapter is not the identity.

    Raises RunFailed; a run that did not learn is not called a success (P07, P13, P34).
    """
    from safetensors import safe_open

    learned = False
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RunFailed(f"{folder} holds no weights after the run.")
    adapter = (folder / "adapter_config.json").is_file()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (safe_open has no __iter__)
                tensor = tensors.get_tensor(key)
                if not tensor.isfinite().all():
                    raise RunFailed(
                        f"RUN-NAN: {key} holds NaN or infinity. Lower learning_rate, or use bfloat16."
                    )
                learned = learned or not adapter or ("lora_B" in key and bool(tensor.abs().sum() > 0))
    if not learned:
        raise RunFailed(
            "RUN-DELTA: nothing was learned: the adapter is still the identity (every lora_B is zero). In a run of one"
            " step the learning rate has not risen yet: make a version with more epochs, or bring more rows."
            " Otherwise check target_modules."
        )


def say(message: str) -> None:
    """A line for train.log."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        run_training(Path(sys.argv[1]), sys.argv[2])
    except NlpSkillsError as failure:
        say(str(failure))
        sys.exit(1)
