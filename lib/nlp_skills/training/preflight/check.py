"""Preflight: all that can be known before a run has cost anything; each finding with its id and what to do.

    machine      ENV-DOCTOR ENV-API ENV-WRITE ENV-DISK      HUB-ACCESS
    settings     RUN-DIVERGE      a learning rate far above the usual one
    rows         MASK-RATIO MASK-EMPTY TOK-EOS TOK-BOS TOK-RESIZE LEN-CUT TMPL-THINK      as they will be trained
    base model   TARGET-MODULES
    dry step     HW-FIT EVAL-MEM RUN-NAN RUN-DELTA      on the longest batch, train and eval
    rewards      RL-PREFLIGHT      of a few answers of the base model (grpo)

A run does it by itself and keeps the report as preflight.json in its version's folder; `check_training` keeps nothing.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlp_skills.base_model import BaseModelFiles, LocalTokenizer, load_tokenizer, require_training
from nlp_skills.data.checks.token_faults import TokenModel
from nlp_skills.data.quality import apply_quality
from nlp_skills.data.report import Finding
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.tokens import NoAnswer, NoEnd, TurnsRewritten
from nlp_skills.errors import NlpSkillsError, NotFound, NotReady, NotValid, RunFailed
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_folder
from nlp_skills.training.compact_rows import lengths_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import free_cores
from nlp_skills.training.fitness import rate_findings
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.methods import load_method
from nlp_skills.training.planning.memory import trained_parameters
from nlp_skills.training.planning.model_shape import model_shape
from nlp_skills.training.preflight.disk import disk_findings, needed_bytes
from nlp_skills.training.preflight.dry_step import DryStep, dry_step, require_trained_labels
from nlp_skills.training.preflight.hub_rights import rights_findings
from nlp_skills.training.preflight.ladder import next_rung
from nlp_skills.training.preflight.machine_faults import api_findings, hub_findings, machine_findings
from nlp_skills.training.preflight.out_of_memory import EvaluationOutOfMemory, is_out_of_memory
from nlp_skills.training.preflight.reward_spread import reward_findings
from nlp_skills.training.preflight.row_faults import RowFacts, row_findings, validation_findings
from nlp_skills.training.preflight.rows import SplitRows, check_data_unchanged, read_rows
from nlp_skills.training.preflight.trainable_model import load_trainable_model, require_modules
from nlp_skills.training.targets.definition import HFJobsTarget, read_target
from nlp_skills.training.version_model import is_version, resolve_model

REPORT = "preflight.json"


class PreflightReport(Record):
    """What was found before a run."""

    version: str
    passed: bool
    """No finding is an error."""
    findings: list[Finding] = []
    rows: RowFacts | None = None
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    step: DryStep | None = None
    """None where the run would not come so far."""
    adjusted: dict[str, Any] = {}
    """Fields of config.yaml that the run would change by itself, because it did not fit."""


@dataclass
class Prepared:
    """A run before its weights are loaded."""

    config: TrainConfig
    method: Any
    files: BaseModelFiles
    tokenizer: Any
    splits: dict[str, SplitRows]
    facts: RowFacts
    findings: list[Finding]

    @property
    def rows(self) -> dict[str, Sequence[Any]]:
        """By split, as the method's trainer takes them."""
        return {name: split.rows for name, split in self.splits.items()}


