"""Which checkpoint a run keeps, and when it ends early, with the noise of the validation loss in mind.

    evaluation   1      2      3      4
    loss        .90    .52    .50    .53       lowest: 3, with a standard error of .04
                        ▲                      kept: 2, the earliest that is not told apart from it

The one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3): of
checkpoints that chance cannot tell apart, the one that was trained least has forgotten least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlp_skills.errors import RunFailed
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.run.metrics_log import read_metrics


class Look(NamedTuple):
    """One evaluation on the validation rows."""

    step: int
    loss: float
    error: float
    """The standard error of the loss; 0 where it is not known."""


def looks_in(rows: Iterable[Mapping[str, Any]]) -> list[Look]:
    """The evaluations among the lines of metrics.jsonl."""
    return [
        Look(row["step"], row["eval_loss"], row.get("eval_loss_se", 0.0))
        for row in rows
        if "eval_loss" in row
    ]


def candidates(looks: Sequence[Look]) -> list[Look]:
    """The evaluations whose checkpoints may still be the one that is kept, which at present is the first of them.

    Each is lower than all before it. One that a later loss has beaten by more than that one's error is out for good,
    so its checkpoint can go.
    """
    found: list[Look] = []
    for look in looks:
        if not found or look.loss < found[-1].loss:
            found = [c for c in found if c.loss <= look.loss + look.error] + [look]
    return found


def looks_without_gain(looks: Sequence[Look]) -> int:
    """How many evaluations there were since one that was better by more than its standard error."""
    best, since = None, 0
    for look in looks:
        if best is None or look.loss < best - look.error:
            best, since = look.loss, 0
        else:
            since += 1
    return since


def watch_validation(trainer: Any, config: TrainConfig, metrics: Path) -> None:
    """Let the trainer save what may be kept and end early, as the configuration says.

    `metrics` is metrics.jsonl: a run that goes on knows its earlier evaluations from there.
    """
    if config.keep == "last" and config.early_stopping_patience is None:
        return
    looks = looks_in(read_metrics(metrics))
    if config.keep == "best":
        trainer.spared = lambda: {look.step for look in candidates(looks)}
    trainer.add_callback(_callback(config, looks))


def _callback(config: TrainConfig, looks: list[Look]) -> Any:
    from transformers import TrainerCallback

    class ValidationWatch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            # The end of a run is looked at too, where the evaluations do not fall on it.
            control.should_evaluate = control.should_evaluate or state.global_step >= state.max_steps

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:  # noqa: ARG002
            look = looks_in([{"step": state.global_step, **(metrics or {})}])
            looks.extend(look)
            if config.keep == "best" and candidates(looks)[-1:] == look:
                control.should_save = True
            patience = config.early_stopping_patience
            if patience is not None and looks_without_gain(looks) >= patience:
                control.should_training_stop = True

    return ValidationWatch()


def load_kept(trainer: Any, config: TrainConfig, metrics: Path, say: Callable[[str], None]) -> int | None:
    """Give the trainer's model the weights of the checkpoint that is kept; its step, None where that is the last."""
    found = candidates(looks_in(read_metrics(metrics))) if config.keep == "best" else []
    if not found or found[0].step == trainer.state.global_step:
        return None
    kept, lowest = found[0], found[-1]
    place = Path(trainer.args.output_dir) / f"checkpoint-{kept.step}"
    if not (
        place / "trainer_state.json"
    ).is_file():  # transformers would only log that, and the last would be saved
        raise RunFailed(
            f"The checkpoint of step {kept.step}, which was to be kept, is not at {place}. Delete {place.parent} and train"
            " the version again, from the beginning."
        )
    trainer.state.best_model_checkpoint = str(place)
    trainer.state.best_metric = kept.loss
    trainer._load_best_model()
    say(
        f"Kept the checkpoint of step {kept.step}: its validation loss {kept.loss:.4f} is within one standard error"
        f" ({lowest.error:.4f}) of the lowest, {lowest.loss:.4f} at step {lowest.step}"
    )
    return kept.step
