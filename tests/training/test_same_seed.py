"""Whoever does the same again gets the same, to the byte: rows, adapter, losses, answers, figures."""

from pathlib import Path
from typing import Any

import pytest
from small_task import make_small_task

from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.evaluation.compare import read_predictions
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.pipeline import train_and_test, untold
from nlp_skills.records import sha256_tree, silent
from nlp_skills.training.run.metrics_log import read_metrics

pytestmark = pytest.mark.slow


def test_same_seed_gives_the_same_splits_adapter_losses_and_metrics(tmp_path: Path) -> None:
    tasks = [make_small_task(tmp_path / name) for name in ("first", "again")]
    for task in tasks:
        train_and_test(task, "v1", silent, untold)
    first, again = (told(task) for task in tasks)
    assert first == again
    assert not any((task / "models" / "v1" / "checkpoints").exists() for task in tasks)


def told(task: Path) -> dict[str, Any]:
    """All that a run leaves behind, without the clock."""
    folder = task / "versions" / "v1"
    snapshot = DataSnapshot.load(task / "data" / "data_snapshot.json")
    results = EvalResult.load(folder / "results.json")
    return {
        "splits": snapshot.splits,
        "sources": snapshot.source_hash,
        "records": [(folder / name).read_bytes() for name in ("config.yaml", "model_info.json")],
        "adapter": sha256_tree(task / "models" / "v1" / "adapter"),
        "losses": [
            {k: v for k, v in row.items() if k != "seconds"} for row in read_metrics(folder / "metrics.jsonl")
        ],
        "answers": [
            (row.id, row.prompt_sha256, row.predicted, row.scores) for row in read_predictions(folder)
        ],
        "metrics": results.metrics,
        "data": results.data_sha256,
    }
