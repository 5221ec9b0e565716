"""How well a model calls tools: on BFCL v4, or on the user's own rows and tools.

evaluate_tools(task, categories=["simple_python", "multi_turn"])        BFCL
evaluate_tools(task, tools=".mcp.json#weather")                        the task's test rows, with a server's tools
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import NotReady, NotValid, clip
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.tool_calls import TOOL_CALLS, marks
from nlp_skills.evaluation.predictors import Answered, Decoding, Predictor, open_predictor
from nlp_skills.evaluation.results import Interval, Latency, Prediction
from nlp_skills.evaluation.significance import interval
from nlp_skills.evaluation.tool_use.asking import with_tools
from nlp_skills.evaluation.tool_use.bfcl import category_names
from nlp_skills.evaluation.tool_use.bfcl_package import VERSION, bfcl_package
from nlp_skills.evaluation.tool_use.judging import Asked, Judged, ask_category, ask_rows
from nlp_skills.evaluation.tool_use.own_tools import read_tools
from nlp_skills.evaluation.tool_use.record import Calling, CategoryScore, Failure, ToolUseResult
from nlp_skills.evaluation.tool_use.targets import billions_of, targets
from nlp_skills.records import Progress, now, silent, write_lines
from nlp_skills.task.version import version_names

SHOWN_FAILURES = 10


def evaluate_tools(
    task: Path,
    *,
    categories: list[str] | None = None,
    model: str | None = None,
    calling: Calling | None = None,
    tools: str | None = None,
    split: Literal["test", "valid"] = "test",
    limit: int | None = None,
    max_new_tokens: int = 512,
    batch_size: int = 1,
    seed: int = 13,
    progress: Progress = silent,
) -> ToolUseResult:
    """Measure tool calls and write benchmarks/tool_use/<key>.json, with a line for each row beside it.

    With `categories` BFCL is asked (fetched once, 1.9 MB, then read offline); without, the rows of `split`, with their own
    tools or with `tools`. What was answered is kept until the record is written: a run that was interrupted goes on, but for
    scenarios of several turns, which begin anew. Without `model` the newest trained version is measured, or the base model where there is none.
    Raises NotReady without rows or data, NotValid for an unknown category, a number below 1, or a model that is shown no tools.
    """
    for name, value in (("limit", limit), ("max_new_tokens", max_new_tokens), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise NotValid(f"{name} is {value}; 1 is the least.")
    if categories and tools:
        raise NotValid("BFCL's rows bring their own tools: give categories, or tools of your own, not both.")
    chosen = category_names(categories or [])
    own = [] if chosen else _own_rows(task, split, tools)
    package = bfcl_package(progress) if chosen else None
    reference = model or _newest_trained(task) or "base"
    predictor = open_predictor(task, reference)
    how = Decoding(max_new_tokens=max_new_tokens, batch_size=batch_size)
    unfinished = task / "benchmarks" / "tool_use" / "unfinished"
    asked = Asked(predictor, how, calling, limit, seed, progress, unfinished)
    resumed = unfinished.is_dir()
    started = time.perf_counter()
    try:
        judged = (
            [ask_category(package, name, asked) for name in chosen] if package else [ask_rows(own, asked)]
        )
        # Kept answers took time that nobody has measured here.
        seconds = None if resumed else time.perf_counter() - started
        billions = billions_of(predictor)
    finally:
        predictor.close()
    source = f"BFCL v4 (bfcl-eval {VERSION})" if chosen else f"{task.name}, {split} rows"
    result = summarise(judged, asked, source, seconds, billions).with_changes(
        reference=reference, tools=tools
    )
    rows = [row for one in judged for row in one.rows]
    file = f"benchmarks/tool_use/{_key(result, predictor, rows)}.json"
    write_lines((task / file).with_suffix(".jsonl"), (msgspec.json.encode(row) for row in rows))
    saved = result.with_changes(file=file).save(task / file)
    shutil.rmtree(unfinished, ignore_errors=True)
    return saved


def summarise(
    judged: Sequence[Judged], asked: Asked, source: str, seconds: float | None, billions: float | None
) -> ToolUseResult:
    """The record of rows that are judged; `seconds` is what all of them took, where that is known."""
    rows = [row for one in judged for row in one.rows]
    answers = [answer for one in judged for answer in one.answers]
    measured, latency = _measured(rows), _latency(answers)
    return ToolUseResult(
        model=asked.predictor.name,
        source=source,
        calling=judged[0].calling,
        count=len(rows),
        metrics=measured,
        categories=[_score(one) for one in judged],
        targets=targets(measured, latency, billions, asked.how.batch_size),
        latency=latency,
        tokens_per_second=_rate(sum(answer.tokens or 0 for answer in answers), seconds),
        answers_per_minute=_rate(60 * len(answers), seconds),
        cut=sum(answer.cut for answer in answers),
        limit=asked.limit,
        seed=asked.seed,
        generation=asked.how.describe(),
        failures=[_failure(row) for row in rows if not marks(row).right][:SHOWN_FAILURES],
        created=now(),
    )


def _newest_trained(task: Path) -> str | None:
    trained = [v for v in version_names(task) if (task / "versions" / v / "model_info.json").is_file()]
    return trained[-1] if trained else None


def _own_rows(task: Path, split: str, tools: str | None) -> list[Example]:
    """The split's rows with the tools that they offer. Raises NotReady where there is nothing to measure."""
    rows = list(read_examples(task / "data" / f"{split}.jsonl"))
    if tools is not None:
        definitions = read_tools(tools, task)
        rows = [with_tools(row, definitions) for row in rows]
    rows = [row for row in rows if row.tools and row.messages]
    if not rows:
        raise NotReady(
            f"{task.name}: no row of data/{split}.jsonl offers tools. Give the rows a `tools` column, name tools of your own"
            f" (--tools .mcp.json#SERVER or an OpenAPI file), or measure on BFCL: nlp-skills evaluate-tools {task.name}"
            " --categories single_turn"
        )
    return rows


