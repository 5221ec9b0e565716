"""`metrics.jsonl`: one line for each logged step and each evaluation.

{"step": 10, "epoch": 0.5, "loss": 1.23, "learning_rate": 0.0002, "grad_norm": 0.9, "seconds": 12.3}
{"step": 20, "epoch": 1.0, "eval_loss": 0.91, "seconds": 25.0}
{"step": 20, "warning": "RUN-OVERFIT", "message": "the validation loss was …"}
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_skills.errors import RunFailed
from nlp_skills.records import write_atomic
from nlp_skills.training.environment import Stopwatch
from nlp_skills.training.run.repetition import Probe
from nlp_skills.training.run.watch import RunWarning, new_warnings, not_a_number

KEPT = (
    "loss",
    "loss_se",
    "learning_rate",
    "grad_norm",
    "mean_token_accuracy",
    "nll_loss",
    "log_odds_ratio",
    "kl",
    "entropy",
    "reward",
    "reward_std",
    "frac_reward_zero_std",
)
"""Names in TRL's logs, of training and, with `eval_` before them, of evaluation."""
KEPT_GROUPS = ("rewards/", "logps/", "completions/")
"""Names that begin so: rewards/accuracies and rewards/margins of pairs, rewards/<function>/mean, completions/mean_length …"""


def is_kept(name: str) -> bool:
    """Whether a figure of TRL's log goes into metrics.jsonl."""
    plain = name.removeprefix("eval_")
    return plain in KEPT or plain.startswith(KEPT_GROUPS)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of the file; a line that is being written at this moment is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def last_value(rows: list[dict[str, Any]], key: str) -> float | None:
    """The newest value of that name, in whichever line it stands."""
    return next((row[key] for row in reversed(rows) if key in row), None)


class MetricsLog:
    """The file of one run; resuming forgets what came after the checkpoint."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if row["step"] <= resumed_at] if resumed_at else []
        self.seconds_before: float = last_value(self.rows, "seconds") or 0.0
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())

    def append(self, row: dict[str, Any]) -> None:
        """Add a line with a single write, so that a reader or a kill never meets half of one."""
        self.rows.append(row)
        append_line(self.path, row)

    def warn(self, step: int, warning: RunWarning) -> None:
        """Add a warning's line. Raises RunFailed when going on would be a waste."""
        self.append({"step": step, "warning": warning.check, "message": warning.message})
        if warning.stops:
            raise RunFailed(f"{warning.line}.")

    def callback(
        self,
        stopwatch: Stopwatch,
        *,
        method: str = "sft",
        told: Callable[[RunWarning], None] | None = None,
        probe: Probe | None = None,
    ) -> Any:
        """The trainer's listener that fills this file and watches the curve (training/watch.py).

        `told` hears each warning before a run is stopped for it; `probe` answers prompts at each evaluation.
        """
        from transformers import TrainerCallback

        log = self

        def say(step: int, warning: RunWarning) -> None:
            if told is not None:
                told(warning)
            log.warn(step, warning)

        class Listener(TrainerCallback):
            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
                values = {
                    key: value for key, value in (logs or {}).items() if is_kept(key) and value is not None
                }
                if not values:
                    return
                row = {"step": state.global_step, "epoch": round(state.epoch, 4), **values}
                broken = not_a_number([row])
                if broken:  # JSON has no NaN
                    say(state.global_step, broken)
                log.append({**row, "seconds": round(stopwatch.seconds(), 2)})
                for warning in new_warnings(log.rows, method):
                    say(state.global_step, warning)

            def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
                if probe is None or any(row.get("warning") == "RUN-REPEAT" for row in log.rows):
                    return
                warning = probe.look(model)
                if warning is not None:
                    say(state.global_step, warning)

        return Listener()


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a file of lines with a single write."""
    binary = getattr(os, "O_BINARY", 0)  # Windows would write other line ends
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | binary, 0o666)
    try:
        os.write(handle, (json.dumps(row, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(handle)
