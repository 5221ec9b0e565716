"""All that was made of a version, side by side: how large it is, what was checked, how good it is on the test rows."""

from __future__ import annotations

from pathlib import Path

from nlp_skills.deployment.artefact import models_folder, trained_info
from nlp_skills.evaluation.evaluate import name_of
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.records import Record
from nlp_skills.task.version import version_folder
from nlp_skills.training.model_info import ModelInfo


class HeldOutScore(Record):
    """The deciding metric on the test rows, with its confidence interval."""

    metric: str
    value: float
    low: float
    high: float


class Artefact(Record):
    """One folder or file."""

    name: str
    path: str
    format: str
    size_bytes: int | None
    there: bool
    """Whether it lies where its record says."""
    checks: dict[str, bool | None] = {}
    test: HeldOutScore | None = None
    """None: it was not evaluated."""


class ArtefactList(Record):
    """What was trained first, then what was made of it by size, the largest first."""

    task: str
    version: str
    artefacts: list[Artefact]


def list_artefacts(task: Path, *, version: str | None = None) -> ArtefactList:
    """The trained weights of a version and all that was made of them: merged model, GGUF files.

    What was evaluated (evaluate-version with --model models/v1/q8_0.gguf) has its result beside it. Raises NotReady for a
    version without a model.
    """
    folder = version_folder(task, version)
    trained = _artefact(task, folder, trained_info(task, folder.name), trained_info(task, folder.name).format)
    records = sorted(models_folder(task, folder.name).glob("*.json"))
    made = [
        _artefact(task, folder, ModelInfo.load(file), file.stem)
        for file in records
        if (models_folder(task, folder.name) / file.stem).is_dir() or file.with_suffix(".gguf").is_file()
    ]
    made.sort(key=lambda one: (-(one.size_bytes or 0), one.name))
    return ArtefactList(task=task.name, version=folder.name, artefacts=[trained, *made])


def _artefact(task: Path, folder: Path, info: ModelInfo, name: str) -> Artefact:
    trained = info.made_from_sha256 is None
    suffix = "" if trained else f"_{name_of(info.path)}"
    return Artefact(
        name=name,
        path=info.path,
        format=info.format,
        size_bytes=info.size_bytes or _size(task / info.path),
        there=(task / info.path).exists(),
        checks={check.id: check.passed for check in info.checks},
        test=_test(folder / f"results{suffix}.json"),
    )


def _size(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else None


def _test(file: Path) -> HeldOutScore | None:
    if not file.is_file():
        return None
    found = EvalResult.load(file)
    if found.metric is None:
        return None
    score = found.metrics[found.metric]
    return HeldOutScore(metric=found.metric, value=score.value, low=score.low, high=score.high)
