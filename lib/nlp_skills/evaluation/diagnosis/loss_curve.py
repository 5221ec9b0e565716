"""What the curve of the run says afterwards, with the rules that watched it (training/run/watch.py), and how it ended."""

from __future__ import annotations

from collections.abc import Iterator

from nlp_skills.errors import NotReady
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.material import Material
from nlp_skills.evaluation.diagnosis.record import Cause
from nlp_skills.training.run.watch import OVERFIT, RECENT, STALLED_AFTER, divergence, overfit, stall

STILL = 0.02
"""The share by which the last validation loss lies below the one before, from which on it was still falling."""
FAST = 0.1


def failed_run(material: Material) -> Iterator[Cause]:
    """RUN-FAILED: the run was cut off, stopped or crashed."""
    job = material.job
    if job is None or job.status not in ("failed", "cancelled"):
        return
    yield name_cause(
        material,
        "RUN-FAILED",
        f"The training {'failed' if job.status == 'failed' else 'was stopped'}: {job.error or 'it said no reason.'}",
        "strong",
        [figure("status", job.status, f"versions/{material.version}/job.json")],
    )


def diverged(material: Material) -> Iterator[Cause]:
    """RUN-DIVERGE: the loss rose far above where it began, or was no number. Raises NotReady with too few losses."""
    rows = material.metrics or []
    found = divergence(rows)
    told = next((row["message"] for row in rows if row.get("warning") in ("RUN-DIVERGE", "RUN-NAN")), None)
    losses = [row["loss"] for row in rows if "loss" in row]
    if found is None and told is None:
        _need(3 * RECENT, losses, material)
        return
    yield name_cause(
        material,
        "RUN-DIVERGE",
        _sentence(found.message if found else str(told)),
        "strong",
        [figure("last training loss", losses[-1] if losses else "none", material.metrics_file)],
        lower_rate=f"{material.config.learning_rate / 2:g}",
    )


def flat(material: Material) -> Iterator[Cause]:
    """RUN-FLAT: the newest losses are not lower than the first. Raises NotReady with too few losses."""
    rows = material.metrics or []
    found = stall(rows)
    losses = [row["loss"] for row in rows if "loss" in row]
    if found is None:
        _need(STALLED_AFTER, losses, material)
        return
    yield name_cause(
        material,
        "RUN-FLAT",
        _sentence(found.message),
        "strong",
        [
            figure("first training loss", losses[0], material.metrics_file),
            figure("last training loss", losses[-1], material.metrics_file),
        ],
        higher_rate=f"{material.config.learning_rate * 4:g}",
    )


def learned_by_heart(material: Material) -> Iterator[Cause]:
    """RUN-OVERFIT: the model that was kept has a validation loss well above the lowest."""
    rows = material.metrics or []
    looks = [row for row in rows if "eval_loss" in row]
    kept = material.job.kept_step if material.job else None
    last = next((row for row in looks if row["step"] == kept), looks[-1]) if looks else None
    if last is None or len(looks) < 2:
        raise NotReady(f"{material.metrics_file} has {len(looks)} validation losses, and a curve needs two")
    best = min(looks, key=lambda row: row["eval_loss"])
    noise = 2 * float(best.get("eval_loss_se", 0.0))
    above = last["eval_loss"] - best["eval_loss"]
    if above <= max(OVERFIT * abs(best["eval_loss"]), noise):
        return
    yield name_cause(
        material,
        "RUN-OVERFIT",
        f"The validation loss was {best['eval_loss']:.3g} at step {best['step']} and {last['eval_loss']:.3g} at step {last['step']},"
        " which was kept.",
        "strong" if overfit(rows) is not None else "some",
        [
            figure("lowest validation loss", best["eval_loss"], material.metrics_file),
            figure("validation loss of the model that was kept", last["eval_loss"], material.metrics_file),
        ],
    )


def still_falling(material: Material) -> Iterator[Cause]:
    """STILL-FALLING: the last validation loss is well below the one before."""
    looks = [row for row in material.metrics or [] if "eval_loss" in row]
    if len(looks) < 2:
        raise NotReady(f"{material.metrics_file} has {len(looks)} validation losses, and a curve needs two")
    before, last = looks[-2], looks[-1]
    noise = 2 * float(last.get("eval_loss_se", 0.0))
    fell = before["eval_loss"] - last["eval_loss"]
    if before["eval_loss"] <= 0 or fell / before["eval_loss"] < STILL:
        return
    more = f"{2 * material.config.epochs:g}"
    yield name_cause(
        material,
        "STILL-FALLING",
        f"In the last part of the run the validation loss fell from {before['eval_loss']:.3g} to {last['eval_loss']:.3g}.",
        "some" if fell > max(noise, FAST * before["eval_loss"]) else "weak",
        [
            figure(f"validation loss at step {before['step']}", before["eval_loss"], material.metrics_file),
            figure(f"validation loss at step {last['step']}", last["eval_loss"], material.metrics_file),
        ],
        more_epochs=more,
    )


def _need(least: int, losses: list[float], material: Material) -> None:
    """What a short run does not show is not ruled out by it."""
    if len(losses) < least:
        raise NotReady(f"{material.metrics_file} has {len(losses)} training losses; {least} are needed")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
