"""The parity gate: what is deployed beside what was trained, from the tokens of a prompt to the answers.

conversations ─▶ trainer's tokens ═╗
              ─▶ served tokens ════╬═▶ the first difference and its cause ─┐
end tokens ─▶ does it stop? ───────╝                                       ├─▶ models/vN/NAME.parity.json
next tokens' probabilities ─▶ these weights? ──────────────────────────────┤
test rows ─▶ the same answers? ────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nlp_skills.base_model import BaseModelFiles, load_tokenizer, require_training
from nlp_skills.data.example import Example
from nlp_skills.deployment.artefact import TRAINED, artefact, models_folder
from nlp_skills.deployment.parity.answers import compare_answers, test_rows
from nlp_skills.deployment.parity.conversations import Trainer, conversations
from nlp_skills.deployment.parity.endings import missing_stop
from nlp_skills.deployment.parity.four_bits import is_merged_into_4_bits
from nlp_skills.deployment.parity.opened import Opened, opened, trained_log_probs
from nlp_skills.deployment.parity.outcome import Compared, conclude
from nlp_skills.deployment.parity.prompts import compare_prompts, other_quantization
from nlp_skills.deployment.parity.report import Difference, ParityReport
from nlp_skills.deployment.parity.target import find_target
from nlp_skills.deployment.parity.weights import compare_weights, places_to_look, weights_differ
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.evaluate import name_of
from nlp_skills.records import Progress, silent
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig

if TYPE_CHECKING:
    import torch

ANSWERS = "the answers to the test rows"


def check_parity(
    task: Path, *, version: str | None = None, model: str = "q8_0", progress: Progress = silent
) -> ParityReport:
    """Compare what is served of a version with what was trained, and write models/vN/NAME.parity.json.

    `model` is an artefact (q8_0, f16, merged), a .gguf file, a folder, or ollama/NAME. Conversations of every kind are
    rendered by the trainer's chat template and where they are served, token by token; then the end of an answer, the
    weights, and the answers to the test rows. A difference is named with its cause and the first token that differs.

    Raises NotReady where one of the two is not there, MissingExtra.
    """
    return compare(task, version_folder(task, version).name, model, progress)


def compare(
    task: Path, version: str, model: str, progress: Progress, *, called: str | None = None
) -> ParityReport:
    """As check_parity; `called` is what it will be called once it is deployed, where it has another name until then."""
    require_training()
    target = find_target(task, version, model)
    name = called or target.label
    file = report_file(task, version, name)
    rows, found = _rows(task, version)
    config = TrainConfig.load(task / "versions" / version / "config.yaml")
    trained, info = artefact(task, version, TRAINED)
    trainer = Trainer(load_tokenizer(BaseModelFiles(name=version, path=str(trained))), config)
    asked, found.does_not_apply = conversations(trainer, rows)
    places = places_to_look([one.ids for one in asked])
    before, precision = trained_log_probs(task, version, places, progress)
    with opened(task, config, target, trainer) as there:
        progress(f"{target.label}: rendering conversations", 0, None)
        found.renderings, found.differences, unknown = compare_prompts(trainer, asked, there.served)
        found.differences += missing_stop(trainer, rows, there.served)
        found.differences += other_quantization(task.name, target, there.file)
        progress(f"{target.label}: comparing the weights", 0, None)
        _compare_weights(task, version, before, places, there, target.quantization, found)
        found.weights = found.weights and found.weights.model_copy(
            update={"trained_in": precision, "served_in": there.precision}
        )
        _compare_answers(task, version, rows, there, file.with_suffix(".part"), progress, found)
        found.not_compared |= unknown
    report = conclude(task, version, info.sha256, name, target, found)
    report.save(file)
    file.with_suffix(".part").unlink(missing_ok=True)
    return report


def report_file(task: Path, version: str, name: str) -> Path:
    """models/v2/q8_0.parity.json, models/v2/ollama-tickets-v2.parity.json."""
    label = name if "/" not in name else name_of(name)
    return models_folder(task, version) / f"{label}.parity.json"


def _rows(task: Path, version: str) -> tuple[list[Example], Compared]:
    """The test rows; none where they are not those that the version was tested on."""
    try:
        return test_rows(task, version), Compared()
    except NotReady as error:
        return [], Compared(not_compared={ANSWERS: str(error)})


def _compare_weights(
    task: Path,
    version: str,
    before: Sequence[torch.Tensor],
    places: Sequence[Sequence[int]],
    there: Opened,
    quantization: str | None,
    found: Compared,
) -> None:
    compared = compare_weights(before, places, there.next_tokens, quantization)
    found.weights = compared
    differs = weights_differ(
        compared,
        quantization,
        lambda: is_merged_into_4_bits(task, version, places, there.next_tokens, compared.nats),
    )
    found.differences += [differs] if differs is not None else []


def _compare_answers(
    task: Path,
    version: str,
    rows: Sequence[Example],
    there: Opened,
    keep: Path,
    progress: Progress,
    found: Compared,
) -> None:
    """Only where all else is the same: the answers to another prompt say nothing more."""
    if found.differences or found.not_compared:
        return
    try:
        found.answers = compare_answers(task, version, rows, there.predictor, keep, progress)
    except (NotReady, NotValid) as error:
        found.not_compared[ANSWERS] = str(error)
        return
    if found.answers.answer == "no":
        worse = Difference(cause="worse answers", says=found.answers.reason, where=there.served.where)
        found.differences.append(worse)
