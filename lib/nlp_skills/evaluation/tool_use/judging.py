"""Rows asked and judged: of BFCL, of one turn or several, and the user's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.evaluation.predictors.predict import predict
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding, Predictor
from nlp_skills.evaluation.results import CallMarks, Prediction
from nlp_skills.evaluation.tool_use.asking import choose_calling, drawn, question_example, shown
from nlp_skills.evaluation.tool_use.bfcl import SINGLE_TURN, Question, read_questions, read_scenarios
from nlp_skills.evaluation.tool_use.calls import Call, openai_calls
from nlp_skills.evaluation.tool_use.marks import marks_of, question_marks
from nlp_skills.evaluation.tool_use.multi_turn import as_call
from nlp_skills.evaluation.tool_use.offered import original_calls
from nlp_skills.evaluation.tool_use.playing import Session, play_scenarios
from nlp_skills.evaluation.tool_use.record import Calling
from nlp_skills.evaluation.tool_use.replies import read_reply
from nlp_skills.records import Progress


@dataclass(frozen=True)
class Asked:
    """What all rows of a run are asked with."""

    predictor: Predictor
    how: Decoding
    calling: Calling | None
    limit: int | None
    seed: int
    progress: Progress
    unfinished: Path | None = None
    """The folder where answers are kept until the record is written; None: nowhere."""

    def keep(self, category: str) -> Path | None:
        """The file of a category's answers."""
        return self.unfinished / f"{category.replace(' ', '_')}.jsonl" if self.unfinished else None


@dataclass(frozen=True)
class Judged:
    """The rows of one category."""

    category: str
    rows: list[Prediction]
    answers: list[Answered]
    calling: Calling


def ask_rows(rows: list[Example], asked: Asked) -> Judged:
    """The user's rows: a call is right when tool and arguments are those of the row."""
    chosen = drawn(rows, asked.limit, asked.seed)
    calling = choose_calling(asked.predictor, chosen[0], asked.calling)
    given = [shown(row, calling) for row in chosen]
    answers = predict(asked.predictor, given, asked.how, keep=asked.keep("own rows"), progress=asked.progress)
    judged = [
        _prediction(row, row.output_text, answer.text, answer, marks_of(row.output_text, answer.text))
        for row, answer in zip(chosen, answers, strict=True)
    ]
    return Judged("own rows", judged, answers, calling)


def ask_category(package: Path, category: str, asked: Asked) -> Judged:
    """One category of BFCL."""
    asked.progress(f"BFCL {category}", 0, None)
    if category not in SINGLE_TURN:
        return _scenarios(package, category, asked)
    questions = drawn(read_questions(package, category), asked.limit, asked.seed)
    examples = [question_example(question) for question in questions]
    calling = choose_calling(asked.predictor, examples[0], asked.calling)
    given = [shown(row, calling) for row in examples]
    answers = predict(asked.predictor, given, asked.how, keep=asked.keep(category), progress=asked.progress)
    rows = [
        _judge(question, example, answer)
        for question, example, answer in zip(questions, examples, answers, strict=True)
    ]
    return Judged(category, rows, answers, calling)


def _judge(question: Question, example: Example, answer: Answered) -> Prediction:
    reply = read_reply(answer.text, question.language)
    calls = original_calls(reply.calls, question.functions)
    given = question_marks(question, reply._replace(calls=calls))
    said = _as_text(calls) if calls else answer.text
    return _prediction(example, _expected(question), said, answer, given)


def _expected(question: Question) -> str:
    """The first accepted values, as text to read; what may be left out is left out."""
    calls = []
    for expected in question.answers:
        name, accepted = next(iter(expected.items()))
        values = {key: options[0] for key, options in accepted.items() if options and "" not in options}
        calls.append(Call(name, values))
    return _as_text(calls) if calls else ""


def _scenarios(package: Path, category: str, asked: Asked) -> Judged:
    """A multi-turn category."""
    chosen = drawn(read_scenarios(package, category), asked.limit, asked.seed)
    probe = question_example(Question(chosen[0].id, category, chosen[0].turns[0], chosen[0].functions))
    calling = choose_calling(asked.predictor, probe, asked.calling)
    rows, answers = [], []
    for session in play_scenarios(chosen, asked.predictor, asked.how, calling, package):
        rows.append(_played(session))
        answers += session.answers
        asked.progress(f"BFCL {category}", len(rows), len(chosen))
    return Judged(category, rows, answers, calling)


def _played(session: Session) -> Prediction:
    """A scenario as a row: the calls of all turns."""
    scenario, verdict = session.scenario, session.verdict
    assert verdict is not None
    truth = [[as_call(code) for code in turn] for turn in scenario.truth]
    fault = f"turn {verdict.turn + 1}: {verdict.message}" if not verdict.right else ""
    made = any(session.calls)
    return Prediction(
        id=scenario.id,
        input="\n".join(message["content"] for turn in scenario.turns for message in turn),
        expected=json.dumps(
            [[msgspec.to_builtins(call) for call in turn] for turn in truth], ensure_ascii=False
        ),
        predicted=json.dumps(
            [[msgspec.to_builtins(call) for call in turn] for turn in session.calls], ensure_ascii=False
        ),
        correct=verdict.right,
        calls=CallMarks(
            wanted=None,
            made=made,
            right=verdict.right,
            unreadable=session.unreadable,
            fault=verdict.fault,
            message=fault,
        ),
        slices={"category": scenario.category},
        tokens=sum(answer.tokens or 0 for answer in session.answers),
        milliseconds=sum(answer.milliseconds or 0.0 for answer in session.answers),
        cut=any(answer.cut for answer in session.answers),
    )


def _prediction(example: Example, expected: str, said: str, answer: Answered, given: CallMarks) -> Prediction:
    return Prediction(
        id=example.meta.id,
        input=example.input_text,
        expected=expected,
        predicted=said,
        correct=given.right,
        calls=given,
        slices={"category": example.meta.source.removeprefix("bfcl/")},
        prompt_sha256=answer.prompt_sha256,
        prompt_tokens=answer.prompt_tokens,
        tokens=answer.tokens,
        milliseconds=answer.milliseconds,
        cut=answer.cut,
    )


def _as_text(calls: list[Call]) -> str:
    return json.dumps(openai_calls(calls), ensure_ascii=False, default=str)
