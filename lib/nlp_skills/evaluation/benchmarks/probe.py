"""EVAL-SANE for the harness: questions whose outcome is known go through it first.

The model's own choices are taken straight from the predictor; if the harness reports others, its numbers would speak
of the way between them. A model that cannot score is asked to write, and has to write something.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import RunFailed
from nlp_skills.evaluation.benchmarks.harness_process import HarnessProcess, Reply
from nlp_skills.evaluation.benchmarks.record import SuiteScore
from nlp_skills.evaluation.forgetting import Question, general_questions
from nlp_skills.evaluation.predictors import Predictor
from nlp_skills.evaluation.results import Sanity
from nlp_skills.evaluation.sane import FEW, UNREADABLE
from nlp_skills.records import to_yaml, write_atomic, write_lines

NAME = "nlp_skills_probe"
PROBES = 6
"""Known questions."""


def probe(process: HarnessProcess, predictor: Predictor, reply: Reply, folder: Path, plain: bool) -> Sanity:
    """Ask the known questions both ways; `folder` is an empty one for the suite's files.

    Raises RunFailed where the harness reports something else than the model said.
    """
    questions = [q for i, q in enumerate(general_questions()) if i % 20 == 0][:PROBES]
    _write_suite(folder, questions, predictor.can_score)
    given = {"suites": [NAME], "include": [str(folder)], "packaged": False, "few_shot": None, "limit": None}
    found = process.run({**given, "chat": not plain, "seed": 0}, reply)
    samples = sorted(found["samples"], key=lambda sample: sample["doc"])
    if not predictor.can_score:
        silent = sum(not str(sample["said"][0]).strip() for sample in samples) / len(samples)
        if silent > UNREADABLE:
            raise RunFailed(f"{predictor.name} wrote nothing to {silent:.0%} of the known questions.")
        return Sanity(
            verdict="ok", reason="Known questions are answered.", unreadable=silent, known=len(samples)
        )
    reported = [_best([float(value) for value, _ in sample["said"]]) for sample in samples]
    own = _own(predictor, questions, reply, plain)
    agreeing = sum(a == b for a, b in zip(reported, own, strict=True))
    if agreeing < len(own):
        raise RunFailed(
            f"The harness reports other answers than {predictor.name} gave to {len(own) - agreeing} of {len(own)} known"
            " questions: its figures would not be the model's. Nothing was written."
        )
    return Sanity(
        verdict="ok",
        reason="The harness reports what the model answers.",
        unreadable=0.0,
        known=len(own),
        known_right=agreeing,
    )


def after_run(sanity: Sanity, scores: Sequence[SuiteScore], samples: Sequence[dict[str, Any]]) -> Sanity:
    """What the results themselves say: answers that are empty, suites in which not one row is right."""
    written = [row for row in samples if row["said"] and isinstance(row["said"][0], str)]
    empty = sum(not row["said"][0].strip() or row["said"][0] == "[invalid]" for row in written)
    share = empty / len(written) if written else 0.0
    if share > UNREADABLE and len(written) >= FEW:
        reason = f"{share:.0%} of the answers are empty or could not be read by the suite: look at the template and the stops."
        return sanity.with_changes(verdict="harness error", reason=reason, unreadable=share)
    nothing = [one.suite for one in scores if one.higher_is_better and one.value == 0 and one.count >= FEW]
    if nothing:
        reason = f"Not one row of {nothing[0]} is right: look at a few answers before you blame the model."
        return sanity.with_changes(verdict="harness error", reason=reason, unreadable=share)
    return sanity.with_changes(unreadable=share)


def _own(predictor: Predictor, questions: Sequence[Question], reply: Reply, plain: bool) -> list[int]:
    if plain:
        rows = [{"context": q.question, "choices": [f" {c}" for c in q.choices]} for q in questions]
        return [_best([value for value, _ in row]) for row in reply("choices", rows)]
    examples = [
        Example(
            meta=Meta(id=q.id, source="probe"),
            messages=[Message("user", q.question), Message("assistant", "")],
        )
        for q in questions
    ]
    return [_best(row) for row in predictor.score_choices(examples, [q.choices for q in questions])]


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _write_suite(folder: Path, questions: Sequence[Question], scored: bool) -> None:
    rows = [{"question": q.question, "choices": q.choices, "right": q.choices[0]} for q in questions]
    write_lines(folder / "rows.jsonl", (json.dumps(row, ensure_ascii=False).encode() for row in rows))
    suite: dict[str, Any] = {
        "task": NAME,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "metadata": {"version": 1},
    }
    if scored:
        suite |= {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": 0}
    else:
        settings = {"until": ["\n\n"], "max_gen_toks": 32, "do_sample": False}
        suite |= {
            "output_type": "generate_until",
            "doc_to_target": "{{right}}",
            "generation_kwargs": settings,
        }
    write_atomic(folder / f"{NAME}.yaml", to_yaml(suite))
