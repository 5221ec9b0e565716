"""The Hub on loopback with jobs that really run, beside the repositories that they need (hub_repositories.py).

    GET  /api/jobs/hardware                 POST /api/jobs/<user>           GET  /api/jobs/<user>?label=
    GET  /api/jobs/<user>/<id>              POST …/<id>/cancel              GET …/<id>/logs

Requests and answers are those that huggingface_hub 2.4 sends and reads (_jobs_api.py). A job's
container is a process on this machine, with the job's variables and secrets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_repositories import TOKEN, HubRepositories, reply
from hub_server import Sent

HARDWARE = [
    ("cpu-basic", "CPU Basic", None, 0.000167),
    (
        "a10g-small",
        "Nvidia A10G - small",
        {"type": "gpu", "model": "A10G", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"},
        0.0125,
    ),
]


@dataclass
class HubJob:
    """A job as it was ordered, and its container."""

    spec: dict[str, Any]
    process: subprocess.Popen[bytes]
    log: Path
    cancelled: bool = False

    @property
    def stage(self) -> str:
        if self.cancelled:
            return "CANCELED"
        status = self.process.poll()
        return "RUNNING" if status is None else "ERROR" if status else "COMPLETED"


@dataclass
class Ordered:
    jobs: dict[str, HubJob] = field(default_factory=dict)
    refusal: Sent | None = None
    """What is answered to the next order, which is then not taken."""
    after: Callable[[], None] = lambda: None
    """Called when an order has been taken and before that is answered."""


class HubJobsServer(HubRepositories):
    """Ann's Hub."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.ordered = Ordered()
        self.large = 1 << 40  # a task's files go with the commit, as small ones do

    def __exit__(self, *error: object) -> None:
        for job in self.ordered.jobs.values():
            job.process.kill()
            job.process.wait()
        super().__exit__(*error)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, token: str) -> Sent:
        if not path.startswith("/api/jobs/") or token != f"Bearer {TOKEN}":
            return super().answer(method, path, query, body, token)
        self.asked.append((method, path))
        return self._job(method, path.strip("/").split("/")[2:], query, body)

    def _job(self, method: str, parts: list[str], query: dict[str, str], body: bytes) -> Sent:
        if parts == ["hardware"]:
            return reply([hardware(*row) for row in HARDWARE])
        if len(parts) == 1 and method == "GET":
            name, _, value = query["label"].partition("=")
            jobs = self.ordered.jobs
            return reply([self._shown(n) for n in jobs if jobs[n].spec["labels"].get(name) == value])
        if len(parts) == 1:
            if self.ordered.refusal:
                return self.ordered.refusal
            number = self._run(json.loads(body))
            self.ordered.after()
            return reply(self._shown(number))
        job = self.ordered.jobs[parts[1]]
        if parts[2:] == ["cancel"]:
            job.cancelled = True
            job.process.terminate()
            job.process.wait()
        if parts[2:] == ["logs"]:
            lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
            events = [f"data: {json.dumps({'data': line, 'timestamp': ''})}\n\n" for line in lines]
            return Sent(body="".join(events).encode(), headers={"Content-Type": "text/event-stream"})
        return reply(self._shown(parts[1]))

    def _run(self, spec: dict[str, Any]) -> str:
        """The container: what BOOTSTRAP would start there, with the library of the tests in the wheel's place."""
        number = f"6871{len(self.ordered.jobs):020x}"
        place = self.folder / number
        place.mkdir(parents=True)
        environment = {
            **os.environ,
            **spec["environment"],
            **spec.get("secrets", {}),
            "HF_HOME": str(place / "hf"),
            "HF_HUB_OFFLINE": "0",
            "NLP_SKILLS_REPORTS_EVERY": "0.5",
        }
        command = [
            sys.executable,
            "-P",
            "-m",
            "nlp_skills.training.targets.hf_container",
            *spec["command"][-2:],
        ]
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
        self.ordered.jobs[number] = HubJob(spec, process, place / "log")
        return number

    def _shown(self, number: str) -> dict[str, Any]:
        job = self.ordered.jobs[number]
        return {
            "id": number,
            "createdAt": "2026-11-21T08:00:00.000Z",
            "dockerImage": job.spec["dockerImage"],
            "command": job.spec["command"],
            "environment": job.spec["environment"],
            "flavor": job.spec["flavor"],
            "labels": job.spec["labels"],
            "status": {"stage": job.stage, "message": None},
            "owner": {"id": "5e9ecfc04957053f60648a3e", "name": "ann", "type": "user"},
        }


def hardware(name: str, pretty: str, accelerator: dict[str, str] | None, cost: float) -> dict[str, Any]:
    return {
        "name": name,
        "prettyName": pretty,
        "cpu": "2 vCPU",
        "ram": "16 GB",
        "accelerator": accelerator,
        "unitCostMicroUSD": round(cost * 1e6),
        "unitCostUSD": cost,
        "unitLabel": "minute",
    }