class Refused(NotValid):
    """Findings that are errors."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = list(findings)
        errors = [f for f in findings if f.level == "error"]
        super().__init__(" ".join(sentence(finding) for finding in errors))


def sentence(finding: Finding) -> str:
    """`LEN-CUT: what is wrong. What to do.`"""
    return f"{finding.check}: {finding.message} {finding.fix.rstrip('.')}."


def _require(findings: Sequence[Finding]) -> None:
    if any(finding.level == "error" for finding in findings):
        raise Refused(findings)


def prepare(task: Path, version: str, adjusted: dict[str, Any]) -> Prepared:
    """Everything up to the weights. Raises Refused with what stands against the run, or what says that files are missing."""
    # It tells at each import of an optional package that is not there, before anything of ours is said.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    folder = version_folder(task, version)
    written = TrainConfig.load(folder / "config.yaml")
    config = written.with_changes(**adjusted)
    check_data_unchanged(task, DataSnapshot.load(folder / "data_snapshot.json"), version)
    findings = [*machine_findings(config), *rate_findings(config)]
    _require(findings)
    method = load_method(config.method)
    findings += [*api_findings(method, config), *hub_findings(config, is_version(task, config.base_model))]
    _require(findings)
    files = resolve_model(task, config.base_model, config.base_revision)
    findings += disk_findings(task / "models" / version, *_needed(files, config))
    if isinstance(config.target_modules, list):
        findings += _modules(files, config.target_modules)
    _require(findings)
    tokenizer = load_tokenizer(files, chat=config.method != "cpt")
    # cpt cuts pieces of the adjusted length; elsewhere the rows that are longer are left out.
    asked = config if config.method == "cpt" else config.with_changes(max_length=written.max_length)
    try:
        splits = read_rows(method, tokenizer, task, asked, allowed=config.max_length)
    except NotValid as error:
        raise Refused([*findings, _refusal(error, task)]) from None
    found, facts = row_findings(TokenModel(_local(files, tokenizer)), config, splits)
    findings += [*_as_asked(task, found, facts.rows), *validation_findings(len(splits["valid"].rows))]
    if config.method == "grpo":
        findings += _rewards(method, config, facts.rows, task)
    _require(findings)
    return Prepared(config, method, files, tokenizer, splits, facts, findings)


def _needed(files: BaseModelFiles, config: TrainConfig) -> tuple[int, int]:
    """Bytes of the largest file and of all; of a model whose shape is not known only what every run writes."""
    try:
        trained = trained_parameters(model_shape(files.path, files.revision), config)
    except NlpSkillsError:
        trained = 0
    folder = Path(files.path)
    size = sum(file.stat().st_size for file in folder.glob("tokenizer*")) if folder.is_dir() else 0
    return needed_bytes(trained, size)


def _modules(files: BaseModelFiles, wanted: list[str]) -> list[Finding]:
    try:
        require_modules(files, wanted)
    except NotValid as error:
        fix = "Make a version with other target_modules, or with all-linear"
        return [Finding(check="TARGET-MODULES", level="error", message=str(error), count=0, fix=fix)]
    return []


def _rewards(method: Any, config: TrainConfig, rows: int, task: Path) -> list[Finding]:
    """RL-PREFLIGHT: rewards that cannot be had, and groups of answers that do not fit into a step."""
    try:
        method.ready_rewards(config, rows, task)
    except (NotFound, NotValid) as error:
        fix = f"Mend that, and make a version with it: nlp-skills create-version {task.name}"
        return [Finding(check="RL-PREFLIGHT", level="error", message=str(error), count=0, fix=fix)]
    return []


def _refusal(error: NotValid, task: Path) -> Finding:
    """A row that cannot be made into tokens, as a finding with its check's id."""
    kinds = {NoAnswer: "MASK-EMPTY", NoEnd: "TOK-EOS", TurnsRewritten: "TMPL-THINK"}
    named = re.search(r"\(([A-Z]+-[A-Z]+)\)", str(error))
    check = kinds.get(type(error)) or (named[1] if named else "MASK-EMPTY")
    fix = f"See what the loss sees: nlp-skills preview-tokens {task.name}"
    return Finding(check=check, level="error", message=str(error), count=1, fix=fix)


def _local(files: BaseModelFiles, tokenizer: Any) -> LocalTokenizer:
    config = Path(files.path) / "config.json"
    said = json.loads(config.read_bytes()) if config.is_file() else {}
    said = {**said, **(said.get("text_config") or {})}
    numbers = (said.get(name) for name in ("vocab_size", "max_position_embeddings"))
    return LocalTokenizer(tokenizer, *(number if isinstance(number, int) else None for number in numbers))


def _as_asked(task: Path, findings: list[Finding], rows: int) -> list[Finding]:
    """At the levels that `quality` in task.yaml asks for; a check that is off there says nothing here either."""
    quality = Task.load(task / "task.yaml").quality
    known = {check: asked for check, asked in quality.items() if check in {f.check for f in findings}}
    judged = apply_quality(known, findings, defaultdict(lambda: "found"), rows, {})[0]
    named = [f for f in judged if known.get(f.check) != "off"]
    return [f.model_copy(update={"fix": re.sub(r"\{task\}|\bTASK\b", task.name, f.fix)}) for f in named]


def build_trainer(prepared: Prepared, output: Path, callbacks: list[Any]) -> Any:
    """Load the weights and make the trainer; equal settings give the same first weights, whatever happened before."""
    import transformers

    longest = max(length for split in prepared.rows.values() for length in lengths_of(split))
    # PEFT draws the adapter's first weights from this, the trainer its order of rows.
    transformers.set_seed(prepared.config.seed)
    model = load_trainable_model(prepared.files, prepared.config, longest)
    try:
        return prepared.method.build_trainer(
            prepared.config, model, prepared.tokenizer, prepared.rows, output, callbacks
        )
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise NotReady(
            f"ENV-API: {error}. The installed TRL, transformers or PEFT is another version than this library is made for."
            " Install the versions that uv.lock names: uv sync --extra train"
        ) from None


