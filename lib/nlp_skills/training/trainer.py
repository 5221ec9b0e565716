"""Training rows in memory, in this process: the same code as a version's run, without a task folder.

finetune_output/<name>/  config.yaml  metrics.jsonl  checkpoints/  adapter/
"""

from __future__ import annotations

import shutil
import uuid
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nlp_skills.base_model import load_tokenizer, require_training, resolve_base_model
from nlp_skills.data.example import Example
from nlp_skills.data.prepare import prepare_dataset
from nlp_skills.errors import AlreadyExists, NotValid
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import Stopwatch, free_cores
from nlp_skills.training.methods import load_method
from nlp_skills.training.preflight.trainable_model import load_trainable_model
from nlp_skills.training.run.best_checkpoint import load_kept, watch_validation
from nlp_skills.training.run.metrics_log import MetricsLog
from nlp_skills.training.run.saved_model import save_model
from nlp_skills.training.run.verify import check_changed, check_model
from nlp_skills.training.sinks import Sink, report_to_sinks, require_sinks

Rows = Iterable[Mapping[str, Any] | Example]

OUTPUT = Path("finetune_output")


class LoRATrainer:
    """Trains an adapter (or the whole model, where config.peft is "none") on rows of any known shape."""

    def __init__(
        self, config: TrainConfig | None = None, *, name: str = "model", output_dir: str | Path | None = None
    ) -> None:
        self.config = config or TrainConfig()
        self.output_dir = Path(output_dir) if output_dir is not None else OUTPUT / name

    def train(self, dataset: Rows, *, valid: Rows = ()) -> Path:
        """Train, and return the folder that PEFT loads.

        `valid` rows are only measured. Raises MissingExtra, NotValid for rows that cannot be learned or are too long and
        for settings that need valid rows or a task, NotReady for a sink that is not installed, AlreadyExists when
        there is a model in `output_dir`.
        """
        require_training()
        rows_given, held_out = list(dataset), list(valid)
        _require_possible(self.config, bool(held_out))
        place = self.output_dir
        for name in ("adapter", "model"):
            if (place / name).exists():
                raise AlreadyExists(
                    f"{place / name} already exists. Choose another output_dir, or delete it."
                )
        # Together, because every prompt lists the labels that occur.
        made = prepare_dataset([*rows_given, *held_out]) if rows_given else []
        examples = {"train": made[: len(rows_given)], "valid": made[len(rows_given) :]}
        if not examples["train"]:
            raise NotValid("There are no rows to train on.")

        import torch
        import transformers

        config = self.config
        method = load_method(config.method)
        torch.set_num_threads(config.threads or free_cores())
        transformers.set_seed(config.seed)
        files = resolve_base_model(config.base_model, config.base_revision)
        tokenizer = load_tokenizer(files, chat=config.method != "cpt")
        rows = {split: method.tokenize(tokenizer, found, config) for split, found in examples.items()}
        work = place / "checkpoints"
        shutil.rmtree(work, ignore_errors=True)  # of a run that was cut off; its rows may have been others
        work.mkdir(parents=True)
        config.save(place / "config.yaml")
        log = MetricsLog(place / "metrics.jsonl", resumed_at=0)
        model = load_trainable_model(files, config)
        stopwatch = Stopwatch()
        listener = log.callback(stopwatch, method=config.method)
        trainer = method.build_trainer(config, model, tokenizer, rows, work, [listener])
        watch_validation(trainer, config, place / "metrics.jsonl")
        sink = Sink(place, project="nlp-skills", run=place.name, run_id=uuid.uuid4().hex[:12])
        report_to_sinks(trainer, config.report_to, sink, stopwatch, warnings.warn)
        trainer.train()
        load_kept(trainer, config, place / "metrics.jsonl", lambda _: None)
        saved = save_model(trainer, tokenizer, place, config)
        check_model(saved)
        if config.peft == "none":
            check_changed(saved, files)
        return saved


def _require_possible(config: TrainConfig, has_valid: bool) -> None:
    """What only a version of a task has, and what only validation rows can say."""
    if not has_valid and (config.keep == "best" or config.early_stopping_patience is not None):
        raise NotValid(
            "keep: best and early_stopping_patience go by the validation loss. Give validation rows: train(rows,"
            " valid=others), or set keep: last and no early_stopping_patience."
        )
    if config.replay_file is not None:
        raise NotValid(
            "replay_file is read from a task folder. Give its rows together with the others instead."
        )
    if config.num_processes > 1:
        raise NotValid(
            f"num_processes {config.num_processes}: here the training is this one process. Leave it at 1, or train a version"
            " of a task, which starts the others: nlp-skills create-version TASK --settings"
            f" num_processes={config.num_processes}"
        )
    require_sinks(config.report_to)
