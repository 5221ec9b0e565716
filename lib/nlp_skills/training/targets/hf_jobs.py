"""Jobs of the Hugging Face Hub: a container by the minute; task and results go through a private repository of yours.

here   job.json: target hf_jobs, remote {target, job, repository, namespace}
       status ── jobs API (stage, log) and out/state.json of the repository
       results ◀── out/results.tar, every file checked by its SHA-256

The token and the target's variables reach the container as the job's secrets, never as files.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from nlp_skills.data.secret import hide
from nlp_skills.errors import MissingExtra, NotReady, NotValid, RunFailed
from nlp_skills.records import now, read_mapping, to_json, write_atomic
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Busy, Job, holding, read_job
from nlp_skills.training.preflight.hub_rights import missing_right
from nlp_skills.training.targets.baggage import (
    base_model_files,
    local_base_model,
    run_files,
)
from nlp_skills.training.targets.definition import HFJobsTarget, environment_of, read_target
from nlp_skills.training.targets.hf_container import BASE_MODEL, CHECKPOINT, RESULTS, STATE, Exchange, packed
from nlp_skills.training.targets.local import new_job
from nlp_skills.training.targets.over_ssh import take_over
from nlp_skills.training.targets.parcel import unpack
from nlp_skills.training.targets.results import settle
from nlp_skills.training.targets.wheel import build_wheel

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""What huggingface_hub itself takes for jobs with uv."""
BOOTSTRAP = """
import os, subprocess, sys
from huggingface_hub import hf_hub_download
repository, version = sys.argv[1:]
wheel = hf_hub_download(repository, os.environ["NLP_SKILLS_WHEEL"], repo_type="dataset")
library = os.environ.get("NLP_SKILLS_REQUIREMENT") or "nlp-skills[train,hub] @ file://" + wheel
sys.exit(subprocess.call(["uv", "run", "--no-project", "--with", library, "python", "-P", "-m",
    "nlp_skills.training.targets.hf_container", repository, version]))
"""
"""What the container runs first; it travels as a variable, so that no shell reads it."""
HUB = "huggingface_hub>=2"
LABEL = "nlp-skills"
"""A job's label; its value is the order that job.json names."""
STAGES = {"COMPLETED": "failed", "ERROR": "failed", "CANCELED": "cancelled", "DELETED": "cancelled"}
"""Stage of the Hub's job → what the run is when the container is gone and has left no results."""


def usd_per_hour(target: HFJobsTarget) -> float | None:
    """The price of the target's hardware, from the Hub's own list; None where it does not tell."""
    if target.usd_per_hour is not None:
        return target.usd_per_hour
    with _answers(target):
        known = {hardware.name: hardware for hardware in _api().list_jobs_hardware()}
    if target.flavor not in known:
        raise NotValid(
            f"The Hub has no hardware {target.flavor!r} (flavor of {target.name} in configs/targets.yaml)."
            f" There are: {', '.join(known)}."
        )
    found = known[target.flavor]
    hours = {"minute": 60, "hour": 1, "second": 3600}.get(found.unit_label)
    return round(found.unit_cost_usd * hours, 4) if hours else None


def start(task: Path, folder: Path, target: HFJobsTarget) -> None:
    """Put task and library into a private repository and start a job that trains.

    What is about to be ordered is in job.json before it is: a start that was cut off is found again by the label of
    its order, and takes up the job that is paid for already. Raises NotReady or RunFailed.
    """
    environment = environment_of(target)
    with holding(folder), _answers(target):
        if _adopted(folder, read_job(folder)) is not None:
            return
        namespace = _namespace(target)
        job = new_job(task, folder)
        repository = f"{namespace}/nlp-skills-{_plain(task.name)}-{folder.name}-{job.id}"
        remote = {"target": target.name, "namespace": namespace, "repository": repository}
        remote["order"] = uuid.uuid4().hex
        job = job.with_changes(target="hf_jobs", remote=remote)
        job.save(folder / "job.json")
        wheel = None
        try:
            wheel = _put(task, folder, repository)
            started = _order(target, folder.name, remote, wheel, environment)
        except BaseException as error:
            if wheel and _is_open(error):
                raise  # it may have been ordered all the same: the next look tells
            _clear(repository)
            said = hide((str(error) or type(error).__name__).splitlines()[0])
            text = f"It was not started: {said}"
            job.with_changes(status="failed", ended=now(), error=text).save(folder / "job.json")
            raise
        job.with_changes(remote={**remote, "job": started}).save(folder / "job.json")


