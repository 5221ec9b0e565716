"""What a run does, in a process of its own that run.py has started: from the records to a model on disk.

preflight → weights → dry step → training → the saved model, looked at
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from nlp_skills.base_model import chat_template_sha256
from nlp_skills.data.report import Finding
from nlp_skills.errors import NlpSkillsError, counted
from nlp_skills.locks import BRIEF, locked
from nlp_skills.records import sha256_tree
from nlp_skills.training.checkpoints import checkpoints, step_of
from nlp_skills.training.environment import Stopwatch, environment, free_cores, peak_memory_mb
from nlp_skills.training.job import Cost, Job, update_job
from nlp_skills.training.methods.arguments import total_steps
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.planning.forecast import predict_run
from nlp_skills.training.preflight.check import (
    REPORT,
    PreflightReport,
    Prepared,
    Refused,
    build_trainer,
    count_parameters,
    prepare,
    sentence,
    try_rewards,
    try_step,
)
from nlp_skills.training.preflight.disk import is_disk_full
from nlp_skills.training.preflight.out_of_memory import EvaluationOutOfMemory, is_out_of_memory
from nlp_skills.training.run.best_checkpoint import load_kept, watch_validation
from nlp_skills.training.run.log_lines import say, say_figures, say_what_libraries_log
from nlp_skills.training.run.metrics_log import MetricsLog
from nlp_skills.training.run.processes import end_with_parent, is_writer, joined_processes, report_failure
from nlp_skills.training.run.repetition import Probe
from nlp_skills.training.run.saved_model import save_model
from nlp_skills.training.run.verify import check_changed, check_difference, check_model
from nlp_skills.training.run.watch import RunWarning
from nlp_skills.training.sinks import Sink, report_to_sinks

NO_MEMORY = "HW-FIT"
NO_MEMORY_TO_EVALUATE = "EVAL-MEM"
"""How the words begin by which run.py knows that a smaller run, or smaller validation batches, may fit."""
NOT_COMPARED = (
    "RUN-DELTA: the weights have other names than the base model's, so nobody has looked whether they have changed. See that"
    " the answers differ: nlp-skills evaluate-version"
)


def work(task: Path, folder: Path) -> None:
    """Train, and leave the reason behind where that fails: the run, which started this process, says how it ended."""
    end_with_parent()
    try:
        # A worker whose run was killed ends by itself, but not in the same moment.
        with (
            locked(folder / ".work.lock", f"still trains {folder.name} of {task.name}", patience=BRIEF)
            if is_writer()
            else nullcontext(),
            joined_processes(task / "models" / folder.name / "checkpoints"),
        ):
            train_version(task, folder)
    except BaseException as error:
        report_failure(task, folder.name, failure_text(error, folder.name))
        raise


def failure_text(error: BaseException, version: str) -> str:
    """What went wrong, with its check's id where it has one, and what to do."""
    if isinstance(error, NlpSkillsError):
        return str(error)
    told = str(error).strip().splitlines()
    first = f"{type(error).__name__}: {told[0]}" if told else type(error).__name__
    if isinstance(error, EvaluationOutOfMemory):
        return f"{NO_MEMORY_TO_EVALUATE}: the memory did not suffice for a batch of validation rows ({first[:200]})"
    if is_out_of_memory(error):
        return f"{NO_MEMORY}: the memory did not suffice ({first[:200]})"
    if is_disk_full(error):
        return (
            f"ENV-DISK: there is no room for what the run writes ({first[:200]}). Delete what is not needed (models of old"
            f" versions), then go on with {version}: its checkpoints are whole."
        )
    return first


def train_version(task: Path, folder: Path) -> None:
    """From config.yaml and the splits to model_info.json, and the cost in job.json."""
    import torch

    say_what_libraries_log()
    job = Job.load(folder / "job.json")
    prepared = _prepared(task, folder, job)
    config = prepared.config
    threads = config.threads or free_cores()
    torch.set_num_threads(threads)
    _describe(prepared, threads)
    place = task / "models" / folder.name
    work = place / "checkpoints"
    work.mkdir(parents=True, exist_ok=True)
    newest = next(iter(reversed(checkpoints(work))), None)
    done = step_of(newest) if newest else 0
    log = MetricsLog(folder / "metrics.jsonl", resumed_at=done) if is_writer() else None
    stopwatch = Stopwatch(log.seconds_before if log else 0.0)
    trainer = build_trainer(prepared, work, [_listener(log, stopwatch, prepared, folder)] if log else [])
    trainable, total = count_parameters(trainer)
    say(
        f"{trainable:,} of {total:,} parameters are trained"
        + (f"; going on from step {done}" if done else "")
    )
    if is_writer():
        _note_start(
            task,
            folder,
            job,
            prepared,
            threads,
            total_steps(config, len(trainer.train_dataset)),
            bool(newest),
        )
    _dry_step(trainer, prepared, folder, (trainable, total), resumes=newest is not None)
    say_figures(trainer)
    watch_validation(trainer, config, folder / "metrics.jsonl")
    report_to_sinks(trainer, config.report_to, Sink(task, task.name, folder.name, job.id), stopwatch, say)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    kept = load_kept(trainer, config, folder / "metrics.jsonl", say)
    saved = save_model(trainer, prepared.tokenizer, place, config)
    if not is_writer():
        return
    check_model(saved)
    if config.peft == "none" and not check_changed(saved, prepared.files):
        say(NOT_COMPARED, "WARNING")
        update_job(folder, warnings=[*Job.load(folder / "job.json").warnings, NOT_COMPARED])
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        check_difference(trainer, prepared.rows["train"])
    ModelInfo(
        path=saved.relative_to(task).as_posix(),
        format="merged" if config.peft == "none" else "adapter",
        sha256=sha256_tree(saved),
        base_model=config.base_model,
        # Of a Hub model: the commit that "main" was at this moment.
        base_revision=config.base_revision or getattr(trainer.model.config, "_commit_hash", None),
        base_sha256=prepared.files.weights_sha256,
        chat_template_sha256=chat_template_sha256(prepared.tokenizer),
        trainable_parameters=trainable,
        total_parameters=total,
    ).save(folder / "model_info.json")
    memory, gpu_memory = peak_memory_mb()
    cost = Cost(seconds=round(stopwatch.seconds(), 1), peak_memory_mb=memory, peak_gpu_memory_mb=gpu_memory)
    update_job(folder, kept_step=kept, cost=cost.model_dump(mode="json"))