def _measured(rows: Sequence[Prediction]) -> dict[str, Interval]:
    return {name: interval(name, rows) for name in TOOL_CALLS if METRICS[name].applies(rows)}


def _score(judged: Judged) -> CategoryScore:
    faults = Counter(marks(row).fault for row in judged.rows if not marks(row).right)
    return CategoryScore(
        category=judged.category,
        count=len(judged.rows),
        metrics=_measured(judged.rows),
        faults=dict(faults.most_common()),
    )


def _failure(row: Prediction) -> Failure:
    found = marks(row)
    return Failure(
        id=row.id,
        asked=clip(row.input, 200),
        expected=clip(row.expected, 300),
        said=clip(row.predicted, 300),
        fault=found.fault,
        message=clip(found.message, 300),
    )


def _latency(answers: Sequence[Answered]) -> Latency | None:
    import numpy as np

    spent = [answer.milliseconds for answer in answers if answer.milliseconds is not None]
    if not spent:
        return None
    p50, p95, p99 = (round(float(value), 2) for value in np.percentile(spent, [50, 95, 99]))
    return Latency(p50=p50, p95=p95, p99=p99)


def _rate(number: int, seconds: float | None) -> float | None:
    return round(number / seconds, 2) if number and seconds else None


def _key(result: ToolUseResult, predictor: Predictor, rows: Iterable[Prediction]) -> str:
    """The same for the same model, rows and settings: a run that is made again takes the place of the one before."""
    settings = (
        predictor.identity,
        result.source,
        result.calling,
        result.tools,
        result.seed,
        result.generation,
    )
    digest = hashlib.sha256(json.dumps(settings).encode())
    for row in rows:
        digest.update(f"{row.id} {row.prompt_sha256}\n".encode())
    return digest.hexdigest()[:32]
