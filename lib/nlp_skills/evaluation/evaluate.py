"""Evaluating a version: its predictions, beside what needs no fine-tuning, with intervals.

what needs no model ─┐
base model: prompt,  ├─▶ predictions ─▶ metrics, slices, gains ─┐
solved rows, general │                                          ├─▶ results.json, predictions.jsonl
the tuned model ─────┘   general questions, known rows ─────────┘
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from nlp_skills.base_model import require_training
from nlp_skills.confirmation import call_again
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.evaluation.asking import ask
from nlp_skills.evaluation.baseline_answers import (
    Baseline,
    BaseModel,
    endpoint_baseline,
    general_answers,
    is_here,
    prompted_baselines,
    simple_baselines,
    would_send,
)
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.forgetting import ask_general, measure_forgetting
from nlp_skills.evaluation.marking import applicable_metrics, deciding_metric, with_slices
from nlp_skills.evaluation.predictors import Decoding, Predictor, open_predictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.evaluation.predictors.opening import trained_weights
from nlp_skills.evaluation.results import EvalResult, Forgetting, Prediction
from nlp_skills.evaluation.sane import check_sanity, probe_rows
from nlp_skills.evaluation.scoring import calibration, score, score_baselines
from nlp_skills.evaluation.slices import read_columns, score_slices, slice_metric, slices_of
from nlp_skills.records import Progress, sha256_file, silent, write_lines
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import record_lineage, version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import peak_memory_mb
from nlp_skills.training.model_info import ModelInfo

TestedSplit = Literal["test", "valid"]


def evaluate_version(
    task: Path,
    *,
    version: str | None = None,
    split: TestedSplit = "test",
    model: str | None = None,
    confirm: bool = False,
    progress: Progress = silent,
) -> EvalResult:
    """Test a trained version on held-out rows and write results.json and predictions.jsonl.

    The baselines (majority, TF-IDF, the base model with a prompt and with solved rows, the endpoint of task.yaml) are
    tested on the same rows; what models said is kept in benchmarks/ and asked again only when the data or the base model
    changes. With `model` something else is judged on the version's rows: base, another version, a folder, a GGUF file,
    ollama/NAME, or URL#MODEL; its results go to results_<name>.json. What costs money is asked with `confirm` only. A
    run that is cut off goes on where it was.

    Raises NotReady when the version is not trained, NotValid when the split changed since then.
    """
    require_training()
    work = _begin(task, version, split, model, confirm, progress)
    base, baselines, left_out = _baselines(work, confirm)
    progress("loading the tuned model", 0, None)
    predictor = open_predictor(task, model or work.folder.name, config=work.config)
    try:
        rows = ask(
            work.definition,
            work.config,
            predictor,
            work.test,
            work.how,
            progress,
            keep=work.place("answers", ".part"),
        )
        memory = _memory_mb(predictor)
        known = [] if _has_no_right_answer(work) else _known(work, predictor)
        forgetting = _forgetting(work, base, predictor, left_out)
        name = predictor.name
    finally:
        predictor.close()
    rows = with_slices(rows, slices_of(work.test, read_columns(task, work.definition.slices, work.test)))
    result = _judge(work, rows, known, baselines, name).model_copy(
        update={"forgetting": forgetting, "memory_mb": memory, "not_measured": left_out}
    )
    write_lines(work.place("predictions", ".jsonl"), (msgspec.json.encode(row) for row in rows))
    result.save(work.place("results", ".json"))
    work.place("answers", ".part").unlink(missing_ok=True)
    if model is None:
        record_lineage(task, version=work.folder.name)
    return result


@dataclass(frozen=True)
class _Work:
    """One evaluation: what is tested, on which rows, and where its files go."""

    task: Path
    folder: Path
    definition: Task
    config: TrainConfig
    split: str
    file: Path
    train: list[Example]
    test: list[Example]
    how: Decoding
    suffix: str
    progress: Progress

    def place(self, name: str, ending: str) -> Path:
        """`results.json`, `results_valid.json`, `results_ollama-support.json` … in the version's folder."""
        return self.folder / f"{name}{self.suffix}{ending}"

    @property
    def benchmarks(self) -> Path:
        """Where answers are kept that belong to no version."""
        return self.task / "benchmarks"


