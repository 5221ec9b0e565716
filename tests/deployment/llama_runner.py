"""A model in llama.cpp (xllamacpp), asked as Ollama asks its llama-server: the stand-in's engine."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2

from nlp_skills.training.environment import free_cores

xllamacpp: Any = import_module("xllamacpp")

CONTEXT = 8192
SLOTS = 2


class LlamaRunner:
    """One GGUF file, with adapters where there are some, in a server on loopback."""

    def __init__(self, model: Path, adapters: list[Path]) -> None:
        settings = xllamacpp.CommonParams()
        settings.model.path = str(model)
        settings.hostnames = ["127.0.0.1"]
        settings.port = 0
        settings.n_parallel = SLOTS
        settings.n_ctx = CONTEXT
        settings.kv_unified = True
        settings.use_jinja = True
        settings.warmup = False
        settings.verbosity = -1
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = free_cores()
        settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters]
        self._server = xllamacpp.Server(settings)
        # llama.cpp closes idle connections, now and then just when one is used again.
        fresh = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.Client(base_url=self._server.listening_address, timeout=600.0, limits=fresh)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._http.post(path, json=body).raise_for_status().json()

    def tokens(self, text: str, *, add_special: bool = False) -> list[int]:
        asked = {"content": text, "add_special": add_special, "parse_special": True}
        return self.post("/tokenize", asked)["tokens"]

    def complete(self, prompt: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The pieces of /completion; the last one has `stop`, `stop_type` and `timings`."""
        asked = {"prompt": prompt, "stream": True, "cache_prompt": True, **llama_options(options)}
        with self._http.stream("POST", "/completion", json=asked) as reply:
            reply.raise_for_status()
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


_RUNNING: dict[tuple[str, ...], LlamaRunner] = {}


def running(digests: tuple[str, ...], paths: list[Path]) -> LlamaRunner:
    """One for all tests of a process: blobs of the same digests are the same model, wherever they lie."""
    if digests not in _RUNNING:
        _RUNNING[digests] = LlamaRunner(paths[0], paths[1:])
    return _RUNNING[digests]


def llama_options(options: dict[str, Any]) -> dict[str, Any]:
    """Ollama's options in llama-server's words (llm/llama_server.go, Completion)."""
    names = {"num_predict": "n_predict", "num_keep": "n_keep"}
    taken = (
        "num_predict num_keep temperature top_k top_p min_p stop repeat_penalty repeat_last_n frequency_penalty"
        " presence_penalty typical_p seed"
    ).split()
    return {names.get(name, name): options[name] for name in taken if name in options}
