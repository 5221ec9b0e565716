"""A server on loopback that speaks the Hub's HTTP API as huggingface_hub calls it.

    GET  /api/datasets/<id>[/revision/<rev>]         what it is, and the commit
    GET  /api/datasets/<id>/tree/<rev>[/<folder>]    its files
    POST /api/datasets/<id>/paths-info/<rev>         some of them
    HEAD /datasets/<id>/resolve/<rev>/<path>         commit, etag, size; large files are redirected elsewhere
    GET  …                                           the content, also a range of it

The same for models, below /api/models/<id> and /<id>/resolve. hub_repositories.py adds what writes. Answers and headers follow https://huggingface.co/docs/hub/api and what huggingface_hub 2 reads from them.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

Files = dict[str, bytes]
LARGE = 10_000
"""Bytes from which a file lies in another place, as with LFS and Xet."""


@dataclass
class Dataset:
    """A repository, of a model too: files by commit, and where its branches point."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    token: str | None = None
    """Who has it sees a private dataset; the others are told that there is none."""
    card: dict[str, Any] = field(default_factory=dict)
    """The metadata of its card."""

    def commit(self, files: Files, branch: str = "main") -> str:
        """A new state of a branch; returns its commit."""
        names = b"".join(name.encode() + hashlib.sha1(data).digest() for name, data in sorted(files.items()))
        commit = hashlib.sha1(names).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit


@dataclass
class Sent:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class HubServer:
    """Runs for as long as the block lasts; `asked` is what it was asked (method and path)."""

    def __init__(self, datasets: dict[str, Dataset]) -> None:
        self.datasets = datasets
        self.models: dict[str, Dataset] = {}
        self.breaks: Callable[[str, str], bool] = lambda _method, _path: False
        """Whether the connection breaks while this is being asked."""
        self.loses: Callable[[str, str], bool] = lambda _method, _path: False
        """Whether it breaks when this has been done and before that is answered."""
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.elsewhere: dict[str, bytes] = {}
        # Two: a redirect to another place is what a client does not follow for HEAD.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(self)) for _ in range(2)]
        self.url, self.store = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            for server in self._servers
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, token: str) -> Sent:
        self.asked.append((method, path))
        self.tokens.append(token)
        if path.startswith("/elsewhere/"):
            return Sent(body=self.elsewhere[path.rpartition("/")[2]])
        api = path.startswith("/api/")
        kind = "datasets" if path.removeprefix("/api").startswith("/datasets/") else "models"
        if not path.startswith(("/api/datasets/", "/api/models/")) and "/resolve/" not in path:
            return Sent(404)
        parts = path.removeprefix("/api").removeprefix(f"/{kind}").lstrip("/").split("/", 3)
        name, rest = "/".join(parts[:2]), parts[2:]
        dataset = (self.datasets if kind == "datasets" else self.models).get(name)
        if dataset is None or (dataset.token and token != f"Bearer {dataset.token}"):
            return _refused(401, "RepoNotFound", "Invalid username or password.")
        revision, _, place = (rest[1] if len(rest) > 1 else "main").partition("/")
        commit = dataset.branches.get(unquote(revision), unquote(revision))
        if commit not in dataset.commits:
            return _refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if api and rest[:1] in ([], ["revision"]):
            return _json(_info(name, dataset, commit))
        if dataset.gated and not token:
            return _refused(401, "GatedRepo", f"Access to dataset {name} is restricted. Please log in.")
        files = dataset.commits[commit]
        if api and rest[0] == "tree":
            return _json(_tree(files, place, recursive=query.get("recursive", "").lower() == "true"))
        if api and rest[0] == "paths-info":
            wanted = dict(parse_qsl(body.decode())) if body[:1] != b"{" else json.loads(body)
            paths = wanted["paths"] if isinstance(wanted["paths"], list) else [wanted["paths"]]
            return _json([entry for entry in _tree(files, "", recursive=True) if entry["path"] in paths])
        return self._file(method, files, unquote(place), commit)

    def _file(self, method: str, files: Files, place: str, commit: str) -> Sent:
        headers = {"X-Repo-Commit": commit}
        if place not in files:
            return _refused(404, "EntryNotFound", "Entry not found", **headers)
        data = files[place]
        if len(data) < LARGE:
            return Sent(body=data, headers={**headers, "ETag": f'"{_git_id(data)}"'})
        sha256 = hashlib.sha256(data).hexdigest()
        self.elsewhere[sha256] = data
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(data))}
        return Sent(302, headers={**headers, "Location": f"{self.store}/elsewhere/{sha256}"})


def _info(name: str, dataset: Dataset, commit: str) -> dict[str, Any]:
    return {
        "_id": "621ffdd236468d709f181d58",
        "id": name,
        "author": name.partition("/")[0],
        "sha": commit,
        "private": dataset.token is not None,
        "gated": "auto" if dataset.gated else False,
        "disabled": False,
        "lastModified": "2026-11-01T08:00:00.000Z",
        "createdAt": "2026-10-01T08:00:00.000Z",
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": [{"rfilename": path} for path in dataset.commits[commit]],
        **({"cardData": dataset.card} if dataset.card else {}),
    }


def _tree(files: Files, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    prefix = f"{unquote(folder)}/" if folder else ""
    for path, data in sorted(files.items()):
        inside = path.removeprefix(prefix)
        if not path.startswith(prefix):
            continue
        parents = inside.split("/")[:-1]
        for depth in range(1, len(parents) + 1 if recursive else min(2, len(parents) + 1)):
            above = prefix + "/".join(parents[:depth])
            entries[above] = {"type": "directory", "path": above, "oid": _git_id(above.encode()), "size": 0}
        if recursive or not parents:
            entries[path] = {"type": "file", "path": path, "oid": _git_id(data), "size": len(data)}
            if len(data) >= LARGE:
                sha256 = hashlib.sha256(data).hexdigest()
                entries[path]["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 134}
    return list(entries.values())


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _json(value: Any) -> Sent:
    return Sent(body=json.dumps(value).encode(), headers={"Content-Type": "application/json; charset=utf-8"})


def _refused(status: int, code: str, message: str, **headers: str) -> Sent:
    named = {"X-Error-Code": code, "X-Error-Message": message, **headers}
    return Sent(status, json.dumps({"error": message}).encode(), named)


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if hub.breaks(self.command, parts.path):
                hub.asked.append((self.command, parts.path))
                self.rfile.read(min(1000, int(self.headers.get("Content-Length") or 0)))
                self._hang_up()
                return
            body = self._body()
            token = self.headers.get("Authorization", "")
            sent = hub.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body, token)
            if hub.loses(self.command, parts.path):
                self._hang_up()
                return
            first, last = 0, len(sent.body)
            if sent.status == 200 and (wanted := self.headers.get("Range")):
                start, _, end = wanted.removeprefix("bytes=").partition("-")
                first, last = int(start or 0), min(int(end or last) + 1, last)
                sent.status = 206
                sent.headers["Content-Range"] = f"bytes {first}-{last - 1}/{len(sent.body)}"
            self.send_response(sent.status)
            for name, value in {**sent.headers, "Content-Length": str(last - first)}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent.body[first:last])

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests look at `asked`."""

    return Handler
