"""A stand-in for Ollama: its HTTP API, for its official client, in front of a real llama.cpp.

    with ollama_serving(tmp_path) as server:    # server.url, server.store, server.asked

Written after Ollama 0.33 (server/routes.go, create.go, prompt.go). What it makes of a conversation is rendered by Go's own
text/template or, where Ollama leaves it to llama.cpp, by llama.cpp; what a model answers is llama.cpp's. No Ollama runs here.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llama_runner import LlamaRunner, running
from ollama_prompts import Templates, called_tools, check_asked, go_prompt, native_request, with_system
from ollama_store import Refused, Store, Stored, full_name

from loopback import LoopbackHandler, listening

VERSION = "0.33.0"

DEFAULTS: dict[str, Any] = {
    "num_ctx": 4096,
    "num_predict": -1,
    "num_keep": 4,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "repeat_last_n": 64,
    "repeat_penalty": 1.0,
    "seed": -1,
}
"""api/types.go, DefaultOptions."""

RENDERERS = {"gemma4": "gemma4", "laguna": "laguna", "nemotron_h": "nemotron-3-nano"}
"""Architecture → the renderer of its own that Ollama takes for it (server/create.go)."""

Pieces = Iterator[dict[str, Any]]


class OllamaStandIn:
    """`library` is what can be pulled; `asked` holds each request's path and body; `breaks` cuts a stream's connection."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.url = ""
        self.version = VERSION
        self.library: dict[str, Path] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []
        """The Authorization of every request."""
        self.breaks: dict[str, int] = {}
        """Path → after how many lines, once."""
        self.stops_short: set[str] = set()
        """Paths whose stream ends before its last line, as if a proxy had cut it cleanly."""
        self.when_copied: Callable[[], object] = lambda: None
        self.fails: dict[str, str] = {}
        """Path → what a broken server says there."""
        self.renderers = dict(RENDERERS)
        self.tells_counts = True
        """An older Ollama says nothing of a prompt that it has read before."""
        self.tells_prompts = True
        """An Ollama of before 2025-09 knows no _debug_render_only."""
        self.loaded: list[str] = []
        self._lock = threading.Lock()

    def get(self, path: str) -> dict[str, Any]:
        if path == "/api/version":
            return {"version": self.version}
        if path == "/api/tags":
            return {"models": [self._listed(name) for name in sorted(self.store.models, key=self._age)]}
        if path == "/api/ps":
            return {"models": [self._running(name) for name in self.loaded if name in self.store.models]}
        raise Refused(404, "404 page not found")

    def _age(self, name: str) -> float:
        return -datetime.fromisoformat(self.store.modified[name]).timestamp()

    def _listed(self, name: str) -> dict[str, Any]:
        stored = self.store.models[name]
        return {
            "name": name,
            "model": name,
            "modified_at": self.store.modified[name],
            "size": self.store.size(stored),
            "digest": stored.digest,
            "details": self.store.details(stored),
        }

    def _running(self, name: str) -> dict[str, Any]:
        until = datetime.now(UTC) + timedelta(minutes=5)
        more = {"expires_at": until.isoformat(), "size_vram": 0, "context_length": DEFAULTS["num_ctx"]}
        return {key: value for key, value in (self._listed(name) | more).items() if key != "modified_at"}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | Pieces | None:
        """A value, or the pieces of a stream; None is an empty answer."""
        self.asked.append((path, body))
        steps: dict[str, Callable[[dict[str, Any]], Any]] = {
            "/api/show": self.show,
            "/api/copy": self.copy,
            "/api/create": self.create,
            "/api/pull": self.pull,
            "/api/chat": self.chat,
            "/api/generate": self.generate,
        }
        if path not in steps:
            raise Refused(404, "404 page not found")
        if path in self.fails:
            raise Refused(500, self.fails[path])
        found = steps[path](body)
        if not isinstance(found, Iterator) or body.get("stream", True):
            return found
        return whole(found)

    def delete(self, body: dict[str, Any]) -> None:
        self.asked.append(("/api/delete", body))
        name, _ = self.store.find(body["model"])
        self.store.remove(name)
        self._unload(name)

    def _unload(self, name: str) -> None:
        if name in self.loaded:
            self.loaded.remove(name)

    def copy(self, body: dict[str, Any]) -> None:
        for side in ("source", "destination"):
            try:
                full_name(body[side])
            except Refused:
                raise Refused(400, f'{side} "{body[side]}" is invalid') from None
        try:
            _, stored = self.store.find(body["source"])
        except Refused:
            raise Refused(404, f'model "{body["source"]}" not found') from None
        self.store.put(body["destination"], stored)
        self.when_copied()

    def show(self, body: dict[str, Any]) -> dict[str, Any]:
        name, stored = self.store.find(body["model"])
        header, templates = self.store.header(stored), self._templates(stored)
        hidden = ("general.name", "tokenizer.chat_template")
        lines = [
            f"{key:<30} {json.dumps(one, ensure_ascii=False)}"
            for key, value in stored.parameters.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        system = f'SYSTEM """{stored.system}"""\n' if stored.system else ""
        renderer = self.renderers.get(header.keys["general.architecture"])
        system += f"RENDERER {renderer}\nPARSER {renderer}\n" if renderer else ""
        return {
            "license": stored.license,
            "modelfile": f'# Modelfile generated by "ollama show"\nFROM {stored.weights}\n{system}',
            "parameters": "\n".join(lines),
            "template": templates.shown,
            "system": stored.system,
            "details": self.store.details(stored),
            "model_info": {key: value for key, value in header.keys.items() if key not in hidden},
            "capabilities": sorted(templates.capabilities),
            "modified_at": self.store.modified[name],
        }

    def _templates(self, stored: Stored) -> Templates:
        return Templates(stored.template, self.store.header(stored).keys.get("tokenizer.chat_template"))

    def create(self, body: dict[str, Any]) -> Pieces:
        name = full_name(body.get("model") or "")
        if body.get("from"):
            _, base = self.store.find(body["from"])
        elif body.get("files") is not None:
            base = Stored(self.store.weights_of(body["files"]))
        else:
            raise Refused(400, "neither 'from' or 'files' was specified")
        kind = self.store.details(base)["quantization_level"]
        if body.get("quantize") and kind not in ("F16", "BF16", "F32"):
            raise Refused(500, "quantization is only supported for F16, BF16 and F32 models")
        made = Stored(
            weights=base.weights,
            adapters=list((body.get("adapters") or {}).values()) or base.adapters,
            template=body.get("template") or base.template,
            system=body.get("system") or base.system,
            parameters={**base.parameters, **(body.get("parameters") or {})},
            license=body.get("license") or base.license,
        )
        return self._written(name, made, ["parsing GGUF"])

    def _written(self, name: str, stored: Stored, steps: list[str]) -> Pieces:
        for step in (*steps, "writing manifest"):
            yield {"status": step}
        self.store.put(name, stored)
        self._unload(name)
        yield {"status": "success"}

    def pull(self, body: dict[str, Any]) -> Pieces:
        return self._pulled(full_name(body["model"]))

    def _pulled(self, name: str) -> Pieces:
        yield {"status": "pulling manifest"}
        if name not in self.library:
            yield {"error": "pull model manifest: file does not exist"}
            return
        source = self.library[name]
        size = source.stat().st_size
        digest = self.store.keep(source)
        for quarter in range(5):
            status = f"pulling {digest[7:19]}"
            yield {"status": status, "digest": digest, "total": size, "completed": size * quarter // 4}
        yield from self._written(name, Stored(digest), ["verifying sha256 digest"])

    def runner(self, name: str, stored: Stored) -> LlamaRunner:
        """Loaded with the first question, as there."""
        digests = (stored.weights, *stored.adapters)
        with self._lock:
            self._unload(name)
            self.loaded.append(name)
            return running(digests, [self.store.path(digest) for digest in digests])

    def generate(self, body: dict[str, Any]) -> dict[str, Any] | Pieces:
        turns = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        turns.append({"role": "user", "content": body["prompt"]})
        asked = {**body, "messages": turns, "raw": body["prompt"] if body.get("raw") else None}
        return self._answer(asked, lambda text: {"response": text})

    def chat(self, body: dict[str, Any]) -> dict[str, Any] | Pieces:
        return self._answer(body, lambda text: {"message": {"role": "assistant", "content": text}})

    def _answer(self, body: dict[str, Any], form: Callable[[str], dict[str, Any]]) -> dict[str, Any] | Pieces:
        name, stored = self.store.find(body["model"])
        templates = self._templates(stored)
        body = with_system(stored, check_asked(body["model"], templates, body))
        runner = self.runner(name, stored)
        options = {**DEFAULTS, **stored.parameters, **(body.get("options") or {})}
        if body.get("raw") is not None:
            prompt = body["raw"]
        else:
            prompt = fitting_prompt(runner, templates, body, options["num_ctx"])
        base = {"model": body["model"], "created_at": datetime.now(UTC).isoformat()}
        if body.get("_debug_render_only") and self.tells_prompts:
            return {**base, **form(""), "done": False, "_debug_info": {"rendered_template": prompt}}
        adds_bos = self.store.header(stored).keys.get("tokenizer.ggml.add_bos_token", False)
        if adds_bos and prompt.startswith("<bos>"):
            prompt = prompt.removeprefix("<bos>")
        pieces = answer(runner, templates, body, prompt, options, lambda text: {**base, **form(text)})
        return pieces if self.tells_counts else map(_uncounted, pieces)


def _uncounted(piece: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in piece.items() if key != "prompt_eval_count"}


def fitting_prompt(runner: LlamaRunner, templates: Templates, body: dict[str, Any], window: int) -> str:
    """The prompt without the first turns that do not fit the window (server/prompt.go, chatPrompt)."""
    turns, prompt = body["messages"], ""
    for start in range(len(turns)):
        system = [turn for turn in turns[:start] if turn["role"] == "system"]
        prompt = render(runner, templates, {**body, "messages": system + turns[start:]})
        if len(runner.tokens(prompt)) <= window:
            return prompt
    return prompt


def render(runner: LlamaRunner, templates: Templates, body: dict[str, Any]) -> str:
    if templates.is_native:
        return runner.post("/apply-template", native_request(body))["prompt"]
    return go_prompt(templates.go or "", body)


def answer(
    runner: LlamaRunner,
    templates: Templates,
    body: dict[str, Any],
    prompt: str,
    options: dict[str, Any],
    form: Callable[[str], dict[str, Any]],
) -> Pieces:
    """Pieces as llama.cpp says them; thoughts, and calls of tools, are taken out of a whole answer at its end."""
    started = time.perf_counter_ns()
    gathers = bool(body.get("tools") or (body.get("think") and templates.thinking_tags))
    said = ""
    for piece in runner.complete(prompt, options):
        said += piece["content"]
        if piece["content"] and not gathers:
            yield {**form(piece["content"]), "done": False}
        if piece.get("stop"):
            times = piece["timings"]
            if gathers:
                yield {**_taken_apart(templates, body, said, form), "done": False}
            yield {
                **form(""),
                "done": True,
                "done_reason": "length" if piece["stop_type"] == "limit" else "stop",
                "total_duration": time.perf_counter_ns() - started,
                "load_duration": 0,
                "prompt_eval_count": times["cache_n"] + times["prompt_n"],
                "prompt_eval_duration": int(times["prompt_ms"] * 1e6),
                "eval_count": times["predicted_n"],
                "eval_duration": int(times["predicted_ms"] * 1e6),
            }


def _taken_apart(
    templates: Templates, body: dict[str, Any], said: str, form: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    thought, tags = "", templates.thinking_tags
    if body.get("think") and tags and tags[1] in said:
        thought, _, said = said.partition(tags[1])
        thought, said = thought.replace(tags[0], "", 1).strip(), said.lstrip()
    calls = called_tools(templates.go or "", said, body["tools"]) if body.get("tools") else []
    told = form("" if calls else said)
    if "message" in told:
        told["message"] |= {
            key: value for key, value in (("thinking", thought), ("tool_calls", calls)) if value
        }
    return told


def whole(pieces: Pieces) -> dict[str, Any]:
    """What a request with stream=false gets: the last piece, with all that was said."""
    said, last = "", {}
    message: dict[str, Any] = {}
    for piece in pieces:
        if "error" in piece:
            raise Refused(500, piece["error"])
        last = piece
        if "message" in piece:
            message = {
                **message,
                **piece["message"],
                "content": message.get("content", "") + piece["message"]["content"],
            }
        said += piece.get("response", "")
    if message:
        return {**last, "message": message}
    return {**last, "response": said} if "response" in last else last


class _Handler(LoopbackHandler):
    ollama: OllamaStandIn

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        self.ollama.keys.append(self.headers.get("authorization") if parsed else None)
        return parsed

    def do_HEAD(self) -> None:
        digest = self.path.rpartition("/")[2]
        there = self.path.startswith("/api/blobs/") and self.ollama.store.path(digest).is_file()
        self._send(200 if there else 404, b"")

    def do_GET(self) -> None:
        self._guarded(lambda: self.ollama.get(self.path))

    def do_DELETE(self) -> None:
        self._guarded(lambda: self.ollama.delete(self._json()))

    def do_POST(self) -> None:
        if self.path.startswith("/api/blobs/"):
            self._guarded(self._blob)
        else:
            self._guarded(lambda: self.ollama.post(self.path, self._json()))

    def _blob(self) -> int:
        digest = self.path.rpartition("/")[2]
        self.ollama.asked.append(("/api/blobs", {"digest": digest}))
        return self.ollama.store.add_blob(digest, self._body)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("content-length") or 0)
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            left -= len(piece)
            yield piece

    def _json(self) -> dict[str, Any]:
        return json.loads(b"".join(self._body()))

    def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            found = work()
        except Refused as error:
            self._send(error.status, json.dumps({"error": str(error)}).encode())
            return
        if isinstance(found, int):
            self._send(found, b"")
        elif isinstance(found, Iterator):
            self._stream(found)
        else:
            self._send(200, json.dumps(found, ensure_ascii=False).encode() if found is not None else b"")

    def _send(self, status: int, data: bytes) -> None:
        self.answer(status, data, "application/json; charset=utf-8")

    def _stream(self, pieces: Pieces) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        most = self.ollama.breaks.pop(self.path, None)
        lines = list(pieces)[:-1] if self.path in self.ollama.stops_short else pieces
        for number, piece in enumerate(lines):
            if number == most:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            line = json.dumps(piece, ensure_ascii=False).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


@contextmanager
def ollama_serving(folder: Path, convert: Callable[[Path], Path] | None = None) -> Iterator[OllamaStandIn]:
    """An Ollama at `url` while the block runs, with nothing in it; its files lie below `folder`."""
    server = OllamaStandIn(Store(folder / "ollama", convert))
    with listening(type("Handler", (_Handler,), {"ollama": server})) as server.url:
        yield server
