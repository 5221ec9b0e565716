"""What of a version goes to the Hub: its files with a card, the licences, and what to know before others see it."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nlp_skills.data.example import read_examples
from nlp_skills.data.format import instruction
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.deployment.artefact import artefact
from nlp_skills.deployment.model_card import licence_file, model_card
from nlp_skills.deployment.publishing.files import hub_files, published_text
from nlp_skills.deployment.publishing.licences import (
    UNKNOWN,
    Licensing,
    base_licence,
    carry_licences,
    dataset_licences,
)
from nlp_skills.deployment.publishing.metadata import CardFacts
from nlp_skills.deployment.publishing.origin import Origin, find_origin
from nlp_skills.deployment.publishing.repository import HubRepository
from nlp_skills.deployment.publishing.told_texts import told_task, told_text
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.evaluate import name_of
from nlp_skills.evaluation.promotion import Promotion, check_promotion, judge_promotion
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.records import sha256_file
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, version_folder
from nlp_skills.training.model_info import ModelInfo

CARD, LICENCES, NOTICE = "README.md", "LICENSE.md", "NOTICE"


class Parcel(NamedTuple):
    """What goes there."""

    version: str
    what: str
    info: ModelInfo
    files: dict[str, Path | bytes]
    license: str
    notes: list[str]


def pack(
    task: Path,
    version: str | None,
    what: str,
    repository: HubRepository,
    *,
    is_known: bool,
    public: bool,
) -> Parcel:
    """Everything that goes there. The Hub is asked for licences where the token `is_known` there.

    Raises NotReady, NotFound, or NotValid for what must not."""
    name = version_folder(task, version).name
    path, info = artefact(task, name, what)
    if not path.resolve().is_relative_to(task.resolve()):
        raise NotValid(
            f"{task.name} {name}: model_info.json: path: {info.path} is not inside the task folder."
        )
    origin = find_origin(task, name, path)
    if info.format == "adapter" and origin.own_version:
        raise NotValid(
            f"The adapter of {name} belongs on the merged weights of {origin.own_version}, which nobody else has."
            " Publish the whole model: --what merged"
        )
    files = hub_files(task, name, path, info, origin, repository.token)
    snapshot_file = task / "versions" / name / "data_snapshot.json"
    snapshot = DataSnapshot.load(snapshot_file) if snapshot_file.is_file() else None
    licensing = _licensing(origin, snapshot, repository if is_known else None)
    facts, masked = _facts(task, name, info, repository.repo_id, origin, licensing, snapshot)
    texts = {CARD: model_card(facts)}
    if licensing.license_link == LICENCES:
        texts[LICENCES] = licence_file(licensing)
    if licensing.terms:
        texts[NOTICE] = f"{licensing.terms.notice}\n"
    return Parcel(
        version=name,
        what=info.quantization or info.format,
        info=info,
        files={
            **{
                name: published_text(text.encode(), f"The card ({name})", origin, repository.token)
                for name, text in texts.items()
            },
            **files,
        },
        license=licensing.license_name or licensing.license,
        notes=[*masked, *_notes(facts, is_known=is_known, public=public)],
    )


def _licensing(origin: Origin, snapshot: DataSnapshot | None, repository: HubRepository | None) -> Licensing:
    datasets = [
        (
            str(source.request["dataset"]),
            str(revision) if (revision := source.request.get("revision")) else None,
        )
        for source in (snapshot.sources.values() if snapshot else ())
        if source.type == "hub" and source.request.get("dataset")
    ]

    if repository is None:
        return carry_licences(base_licence(origin, None), dataset_licences(datasets, None))
    return carry_licences(
        base_licence(origin, partial(repository.card_of, "model")),
        dataset_licences(datasets, partial(repository.card_of, "dataset")),
    )


def _facts(
    task: Path,
    version: str,
    info: ModelInfo,
    repo_id: str,
    origin: Origin,
    licensing: Licensing,
    snapshot: DataSnapshot | None,
) -> tuple[CardFacts, list[str]]:
    """Beside them what the card masks."""
    definition, masked = Task.load(task / "task.yaml"), []
    told = told_task(definition, origin.places, masked)
    system, system_is_known = _system_prompt(task, definition, snapshot)
    system = system and told_text(system, "The system prompt", origin.places, masked)
    result, missing, promotion = _measured(task, definition, version, info)
    facts = CardFacts(
        repo_id=repo_id,
        task=told,
        version=Version.load(task / "versions" / version / "lineage.yaml"),
        info=info,
        origin=origin,
        licensing=licensing,
        snapshot=snapshot,
        result=result,
        result_missing=missing,
        promotion=promotion,
        system=system,
        system_is_known=system_is_known,
    )
    return facts, masked


def _system_prompt(task: Path, definition: Task, snapshot: DataSnapshot | None) -> tuple[str | None, bool]:
    """What the training rows begin with, where they are still the version's; else what task.yaml says now."""
    file = task / "data" / "train.jsonl"
    trained_on = snapshot.splits.get("train") if snapshot else None
    if trained_on is None or not file.is_file() or sha256_file(file) != trained_on.sha256:
        return instruction(definition) or None, False
    prompts = {
        next((turn.content or "" for turn in row.context if turn.role == "system"), "")
        for row in islice(read_examples(file), LOOKED_AT)
    }
    return (prompts.pop() or None) if len(prompts) == 1 else None, True


