"""What can be known here before another machine is paid for: everything that needs no weights.

data            the splits are those that the version was made for
HUB-ACCESS      the base model may be read with this login, where it is the login of the run
TARGET-MODULES  MASK-RATIO MASK-EMPTY TOK-EOS TOK-BOS TOK-RESIZE LEN-CUT TMPL-THINK   from tokenizer and config.json

What the machine itself has (GPU, versions, disk) is looked at there. Not checked is what cannot be had here: rows
as tokens without the train extra, or without the tokenizer of a Hub model while the Hub does not answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from nlp_skills.base_model import (
    BaseModelFiles,
    LocalTokenizer,
    load_tokenizer,
    local_config,
    local_files,
    local_tokenizer,
)
from nlp_skills.data.checks.token_faults import TokenModel
from nlp_skills.data.quality import apply_quality
from nlp_skills.data.report import Finding
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.task.task import Task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.methods import load_method
from nlp_skills.training.preflight.check import Refused
from nlp_skills.training.preflight.machine_faults import hub_findings
from nlp_skills.training.preflight.row_faults import row_findings
from nlp_skills.training.preflight.rows import check_data_unchanged, read_rows
from nlp_skills.training.preflight.trainable_model import require_modules
from nlp_skills.training.targets.definition import AnyTarget
from nlp_skills.training.version_model import is_version, resolve_model

NEEDED = ("torch", "transformers", "trl", "peft")


def check_before_sending(task: Path, folder: Path, job: Job | None, target: AnyTarget) -> None:
    """Look at data, base model and rows of a run that goes elsewhere.

    Raises Refused with the findings that are errors, or NotValid naming the rows that cannot be trained.
    """
    written = TrainConfig.load(folder / "config.yaml")
    config = written.with_changes(**(job.adjusted if job else {}))
    check_data_unchanged(task, DataSnapshot.load(folder / "data_snapshot.json"), folder.name)
    if any(find_spec(name) is None for name in NEEDED):
        return
    # An SSH host may have a login of its own, and a target may be given another token than the one here.
    if target.type != "ssh" and "HF_TOKEN" not in target.environment:
        _require(list(hub_findings(config, is_version(task, config.base_model))))
    try:
        files = _files(task, config)
    except (NotReady, OSError):
        return
    if isinstance(config.target_modules, list):
        _check_modules(files, config.target_modules)
    _check_rows(task, written, config, files)


def _files(task: Path, config: TrainConfig) -> BaseModelFiles:
    """Tokenizer and config.json; of a Hub model these are fetched. Raises NotReady or OSError where they cannot be."""
    name, revision = config.base_model, config.base_revision
    if is_version(task, name):
        return resolve_model(task, name)
    try:
        return local_files(name, revision)
    except NotReady:
        local_config(name, revision)
        load_tokenizer(BaseModelFiles(name=name, path=name, revision=revision), chat=False)
        return local_files(name, revision)


def _check_modules(files: BaseModelFiles, wanted: list[str]) -> None:
    try:
        require_modules(files, wanted)
    except NotValid as error:
        raise NotValid(f"TARGET-MODULES: {error}") from None


def _check_rows(task: Path, written: TrainConfig, config: TrainConfig, files: BaseModelFiles) -> None:
    method = load_method(config.method)
    local = (
        LocalTokenizer(load_tokenizer(files, chat=False), None, None)
        if config.method == "cpt"
        else local_tokenizer(files.path)
    )
    # As a run does it: rows that are too long for what it has come down to are left out there.
    asked = config if config.method == "cpt" else config.with_changes(max_length=written.max_length)
    splits = read_rows(method, local.tokenizer, task, asked, allowed=config.max_length)
    found, facts = row_findings(TokenModel(local), config, splits)
    quality = Task.load(task / "task.yaml").quality
    known = {check: asked for check, asked in quality.items() if check in {f.check for f in found}}
    judged = apply_quality(known, found, defaultdict(lambda: "found"), facts.rows, {})[0]
    asked_for = [finding for finding in judged if known.get(finding.check) != "off"]
    _require([f.model_copy(update={"fix": f.fix.replace("TASK", task.name)}) for f in asked_for])


def _require(findings: Sequence[Finding]) -> None:
    if any(finding.level == "error" for finding in findings):
        raise Refused(findings)
