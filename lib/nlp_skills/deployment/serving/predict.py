"""`predict`: what a version says to every row of a file, in batches; a run that is cut off goes on where it was.

texts.csv ──a window of rows──▶ predictor ──▶ texts.predictions.jsonl.part ──when all are there──▶ texts.predictions.jsonl
"""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from nlp_skills.data.example import Example, read_examples
from nlp_skills.deployment.artefact import TRAINED, artefact
from nlp_skills.deployment.serving.asked_rows import read_asked
from nlp_skills.errors import AlreadyExists, NotReady, NotValid
from nlp_skills.evaluation.decoding import choose_decoding, generated
from nlp_skills.evaluation.predictors import Answered, Decoding, Predictor, open_predictor
from nlp_skills.evaluation.predictors import predict as ask
from nlp_skills.evaluation.predictors.predict import kept_answers
from nlp_skills.records import Progress, Record, sha256_file, silent, write_lines
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig

WINDOW = 256
"""Rows that are answered together, sorted by length; so many are in memory at once."""

UNKNOWN = 1024
"""Tokens of an answer where no training row says how long one is."""

ENDINGS = (".jsonl", ".csv")


class Predicted(Record):
    """Where the answers are, and what it took."""

    task: str
    version: str
    weights: str
    file: str
    out: str
    rows: int
    kept: int
    """Of them answered already, by an earlier run that was cut off."""
    cut: int
    """Answers that ran into their limit of tokens."""
    method: str
    seconds: float


class _Line(msgspec.Struct, omit_defaults=True):
    row: int
    input: str
    answer: str
    probability: float | None = None
    scores: dict[str, float] | None = None
    cut: bool = False


class _Head(msgspec.Struct):
    """What the answers of a cut-off run belong to."""

    file: str
    model: str
    decoding: str
    asked: str
    """Which columns, and how the first row is asked: another column or system prompt makes other questions."""


