"""`diagnose`: why is it as it is? Every look at a version's records, and the causes that they name, ranked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from nlp_skills.base_model import require_training
from nlp_skills.errors import NlpSkillsError, counted
from nlp_skills.evaluation.diagnosis.harness import probe_known_loss
from nlp_skills.evaluation.diagnosis.looks import LOOKS, Look
from nlp_skills.evaluation.diagnosis.material import Material, read_material
from nlp_skills.evaluation.diagnosis.record import KINDS, SURE, Cause, Diagnosis, Unchecked
from nlp_skills.evaluation.diagnosis.symptoms import Symptom, known_symptoms, understand
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.records import Progress, sha256_file, silent
from nlp_skills.task.version import version_folder

PROBE = "the same loss, asked as the test asks"


def diagnose(
    task: Path,
    *,
    version: str | None = None,
    symptom: str | None = None,
    split: Literal["test", "valid"] = "test",
    probe: bool = False,
    progress: Progress = silent,
) -> Diagnosis:
    """Why is a version's score as it is? Ranked causes with evidence, a fix and its cost; kept in diagnosis.json.

    Reads what is there: data, checks, loss curve, predictions, results, learning curve. `symptom` says in your own words
    what is wrong, and what explains it is named first among the equally sure. With `probe` the model is loaded and asked
    validation rows whose loss the training has measured: a fault of the evaluation shows there beyond doubt.

    Raises NotReady without a version, NotFound for one that is not there, MissingExtra without the train extra.
    """
    require_training()
    folder = version_folder(task, version)
    progress("reading the records", 0, None)
    material = read_material(task, folder, split)
    causes, ruled_out, unchecked = look_at(material, LOOKS, progress)
    if probe:
        progress("asking rows whose loss is known", 0, None)
        found, asked, not_asked = look_at(material, (_probe_look(),), progress)
        causes, ruled_out, unchecked = [*causes, *found], [*ruled_out, *asked], [*unchecked, *not_asked]
    else:
        unchecked.append(
            Unchecked(
                what=PROBE,
                why=f"the model was not loaded: nlp-skills diagnose {task.name} --version {folder.name} --probe",
            )
        )
    meant = understand(symptom) if symptom else None
    if symptom and meant is None:
        known = ", ".join(known.id for known in known_symptoms())
        unchecked.append(
            Unchecked(what=f"the symptom {symptom!r}", why=f"it is none of those that are known: {known}")
        )
    ranked = rank(causes, meant)
    suffix = "" if split == "test" else f"_{split}"
    tested = task / material.predictions_file if material.predictions else None
    return Diagnosis(
        task=task.name,
        version=folder.name,
        split=split,
        symptom=symptom,
        symptom_means=meant.id if meant else None,
        predictions_sha256=sha256_file(tested) if tested else None,
        verdict=_verdict(material, ranked, unchecked),
        causes=ranked,
        ruled_out=ruled_out,
        unchecked=unchecked,
    ).save(folder / f"diagnosis{suffix}.json")


def look_at(
    material: Material, looks: Sequence[Look], progress: Progress = silent
) -> tuple[list[Cause], list[str], list[Unchecked]]:
    """What the looks find, what they have not found, and what they could not look at."""
    causes: list[Cause] = []
    ruled_out: list[str] = []
    unchecked: list[Unchecked] = []
    for number, look in enumerate(looks):
        progress(f"looking for {look.what}", number, len(looks))
        if not look.applies(material):
            continue
        lacking = [name for name in look.needs if getattr(material, name) is None]
        if lacking:
            unchecked.append(Unchecked(what=look.what, why=material.missing[lacking[0]]))
            continue
        try:
            found = list(look.look(material))
        except NlpSkillsError as reason:
            unchecked.append(Unchecked(what=look.what, why=str(reason)))
            continue
        causes += found
        if not found:
            ruled_out.append(look.what)
    return causes, ruled_out, unchecked


def rank(causes: Iterable[Cause], symptom: Symptom | None = None) -> list[Cause]:
    """The surest first; among those what explains the symptom, then harness before data before run before model.

    Of one cause that several looks name, the surest stays, with the figures of the others.
    """
    expected = symptom.causes if symptom else []

    def place(cause: Cause) -> tuple[int, int, int, float]:
        told = expected.index(cause.id) if cause.id in expected else len(expected)
        return SURE.index(cause.sure), told, KINDS.index(cause.kind), -cause.share

    ranked: list[Cause] = []
    for cause in sorted(causes, key=place):
        first = next((i for i, c in enumerate(ranked) if c.id == cause.id and cause.id in SAID_ONCE), None)
        if first is None:
            ranked.append(cause)
        else:
            whole = ranked[first]
            ranked[first] = whole.model_copy(
                update={
                    "says": f"{whole.says} {cause.says}",
                    "evidence": [*whole.evidence, *(e for e in cause.evidence if e not in whole.evidence)],
                }
            )
    return ranked


SAID_ONCE = ("PROMPT-DIFFERS", "HARNESS", "INPUT-CUT", "SPLIT-LEAK")
"""Causes that several looks find: one fault, seen from several sides."""


def _probe_look() -> Look:
    return Look(PROBE, _probe, ("metrics", "info"))


def _probe(material: Material) -> list[Cause]:
    """Load the model as the evaluation does, ask, and give it back."""
    predictor = open_predictor(material.task, material.version)
    try:
        return list(probe_known_loss(material, predictor))
    finally:
        predictor.close()


def _verdict(material: Material, causes: list[Cause], unchecked: list[Unchecked]) -> str:
    """The first cause in a sentence, and how much was not looked at."""
    missing = f" {counted(len(unchecked), 'question')} could not be answered." if unchecked else ""
    if not causes and material.predictions is None:
        return f"{material.version} was not tested on {material.split}, so there is no score to explain.{missing}"
    if not causes:
        return f"Nothing that explains the score was found.{missing}"
    first = causes[0]
    certain = sum(cause.sure == "strong" for cause in causes)
    how = {
        "strong": "The cause is" if certain == 1 else f"The first of {certain} certain causes is",
        "some": "The likeliest cause, with some evidence, is",
        "weak": "Nothing is certain; worth a look is",
    }[first.sure]
    return f"{how} {first.id}: {first.title[:1].lower()}{first.title[1:]}.{missing}"
