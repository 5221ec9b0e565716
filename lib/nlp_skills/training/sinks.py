"""Sinks: trackio, MLflow and W&B, fed beside metrics.jsonl where `report_to` names them.

    Trainer ──▶ metrics.jsonl                 always
            └─▶ transformers' own callbacks   each behind a guard: one that fails is left out, and the run goes on

Without a server of your own they write to tracking/ in the task folder. Their own environment variables
(TRACKIO_DIR, TRACKIO_SPACE_ID, MLFLOW_TRACKING_URI, WANDB_MODE …) say otherwise.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from nlp_skills.errors import MissingExtra, NotReady
from nlp_skills.training.environment import Stopwatch
from nlp_skills.training.train_log import without_secrets

FOLDER = "tracking"
"""In the task."""

EVENTS = ("on_train_begin", "on_log", "on_save", "on_train_end")


def missing_sinks(names: Iterable[str]) -> list[str]:
    """Those that are not installed; a sink is called what its package is called."""
    return [name for name in names if find_spec(name) is None]


def require_sinks(names: Iterable[str]) -> None:
    """Raises MissingExtra for trackio, NotReady for another sink that is not installed; says how to install it."""
    for name in missing_sinks(names):
        if name == "trackio":
            raise MissingExtra("report_to: trackio", "track")
        raise NotReady(
            f"report_to: {name} needs the package {name}, which is not installed here. Install it with:"
            f" uv pip install {name}. Or leave it out: metrics.jsonl is always written."
        )


class Sink(NamedTuple):
    """What a run is called where it is reported to."""

    folder: Path
    """tracking/ is made in it."""
    project: str
    run: str
    run_id: str
    """A run that goes on from a checkpoint keeps it."""


def sink_environment(sink: Sink) -> dict[str, str]:
    """Where the sinks write and what they call the run, unless their own environment variables say it.

    The limits are there because MLflow would wait four minutes for a server that is down.
    """
    place = sink.folder.resolve() / FOLDER
    return {
        "TRACKIO_DIR": str(place / "trackio"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{(place / 'mlflow.db').as_posix()}",
        "MLFLOW_EXPERIMENT_NAME": sink.project,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "WANDB_DIR": str(place),
        "WANDB_PROJECT": sink.project,
        "WANDB_RUN_ID": sink.run_id,
        "WANDB_RESUME": "allow",
        "WANDB_INIT_TIMEOUT": "30",
    }


def report_to_sinks(
    trainer: Any, names: Sequence[str], sink: Sink, stopwatch: Stopwatch, say: Callable[[str], None]
) -> None:
    """Let the trainer feed the sinks that are named, from the process of the run: it gets their environment variables.

    The time that they take is no time of the run.
    """
    if not names:
        return
    for name, value in sink_environment(sink).items():
        os.environ.setdefault(name, value)
    (sink.folder / FOLDER).mkdir(exist_ok=True)
    for name in names:
        trainer.add_callback(_guarded(name, sink, stopwatch, say))


def _guarded(name: str, reported: Sink, stopwatch: Stopwatch, say: Callable[[str], None]) -> Any:
    """The sink's callback from transformers; the first thing that goes wrong in it ends it, with a line in train.log."""
    from transformers import TrainerCallback
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    class Guarded(TrainerCallback):
        sink: Any = None
        broken = False

        def hear(self, event: str, args: Any, state: Any, control: Any, given: dict[str, Any]) -> None:
            if self.broken:
                return
            named = copy.copy(args)
            named.project, named.run_name = reported.project, reported.run
            try:
                with stopwatch.stopped():
                    self.sink = self.sink or get_reporting_integration_callbacks(name)[0]()
                    getattr(self.sink, event)(named, state, control, **given)
            except Exception as error:  # noqa: BLE001 (other people's code and servers: nothing that they raise may end a run)
                self.broken = True
                told = without_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
                say(f"report_to: {name} failed and gets nothing more; metrics.jsonl has it all. {told}")

    def listener(event: str) -> Callable[..., None]:
        def on_event(self: Guarded, args: Any, state: Any, control: Any, **given: Any) -> None:
            self.hear(event, args, state, control, given)

        return on_event

    for event in EVENTS:
        setattr(Guarded, event, listener(event))
    return Guarded()
