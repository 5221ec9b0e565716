"""What MLflow and W&B are given by a run, read back from their own files; both in an environment beside the project's.

    uv run --no-sync --with mlflow --with wandb python benchmarks/sinks.py

MLflow writes to tracking/mlflow.db, W&B (offline) to tracking/wandb/. Each loss of metrics.jsonl has to be found in both.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.train import train_model

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "training"))


def main() -> None:
    from small_task import make_small_task

    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NLP_SKILLS_QUEUE"] = str(Path(folder) / "queue")
        task = make_small_task(Path(folder) / "tasks", report_to=["mlflow", "wandb"])
        train_model(task)
        rows = read_metrics(task / "versions" / "v1" / "metrics.jsonl")
        losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        for name, read in (("mlflow", read_mlflow), ("wandb", read_wandb)):
            found = read(task)
            print(
                f"{name} {metadata.version(name)}: {len(found)} losses, as in metrics.jsonl: {found == losses}"
            )


def read_mlflow(task: Path) -> list[tuple[int, float]]:
    """(step, loss) of the only run."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{(task.resolve() / 'tracking' / 'mlflow.db').as_posix()}")
    experiment = client.get_experiment_by_name(task.name)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss"))


def read_wandb(task: Path) -> list[tuple[int, float]]:
    """(step, loss) from the file that a later `wandb sync` would send."""
    from wandb.proto import wandb_internal_pb2

    (file,) = (task / "tracking" / "wandb").glob("offline-run-*/*.wandb")
    found: list[tuple[int, float]] = []
    for data in wandb_records(file.read_bytes()):
        record: Any = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        values = {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        if "train/loss" in values:
            found.append((int(values["train/global_step"]), float(values["train/loss"])))
    return found


def wandb_records(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format (github.com/google/leveldb doc/log_format.md) after 7 bytes of its own."""
    block, head, place, parts = 1 << 15, 7, 7, b""
    while place + head <= len(data):
        if block - place % block < head:  # the rest of a block that is too short for a head is empty
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + head : place + head + length]
        place += head + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


if __name__ == "__main__":
    main()
