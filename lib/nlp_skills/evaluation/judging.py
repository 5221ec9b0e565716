"""Asking a model to judge a version's answers, alone or beside another version's, and how far the judge can be trusted.

answers alone       a mark each: judge_score in predictions.jsonl and results.json, for compare_versions too
against v1          which answer is better, in both orders: judgement_v1.json
preference rows     the same of answers that people have compared: does the judge agree with them? judgement.json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nlp_skills.confirmation import call_again
from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.baseline_answers import is_here, would_send
from nlp_skills.evaluation.compare import read_predictions, same_rows
from nlp_skills.evaluation.metrics.agreement import JudgeAgreement, measure_agreement
from nlp_skills.evaluation.metrics.judge import (
    HOW,
    RUBRIC,
    Pair,
    Verdict,
    Winner,
    answer_questions,
    pair_questions,
    preferred_pairs,
    read_marks,
    read_pairs,
)
from nlp_skills.evaluation.predictors import open_predictor, predict
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction
from nlp_skills.evaluation.significance import interval
from nlp_skills.records import Progress, Record, silent, write_lines
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import record_lineage, version_folder


class Judgement(Record):
    """`versions/vN/judgement.json`: what a judge said of a version's answers."""

    version: str
    against: str | None = None
    judge: str
    rubric: str
    count: int
    """Answers, or pairs of them."""
    would: str | None = None
    """What asking means, where confirm was not given: then nobody was asked."""
    score: Interval | None = None
    """The mean mark, 0 to 1; or how often this version's answer won, ties as half."""
    unread: int = 0
    """Answers or pairs without a verdict: they count nowhere."""
    agreement: JudgeAgreement | None = None
    """Of pairs: both orders beside each other, and people where they have said something."""
    file: str | None = None
    """The judge's replies, a line each."""


class _Reply(msgspec.Struct, omit_defaults=True):
    """A line of judgement.jsonl."""

    id: str
    reply: str


@dataclass(frozen=True)
class _Asked:
    """What is put to the judge."""

    questions: list[Example]
    rows: list[Prediction] = field(default_factory=list)
    """The version's answers; none where people's preferences are asked about."""
    people: list[Winner] | None = None


def judge_version(
    task: Path,
    *,
    judge: str,
    version: str | None = None,
    against: str | None = None,
    rubric: str | None = None,
    confirm: bool = False,
    progress: Progress = silent,
) -> Judgement:
    """Let a model judge a version's answers to the test rows: each by itself, or against another version's.

    `judge` is base, a version, a folder, a GGUF file, ollama/NAME or URL#MODEL; over the network it is asked with
    `confirm` only. A run that is cut off goes on where it was. Raises NotReady where a version was not evaluated,
    NotValid for a task of labels, which need no judge, and for versions with different test rows.
    """
    folder = version_folder(task, version)
    if against is not None:
        against = version_folder(task, against).name  # an alias names another version some day
    definition = Task.load(task / "task.yaml")
    asked = _asked(task, definition, folder, against, rubric or RUBRIC)
    pairs = against is not None or asked.people is not None
    found = Judgement(
        version=folder.name,
        against=against,
        judge=judge,
        rubric=rubric or RUBRIC,
        count=len(asked.questions) // (2 if pairs else 1),
    )
    if judge.startswith(("http://", "https://")) and not (confirm or is_here(judge)):
        return found.model_copy(
            update={"would": f"{would_send(definition, judge, asked.questions, HOW)} {call_again()}"}
        )
    stem = "judgement" if against is None else f"judgement_{against}"
    replies = _ask(task, judge, asked.questions, folder / f"{stem}.part", progress)
    read = _pairs(replies, asked) if pairs else _marks(replies, asked, folder)
    lines = (_Reply(q.meta.id, reply) for q, reply in zip(asked.questions, replies, strict=True))
    write_lines(folder / f"{stem}.jsonl", map(msgspec.json.encode, lines))
    found.model_copy(update={**read, "file": f"versions/{folder.name}/{stem}.jsonl"}).save(
        folder / f"{stem}.json"
    )
    (folder / f"{stem}.part").unlink(missing_ok=True)
    if not pairs and asked.rows:
        record_lineage(task, version=folder.name)
    return Judgement.load(folder / f"{stem}.json")


def _asked(task: Path, definition: Task, folder: Path, against: str | None, rubric: str) -> _Asked:
    if definition.type.has_labels or definition.type is TaskType.TOOL_USE:
        raise NotValid(
            f"{task.name}: answers of a {definition.type.value} task are right or wrong, so no judge is needed."
            f" See them with: nlp-skills evaluate-version {task.name}"
        )
    if definition.type is TaskType.PREFERENCE:
        pairs, people = preferred_pairs(list(read_examples(task / "data" / "test.jsonl")))
        return _Asked(pair_questions(pairs, rubric), people=people)
    rows = read_predictions(folder)
    if against is None:
        return _Asked(answer_questions(rows, rubric), rows)
    others = read_predictions(task / "versions" / against)
    if not same_rows(rows, others):
        raise NotValid(
            f"{task.name}: {against} and {folder.name} were tested on different rows, so their answers cannot be compared."
            f" Evaluate both on today's data: nlp-skills evaluate-version {task.name} --version {against}"
        )
    both = [Pair(b.id, b.input, a.predicted, b.predicted) for a, b in zip(others, rows, strict=True)]
    return _Asked(pair_questions(both, rubric), rows)


def _ask(task: Path, judge: str, questions: list[Example], keep: Path, progress: Progress) -> list[str]:
    predictor = open_predictor(task, judge)
    try:
        return [
            answered.text for answered in predict(predictor, questions, HOW, keep=keep, progress=progress)
        ]
    finally:
        predictor.close()


def _pairs(replies: Sequence[str], asked: _Asked) -> dict[str, object]:
    """The verdicts on pairs; in those of two versions b is the one that is judged."""
    verdicts: list[Verdict] = read_pairs(replies)
    agreement = measure_agreement(verdicts, asked.people)
    scores = [verdict.score for verdict in verdicts]
    judged = [
        msgspec.structs.replace(row, judged=score)
        for row, score in zip(asked.rows, scores if asked.rows else [], strict=True)
    ]
    return {"agreement": agreement, "unread": scores.count(None), "score": _score(judged)}


def _marks(replies: Sequence[str], asked: _Asked, folder: Path) -> dict[str, object]:
    """The marks; they are written to the version's predictions and results too."""
    marks = read_marks(replies)
    rows = [msgspec.structs.replace(row, judged=mark) for row, mark in zip(asked.rows, marks, strict=True)]
    score = _score(rows)
    result = EvalResult.load(folder / "results.json")
    metrics = {name: value for name, value in result.metrics.items() if name != "judge_score"}
    if score is not None:
        metrics["judge_score"] = score
    write_lines(folder / "predictions.jsonl", map(msgspec.json.encode, rows))
    result.model_copy(update={"metrics": metrics}).save(folder / "results.json")
    return {"unread": marks.count(None), "score": score}


def _score(rows: Sequence[Prediction]) -> Interval | None:
    """None where the judge gave no verdict at all."""
    return interval("judge_score", rows) if any(row.judged is not None for row in rows) else None
