"""The other end: what this library does on a machine that a task was sent to.

python -P -m nlp_skills.training.targets.there COMMAND FOLDER [VERSION]     the request as JSON on standard input

    missing   which files of a manifest the folder lacks        receive   take a parcel (the tar is the input)
    start     start the run, or go on with it                   state     job, metrics and queue
    log       the end of train.log                              stop      end the run
    results   the manifest of what a run left                   send      those files (the tar is the output)
    newer     a checkpoint after a step                         send-checkpoint   the newest one, likewise
    run       start the run and wait for it
    remove    everything that came here for a job               devices   whether torch sees the GPUs

To this machine the run is a local one: it has the queue, the lock and the checkpoints of any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_skills.errors import NlpSkillsError
from nlp_skills.training.checkpoints import checkpoints, step_of
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.present_job import as_it_is
from nlp_skills.training.queue import waiting
from nlp_skills.training.targets import local
from nlp_skills.training.targets.baggage import newest_checkpoint
from nlp_skills.training.targets.connection import ANSWER
from nlp_skills.training.targets.parcel import differing, files_below, manifest, pack, unpack

LOG_BYTES = 1 << 18
RESULTS = ("metrics.jsonl", "model_info.json", "preflight.json", "train.log")


def missing(folder: Path, request: dict[str, str]) -> list[str]:
    """Paths of the manifest `request` that are not here as they should be."""
    return differing(folder, request)


def start(task: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Start the run with the variables of `environment`, which stand in no file."""
    folder = task / "versions" / request["version"]
    os.environ.update(request["environment"])
    if not is_running(folder):
        local.start_run(task, folder)
    return state(task, request)


def state(task: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The job as it stands, and the lines of metrics.jsonl after the first `bytes`, if those are the ones that are known."""
    folder = task / "versions" / request["version"]
    job = read_job(folder)
    if job is None:
        return {"job": None}
    job = as_it_is(folder, job)
    turn = waiting(task, folder.name) if job.status == "queued" else None
    metrics, known = folder / "metrics.jsonl", request.get("bytes", 0)
    data = metrics.read_bytes() if metrics.is_file() else b""
    same = hashlib.sha256(data[:known]).hexdigest() == request.get("sha256")
    return {
        "job": job.model_dump(mode="json"),
        "waiting": turn.model_dump(mode="json") if turn else None,
        "from": known if same else 0,
        "metrics": data[known if same else 0 :].decode("utf-8"),
    }


def log(task: Path, request: dict[str, Any]) -> str:
    """The end of train.log."""
    file = task / "versions" / request["version"] / "train.log"
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - LOG_BYTES))
        return stream.read().decode("utf-8", errors="replace")


def stop(task: Path, request: dict[str, Any]) -> dict[str, Any]:
    """End the run, if there is one."""
    folder = task / "versions" / request["version"]
    job = read_job(folder)
    if job is not None and job.pid is not None and is_running(folder):
        local.stop_run(folder, job.pid)
    return state(task, request)


def result_files(task: Path, version: str) -> dict[str, Path]:
    """What a run has left: its records and its model."""
    found = {name: task / "versions" / version / name for name in RESULTS}
    files = {f"versions/{version}/{name}": path for name, path in found.items() if path.is_file()}
    for model in ("adapter", "model"):
        files |= files_below(task / "models" / version / model, f"models/{version}/{model}/")
    return files


def results(task: Path, request: dict[str, Any]) -> dict[str, str]:
    """The manifest of what a run has left."""
    return manifest(result_files(task, request["version"]))


def newer(task: Path, request: dict[str, Any]) -> str | None:
    """The name of the newest checkpoint, where it comes after the step `after`."""
    found = checkpoints(task / "models" / request["version"] / "checkpoints")
    return found[-1].name if found and step_of(found[-1]) > request["after"] else None


def remove(task: Path, request: dict[str, Any]) -> None:
    """The job's folder, unless its run lives."""
    if not is_running(task / "versions" / request["version"]):
        shutil.rmtree(task.parent, ignore_errors=True)


def devices(_folder: Path, _request: Any) -> list[str]:
    """The GPUs that torch can use here."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


COMMANDS: dict[str, Callable[[Path, Any], Any]] = {
    "missing": missing,
    "start": start,
    "state": state,
    "log": log,
    "stop": stop,
    "results": results,
    "newer": newer,
    "remove": remove,
    "devices": devices,
}


def main(arguments: list[str]) -> None:
    """One command, one answer on standard output."""
    command, folder = arguments[0], Path(arguments[1])
    if command == "run":
        sys.exit(local.start_run(folder, folder / "versions" / arguments[2]).wait())
    if command in ("send", "send-checkpoint"):
        find = result_files if command == "send" else newest_checkpoint
        files = find(folder, arguments[2])
        sys.stdout.buffer.write(f"{ANSWER}\n".encode())
        pack(files, sys.stdout.buffer)
        return
    try:
        if command == "receive":
            folder.mkdir(parents=True, exist_ok=True)
            answer: Any = unpack(sys.stdin.buffer, folder)
        else:
            answer = COMMANDS[command](folder, json.loads(sys.stdin.buffer.read()))
    except NlpSkillsError as error:
        say({"error": str(error)})
        return
    say({"answer": answer})


def say(answer: dict[str, Any]) -> None:
    """The answer, in a line that nothing else looks like."""
    sys.stdout.buffer.write(f"{ANSWER}{json.dumps(answer)}\n".encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