def _namespace(target: HFJobsTarget) -> str:
    """Who pays. Raises NotReady where the token may not write there, or start jobs."""
    who = _api().whoami()
    lacking = missing_right(who, target.namespace)
    if lacking:
        raise NotReady(
            f"HUB-ACCESS: the run would be sent to the Hub ({target.name}), and {lacking}. Make a token with the role write"
            " at https://huggingface.co/settings/tokens, and log in with it: hf auth login"
        )
    return target.namespace or who["name"]


def _is_open(error: BaseException) -> bool:
    """Whether the Hub may have taken the order although its answer has not come."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response is None or error.response.status_code >= 500
    return isinstance(error, httpx2.HTTPError | KeyboardInterrupt | SystemExit)


def _put(task: Path, folder: Path, repository: str) -> str:
    """Make the private repository and put there what the job needs; the wheel's name in it."""
    _api().create_repo(repository, private=True, repo_type="dataset", exist_ok=True)
    name, wheel = build_wheel()
    with tempfile.TemporaryDirectory() as place:
        files = _baggage(task, folder, Path(place)) | {f"in/{name}": wheel, STATE: to_json({"job": None})}
        Exchange(repository).put(files, f"{task.name} {folder.name}")
    return f"in/{name}"


def _order(
    target: HFJobsTarget, version: str, remote: dict[str, str], wheel: str, environment: dict[str, str]
) -> str:
    """Order the job: from here on it is paid for. Its id."""
    plain = {
        "NLP_SKILLS_BOOTSTRAP": BOOTSTRAP,
        "NLP_SKILLS_WHEEL": wheel,
        **({"NLP_SKILLS_REQUIREMENT": target.requirement} if target.requirement else {}),
        **({"HF_ENDPOINT": os.environ["HF_ENDPOINT"]} if "HF_ENDPOINT" in os.environ else {}),
    }
    code = "import os; exec(os.environ['NLP_SKILLS_BOOTSTRAP'])"
    started = _api().run_job(
        image=target.image or IMAGE,
        command=["uv", "run", "--with", HUB, "python", "-c", code, remote["repository"], version],
        env=plain,
        secrets={"HF_TOKEN": _token(), **environment},
        flavor=target.flavor,
        timeout=target.timeout,
        namespace=remote["namespace"],
        labels={LABEL: remote["order"], f"{LABEL}-version": remote["repository"].partition("/")[2]},
    )
    return started.id


def _adopted(folder: Path, job: Job | None) -> Job | None:
    """The job with the id of what was ordered, where a start was cut off before it could be written down; otherwise None."""
    if job is None or job.target != "hf_jobs" or "job" in job.remote or "order" not in job.remote:
        return None
    listed = _api().list_jobs(labels={LABEL: job.remote["order"]}, namespace=job.remote["namespace"])
    # Looked at again: a Hub that does not know the question would answer with everything.
    ours = [found.id for found in listed if (found.labels or {}).get(LABEL) == job.remote["order"]]
    if not ours:
        return None
    remote = {**job.remote, "job": ours[0]}
    return job.with_changes(status="queued", ended=None, error=None, remote=remote).save(folder / "job.json")


def _clear(repository: str) -> None:
    """Delete the repository, unless an earlier job has left a checkpoint in it."""
    with suppress(httpx2.HTTPError):
        api = _api()
        if not api.file_exists(repository, CHECKPOINT, repo_type="dataset"):
            api.delete_repo(repository, repo_type="dataset", missing_ok=True)


def _baggage(task: Path, folder: Path, place: Path) -> dict[str, bytes | Path]:
    name = TrainConfig.load(folder / "config.yaml").base_model
    model = local_base_model(task, name)
    files: dict[str, bytes | Path] = {}
    if model is not None:
        _, contents = base_model_files(model)
        files["in/base_model.tar"] = packed(contents, place, "base_model.tar")
        name = f"{BASE_MODEL}/{model.name}" if model.is_file() else BASE_MODEL
    files["in/run.tar"] = packed(run_files(task, folder, name), place, "run.tar")
    return files


def refresh(task: Path, folder: Path, job: Job) -> Job:
    """Ask the Hub how the job stands; when it has ended well, bring its results."""
    if job.status not in ("queued", "running"):
        return job
    try:
        with holding(folder, 0.1):
            return _refresh(task, folder, job)
    except Busy:  # another process starts it, or brings its results, at this moment
        return job
    except RunFailed as error:
        return job.with_changes(error=f"{error} What is told here is how it stood before.")


