"""What needs no fine-tuning, asked: the base model with a prompt and with solved rows, and an endpoint.

Answers are kept in benchmarks/baselines, so that the next version on the same rows and base model asks nobody again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from nlp_skills.base_model import load_tokenizer
from nlp_skills.confirmation import call_again
from nlp_skills.data.example import Example
from nlp_skills.errors import NotValid, counted
from nlp_skills.evaluation.asking import ask
from nlp_skills.evaluation.baselines import longer_answer, majority, tfidf_classifier, tfidf_neighbour
from nlp_skills.evaluation.decoding import room_for
from nlp_skills.evaluation.few_shot import choose_shots, fitting_shots, with_shots
from nlp_skills.evaluation.forgetting import QUESTIONS, GeneralAnswers, ask_general
from nlp_skills.evaluation.marking import mark
from nlp_skills.evaluation.predictors import Answered, Decoding, Predictor, open_predictor
from nlp_skills.evaluation.results import Prediction
from nlp_skills.records import Progress, write_atomic
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.version_model import resolve_model

Baseline = tuple[str, list[Prediction]]
"""What it is, in words, and what it said."""


class KeptAnswers(msgspec.Struct):
    """`benchmarks/baselines/<key>.json`."""

    model: str
    rows: list[Prediction]


class BaseModel:
    """The base model of a version, loaded when something has to be asked that is not kept."""

    def __init__(self, task: Path, config: TrainConfig, progress: Progress) -> None:
        self._task = task
        self._config = config
        self._progress = progress
        self._files = resolve_model(task, config.base_model, config.base_revision)
        self._loaded: Predictor | None = None

    @property
    def identity(self) -> str:
        """What decides its answers beside the prompt."""
        files, config = self._files, self._config
        asked = f"{config.dtype} {config.enable_thinking} {config.tools_in_prompt}"
        return f"{files.name} {files.revision} {files.weights_sha256} {asked}"

    def load(self) -> Predictor:
        """The predictor, made the first time."""
        if self._loaded is None:
            self._progress("loading the base model", 0, None)
            self._loaded = open_predictor(self._task, "base", config=self._config)
        return self._loaded

    def tokenizer_and_room(self) -> tuple[Any, int | None]:
        """The tokenizer, and how many tokens the model can look back on; without loading weights."""
        from transformers import AutoConfig

        told: Any = AutoConfig.from_pretrained(self._files.path, revision=self._files.revision)
        positions = getattr(told.get_text_config(), "max_position_embeddings", None)
        return load_tokenizer(self._files), positions

    def close(self) -> None:
        """Give its memory back before the tuned model is loaded."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None


def simple_baselines(
    task: Task, config: TrainConfig, train: Sequence[Example], test: Sequence[Example]
) -> dict[str, Baseline]:
    """What needs no language model: always the same answer, TF-IDF; of two answers the longer one."""
    if config.method == "cpt" or not train:
        return {}
    if task.type is TaskType.PREFERENCE:
        return {"longer_answer": ("always the longer answer", longer_answer(test))}
    tfidf = tfidf_classifier if task.type.has_labels else tfidf_neighbour
    words = "TF-IDF with logistic regression" if task.type.has_labels else "TF-IDF, nearest training row"
    return {
        "majority": ("the most frequent answer", _marked(task, test, majority(train, test))),
        "tfidf": (words, _marked(task, test, tfidf(train, test))),
    }


def _marked(task: Task, test: Sequence[Example], answers: list[str]) -> list[Prediction]:
    return mark(task, test, [Answered(text) for text in answers])


def prompted_baselines(
    place: Path,
    task: Task,
    config: TrainConfig,
    base: BaseModel,
    train: Sequence[Example],
    test: Sequence[Example],
    how: Decoding,
    progress: Progress,
) -> tuple[dict[str, Baseline], dict[str, str]]:
    """The base model zero-shot and few-shot; and of what could not be asked, why. `place` is benchmarks/."""

    def kept(name: str, rows: Sequence[Example], words: str) -> Baseline:
        key = rows_key(rows, f"{base.identity} {config.method} {how.digest()}")

        def make(keep: Path) -> KeptAnswers:
            model = base.load()
            found = ask(task, config, model, rows, how, progress, keep=keep)
            return KeptAnswers(f"{model.name}{words}", found)

        return keep_answers(place / "baselines" / f"{name}-{key}.json", make)

    found = {"prompted_base": kept("prompted_base", test, "")}
    if config.method == "cpt" or task.type is TaskType.PREFERENCE or not train:
        return found, {}
    shots = choose_shots(task, train)
    if _needs_fit(shots, test):
        room = how.max_new_tokens or room_for(how.labels or [])
        shots = fitting_shots(shots, test, *base.tokenizer_and_room(), room)
    if not shots:
        return found, {"few_shot": "no solved row fits into the base model's context beside the question"}
    try:
        found["few_shot"] = kept(
            "few_shot",
            [with_shots(e, shots) for e in test],
            f", {len(shots)} solved rows before the question",
        )
    except NotValid as error:  # a template that knows no earlier calls, or no earlier turns
        return found, {"few_shot": str(error)}
    return found, {}


