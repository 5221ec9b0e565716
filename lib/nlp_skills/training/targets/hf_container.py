"""The other end of a Hub job: fetch what the run needs from its private repository, run it, put what comes of it there.

in/run.tar          task and version, sent from home        out/state.json      the job, its metrics and the end of its log
in/base_model.tar   where it lies on the machine at home    out/checkpoint.tar  the newest checkpoint
in/nlp_skills-….whl this very library                       out/results.tar     what the run left, when it has ended well

The container is gone when it ends: a later job goes on from out/checkpoint.tar. Every .tar is a parcel (parcel.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nlp_skills.records import to_json
from nlp_skills.training.checkpoints import checkpoints
from nlp_skills.training.job import read_job
from nlp_skills.training.targets import there
from nlp_skills.training.targets.baggage import newest_checkpoint
from nlp_skills.training.targets.local import start_run
from nlp_skills.training.targets.parcel import Contents, pack, unpack

REPORTS_EVERY = 60.0
"""Seconds between two reports: the Hub takes 128 commits an hour from a user."""
BASE_MODEL = "base_model"
CHECKPOINT, RESULTS, STATE = "out/checkpoint.tar", "out/results.tar", "out/state.json"


class Exchange:
    """The repository through which home and container talk: `owner/name`, a private dataset."""

    def __init__(self, repository: str, token: str | None = None) -> None:
        from huggingface_hub import HfApi

        self.repository = repository
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name="nlp-skills")

    def put(self, files: dict[str, bytes | Path], message: str) -> None:
        """Put files there, in one commit."""
        from huggingface_hub import CommitOperationAdd

        added = [CommitOperationAdd(name, data) for name, data in files.items()]
        self.api.create_commit(self.repository, added, commit_message=message, repo_type="dataset")

    def get(self, name: str, folder: Path) -> Path | None:
        """A file of the newest state, in a folder; None where there is none."""
        from huggingface_hub.errors import EntryNotFoundError

        # One state, by its commit: the branch may move between the two requests of a download.
        commit = self.api.repo_info(self.repository, repo_type="dataset").sha
        try:
            found = self.api.hf_hub_download(
                self.repository, name, repo_type="dataset", revision=commit, local_dir=folder
            )
        except EntryNotFoundError:
            return None
        return Path(found)

    def unpack(self, name: str, folder: Path) -> bool:
        """Unpack a parcel into a folder; False where there is none."""
        with tempfile.TemporaryDirectory() as place:
            file = self.get(name, Path(place))
            if file is None:
                return False
            folder.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as stream:
                unpack(stream, folder)
        return True


def packed(contents: Contents, folder: Path, name: str) -> Path:
    """A parcel as a file."""
    file = folder / name
    with file.open("wb") as stream:
        pack(contents, stream)
    return file


def run_in_container(repository: str, version: str, work: Path) -> int:
    """Run the version to its end, reporting on the way; the exit status of the run."""
    exchange = Exchange(repository)
    task = work / "task"
    exchange.unpack("in/run.tar", task)
    exchange.unpack("in/base_model.tar", work / BASE_MODEL)  # config.yaml names it by this relative path
    exchange.unpack(CHECKPOINT, task)
    os.chdir(work)
    process = start_run(task, task / "versions" / version)
    reported: dict[str, Any] = {}
    while True:
        ended = _ended(process)
        report(exchange, task, version, reported, ended=ended)
        if ended:
            return process.returncode


def _ended(process: subprocess.Popen[Any]) -> bool:
    try:
        process.wait(timeout=float(os.environ.get("NLP_SKILLS_REPORTS_EVERY", REPORTS_EVERY)))
    except subprocess.TimeoutExpired:
        return False
    return True


def report(exchange: Exchange, task: Path, version: str, reported: dict[str, Any], *, ended: bool) -> None:
    """Put there what is new since `reported`, which remembers it."""
    state = there.state(task, {"version": version}) | {"log": there.log(task, {"version": version})}
    job = read_job(task / "versions" / version)
    newest = checkpoints(task / "models" / version / "checkpoints")[-1:]
    files: dict[str, bytes | Path] = {}
    with tempfile.TemporaryDirectory() as place:
        if ended and job is not None and job.status == "succeeded":
            files[RESULTS] = packed(there.result_files(task, version), Path(place), "results.tar")
        elif newest and newest != reported.get("checkpoint"):
            files[CHECKPOINT] = packed(newest_checkpoint(task, version), Path(place), "checkpoint.tar")
        if files or state != reported.get("state"):
            files[STATE] = to_json(state)
            exchange.put(files, f"state of {version}")
    reported |= {"state": state, "checkpoint": newest}


if __name__ == "__main__":
    sys.exit(run_in_container(sys.argv[1], sys.argv[2], Path.cwd() / "nlp-skills-job"))
