"""What every trainer here does otherwise than TRL's: checkpoints appear whole, and nobody is told that a run began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Trainer

from nlp_skills.training.checkpoints import whole_checkpoint


class WholeCheckpoints:
    """Stands before a trainer of TRL in the list of bases."""

    _staging: Path | None = None
    args: Any
    state: Any

    def _send_telemetry(self) -> None:
        """TRL would tell a server that a trainer was made; this library tells nobody anything."""

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else super()._get_output_dir(trial)  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write beside, then rename: a kill leaves whole checkpoints only. (No model card: transformers' own.)"""
        name = f"checkpoint-{self.state.global_step}"
        with whole_checkpoint(Path(self.args.output_dir or "."), name) as staging:
            self._staging = staging
            try:
                Trainer._save_checkpoint(self, model, trial)  # type: ignore[arg-type]
            finally:
                self._staging = None