def _prepared(task: Path, folder: Path, job: Job) -> Prepared:
    """The preflight; its report is kept, whatever it says."""
    say("Looking at machine, base model and rows")
    try:
        prepared = prepare(task, folder.name, job.adjusted)
    except Refused as error:
        _keep(
            folder,
            PreflightReport(
                version=folder.name, passed=False, findings=error.findings, adjusted=job.adjusted
            ),
        )
        raise
    _keep(folder, _report(folder, prepared))
    warned = [sentence(finding) for finding in prepared.findings if finding.level == "warning"]
    for words in warned:
        say(words, "WARNING")
    if is_writer():
        update_job(folder, warnings=list(dict.fromkeys([*job.warnings, *warned])))
    return prepared


def _report(folder: Path, prepared: Prepared) -> PreflightReport:
    adjusted = Job.load(folder / "job.json").adjusted
    return PreflightReport(
        version=folder.name, passed=True, findings=prepared.findings, rows=prepared.facts, adjusted=adjusted
    )


def _keep(folder: Path, report: PreflightReport) -> None:
    if is_writer():
        report.save(folder / REPORT)


def _describe(prepared: Prepared, threads: int) -> None:
    facts = prepared.facts
    say(
        f"{counted(facts.rows, 'training row')}, {counted(facts.tokens, 'token')}, {facts.trained} of them trained"
        f" ({facts.trained / max(1, facts.tokens):.0%}); {facts.ended} of {facts.answers} answers end with a trained end"
        f" token; BOS at most {counted(facts.most_bos, 'time')}; {counted(threads, 'thread')}"
    )
    if apart := sum(getattr(row, "apart", False) for row in prepared.rows["train"]):
        say(f"The chat template rewrites earlier turns: {apart} of the training rows are single answers")
    for split, rows in prepared.splits.items():
        if rows.left_out:
            say(f"Left out of {split}, because they are too long for the memory: {', '.join(rows.left_out)}")


def _note_start(
    task: Path, folder: Path, job: Job, prepared: Prepared, threads: int, steps: int, resumes: bool
) -> None:
    """What is known once the trainer stands."""
    rows, model = prepared.rows, prepared.files.path
    said = job.predicted or predict_run(
        task, prepared.config, model, rows["train"], len(rows["valid"]), threads
    )
    left_out = [name for split in prepared.splits.values() for name in split.left_out]
    words = [f"left out, too long for the memory: {', '.join(left_out)}"] if left_out else []
    update_job(
        folder,
        predicted=said and said.model_dump(mode="json"),
        resumed=job.resumed + resumes,
        environment=environment(task, threads).model_dump(mode="json"),
        total_steps=steps,
        adjustments=list(dict.fromkeys([*job.adjustments, *words])),
    )


def _dry_step(
    trainer: Any, prepared: Prepared, folder: Path, counts: tuple[int, int], *, resumes: bool
) -> None:
    step = try_step(trainer, prepared)
    if not resumes:  # otherwise the answers would be those of weights that are not trained on
        _warn(folder, prepared, try_rewards(trainer, prepared))
    found = step and step.model_dump(mode="json")
    report = _report(folder, prepared)
    _keep(folder, report.with_changes(step=found, trainable_parameters=counts[0], total_parameters=counts[1]))
    if step:
        memory = step.peak_gpu_memory_mb or step.peak_memory_mb
        say(f"The longest batch ({step.tokens} tokens) took {step.seconds} s and {memory:.0f} MiB")


def _warn(folder: Path, prepared: Prepared, found: list[Finding]) -> None:
    """Findings of the preflight that came after the others."""
    prepared.findings.extend(found)
    for words in (sentence(finding) for finding in found):
        say(words, "WARNING")
        if is_writer():
            update_job(folder, warnings=[*Job.load(folder / "job.json").warnings, words])


def _listener(log: MetricsLog, stopwatch: Stopwatch, prepared: Prepared, folder: Path) -> Any:
    def told(warning: RunWarning) -> None:
        say(warning.line, "WARNING")
        others = [
            line for line in Job.load(folder / "job.json").warnings if not line.startswith(warning.check)
        ]
        update_job(folder, warnings=[*others, warning.line])

    config = prepared.config
    probe = None
    if config.method in ("sft", "dpo", "orpo", "kto") and config.num_processes == 1:
        probe = Probe(prepared.tokenizer, prepared.splits["valid"].examples, config.enable_thinking)
    return log.callback(stopwatch, method=config.method, told=told, probe=probe)
