"""What every trainer here does otherwise than TRL's: checkpoints appear whole, and nobody is told that a run began."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from transformers import Trainer

from nlp_skills.training.checkpoints import staged, whole_checkpoint
from nlp_skills.training.methods.precision import recomputed_alike
from nlp_skills.training.methods.validation_loss import ValidationLoss


class WholeCheckpoints(ValidationLoss):
    """Stands before a trainer of TRL in the list of bases."""

    _staging: Path | None = None
    spared: Callable[[], Collection[int]] = staticmethod(tuple)
    """Steps whose checkpoints do not make room for newer ones."""
    args: Any
    model: Any
    accelerator: Any
    state: Any

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Forward and backward; see recomputed_alike."""
        with recomputed_alike(self.model, model, self.args.device):
            return super().training_step(model, *args, **kwargs)  # type: ignore[misc]

    def _send_telemetry(self) -> None:
        """TRL would tell a server that a trainer was made; this library tells nobody anything."""

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else super()._get_output_dir(trial)  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write beside, then rename: a kill leaves whole checkpoints only. (No model card: transformers' own.)

        Of several processes each writes its part, and the first puts the whole into its place.
        """
        name = f"checkpoint-{self.state.global_step}"
        folder = Path(self.args.output_dir or ".")
        if self.args.process_index == 0:
            with whole_checkpoint(folder, name, self.spared()) as staging:
                self.accelerator.wait_for_everyone()  # nobody writes before what was left there is gone
                self._write_checkpoint(staging, model, trial)
                self.accelerator.wait_for_everyone()
        else:
            self.accelerator.wait_for_everyone()
            self._write_checkpoint(staged(folder, name), model, trial)
            self.accelerator.wait_for_everyone()
        self.accelerator.wait_for_everyone()  # until it is in its place

    def _write_checkpoint(self, staging: Path, model: Any, trial: Any) -> None:
        self._staging = staging
        try:
            Trainer._save_checkpoint(self, model, trial)  # type: ignore[arg-type]
        finally:
            self._staging = None
