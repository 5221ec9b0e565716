"""The run itself: a process of its own, started as `python -m nlp_skills.training.run TASK VERSION`.

It holds the version's lock while it lives, writes checkpoints that are whole or absent, and goes
on from the newest one when it is started again, whatever ended it before.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from nlp_skills.base_model import (
    chat_template_sha256,
    load_tokenizer,
    resolve_base_model,
)
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NlpSkillsError, NotValid
from nlp_skills.records import now, sha256_tree
from nlp_skills.task.version import record_lineage
from nlp_skills.training.best_checkpoint import load_kept, watch_validation
from nlp_skills.training.checkpoints import checkpoints, step_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.devices import device_environment
from nlp_skills.training.environment import Stopwatch, environment, free_cores, peak_memory_mb
from nlp_skills.training.job import Cost, Job, lock_file
from nlp_skills.training.methods import load_method
from nlp_skills.training.methods.arguments import total_steps
from nlp_skills.training.metrics_log import MetricsLog
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.processes import (
    end_with_parent,
    is_worker,
    is_writer,
    report_failure,
    run_workers,
)
from nlp_skills.training.queue import in_queue
from nlp_skills.training.rows import check_data_unchanged, tokenize_split
from nlp_skills.training.saved_model import check_model, save_model
from nlp_skills.training.sinks import report_to_sinks
from nlp_skills.training.trainable_model import load_trainable_model


def run_training(task: Path, version: str) -> Job:
    """Train a version from its records, or go on with it; returns the job as it ended.

    When it raises, job.json says "failed" with the reason; a later call goes on from the newest checkpoint.
    """
    folder = task / "versions" / version
    if is_worker():
        return _work(task, folder)
    lock = FileLock(lock_file(folder))
    try:
        lock.acquire(timeout=5)  # somebody may be looking at this moment whether it is held
    except Timeout:
        raise NotValid(f"{task.name} {version} is being trained by another process already.") from None
    try:
        return _run(task, folder)
    finally:
        lock.release()


def _work(task: Path, folder: Path) -> Job:
    """As one of several processes of a run, which holds the lock and says how it ended."""
    end_with_parent()
    try:
        ended = train_version(task, folder, Job.load(folder / "job.json"))
    except BaseException as error:
        report_failure(task, folder.name, str(error) or type(error).__name__)
        raise
    if is_writer():
        ended.save(folder / "job.json")
    return ended


def _run(task: Path, folder: Path) -> Job:
    job = Job.load(folder / "job.json")
    config = TrainConfig.load(folder / "config.yaml")
    job = job.with_changes(pid=os.getpid(), ended=None, error=None, exit_code=None)
    try:
        with in_queue(task, folder.name, config.num_processes) as place:
            job.save(folder / "job.json")  # with this process's id: whoever started it goes its way
            devices = place.wait()
            os.environ.update(device_environment(devices))
            job = job.with_changes(status="running", devices=devices)
            job.save(folder / "job.json")
            if config.num_processes == 1:
                ended = train_version(task, folder, job)
            else:
                run_workers(task, folder.name, config, devices)
                ended = Job.load(folder / "job.json")
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

    method = load_method(config.method)
    transformers.logging.set_verbosity_warning()
    threads = config.threads or free_cores()
    torch.set_num_threads(threads)
    # PEFT draws the adapter's first weights from this, the trainer its order of rows.
    transformers.set_seed(config.seed)
    files = resolve_base_model(config.base_model, config.base_revision)
    tokenizer = load_tokenizer(files, chat=config.method != "cpt")
    rows = {name: tokenize_split(method, tokenizer, task, name, config) for name in ("train", "valid")}
    if not rows["train"]:
        raise NotValid(
            f"{task.name}: data/train.jsonl has no rows. Run: nlp-skills regenerate-data {task.name}"
        )
    say(
        f"{len(rows['train'])} training rows, {sum(r.length for r in rows['train'])} tokens,"
        f" {sum(r.trained for r in rows['train'])} of them trained, {threads} threads"
    )
    if apart := sum(getattr(row, "apart", False) for row in rows["train"]):
        say(f"The chat template rewrites earlier turns: {apart} of the training rows are single answers")
    longest = max(row.length for split in rows.values() for row in split)
    model = load_trainable_model(files, config, longest)
    place = task / "models" / folder.name
    work = place / "checkpoints"
    work.mkdir(parents=True, exist_ok=True)
    newest = next(iter(reversed(checkpoints(work))), None)
    done = step_of(newest) if newest else 0
    log = MetricsLog(folder / "metrics.jsonl", resumed_at=done) if is_writer() else None
    stopwatch = Stopwatch(log.seconds_before if log else 0.0)
    callbacks = [log.callback(stopwatch)] if log else []
    trainer = method.build_trainer(config, model, tokenizer, rows, work, callbacks)
    counts = [(p.numel(), p.requires_grad) for p in trainer.model.parameters()]
    trainable, total = sum(n for n, learns in counts if learns), sum(n for n, _ in counts)
    say(
        f"{trainable:,} of {total:,} parameters are trained"
        + (f"; going on from step {done}" if done else "")
    )
    job = job.with_changes(
        resumed=job.resumed + (1 if newest else 0),
        environment=environment(task, threads).model_dump(mode="json"),
        total_steps=total_steps(config, len(trainer.train_dataset)),
    )
    if is_writer():
        job.save(folder / "job.json")
    watch_validation(trainer, config, folder / "metrics.jsonl")
    report_to_sinks(trainer, config, task, folder.name, job, say)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    job = job.with_changes(kept_step=load_kept(trainer, config, folder / "metrics.jsonl", say))
    saved = save_model(trainer, tokenizer, place, config)
    if not is_writer():
        return job
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