LOOKED_AT = 1_000
"""Training rows whose system prompts are compared."""


def _measured(
    task: Path, definition: Task, version: str, info: ModelInfo
) -> tuple[EvalResult | None, str, Promotion | None]:
    """The results of these very weights; a merge that was found equal has those of the version."""
    folder = task / "versions" / version
    is_trained = info.made_from_sha256 is None
    if is_trained or (info.format == "merged" and info.checks and all(check.passed for check in info.checks)):
        file, model = folder / "results.json", ""
    else:
        file, model = folder / f"results_{name_of(info.path)}.json", f" --model {info.path}"
    if not file.is_file():
        command = f"nlp-skills evaluate-version {task.name} --version {version}{model}"
        return None, f"these weights have no results (`{command}`).", None
    result = EvalResult.load(file)
    if not model:
        return result, "", check_promotion(task, version=version)
    return result, "", judge_promotion(definition, version, result)


def _notes(facts: CardFacts, *, is_known: bool, public: bool) -> list[str]:
    """What the person should know before others see it."""
    origin, licensing, task = facts.origin, facts.licensing, facts.task
    notes = []
    if licensing.base.id == UNKNOWN:
        asked = "" if is_known else " (the Hub was not asked)"
        notes.append(
            f"The licence of the base model {origin.name} is not known{asked}: the card says `license: unknown`. Find it"
            " out before others use the model."
        )
    if licensing.terms:
        notes.append(f"{licensing.terms.name}: {licensing.terms.asks}.")
        begins = licensing.terms.name_begins
        name = facts.repo_id.partition("/")[2]
        if begins and not name.lower().replace("-", " ").startswith(begins.lower()):
            owner = facts.repo_id.partition("/")[0]
            notes.append(f"Its name has to begin with {begins}: {owner}/{begins.replace(' ', '-')}-{name}")
    if licensing.license == "other" and licensing.license_link == LICENCES:
        asking = ", ".join(f"{name} ({found.id})" for name, found in licensing.data.items())
        notes.append(f"Its data ask for more than the base model does: {asking}. {LICENCES} lists the terms.")
    if facts.info.format == "adapter" and origin.hub_id is None:
        notes.append(
            f"The base model {origin.name} has no Hub id: others cannot load the adapter. --what merged publishes all of it."
        )
    elif facts.info.format == "adapter" and origin.converted_from:
        notes.append(
            f"The adapter was trained on the converted weights of {origin.converted_from}; over the original"
            f" {origin.hub_id} it may answer differently. --what merged publishes what was measured."
        )
    if facts.result is None:
        notes.append(f"The card has no results: {facts.result_missing}")
    if task.constraints.privacy:
        seen = "everyone will" if public else "whoever has access to the repository will"
        notes.append(
            f"task.yaml says of privacy: {task.constraints.privacy} Think of what the model repeats: {seen} see it."
        )
    return notes
