"""Any machine with an SSH server: the task goes there, runs there as on any machine, and the model comes back.

here    job.json: target ssh, remote {target, host, folder, python}       there   <folder>/environments/<key>/
        status ── ask ─────────────────────────────────────────────▶             <folder>/base_models/<key>/
        results, each with its SHA-256 ◀──────────────────── parcel              <folder>/jobs/<job id>/<task>/

Nothing here has to stay: the run is its own session there, and job.json says where it is. What is known of
it is what was last asked; the run is "succeeded" here when its files are here and are what they were there.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from nlp_skills.errors import NotFound, NotValid, RunFailed
from nlp_skills.records import now, read_mapping, sha256_tree, to_json, write_atomic
from nlp_skills.task.version import record_lineage
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job, lock_file
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.targets.baggage import (
    base_model_files,
    local_base_model,
    newest_checkpoint,
    run_files,
)
from nlp_skills.training.targets.connection import ANSWER, Connection, Unreachable
from nlp_skills.training.targets.definition import SSHTarget, environment_of, read_target
from nlp_skills.training.targets.local import new_job
from nlp_skills.training.targets.parcel import Contents, chosen, differing, manifest, pack, unpack
from nlp_skills.training.targets.there_setup import look_at, make_environment, require_fit, require_gpus
from nlp_skills.training.version_model import resolve_model

OURS = {"id", "target", "remote", "log", "pid", "started", "predicted"}
"""Of job.json; the rest is what the job there says."""


def start(task: Path, folder: Path, target: SSHTarget) -> None:
    """Send what the run needs and start it there, or go on where it was cut off. Raises NotReady, Unreachable, RunFailed."""
    environment = environment_of(target)
    with FileLock(lock_file(folder), timeout=5):
        connection = Connection(target)
        machine = look_at(connection)
        require_fit(target, machine)
        job = new_job(task, folder)
        python = make_environment(connection, machine, TrainConfig.load(folder / "config.yaml").base_model)
        require_gpus(connection, python, machine)
        place = f"{target.folder}/jobs/{job.id}/{task.name}"
        again = job.target == "ssh" and job.remote.get("folder") == place
        remote = {"target": target.name, "host": target.host, "folder": place, "python": python}
        job = job.with_changes(target="ssh", remote=remote)
        job.save(folder / "job.json")
        try:
            files = run_files(task, folder, _send_base_model(connection, python, task, folder))
            if not again:
                files |= newest_checkpoint(task, folder.name)
            send(connection, python, place, files)
            request = {"version": folder.name, "environment": environment}
            answer = connection.ask(python, "start", place, request=request)
        except Unreachable:
            raise  # it may run there already: the next look tells
        except BaseException as error:
            job.with_changes(status="failed", ended=now(), error=f"It was not started: {error}").save(
                folder / "job.json"
            )
            raise
        _take_over(job, answer).save(folder / "job.json")


def _send_base_model(connection: Connection, python: str, task: Path, folder: Path) -> str:
    """The base model as the run there finds it; one that lies here is sent, once."""
    name = TrainConfig.load(folder / "config.yaml").base_model
    path = local_base_model(task, name)
    if path is None:
        return name
    key, files = base_model_files(path)
    place = f"{connection.target.folder}/base_models/{key}"
    send(connection, python, place, files)
    home = connection.run("sh", "-c", 'cd "$1" && echo "nlp-skills:$(pwd)"', "sh", place).decode("utf-8")
    absolute = next(line.removeprefix(ANSWER) for line in home.splitlines() if line.startswith(ANSWER))
    return f"{absolute}/{path.name}" if path.is_file() else absolute


def send(connection: Connection, python: str, place: str, files: Contents) -> None:
    """Bring the folder there up to date: only files that it lacks, or has otherwise, travel."""
    names = connection.ask(python, "missing", place, request=manifest(files))
    if names:
        parcel = chosen(files, names)
        words = (python, "-P", "-m", "nlp_skills.training.targets.there", "receive", place)
        told = connection.run(*words, write=lambda stream: pack(parcel, stream), seconds=None)
        if f'{ANSWER}{{"answer"'.encode() not in told:
            raise RunFailed(f"{connection.target.name}: {told.decode('utf-8', errors='replace').strip()}")


def refresh(task: Path, folder: Path, job: Job) -> Job:
    """Ask how the run stands; when it has ended well, bring its results. Where nobody answers, the job is as it was."""
    if job.status not in ("queued", "running"):
        return job
    try:
        with FileLock(lock_file(folder), timeout=0.1):
            return _refresh(task, folder, job)
    except Timeout:  # another process starts it, or brings its results, at this moment
        return job
    except Unreachable as error:
        return job.with_changes(error=f"{error} What is told here is how it stood before.")


def _refresh(task: Path, folder: Path, job: Job) -> Job:
    connection = _connection(task, job)
    metrics = folder / "metrics.jsonl"
    known = metrics.read_bytes() if metrics.is_file() else b""
    request = {"version": folder.name, "bytes": len(known), "sha256": hashlib.sha256(known).hexdigest()}
    answer = connection.ask(job.remote["python"], "state", job.remote["folder"], request=request)
    if answer["job"] is None:
        job = job.with_changes(
            status="failed", ended=now(), error="It never began: its files did not get there."
        )
        return job.save(folder / "job.json")
    write_atomic(metrics, known[: answer["from"]] + answer["metrics"].encode())
    found = _take_over(job, answer)
    if found.status == "succeeded":
        return _pull(task, folder, found)
    if found != job:
        found.save(folder / "job.json")
        if found.status in ("failed", "cancelled"):
            record_lineage(task, version=folder.name)
    return found


def _take_over(job: Job, answer: dict[str, Any]) -> Job:
    return job.with_changes(**{name: value for name, value in answer["job"].items() if name not in OURS})


def fetch_log(task: Path, folder: Path, job: Job) -> None:
    """The end of the log there becomes the log here; what is here stays where nobody answers."""
    if job.status == "succeeded":
        return
    try:
        text = _connection(task, job).ask(
            job.remote["python"], "log", job.remote["folder"], request={"version": folder.name}
        )
    except Unreachable:
        return
    write_atomic(task / job.log, text.encode())


def stop(task: Path, folder: Path, job: Job) -> None:
    """End the run there. Raises NotValid when nothing runs, Unreachable where nobody answers."""
    job = refresh(task, folder, job)
    if job.status not in ("queued", "running"):
        raise NotValid(f"{task.name} {folder.name} is not being trained at the moment.")
    answer = _connection(task, job).ask(
        job.remote["python"], "stop", job.remote["folder"], request={"version": folder.name}
    )
    if answer["job"] is None:
        job.with_changes(status="cancelled", ended=now()).save(folder / "job.json")
    elif (
        answer["job"]["status"] != "succeeded"
    ):  # otherwise it got to its end: the next look brings the results
        _take_over(job, answer).save(folder / "job.json")


def pull(task: Path, folder: Path, job: Job) -> Job:
    """Bring the results here and check every file against its SHA-256 there; only then the job has succeeded."""
    with FileLock(lock_file(folder), timeout=5):
        return _pull(task, folder, job)


def _pull(task: Path, folder: Path, job: Job) -> Job:
    connection, python, place = _connection(task, job), job.remote["python"], job.remote["folder"]
    request = {"version": folder.name}
    expected = connection.ask(python, "results", place, request=request)
    staging = folder / ".results.tmp"
    staging.mkdir(exist_ok=True)
    words = (python, "-P", "-m", "nlp_skills.training.targets.there", "send", place, folder.name)
    connection.run(*words, read=lambda stream: _receive(stream, staging), seconds=None)
    job = settle(task, folder, job, staging, expected, _usd_per_hour(task, job))
    with suppress(
        RunFailed
    ):  # otherwise it stays there until somebody clears the folder; the results are here
        connection.ask(python, "remove", place, request=request)
    return job


def _receive(stream: IO[bytes], staging: Path) -> None:
    for line in stream:  # what a login script there printed
        if line.strip() == ANSWER.encode():
            break
    unpack(stream, staging)


def settle(
    task: Path, folder: Path, job: Job, staging: Path, expected: dict[str, str], usd_per_hour: float | None
) -> Job:
    """Put results that have arrived in `staging` into their places; the job that succeeded is saved last.

    Raises RunFailed when a file is not what it was there.
    """
    wrong = differing(staging, expected)
    info_file = staging / "versions" / folder.name / "model_info.json"
    if wrong or not info_file.is_file():
        raise RunFailed(
            f"The results of {task.name} {folder.name} are not whole ({', '.join(wrong)}). Ask again."
        )
    info = ModelInfo.load(info_file)
    model = staging / info.path
    if sha256_tree(model) != info.sha256:
        raise RunFailed(
            f"The model of {task.name} {folder.name} is not the one that its run has saved. Ask again."
        )
    info = _at_home(task, info, model, TrainConfig.load(folder / "config.yaml"))
    target = task / info.path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    model.rename(target)
    shutil.rmtree(target.parent / "checkpoints", ignore_errors=True)  # of a part that was trained here
    info.save(folder / "model_info.json")
    for name in ("metrics.jsonl", "train.log"):
        found = staging / "versions" / folder.name / name
        if found.is_file():
            write_atomic(folder / name, found.read_bytes())
    if job.cost and usd_per_hour:
        usd = round(usd_per_hour * job.cost.seconds / 3600, 4)
        job = job.with_changes(cost=job.cost.with_changes(usd=usd).model_dump(mode="json"))
    job.save(folder / "job.json")
    record_lineage(task, version=folder.name)
    shutil.rmtree(staging)
    return job


def _at_home(task: Path, info: ModelInfo, model: Path, config: TrainConfig) -> ModelInfo:
    """The base model by its name and place here, as if the run had been here."""
    settings, card = model / "adapter_config.json", model / "README.md"
    if settings.is_file():
        found = read_mapping(settings)
        there = found["base_model_name_or_path"]
        try:
            here = resolve_model(task, config.base_model, config.base_revision).path
        except NotFound:
            here = config.base_model  # it is not on this machine
        write_atomic(settings, to_json({**found, "base_model_name_or_path": here}))
        if card.is_file():  # PEFT writes it, with the path
            write_atomic(card, card.read_bytes().replace(there.encode(), here.encode()))
    return info.with_changes(base_model=config.base_model, sha256=sha256_tree(model))


def _connection(task: Path, job: Job) -> Connection:
    target = read_target(task, job.remote["target"])
    if not isinstance(target, SSHTarget):
        raise NotValid(
            f"{target.name} in configs/targets.yaml is {target.type} now; the run was sent there by ssh."
        )
    return Connection(target)


def usd_per_hour(target: SSHTarget) -> float | None:
    """What the file says; nobody else knows."""
    return target.usd_per_hour


def _usd_per_hour(task: Path, job: Job) -> float | None:
    return read_target(task, job.remote["target"]).usd_per_hour