SURELY_FITS = 2_000
"""Bytes of solved rows and question that no context of today is too small for."""


def _needs_fit(shots: Sequence[Example], test: Sequence[Example]) -> bool:
    """Whether tokens have to be counted, for which the tokenizer is loaded."""
    longest = max((len(e.input_text.encode("utf-8")) for e in test), default=0)
    system = max((len((m.content or "").encode("utf-8")) for e in test for m in e.context), default=0)
    solved = sum(len((e.input_text + e.output_text).encode("utf-8")) for e in shots)
    return longest + system + solved > SURELY_FITS


def endpoint_baseline(
    folder: Path,
    task: Task,
    config: TrainConfig,
    test: Sequence[Example],
    how: Decoding,
    progress: Progress,
    *,
    confirm: bool,
) -> Baseline | str | None:
    """What the endpoint of task.yaml says; why it was not asked; None where there is none."""
    endpoint = task.endpoint
    if endpoint is None or config.method == "cpt" or task.type is TaskType.PREFERENCE:
        return None
    key = rows_key(test, f"{endpoint.reference} {how.digest()}")
    file = folder / "benchmarks" / "baselines" / f"endpoint-{key}.json"
    if not (confirm or file.is_file() or is_here(endpoint.url)):
        return f"{would_send(task, endpoint.reference, test, how)} {call_again('to ask it')}"

    def make(keep: Path) -> KeptAnswers:
        predictor = open_predictor(folder, endpoint.reference)
        try:
            return KeptAnswers(predictor.name, ask(task, config, predictor, test, how, progress, keep=keep))
        finally:
            predictor.close()

    return keep_answers(file, make)


def would_send(task: Task, reference: str, test: Sequence[Example], how: Decoding) -> str:
    """What asking costs, in words: four bytes a token, which English has; every sample is asked for anew."""
    given = sum(len((m.content or "").encode("utf-8")) for e in test for m in e.context) // 4
    back = len(test) * (how.max_new_tokens or 8)
    host = urlsplit(reference).hostname
    priced = task.endpoint if task.endpoint and task.endpoint.reference == reference else None
    usd = ""
    if priced and priced.usd_per_million_input_tokens is not None:
        cost = given * priced.usd_per_million_input_tokens
        cost += back * (priced.usd_per_million_output_tokens or 0.0)
        usd = f", at most about ${cost * how.samples / 1e6:.2f}"
    times = f", {how.samples} times," if how.samples > 1 else ","
    return (
        f"It would send {counted(len(test), 'row')}, about {counted(given, 'token')}{times} to {host}{usd}."
    )


def is_here(url: str) -> bool:
    """Whether an address is this machine's own: nothing leaves it, and nothing is paid for."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def general_answers(place: Path, base: BaseModel, progress: Progress) -> GeneralAnswers:
    """What the base model knows in general; `place` is benchmarks/."""
    key = hashlib.sha256(base.identity.encode() + QUESTIONS.read_bytes()).hexdigest()[:32]
    file = place / "general" / f"{key}.json"
    if file.is_file():
        return GeneralAnswers.load(file)
    return ask_general(base.load(), progress).save(file)


def rows_key(rows: Sequence[Example], asked: str) -> str:
    """The identity of rows and of how they are asked."""
    key = hashlib.sha256(asked.encode())
    for example in rows:
        key.update(example.content_hash().encode())
    return key.hexdigest()[:32]


def keep_answers(file: Path, make: Callable[[Path], KeptAnswers]) -> Baseline:
    """The answers from the file, or made and kept there; a cut-off run goes on with what `<file>.part` has."""
    if file.is_file():
        found = msgspec.json.decode(file.read_bytes(), type=KeptAnswers)
        return found.model, found.rows
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    made = make(part)
    write_atomic(file, msgspec.json.encode(made))
    part.unlink(missing_ok=True)
    return made.model, made.rows
