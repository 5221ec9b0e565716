"""How the versions came to be, and how to do it again: loss curves, lineage, commands, settings."""

from __future__ import annotations

import re

from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_value
from nlp_skills.evaluation.loss_chart import LossScale, loss_chart, loss_scale
from nlp_skills.evaluation.page.evidence import Attempt, Evidence
from nlp_skills.evaluation.page.lineage_graph import Node, lineage_graph
from nlp_skills.evaluation.verdict import metric_name
from nlp_skills.page.markup import Child, Html, element
from nlp_skills.page.parts import (
    absent,
    figure,
    hash_code,
    lead,
    section,
    table,
)
from nlp_skills.records import to_yaml
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.run.watch import OVERFIT


def training_section(evidence: Evidence) -> Html:
    scale = loss_scale(attempt.curve for attempt in evidence.attempts)
    return section(
        "training",
        "Training",
        lead(
            f"Loss over steps, on the same scale for every version: a thin line for training, dots for evaluation. {scale.told}".rstrip()
        ),
        element("div", [_run(attempt, scale) for attempt in evidence.attempts], class_="columns"),
    )


def _run(attempt: Attempt, scale: LossScale) -> Html:
    title = element("h3", attempt.version)
    if not attempt.curve.values:
        state = f"Its job is {attempt.job.status}." if attempt.job else "It has not been trained yet."
        return element("div", title, absent(f"No loss was recorded. {state}"))
    told = _told_curve(attempt)
    chart = loss_chart(
        attempt.curve, scale, alternative=f"Loss of {attempt.version}. {told} {scale.told}".rstrip()
    )
    rows = [[f"{step:g}", show_value(loss, ".4f")] for step, loss in attempt.curve.evaluation]
    grid = table(["Step", "Evaluation loss"], rows, numbers=True) if rows else None
    return element("div", title, figure(chart, table=grid), lead(told))


def _told_curve(attempt: Attempt) -> str:
    train, evaluation = attempt.curve.train, attempt.curve.evaluation
    parts = []
    if train:
        parts.append(
            f"Training loss went from {show_value(train[0][1])} to {show_value(train[-1][1])} in {train[-1][0]:g} steps."
        )
    if evaluation:
        best = min(evaluation, key=lambda point: point[1])
        parts.append(f"Evaluation loss is lowest at step {best[0]:g} ({show_value(best[1])})")
        later = evaluation[-1]
        parts[-1] += (
            f" and rises to {show_value(later[1])} afterwards: the model starts to learn its rows by heart."
            if later[1] - best[1] > OVERFIT * abs(best[1])
            else ", at or near the end."
        )
    else:
        parts.append("No evaluation loss was recorded.")
    return " ".join(parts)


def lineage_section(evidence: Evidence) -> Html:
    return section(
        "lineage",
        "Lineage",
        lineage_figure(evidence, current=evidence.latest.version),
        element("h3", evidence.latest.version),
        _ancestry(evidence.latest),
        [
            element("details", element("summary", attempt.version), _ancestry(attempt))
            for attempt in reversed(evidence.attempts[:-1])
        ],
    )


def lineage_figure(evidence: Evidence, current: str | None = None) -> Html:
    """The graph of the versions, with everything in it as a table."""
    metric, best = evidence.metric, evidence.best
    nodes = []
    for attempt in evidence.attempts:
        score = attempt.result.metrics.get(metric) if attempt.result else None
        nodes.append(
            Node(
                attempt.version,
                attempt.parent,
                f"{metric_name(metric)} {show_value(score.value)}" if score else "not evaluated",
                "; ".join(attempt.lineage.changes if attempt.lineage else []),
                current=attempt.version == current,
                best=best is not None and attempt.version == best.version,
            )
        )
    told = "; ".join(
        f"{n.name} {f'from {n.parent}' if n.parent else 'is a start'}, {n.note}{', the best' if n.best else ''}"
        for n in nodes
    )
    grid = table(
        ["Version", "Made from", "Reaches", "What changed"],
        [
            [
                n.name,
                n.parent or "a start",
                f"{n.note}{', the best' if n.best else ''}",
                n.change or "none recorded",
            ]
            for n in nodes
        ],
        stack=True,
    )
    return figure(lineage_graph(nodes, alternative=f"Lineage: {told}."), table=grid)


