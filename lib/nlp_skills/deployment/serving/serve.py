"""`serve`: a version behind OpenAI's API until it is told to stop.

trained, merged   ──▶ vLLM where it is installed, else transformers
a GGUF file       ──▶ llama.cpp
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from nlp_skills.deployment.artefact import TRAINED, artefact
from nlp_skills.deployment.serving.backend import Backend
from nlp_skills.deployment.serving.keys import choose_key, is_loopback
from nlp_skills.deployment.serving.measures import require_serving
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo

if TYPE_CHECKING:
    import uvicorn

BackendName = Literal["auto", "transformers", "llama.cpp", "vllm"]

DRAIN_SECONDS = 60
"""For the answers that are under way when it is told to stop; then they are broken off."""


class Served(Record):
    """What a server has done from its start to its end."""

    task: str
    version: str
    weights: str
    backend: str
    url: str
    requests: int
    refused: int
    """For want of a place."""
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
    serve them, MissingExtra.
    """
    require_serving()
    if streams < 1:
        raise NotValid(f"streams: at least one answer at a time, not {streams}.")
    key, is_new = choose_key(host, api_key)
    folder = version_folder(task, version)
    listening = listen(host, port)
    try:
        ready = open_backend(task, folder.name, weights, backend, streams=streams, progress=progress)
        progress("", 0, None)
        url = f"http://{_shown_host(host)}:{listening.getsockname()[1]}/v1"
        names = model_names(task, folder.name, version)
        tell(f"{task.name} {folder.name} ({weights}) answers at {url} as {names[0]}: {ready.name}")
        if is_new:
            tell(f"API key, shown this once: {key}")
        local = is_loopback(host) and api_key is None
        return _run(ready, listening, names, key, local, streams, task, folder.name, weights, url)
    finally:
        listening.close()


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


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, before the model is loaded. Raises NotReady where it cannot."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OverflowError:
        raise NotValid(f"port: a number from 0 to 65535, not {port}.") from None
    except OSError as error:
        raise NotReady(
            f"Nothing can listen at {host} port {port} ({error.strerror or error}). Choose another with --port or --host."
        ) from None


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _run(
    backend: Backend,
    listening: socket.socket,
    names: list[str],
    key: str | None,
    local: bool,
    streams: int,
    task: Path,
    version: str,
    weights: str,
    url: str,
) -> Served:
    from nlp_skills.deployment.serving.app import Limits, build_app

    limits = Limits(streams=streams)
    app = build_app(backend, names, created=int(time.time()), key=key, local=local, limits=limits)
    started = time.monotonic()
    server = make_server(app)
    asyncio.run(server.serve(sockets=[listening]))
    return Served(
        task=task.name,
        version=version,
        weights=weights,
        backend=backend.name,
        url=url,
        **app.state.endpoint.measures.totals(),
        seconds=round(time.monotonic() - started, 1),
    )


def make_server(app: Any) -> uvicorn.Server:
    """uvicorn, which stops by Ctrl+C and SIGTERM as a program that has done its work: it does not raise them again."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            try:
                before = {number: signal.signal(number, self.handle_exit) for number in STOPS}
            except ValueError:  # not in the main thread: whoever runs it there stops it
                before = {}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return Server(config)


STOPS = (signal.SIGINT, signal.SIGTERM)