def _begin(
    task: Path, version: str | None, split: str, model: str | None, confirm: bool, progress: Progress
) -> _Work:
    folder = version_folder(task, version)
    definition = Task.load(task / "task.yaml")
    config = TrainConfig.load(folder / "config.yaml")
    if model is None and not (folder / "model_info.json").is_file():
        raise NotReady(
            f"{task.name} {folder.name} has no trained model. Train it with: nlp-skills train-model {task.name}"
        )
    if model is None:  # before anybody is asked
        trained_weights(task, folder.name, ModelInfo.load(folder / "model_info.json"))
    file = _same_split(task, folder, split)
    test = list(read_examples(file))
    if not test:
        raise NotReady(
            f"{task.name}: data/{split}.jsonl has no rows to test on. Set split.{split} in data_source.yaml."
        )
    train = list(read_examples(task / "data" / "train.jsonl"))
    how = choose_decoding(definition, train, test)
    if model is not None and model.startswith(("http://", "https://")) and not (confirm or is_here(model)):
        raise NotReady(
            f"{model} is asked over the network. {would_send(definition, model, test, how)} {call_again()}"
        )
    suffix = ("" if model is None else f"_{name_of(model)}") + ("" if split == "test" else f"_{split}")
    return _Work(task, folder, definition, config, split, file, train, test, how, suffix, progress)


def name_of(model: str) -> str:
    """A reference as part of a file's name: `http://127.0.0.1:8080/v1#support` → `127-0-0-1-8080-v1-support`."""
    plain = re.sub(r"^https?://", "", model).lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[-80:] or "model"


def _baselines(work: _Work, confirm: bool) -> tuple[BaseModel, dict[str, Baseline], dict[str, str]]:
    """All baselines with their predictions; and of those that were left out, why."""
    definition, config, progress = work.definition, work.config, work.progress
    progress("baselines: what needs no language model", 0, None)
    found = simple_baselines(definition, config, work.train, work.test)
    base = BaseModel(work.task, config, progress)
    prompted, left_out = prompted_baselines(
        work.benchmarks, definition, config, base, work.train, work.test, work.how, progress
    )
    found |= prompted
    if work.split == "test":
        general_answers(work.benchmarks, base, progress)
    base.close()
    endpoint = endpoint_baseline(
        work.task, definition, config, work.test, work.how, progress, confirm=confirm
    )
    if isinstance(endpoint, str):
        left_out["endpoint"] = endpoint
    elif endpoint is not None:
        found["endpoint"] = endpoint
    return base, found, left_out


def _known(work: _Work, predictor: Predictor) -> list[Prediction]:
    """Training rows, asked the same way: a tuned model knows some of them."""
    probes = probe_rows(work.train)
    return ask(work.definition, work.config, predictor, probes, work.how, work.progress) if probes else []


def _has_no_right_answer(work: _Work) -> bool:
    return work.config.method == "cpt" or work.definition.type is TaskType.PREFERENCE


def _forgetting(
    work: _Work, base: BaseModel, predictor: Predictor, left_out: dict[str, str]
) -> Forgetting | None:
    """On the test split only: a search that looks at validation rows many times need not pay for it."""
    if work.split != "test":
        return None
    if not predictor.can_score:
        left_out["forgetting"] = f"{predictor.name} gives no probabilities, which the general questions need"
        return None
    before = general_answers(work.benchmarks, base, work.progress)
    return measure_forgetting(before, ask_general(predictor, work.progress))


def _judge(
    work: _Work,
    rows: Sequence[Prediction],
    known: Sequence[Prediction],
    baselines: dict[str, Baseline],
    name: str,
) -> EvalResult:
    """The figures of these predictions; nothing is asked any more."""
    definition = work.definition
    names = applicable_metrics(definition, rows)
    metric = deciding_metric(definition, names)
    by = slice_metric(definition, names)
    return EvalResult(
        **score(definition, rows, name).model_dump(),
        split=work.split,
        data_sha256=sha256_file(work.file),
        metric=metric,
        target=definition.target if metric == definition.chosen_metric else None,
        baseline=score_baselines(definition, metric, rows, baselines),
        generation=work.how.describe(),
        slice_metric=by,
        slices=score_slices(definition, by, rows, baselines["prompted_base"][1]),
        sane=check_sanity(definition, metric, rows, known),
        calibration=calibration(definition, rows),
    )


def _memory_mb(predictor: Predictor) -> float | None:
    """Peak memory of this process, or of the GPU; None where another program answers."""
    if not isinstance(predictor, LocalPredictor):
        return None
    memory, of_gpu = peak_memory_mb()
    return round(of_gpu if of_gpu is not None else memory, 1)


def _same_split(task: Path, folder: Path, split: str) -> Path:
    """The split's file, if it is still the one that the version was made for."""
    file = task / "data" / f"{split}.jsonl"
    known = DataSnapshot.load(folder / "data_snapshot.json").splits.get(split)
    if known is None or not file.is_file() or sha256_file(file) != known.sha256:
        raise NotValid(
            f"{task.name}: data/{split}.jsonl is not the file that {folder.name} was made for, so the result would"
            f" not be comparable. Make and train a new version: nlp-skills train-model {task.name}"
        )
    return file
