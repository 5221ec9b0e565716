"""The parity gate: what is deployed beside what was trained, from the tokens of a prompt to the answers.

conversations ─▶ trainer's tokens ═╗
              ─▶ served tokens ════╬═▶ the first difference and its cause ─┐
end tokens ─▶ does it stop? ───────╝                                       ├─▶ models/vN/NAME.parity.json
next tokens' probabilities ─▶ these weights? ──────────────────────────────┤
test rows ─▶ the same answers? ────────────────────────────────────────────┘
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

from nlp_skills.base_model import BaseModelFiles, load_tokenizer, require_training
from nlp_skills.deployment.artefact import TRAINED, artefact, models_folder
from nlp_skills.deployment.parity.answers import compare_answers, test_rows
from nlp_skills.deployment.parity.causes import difference
from nlp_skills.deployment.parity.conversations import Conversation, Trainer, conversations
from nlp_skills.deployment.parity.endings import ends_of, missing_stop
from nlp_skills.deployment.parity.four_bits import is_merged_into_4_bits
from nlp_skills.deployment.parity.report import (
    Answer,
    AnswersCompared,
    Cause,
    Difference,
    ParityReport,
    Rendering,
    WeightsCompared,
)
from nlp_skills.deployment.parity.served import Served, ServedByOllama, ServedFile, ServedFolder
from nlp_skills.deployment.parity.target import Target, find_target
from nlp_skills.deployment.parity.weights import (
    NextTokens,
    compare_weights,
    next_log_probs,
    next_tokens_of,
    places_to_look,
    weights_differ,
)
from nlp_skills.errors import NotReady, NotValid, counted
from nlp_skills.evaluation.evaluate import name_of
from nlp_skills.evaluation.predictors import Predictor, open_predictor
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.evaluation.predictors.ollama import OllamaPredictor
from nlp_skills.records import Progress, now, silent
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
    name = called or (f"ollama/{target.ollama}" if target.ollama else target.label)
    file = report_file(task, version, name)
    keep = file.with_suffix(".part")
    not_compared: dict[str, str] = {}
    try:
        rows = test_rows(task, version)
    except NotReady as error:
        rows, not_compared[ANSWERS] = [], str(error)
    trained, _ = artefact(task, version, TRAINED)
    config = TrainConfig.load(task / "versions" / version / "config.yaml")
    trainer = Trainer(load_tokenizer(BaseModelFiles(name=version, path=str(trained))), config)
    asked, without = conversations(trainer, rows)
    places = places_to_look([one.ids for one in asked])
    before = _trained_log_probs(task, version, places, progress)
    with _opened(task, config, target, trainer) as opened:
        progress(f"{target.label}: rendering conversations", 0, None)
        renderings, found = _compare_prompts(trainer, asked, opened.served)
        found += missing_stop(trainer, rows, opened.served)
        found += _other_quantization(task.name, target, opened.file)
        progress(f"{target.label}: comparing the weights", 0, None)
        weights = compare_weights(before, places, opened.next_tokens, target.quantization)
        differs = weights_differ(
            weights,
            target.quantization,
            lambda: is_merged_into_4_bits(task, version, places, opened.next_tokens, weights.nats),
        )
        found += [differs] if differs is not None else []
        compared = None
        # Of another prompt the answers say nothing more.
        if not found and not not_compared:
            try:
                compared = compare_answers(task, version, rows, opened.predictor, keep, progress)
            except (NotReady, NotValid) as error:
                not_compared[ANSWERS] = str(error)
    if compared is not None and compared.answer == "no":
        found.append(Difference(cause="worse answers", says=compared.reason, where=opened.served.where))
    report = _report(task, version, name, target, renderings, weights, compared, not_compared, without, found)
    report.save(file)
    keep.unlink(missing_ok=True)
    return report


def report_file(task: Path, version: str, name: str) -> Path:
    """models/v2/q8_0.parity.json, models/v2/ollama-tickets-v2.parity.json."""
    label = name if "/" not in name else name_of(name)
    return models_folder(task, version) / f"{label}.parity.json"


class _Opened(NamedTuple):
    """What is served, ready to be asked."""

    served: Served
    predictor: Predictor
    next_tokens: NextTokens
    file: GgufPredictor | None


@contextmanager
def _opened(task: Path, config: TrainConfig, target: Target, trainer: Trainer) -> Iterator[_Opened]:
    predictor = open_predictor(task, str(target.path), config=config)
    others: list[Predictor] = []
    try:
        if isinstance(predictor, LocalPredictor):
            folder = ServedFolder(predictor.tokenizer, trainer, ends_of(target.path))
            yield _Opened(folder, predictor, next_tokens_of(predictor.model), None)
        elif isinstance(predictor, GgufPredictor) and target.ollama is not None:
            model = open_predictor(task, f"ollama/{target.ollama}", config=config)
            others.append(model)
            assert isinstance(model, OllamaPredictor)
            served = ServedByOllama(model, target.ollama, predictor)
            yield _Opened(served, model, predictor.next_tokens, predictor)
        else:
            assert isinstance(predictor, GgufPredictor)
            yield _Opened(ServedFile(predictor), predictor, predictor.next_tokens, predictor)
    finally:
        for one in (predictor, *others):
            one.close()


def _trained_log_probs(
    task: Path, version: str, places: Sequence[Sequence[int]], progress: Progress
) -> list[torch.Tensor]:
    """By the trained model, which is given back before the other one is loaded."""
    progress(f"{version}: loading what was trained", 0, None)
    predictor = open_predictor(task, version)
    try:
        assert isinstance(predictor, LocalPredictor)
        return next_log_probs(predictor.model, places)
    finally:
        predictor.close()


def _compare_prompts(
    trainer: Trainer, asked: Sequence[Conversation], served: Served
) -> tuple[list[Rendering], list[Difference]]:
    """Every conversation; of each cause the first difference."""
    renderings: list[Rendering] = []
    found: dict[Cause, list[Difference]] = {}
    for one in asked:
        differs = _one_prompt(trainer, one, served)
        equal = differs is None
        renderings.append(
            Rendering(conversation=one.name, where=served.where, tokens=len(one.ids), equal=equal)
        )
        if differs is not None:
            found.setdefault(differs.cause, []).append(differs)
    return renderings, [some[0] for some in found.values()]


def _one_prompt(trainer: Trainer, asked: Conversation, served: Served) -> Difference | None:
    try:
        return difference(trainer, asked, served.prompt(asked.example), served.where)
    except NotValid as error:  # it refuses tools, or thinking, that the model was trained with
        cause: Cause = "dropped tool block" if asked.example.tools else "wrong template"
        return Difference(cause=cause, says=str(error), where=served.where, conversation=asked.name)


_FORMS = (
    (r"^all ", ""),
    (r" \(guessed\)$", ""),
    (r" - medium$", "_m"),
    (r" - small$", "_s"),
    (r" - large$", "_l"),
)


def _other_quantization(task: str, target: Target, file: GgufPredictor | None) -> list[Difference]:
    """What the file says of itself, beside what it was made as."""
    if file is None or target.quantization is None:
        return []
    said = file.quantization.lower()
    for form, short in _FORMS:
        said = re.sub(form, short, said)
    if said == target.quantization.lower():
        return []
    says = (
        f"The file says that it is {file.quantization}, and it was to be {target.quantization}. Export it again:"
        f" nlp-skills export-model {task} --quantization {target.quantization}"
    )
    return [Difference(cause="other quantisation", says=says, where="the file's weights")]


def _report(
    task: Path,
    version: str,
    name: str,
    target: Target,
    renderings: list[Rendering],
    weights: WeightsCompared,
    answers: AnswersCompared | None,
    not_compared: dict[str, str],
    without: dict[str, str],
    found: list[Difference],
) -> ParityReport:
    order = get_args(Cause)
    found = sorted(found, key=lambda one: order.index(one.cause))
    open_question = bool(not_compared) or (answers is not None and answers.answer == "cannot tell")
    answer: Answer = "no" if found else "cannot tell" if open_question else "yes"
    report = ParityReport(
        task=task.name,
        version=version,
        model=name,
        sha256=target.sha256,
        quantization=target.quantization,
        created=now(),
        renderings=renderings,
        weights=weights,
        answers=answers,
        not_compared=not_compared,
        does_not_apply=without,
        differences=found,
        answer=answer,
        message="",
    )
    return report.model_copy(update={"message": _message(report)})


def _message(report: ParityReport) -> str:
    name = f"{report.model} of {report.version}"
    if report.differences:
        first = report.differences[0]
        where = f" in the conversation {first.conversation!r}" if first.conversation else ""
        tokens = (
            f" at token {first.position}: trained {first.trained!r}, served {first.served!r}"
            if first.position is not None
            else ""
        )
        return f"{name} is not served as it was trained: {first.cause}{where}{tokens}. {first.says}"
    parts = [f"{counted(len(report.renderings), 'conversation')} token by token"]
    parts += [report.answers.reason.rstrip(".")] if report.answers else []
    parts += [f"not compared: {what}: {why.rstrip('.')}" for what, why in report.not_compared.items()]
    said = "is served as it was trained" if report.answer == "yes" else "shows no difference, but cannot tell"
    return f"{name} {said}: {'; '.join(parts)}."