def _refresh(task: Path, folder: Path, job: Job) -> Job:
    target = _target(task, job)
    with _answers(target):
        if "job" not in job.remote:
            adopted = _adopted(folder, job)
            if adopted is None:
                _clear(job.remote["repository"])
                text = "It was cut off before anything was ordered. Start it again."
                return job.with_changes(status="failed", ended=now(), error=text).save(folder / "job.json")
            job = adopted
        # In this order: what the container has put there before it ended is then seen.
        seen = _api().inspect_job(job_id=job.remote["job"], namespace=job.remote["namespace"])
        stage = str(getattr(seen.status.stage, "value", seen.status.stage))
        found = _state(folder, job)
        if found.status == "succeeded":
            return _pull(task, folder, found)
        if stage in STAGES:
            said = found.error or seen.status.message or f"The Hub's job has ended ({stage}) without results."
            error = None if STAGES[stage] == "cancelled" else said
            found = found.with_changes(status=STAGES[stage], error=error, ended=found.ended or now())
        if found != job:
            found.save(folder / "job.json")
    return found


def _state(folder: Path, job: Job) -> Job:
    """The job as the container has told last; its metrics and log come along."""
    with tempfile.TemporaryDirectory() as place:
        file = Exchange(job.remote["repository"]).get(STATE, Path(place))
        state = read_mapping(file) if file else None
    if not state or not state["job"]:
        return job
    write_atomic(folder / "metrics.jsonl", state["metrics"].encode())
    write_atomic(folder / "train.log", state["log"].encode())
    return take_over(job, state["job"])


def fetch_log(task: Path, folder: Path, job: Job) -> None:  # noqa: ARG001
    """The Hub's own log of the container, which also tells why nothing began; our part of it comes with the state."""
    if job.status == "succeeded" or "job" not in job.remote:
        return
    with _answers(_target(task, job)):
        lines = list(
            _api().fetch_job_logs(job_id=job.remote["job"], namespace=job.remote["namespace"], tail=200)
        )
    told = (task / job.log).read_text(encoding="utf-8") if (task / job.log).is_file() else ""
    if lines and not told:
        write_atomic(task / job.log, ("\n".join(line.rstrip("\n") for line in lines) + "\n").encode())


def stop(task: Path, folder: Path, job: Job) -> None:
    """Cancel the job; what it has put into the repository stays. Raises NotValid when nothing runs."""
    job = refresh(task, folder, job)
    if job.status not in ("queued", "running"):
        raise NotValid(f"{task.name} {folder.name} is not being trained at the moment.")
    if "job" not in job.remote:  # whether it was ordered could not be asked
        raise RunFailed(f"{task.name} {folder.name} was not stopped: {job.error} Ask again.")
    with _answers(_target(task, job)):
        _api().cancel_job(job_id=job.remote["job"], namespace=job.remote["namespace"])
    job.with_changes(status="cancelled", ended=now(), error=None).save(folder / "job.json")


def _pull(task: Path, folder: Path, job: Job) -> Job:
    """Bring the results here, checked; then the repository is deleted."""
    staging = folder / ".results.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    target = _target(task, job)
    with _answers(target), tempfile.TemporaryDirectory() as place:
        exchange = Exchange(job.remote["repository"])
        file = exchange.get(RESULTS, Path(place))
        if file is None:
            raise RunFailed(f"The results of {task.name} {folder.name} are not there yet. Ask again.")
        with file.open("rb") as stream:
            expected = unpack(stream, staging)
        job = settle(task, folder, job, staging, expected, usd_per_hour(target))
        exchange.api.delete_repo(exchange.repository, repo_type="dataset", missing_ok=True)
    return job


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)[:40].strip("-")


def _target(task: Path, job: Job) -> HFJobsTarget:
    target = read_target(task, job.remote["target"])
    if not isinstance(target, HFJobsTarget):
        raise NotValid(
            f"{target.name} in configs/targets.yaml is {target.type} now; the run was sent to hf_jobs."
        )
    return target


def _token() -> str:
    try:
        from huggingface_hub import get_token
    except ImportError:
        raise MissingExtra("Training on the Hub", "hub") from None
    token = get_token()
    if not token:
        raise NotReady("Training on the Hub needs a token with write access. Log in with: hf auth login")
    return token


def _api() -> Any:
    token = _token()
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name="nlp-skills")


@contextmanager
def _answers(target: HFJobsTarget) -> Iterator[None]:
    """What the Hub refuses, as a sentence of ours."""
    try:
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    except ImportError:
        raise MissingExtra("Training on the Hub", "hub") from None
    try:
        yield
    except HfHubHTTPError as error:
        raise RunFailed(f"{target.name}: the Hub refuses: {hide(str(error).splitlines()[0])}") from None
    except OfflineModeIsEnabled:
        raise RunFailed(
            f"{target.name}: HF_HUB_OFFLINE is set, so the Hub cannot be asked. Unset it."
        ) from None
    except httpx2.HTTPError as error:
        raise RunFailed(f"{target.name}: the Hub cannot be reached: {hide(str(error))}") from None