def _ancestry(attempt: Attempt) -> Html:
    facts: list[tuple[str, Child]] = [
        ("Created", attempt.lineage.created if attempt.lineage else "not recorded")
    ]
    facts.append(("Parent", attempt.parent or "none"))
    facts.append(
        ("Changes", "; ".join(attempt.lineage.changes if attempt.lineage else []) or "none recorded")
    )
    facts += [*_spent(attempt), *_environment(attempt), *_hashes(attempt)]
    rows = [(element("dt", name), element("dd", value)) for name, value in facts if value]
    return element("dl", rows)


def _spent(attempt: Attempt) -> list[tuple[str, Child]]:
    job = attempt.job
    if job is None:
        return [("Training", "not started")]
    facts: list[tuple[str, Child]] = []
    resumed = f", resumed {counted(job.resumed, 'time')}" if job.resumed else ""
    facts.append(("Training", f"{job.status} on {job.target}, {_span(job)}{resumed}"))
    if job.cost is not None:
        gpu = f", {job.cost.peak_gpu_memory_mb:,.0f} MB on the GPU" if job.cost.peak_gpu_memory_mb else ""
        facts.append(
            (
                "Cost",
                f"{show_duration(job.cost.seconds)}, ${job.cost.usd:.2f}, at most {job.cost.peak_memory_mb:,.0f} MB of memory{gpu}",
            )
        )
    return facts


def _environment(attempt: Attempt) -> list[tuple[str, Child]]:
    environment = attempt.job.environment if attempt.job else None
    if environment is None:
        return []
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    machine = (
        f"{environment.platform}, {environment.gpu or 'no GPU'}, {counted(environment.threads, 'thread')}"
    )
    return [
        ("Machine", machine),
        ("Software", f"Python {environment.python}" + (f", {packages}" if packages else "")),
        ("Git commit", hash_code(environment.git_commit) if environment.git_commit else None),
    ]


def _hashes(attempt: Attempt) -> list[tuple[str, Child]]:
    facts: list[tuple[str, Child]] = []
    if attempt.snapshot is not None:
        facts.append(("Data", hash_code(attempt.snapshot.source_hash)))
    if attempt.config is not None:
        facts.append(("Base model", _base(attempt.config)))
    if attempt.model is not None:
        share = 100 * attempt.model.trainable_parameters / (attempt.model.total_parameters or 1)
        facts.append(
            (
                "Model",
                f"{attempt.model.path} ({attempt.model.format}, {share:.2f} % of {attempt.model.total_parameters:,} parameters trained)",
            )
        )
        facts.append(("Model SHA-256", hash_code(attempt.model.sha256)))
        if attempt.model.hub is not None:
            facts.append(("Hub", f"{attempt.model.hub.repo_id} @ {attempt.model.hub.commit}"))
    return facts


def _base(config: TrainConfig) -> str:
    return config.base_model + (f" @ {config.base_revision}" if config.base_revision else "")


def again_section(evidence: Evidence) -> Html:
    latest = evidence.latest
    parts: list[Html | None] = []
    if evidence.scripts:
        commands = "\n".join(f"uv run {script}" for script in evidence.scripts)
        parts += [lead("In the task folder:"), element("pre", element("code", commands), tabindex="0")]
    else:
        parts.append(absent("The task folder holds no numbered scripts."))
    expected = []
    if latest.snapshot is not None:
        expected += [(f"data/{name}.jsonl", split.sha256) for name, split in latest.snapshot.splits.items()]
    if expected:
        rows = [[name, hash_code(digest)] for name, digest in expected]
        parts += [
            lead("It is the same data when these files have these SHA-256 hashes:"),
            table(["File", "SHA-256"], rows),
        ]
    if latest.config is not None:
        config = to_yaml(latest.config.model_dump(mode="json", exclude_none=True)).decode()
        parts.append(
            element(
                "details",
                element("summary", f"Settings of {latest.version}: versions/{latest.version}/config.yaml"),
                element("pre", element("code", config), tabindex="0"),
            )
        )
    else:
        parts.append(absent(f"{latest.version} has no config.yaml yet."))
    return section("again", "How to do it again", *parts)


def _span(job: Job) -> str:
    started = re.sub(r"T(\d\d:\d\d).*", r" \1", job.started)
    return f"started {started}" + (" UTC" if job.started.endswith("Z") else "")


def show_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
