"""Any machine with an SSH server: the task goes there, runs there as on any machine, and the model comes back.

here    job.json: target ssh, remote {target, host, folder, python}       there   <folder>/environments/<key>/
        status ── ask ─────────────────────────────────────────────▶             <folder>/base_models/<key>/
        results, each with its SHA-256 ◀──────────────────── parcel              <folder>/jobs/<job id>/<task>/

Nothing here has to stay: the run is its own session there, and job.json says where it is. What is known of
it is what was last asked; the run is "succeeded" here when its files are here and are what they were there.
"""

from __future__ import annotations

from pathlib import Path

from nlp_skills.errors import NotValid, RunFailed
from nlp_skills.records import now
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Busy, Job, holding
from nlp_skills.training.targets.baggage import (
    base_model_files,
    local_base_model,
    run_files,
)
from nlp_skills.training.targets.connection import ANSWER, LONG, Connection, Unreachable, library
from nlp_skills.training.targets.definition import SSHTarget, environment_of, read_target
from nlp_skills.training.targets.local import new_job
from nlp_skills.training.targets.over_ssh import ask_state, copy_log, take_over
from nlp_skills.training.targets.parcel import Contents, chosen, manifest, pack
from nlp_skills.training.targets.there_setup import look_at, make_environment, require_gpus, require_room


def start(task: Path, folder: Path, target: SSHTarget) -> None:
    """Send what the run needs and start it there, or go on where it was cut off. Raises NotReady, Unreachable, RunFailed."""
    environment = environment_of(target)
    with holding(folder):
        connection = Connection(target)
        machine = look_at(connection)
        require_room(target, machine)
        job = new_job(task, folder)
        python = make_environment(connection, machine, TrainConfig.load(folder / "config.yaml").base_model)
        require_gpus(connection, python, machine)
        place = f"{target.folder}/jobs/{job.id}/{task.name}"
        remote = {"target": target.name, "host": target.host, "folder": place, "python": python}
        job = job.with_changes(target="ssh", remote=remote)
        job.save(folder / "job.json")
        try:
            files = run_files(task, folder, _send_base_model(connection, python, task, folder))
            send(connection, python, place, files)
            request = {"version": folder.name, "environment": environment}
            answer = connection.ask(python, "start", place, request=request, seconds=LONG)
        except Unreachable:
            raise  # it may run there already: the next look tells
        except BaseException as error:
            job.with_changes(status="failed", ended=now(), error=f"It was not started: {error}").save(
                folder / "job.json"
            )
            raise
        take_over(job, answer["job"]).save(folder / "job.json")


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
    names = connection.ask(python, "missing", place, request=manifest(files), seconds=LONG)
    if names:
        parcel = chosen(files, names)
        told = connection.run(
            *library(python), "receive", place, write=lambda stream: pack(parcel, stream), seconds=None
        )
        if f'{ANSWER}{{"answer"'.encode() not in told:
            raise RunFailed(f"{connection.target.name}: {told.decode('utf-8', errors='replace').strip()}")


def refresh(task: Path, folder: Path, job: Job) -> Job:
    """Ask how the run stands; when it has ended well, bring its results. Where nobody answers, the job is as it was."""
    if job.status not in ("queued", "running"):
        return job
    try:
        with holding(folder, 0.1):
            target, connection = _reach(task, job)
            return ask_state(task, folder, job, connection, target.usd_per_hour)
    except Busy:  # another process starts it, or brings its results, at this moment
        return job
    except Unreachable as error:
        return job.with_changes(error=f"{error} What is told here is how it stood before.")


def fetch_log(task: Path, folder: Path, job: Job) -> None:
    """The end of the log there becomes the log here."""
    if job.status != "succeeded":
        copy_log(task, folder, job, _reach(task, job)[1])


def stop(task: Path, folder: Path, job: Job) -> None:
    """End the run there. Raises NotValid when nothing runs, Unreachable where nobody answers."""
    job = refresh(task, folder, job)
    if job.status not in ("queued", "running"):
        raise NotValid(f"{task.name} {folder.name} is not being trained at the moment.")
    connection, request = _reach(task, job)[1], {"version": folder.name}
    told = connection.ask(job.remote["python"], "stop", job.remote["folder"], request=request, seconds=LONG)[
        "job"
    ]
    if told is None:
        job.with_changes(status="cancelled", ended=now()).save(folder / "job.json")
    elif told["status"] != "succeeded":  # otherwise it got to its end: the next look brings the results
        take_over(job, told).save(folder / "job.json")


def usd_per_hour(target: SSHTarget) -> float | None:
    """What the file says; nobody else knows."""
    return target.usd_per_hour


def _reach(task: Path, job: Job) -> tuple[SSHTarget, Connection]:
    target = read_target(task, job.remote["target"])
    if not isinstance(target, SSHTarget):
        raise NotValid(
            f"{target.name} in configs/targets.yaml is {target.type} now; the run was sent there by ssh."
        )
    return target, Connection(target)
