"""`serve`: a version behind OpenAI's API until it is told to stop.

trained, merged   ──▶ vLLM where it is installed, else transformers
a GGUF file       ──▶ llama.cpp
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from nlp_skills.deployment.artefact import TRAINED, artefact
from nlp_skills.deployment.serving.backend import Backend
from nlp_skills.deployment.serving.http_server import leaving, listen, make_server
from nlp_skills.deployment.serving.keys import choose_key, is_loopback
from nlp_skills.deployment.serving.measures import require_serving
from nlp_skills.errors import NotValid, RunFailed, counted
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo

BackendName = Literal["auto", "transformers", "llama.cpp", "vllm"]


class Served(Record):
    """What a server has done from its start to its end."""

    task: str
    version: str
    weights: str
    backend: str
    url: str
    requests: int
    """For an answer; others (health, metrics) are not counted."""
    answered: int
    """To the end of the answer."""
    statuses: dict[str, int]
    """How many requests got which HTTP status."""
    failed: int
    """Answers that the model broke off."""
    cancelled: int
    """Answers whose client went away, or that were broken off by a second Ctrl+C."""
    tokens: int
    """Of answers."""
    seconds: float


def serve(
    task: Path,
    *,
    version: str | None = None,
    weights: str = TRAINED,
    host: str = "127.0.0.1",
    port: int = 8000,
    backend: BackendName = "auto",
    streams: int = 64,
    api_key: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Progress = silent,
) -> Served:
    """Answer requests at an OpenAI-compatible address until it is stopped (Ctrl+C, SIGTERM); what is under way is finished.

    Prompts are rendered as the version's evaluation renders them. Beyond this machine (another host than 127.0.0.1) a
    key is asked for: one that is made and shown once, or ${NAME} of an environment variable.

    Raises NotReady for a version without these weights or a port that is taken, NotValid for a back-end that cannot
    serve them, MissingExtra, RunFailed once the model answers no more.
    """
    require_serving()
    from nlp_skills.deployment.serving.app import Limits, build_app

    if streams < 1:
        raise NotValid(f"streams: at least one answer at a time, not {streams}.")
    key, is_new = choose_key(host, api_key)
    folder = version_folder(task, version)
    with (
        listen(host, port) as listening,
        opened(task, folder.name, weights, backend, streams=streams, progress=progress) as (ready, runner),
    ):
        url = f"http://{_shown_host(host)}:{listening.getsockname()[1]}/v1"
        names = model_names(task, folder.name, version)
        local = is_loopback(host) and api_key is None
        limits = Limits(streams=streams)
        app = build_app(ready, names, created=int(time.time()), key=key, local=local, limits=limits)
        server = make_server(app, ready.fault, connections=streams + limits.other_connections)
        tell(f"{task.name} {folder.name} ({weights}) answers at {url} as {names[0]}: {ready.name}")
        if is_new:
            tell(f"API key, shown this once: {key}")
        started = time.monotonic()
        runner.run(server.serve(sockets=[listening]))
    totals = app.state.endpoint.measures.totals()
    if server.fault:
        raise RunFailed(
            f"{task.name} {folder.name} is served no more: {server.fault}. {counted(totals['requests'], 'request')} had"
            " been taken. Start it again with the same command."
        )
    return Served(
        task=task.name,
        version=folder.name,
        weights=weights,
        backend=ready.name,
        url=url,
        **totals,
        seconds=round(time.monotonic() - started, 1),
    )


@contextmanager
def opened(
    task: Path, version: str, weights: str, backend: BackendName, *, streams: int, progress: Progress
) -> Iterator[tuple[Backend, asyncio.Runner]]:
    """A back-end that is ready, and the loop that it is asked on; it is closed whichever way the block is left.

    Raises as `serve` does, and SystemExit for SIGTERM.
    """
    with leaving(), asyncio.Runner() as runner:
        ready = open_backend(task, version, weights, backend, streams=streams, progress=progress)
        try:
            progress("", 0, None)
            yield ready, runner
        finally:
            runner.run(ready.close())


def model_names(task: Path, version: str, asked: str | None) -> list[str]:
    """What requests may call it: `tickets:v2`, by the alias it was asked for, and the task's name alone."""
    names = [f"{task.name}:{version}", task.name]
    return names if asked in (None, version) else [*names, f"{task.name}:{asked}"]


def open_backend(
    task: Path,
    version: str,
    weights: str,
    backend: BackendName = "auto",
    *,
    streams: int,
    progress: Progress = silent,
) -> Backend:
    """The version, loaded and ready. Raises as `serve` does."""
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    path, info = artefact(task, version, weights)
    chosen = _fitting(info, backend)
    progress(f"loading {task.name} {version} ({weights})", 0, None)
    if chosen == "llama.cpp":
        from nlp_skills.deployment.serving.llama_backend import LlamaBackend

        return LlamaBackend(path, config, streams=streams)
    if chosen == "vllm":
        return _vllm(task, path, info, config, streams, progress)
    from nlp_skills.deployment.serving.transformers_backend import TransformersBackend

    return TransformersBackend(task, version if weights == TRAINED else str(path), config, streams=streams)


def _fitting(info: ModelInfo, wanted: BackendName) -> BackendName:
    """The back-end that is asked for, or the best one for these weights. Raises NotValid for one that cannot."""
    from nlp_skills.deployment.serving.vllm_backend import is_installed

    if wanted not in get_args(BackendName):
        raise NotValid(f"backend: {wanted!r} is none of {', '.join(get_args(BackendName))}.")
    is_gguf = info.format == "gguf"
    if wanted != "auto" and (wanted == "llama.cpp") != is_gguf:
        cure = (
            "llama.cpp serves it"
            if is_gguf
            else "export it first (nlp-skills export-model), or leave --backend out"
        )
        raise NotValid(f"{wanted} cannot serve {info.path} ({info.format}): {cure}.")
    if wanted != "auto":
        return wanted
    if is_gguf:
        return "llama.cpp"
    return "vllm" if is_installed() else "transformers"


def _vllm(
    task: Path, path: Path, info: ModelInfo, config: TrainConfig, streams: int, progress: Progress
) -> Backend:
    from nlp_skills.base_model import BaseModelFiles
    from nlp_skills.deployment.serving.vllm_backend import start_vllm
    from nlp_skills.training.version_model import resolve_model

    is_adapter = info.format == "adapter"
    files = (
        resolve_model(task, config.base_model, config.base_revision)
        if is_adapter
        else BaseModelFiles(name=info.path, path=str(path))
    )
    log = path.parent / "vllm.log"
    return start_vllm(files, path if is_adapter else None, config, log, streams=streams, progress=progress)


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