def predict(
    task: Path,
    path: str,
    *,
    version: str | None = None,
    weights: str = TRAINED,
    out: str | None = None,
    text: str | None = None,
    entity: str | None = None,
    max_new_tokens: int | None = None,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> Predicted:
    """Answer every row of a file (texts, a table, conversations) as the evaluation would; JSONL or CSV comes out.

    A run that is cut off goes on where it was when the same command is given again. Labels are scored, with their
    probability, where the model gives any; everything else is generated greedily.

    Raises NotFound, NotValid naming the row, AlreadyExists for an output that is there, NotReady without the
    weights or while another predict writes to that output.
    """
    file, started = Path(path).expanduser(), time.monotonic()
    target = Path(out).expanduser() if out else file.with_suffix(".predictions.jsonl")
    if target.suffix not in ENDINGS:
        raise NotValid(f"out: {target.name} has to end in {' or '.join(ENDINGS)}.")
    folder = version_folder(task, version)
    definition, config = Task.load(task / "task.yaml"), TrainConfig.load(folder / "config.yaml")
    first = next(read_asked(task, file, text, entity), None)
    if first is None:
        raise NotValid(f"{file} holds no rows.")
    found, _ = artefact(task, folder.name, weights)
    with _writing(target):
        progress(f"loading {task.name} {folder.name} ({weights})", 0, None)
        predictor = open_predictor(task, folder.name if weights == TRAINED else str(found), config=config)
        try:
            how = _decoding(task, definition, predictor, max_new_tokens, batch_size)
            part = target.with_name(f"{target.name}.part")
            asked = hashlib.sha256(msgspec.json.encode([text, entity, first])).hexdigest()
            head = _Head(
                sha256_file(file), predictor.identity, how.with_changes(batch_size=1).digest(), asked
            )
            kept = done = _resume(part, head)
            for window in _windows(read_asked(task, file, text, entity), done):
                kept += _answer(predictor, window, how, part, progress)
        finally:
            predictor.close()
        rows, cut = _finish(part, target)
    return Predicted(
        task=task.name,
        version=folder.name,
        weights=weights,
        file=str(file),
        out=str(target),
        rows=rows,
        kept=kept,
        cut=cut,
        method=str(how.describe()["method"]),
        seconds=round(time.monotonic() - started, 1),
    )


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """One process at a time writes to it. Raises NotReady while another does, AlreadyExists where it is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    try:
        held = FileLock(lock).acquire(timeout=0)
    except Timeout:
        raise NotReady(
            f"{target} is being written by another predict at this moment. Wait until it has ended, or name another file"
            " with --out."
        ) from None
    try:
        with held:
            if target.exists():
                raise AlreadyExists(
                    f"{target} is there already and is left as it is. Name another with --out, or remove it."
                )
            yield
    finally:
        if target.exists():  # whoever has taken the lock since finds the answers there
            with suppress(PermissionError):  # Windows, where somebody looks at it at this moment
                lock.unlink(missing_ok=True)


def _decoding(
    task: Path, definition: Task, predictor: Predictor, max_new_tokens: int | None, batch_size: int | None
) -> Decoding:
    """As the evaluation asks, one answer to each row."""
    file = task / "data" / "train.jsonl"
    train = list(read_examples(file)) if file.is_file() else []
    if definition.type.has_labels and not (train or definition.labels):
        raise NotReady(
            f"{task.name} names no labels and has no training rows with them. Set labels in task.yaml."
        )
    how = choose_decoding(definition, train, []).with_changes(samples=1, temperature=0.0)
    if how.labels is not None and not predictor.can_score:
        how = generated(how)
    elif how.labels is None and not train:
        how = how.with_changes(max_new_tokens=UNKNOWN)
    if max_new_tokens is not None and how.labels is None:
        how = how.with_changes(max_new_tokens=max_new_tokens)
    return how if batch_size is None else how.with_changes(batch_size=batch_size)


def _windows(rows: Iterator[Example], done: int) -> Iterator[list[tuple[int, Example]]]:
    """Numbered rows, so many at a time, without those that are done."""
    numbered = enumerate(rows, start=1)
    skipped = islice(numbered, done, None)
    while window := list(islice(skipped, WINDOW)):
        yield window


def _answer(
    predictor: Predictor, window: list[tuple[int, Example]], how: Decoding, part: Path, progress: Progress
) -> int:
    """The window's answers at the end of the file; those of a window that was cut off are taken from beside it: how many."""
    before = window[0][0] - 1

    def told(message: str, done: float, _: float | None) -> None:
        progress(message, before + done, None)

    beside = part.with_name(f"{part.name}.rows")
    examples = [example for _, example in window]
    known = len(kept_answers(predictor, examples, how, beside)) if beside.is_file() else 0
    answers = ask(predictor, examples, how, keep=beside, progress=told)
    lines = (_line(number, example, found) for (number, example), found in zip(window, answers, strict=True))
    with part.open("ab") as stream:
        stream.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    beside.unlink(missing_ok=True)
    return known


def _line(number: int, example: Example, found: Answered) -> _Line:
    best = found.scores[found.text] if found.scores else None
    return _Line(number, example.input_text, found.text, best, found.scores, found.cut)


def _resume(part: Path, head: _Head) -> int:
    """How many rows an earlier run has answered with the same model and decoding; the file holds only whole lines then."""
    first = msgspec.json.encode(head) + b"\n"
    data = part.read_bytes() if part.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if not whole.startswith(first):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(first)
        return 0
    if len(whole) < len(data):
        with part.open("r+b") as stream:
            stream.truncate(len(whole))
    return whole.count(b"\n") - 1


def _finish(part: Path, target: Path) -> tuple[int, int]:
    """The whole file under its name, as JSONL or CSV; rows, and how many of their answers were cut."""
    cut = 0

    def lines() -> Iterator[_Line]:
        nonlocal cut
        with part.open("rb") as stream:
            next(stream)
            for line in stream:
                found = msgspec.json.decode(line, type=_Line)
                cut += found.cut
                yield found

    if target.suffix == ".csv":
        rows = write_lines(target, _csv(lines())) - 1
    else:
        rows = write_lines(target, map(msgspec.json.encode, lines()))
    part.unlink()
    return rows, cut


def _csv(lines: Iterator[_Line]) -> Iterator[bytes]:
    """As RFC 4180 has it, in UTF-8 with a byte order mark, which Excel needs to read it so."""
    yield b"\xef\xbb\xbf" + _record(["row", "input", "answer", "probability"])
    for line in lines:
        shown = "" if line.probability is None else f"{line.probability:.6f}"
        yield _record([line.row, line.input, line.answer, shown])


def _record(values: list[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().removesuffix("\n").encode("utf-8")
