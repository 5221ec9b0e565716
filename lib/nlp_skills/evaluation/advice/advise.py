"""`advise`: should this task be fine-tuned at all, and how; every point with the figure and the file it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nlp_skills.errors import NlpSkillsError
from nlp_skills.evaluation.advice.baseline import measure_baseline
from nlp_skills.evaluation.advice.facts import FACTS, read_facts
from nlp_skills.evaluation.advice.rules import Evidence, Point, Verdict, apply_rules, facts_of, load_rules
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.task import Task
from nlp_skills.training.planning.plan import plan_training

SAMPLE = 50
"""Rows that the base model is asked: an interval of about ± 0.14 around one half."""

NEXT: dict[Verdict, str] = {
    "prompt": "Work on the prompt (instruction in task.yaml), then ask again: nlp-skills advise {task} --baseline",
    "retrieval": "Put the facts into a search index and the passages that are found into the input; train on rows with"
    " such passages: nlp-skills add-source {task} FILE",
    "simple classifier": "Serve TF-IDF with logistic regression; come back when it is not enough",
    "sft": "See what it takes: nlp-skills plan-training {task}",
    "preference": "See what it takes: nlp-skills plan-training {task}",
    "rl": "See what it takes: nlp-skills plan-training {task} --method grpo",
    "collect more data first": "Add rows: nlp-skills add-source {task} FILE",
    "cannot tell": "Measure what a prompt and TF-IDF do: nlp-skills advise {task} --baseline",
}
MORE_ROWS = (
    "Add labelled rows, of which some go to the validation: nlp-skills add-source {task} FILE, then nlp-skills"
    " regenerate-data {task}; and measure again: nlp-skills advise {task} --baseline"
)
"""Where what was measured, TF-IDF on all validation rows, leaves it open."""


class Advice(Record):
    """The verdict is that of the first point; the others stand beside it."""

    task: str
    verdict: Verdict
    reason: str
    points: list[Point] = []
    unknown: list[str] = []
    """Facts that rules ask for and no file has."""
    old: list[str] = []
    """Evidence of other data than there are now, which does not count, with the command that makes it anew."""
    next: str


def advise(
    task: Path, *, baseline: bool = False, rows: int = SAMPLE, seed: int = 13, progress: Progress = silent
) -> Advice:
    """Should this task be fine-tuned? prompt, retrieval, a simple classifier, sft, preference, rl, or more data first.

    With `baseline` TF-IDF answers all validation rows and the base model `rows` of them first, which takes a while; otherwise only
    what was measured before, on the data that lie there now, counts. Raises NotReady for that without validation
    rows, NotValid for it with preference pairs.
    """
    definition = Task.load(task / "task.yaml")
    if baseline:
        measure_baseline(task, definition, rows, seed, progress)
    facts, old = read_facts(task)
    if "budget_usd" in facts:
        facts |= _cost(task, progress)
    return give_advice(task.name, facts, old)


def give_advice(task: str, facts: dict[str, Evidence], old: Sequence[str] = ()) -> Advice:
    """The verdict on these facts; `old`: what is known to be out of date."""
    rules = load_rules()
    points = apply_rules(rules, facts)
    asked = dict.fromkeys(name for rule in rules for name in facts_of(rule))
    verdict: Verdict = points[0].verdict if points else "cannot tell"
    return Advice(
        task=task,
        verdict=verdict,
        reason=points[0].says if points else "No rule has the facts that it needs.",
        points=points,
        unknown=[FACTS[name] for name in asked if name not in facts],
        old=list(old),
        next=(MORE_ROWS if points and verdict == "cannot tell" else NEXT[verdict]).format(task=task),
    )


def _cost(task: Path, progress: Progress) -> dict[str, Evidence]:
    """What a training would cost: nothing where this machine can, else what the cheapest rented hardware takes.

    Nothing is said where that cannot be planned.
    """
    try:
        plan = plan_training(task, progress=progress)
    except NlpSkillsError:
        return {}
    if plan.forecast.fits:
        usd, name = 0.0, plan.forecast.hardware
    else:
        costs = [(place.usd, place.name) for place in plan.elsewhere if place.fits and place.usd is not None]
        if not costs:
            return {}
        usd, name = min(costs)
    figure = f"{FACTS['cheapest_usd']} ({name})"
    return {"cheapest_usd": Evidence(figure=figure, value=round(usd, 4), file="plan-training")}
