"""The lines of train.log: `2026-11-21T08:00:00Z INFO what is said`, ours and those of the libraries."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from typing import Any, Literal

from nlp_skills.records import now

FORM = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
FORM.converter = time.gmtime


def say(message: str, level: Literal["INFO", "WARNING", "ERROR"] = "INFO") -> None:
    """One line."""
    sys.stderr.write(f"{now()} {level} {message}\n")
    sys.stderr.flush()


def say_what_libraries_log() -> None:
    """What libraries log or warn of becomes lines of the same form, in this process."""
    from transformers.utils import logging as transformers_logging

    handler = logging.StreamHandler()
    handler.setFormatter(FORM)
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)
    warnings.formatwarning = _in_a_line
    transformers_logging.set_verbosity_warning()
    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()


def _in_a_line(message: Any, category: Any, filename: str, lineno: int, line: str | None = None) -> str:  # noqa: ARG001
    return f"{category.__name__}: {' '.join(str(message).split())} ({filename}:{lineno})"


def say_figures(trainer: Any) -> None:
    """What the trainer measures becomes such a line, in the place of the dictionary that it would print."""
    from transformers import PrinterCallback

    class Figures(PrinterCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if state.is_local_process_zero and logs:
                told = ", ".join(f"{name} {value}" for name, value in logs.items() if name != "total_flos")
                say(f"step {state.global_step}: {told}")

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Figures)