def try_step(trainer: Any, prepared: Prepared) -> DryStep | None:
    """The dry step; None where the model lies in parts on several GPUs and only the run itself can put it together."""
    require_trained_labels(trainer, prepared.rows["train"])
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return None
    return dry_step(trainer, prepared.config, prepared.rows)


def try_rewards(trainer: Any, prepared: Prepared) -> list[Finding]:
    """What the base model's answers earn (grpo); nothing where the model lies in parts on several GPUs."""
    if prepared.config.method != "grpo" or trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return []
    return list(reward_findings(trainer, prepared.config))


def count_parameters(trainer: Any) -> tuple[int, int]:
    """Trained ones, and all."""
    counts = [(p.numel(), p.requires_grad) for p in trainer.model.parameters()]
    return sum(n for n, learns in counts if learns), sum(n for n, _ in counts)


def check_training(
    task: Path, *, version: str | None = None, target: str = "local", progress: Progress = silent
) -> PreflightReport:
    """A dry run: base model, template, target modules and one step on the longest batch, train and eval; nothing is kept.

    On this machine, whatever the target is; `target`: a name in configs/targets.yaml, whose access is asked for too. Raises
    NotFound for another name, NotReady without a version, NotValid while it is being trained, MissingExtra.
    """
    require_training()
    folder = version_folder(task, version)
    if is_running(folder):
        raise NotValid(
            f"{task.name} {folder.name} is being trained at this moment; it was checked before it began."
        )
    place = None if target == "local" else read_target(task, target)
    access = list(rights_findings(place.namespace)) if isinstance(place, HFJobsTarget) else []
    import torch

    job = read_job(folder)
    adjusted = job.adjusted if job else {}
    torch.set_num_threads(TrainConfig.load(folder / "config.yaml").threads or free_cores())
    progress("looking at machine and rows", 0, None)
    try:
        prepared = prepare(task, folder.name, adjusted)
    except Refused as error:
        found = [*access, *error.findings]
        return PreflightReport(version=folder.name, passed=False, findings=found, adjusted=adjusted)
    prepared.findings[:0] = access
    progress("loading the base model, one step", 0, None)
    # Inside the task, as a run's own: files of own rewards are looked for above it.
    place_for_files = task / "models" / folder.name
    with (
        tempfile.TemporaryDirectory(prefix=".check.", dir=place_for_files) as output,
        warnings.catch_warnings(),
    ):
        # transformers says of its own names, which TRL sets, that later releases will have others.
        warnings.simplefilter("ignore", FutureWarning)
        return _with_step(folder.name, prepared, Path(output), adjusted)


def _with_step(version: str, prepared: Prepared, output: Path, adjusted: dict[str, Any]) -> PreflightReport:
    report = PreflightReport(
        version=version,
        passed=not any(finding.level == "error" for finding in prepared.findings),
        findings=prepared.findings,
        rows=prepared.facts,
        adjusted=adjusted,
    )
    try:
        trainer = build_trainer(prepared, output, [])
        trainable, total = count_parameters(trainer)
        report = report.with_changes(trainable_parameters=trainable, total_parameters=total)
        step = try_step(trainer, prepared)
        rewards = try_rewards(trainer, prepared)
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        found = _no_memory(prepared, evaluating=isinstance(error, EvaluationOutOfMemory))
    except RunFailed as error:
        check, _, told = str(error).partition(": ")
        message, _, fix = told.rstrip(".").rpartition(". ")
        found = Finding(check=check, level="error", message=f"{message}.", count=0, fix=fix)
    else:
        found = [f.model_dump(mode="json") for f in (*prepared.findings, *rewards)]
        return report.with_changes(step=step.model_dump(mode="json") if step else None, findings=found)
    plain = [f.model_dump(mode="json") for f in (*prepared.findings, found)]
    return report.with_changes(findings=plain, passed=report.passed and found.level != "error")


def _no_memory(prepared: Prepared, *, evaluating: bool) -> Finding:
    """What the run would do about it by itself."""
    rung = next_rung(prepared.config, prepared.facts.longest, evaluating=evaluating)
    level: Literal["error", "warning"] = "warning" if rung else "error"
    fix = f"The run would try by itself: {rung.words}" if rung else SMALLER
    batch = "longest batch of validation rows" if evaluating else "longest batch"
    message = f"The {batch} does not fit into the memory that is there."
    check = "EVAL-MEM" if evaluating else "HW-FIT"
    return Finding(check=check, level=level, message=message, count=0, fix=fix)


SMALLER = "Take a smaller base_model, or a machine with more memory: nlp-skills plan-training TASK says what fits where"
