"""The Hub on loopback with Ann's account: repositories that are made and written as huggingface_hub 2.4 does it.

    GET  /api/whoami-v2             POST /api/repos/create         DELETE /api/repos/delete       POST /api/validate-yaml
    POST /api/<kind>/<id>/preupload/main                           POST /api/<kind>/<id>/commit/main
    large files, through LFS        POST /<id>.git/info/lfs/objects/batch   PUT (signed address)  POST (verify)
    large files, through Xet        GET /api/<kind>/<id>/xet-write-token/main
                                    GET /v1/chunks   POST /v1/xorbs   POST /v1/shards   (hf_xet's content store)

What a commit names as large has to have arrived, whole and with the hash that it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from typing import Any

import yaml

from hub_server import LARGE, Dataset, Files, HubServer, Sent

TOKEN = "hf_" + "write4Of8Ann15By16Her23Own42"
SIGNATURE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
"""Of the address that a large file is sent to: who has it may write."""
PART = 200_000
"""Bytes of a part of a large file, through LFS."""
LICENCES = set(
    "apache-2.0 mit cc0-1.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 llama2 llama3 llama3.1 llama3.2 llama3.3 gemma unknown other".split()
)
"""Some of https://huggingface.co/docs/hub/repositories-licenses."""


class HubRepositories(HubServer):
    """Ann's Hub."""

    def __init__(self) -> None:
        super().__init__({})
        self.role = "write"
        self.scoped: list[dict[str, Any]] = []
        """Of a fine-grained token."""
        self.visibility: dict[str, Any] = {}
        """Repository → as which it was asked for when it was made."""
        self.messages: list[str] = []
        """Of the commits."""
        self.large = LARGE
        """Bytes from which a file goes another way."""
        self.objects: Files = {}
        """sha256 → a large file that has arrived."""
        self.parts: dict[str, Files] = {}
        self.xorbs: dict[str, list[bytes]] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, token: str) -> Sent:
        if path.startswith(("/v1/", "/v2/")):
            self.asked.append((method, path))
            return self._store(path, body)
        if method == "PUT":
            self.asked.append((method, path))
            return self._part(path, query, body)
        if path.startswith("/lfs/"):
            self.asked.append((method, path))
            return self._complete(path.split("/")[2], json.loads(body))
        if path.startswith("/elsewhere/") or "/resolve/" in path:
            return super().answer(method, path, query, body, token)
        if token != f"Bearer {TOKEN}" and path != "/api/validate-yaml":
            return Sent(401, b'{"error": "Invalid username or password."}')
        if method == "GET" and "xet-write-token" not in path and "whoami" not in path:
            return super().answer(method, path, query, body, token)
        self.asked.append((method, path))
        self.tokens.append(token)
        return self._written(path, body)

    def _written(self, path: str, body: bytes) -> Sent:
        if path == "/api/whoami-v2":
            scoped = {"fineGrained": {"scoped": self.scoped}} if self.scoped else {}
            token = {"role": self.role, "displayName": "t", **scoped}
            return reply({"type": "user", "name": "ann", "orgs": [], "auth": {"accessToken": token}})
        if path == "/api/validate-yaml":
            problems = problems_of(json.loads(body)["content"])
            shown = [{"message": problem} for problem in problems]
            return Sent(400 if problems else 200, json.dumps({"errors": shown, "warnings": []}).encode())
        if path.startswith("/api/repos/"):
            return self._repository(path.rpartition("/")[2], json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return reply({"objects": [self._upload(wanted) for wanted in json.loads(body)["objects"]]})
        _, _, kind, owner, name, what, *_ = path.split("/")
        if what == "xet-write-token":
            until = int(time.time()) + 3_600
            return reply({"casUrl": self.url, "exp": until, "accessToken": f"xet_{SIGNATURE}"})
        repository = (self.datasets if kind == "datasets" else self.models)[f"{owner}/{name}"]
        if what == "preupload":
            return reply({"files": [self._mode(repository, file) for file in json.loads(body)["files"]]})
        return self._commit(kind, f"{owner}/{name}", repository, body)

    def _repository(self, what: str, given: dict[str, Any]) -> Sent:
        kind = given.get("type") or "model"
        repositories = self.datasets if kind == "dataset" else self.models
        name = f"{given.get('organization') or 'ann'}/{given['name']}"
        if what == "delete":
            del repositories[name]
            return reply({})
        self.visibility[name] = given.get("visibility")
        url = f"{self.url}/datasets/{name}" if kind == "dataset" else f"{self.url}/{name}"
        if name in repositories:
            told = {"error": f"You already created this {kind} repo", "url": url}
            return Sent(409, json.dumps(told).encode())
        repositories[name] = Dataset(token=TOKEN if given.get("visibility") == "private" else None)
        repositories[name].commit({".gitattributes": b""})
        return reply({"url": url, "name": name, "id": name})

    def _mode(self, repository: Dataset, file: dict[str, Any]) -> dict[str, Any]:
        large = file["size"] >= self.large
        there = repository.commits[repository.branches["main"]].get(file["path"])
        mode = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if there is None:
            return mode
        blob = b"blob %d\0" % len(there) + there
        return {**mode, "oid": (hashlib.sha256(there) if large else hashlib.sha1(blob)).hexdigest()}

    def _commit(self, kind: str, name: str, repository: Dataset, body: bytes) -> Sent:
        head = repository.branches["main"]
        files = dict(repository.commits[head])
        for item in map(json.loads, body.splitlines()):
            value = item["value"]
            if item["key"] == "header":
                if value.get("parentCommit", head) != head:
                    return refused(412, "A commit has happened since. Please refresh and try again.")
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.objects:
                    return refused(400, f"Your push was rejected: {value['path']} has not arrived.")
                files[value["path"]] = self.objects[value["oid"]]
            elif files.pop(value["path"], None) is None:
                return Sent(404, b'{"error": "A file with this name does not exist"}')
        commit = repository.commit(files)
        self.messages.append(message)
        place = f"{self.url}/datasets/{name}" if kind == "datasets" else f"{self.url}/{name}"
        return reply({"success": True, "commitOid": commit, "commitUrl": f"{place}/commit/{commit}"})

    # LFS -------------------------------------------------------------------------------------------

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Where to send a large file: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md, in parts."""
        oid, size = wanted["oid"], wanted["size"]
        if oid in self.objects:
            return wanted
        parts = {
            str(number + 1): f"{self.store}/lfs/{oid}/{number + 1}?X-Amz-Signature={SIGNATURE}"
            for number in range(-(-size // PART))
        }
        header = {"chunk_size": str(PART), **parts}
        return {**wanted, "actions": {"upload": {"href": f"{self.url}/lfs/{oid}", "header": header}}}

    def _part(self, path: str, query: dict[str, str], body: bytes) -> Sent:
        if query.get("X-Amz-Signature") != SIGNATURE:
            return refused(403, "SignatureDoesNotMatch")
        _, _, oid, number = path.split("/")
        self.parts.setdefault(oid, {})[number] = body
        return Sent(headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _complete(self, oid: str, given: dict[str, Any]) -> Sent:
        arrived = self.parts[oid]
        content = b"".join(arrived[str(part["partNumber"])] for part in given["parts"])
        return reply({}) if self._keep(oid, content) else refused(400, "The hash differs.")

    def _keep(self, oid: str, content: bytes) -> bool:
        if hashlib.sha256(content).hexdigest() != oid:
            return False
        self.objects[oid] = content
        return True

    # Xet -------------------------------------------------------------------------------------------

    def _store(self, path: str, body: bytes) -> Sent:
        if path.startswith("/v1/xorbs/"):
            self.xorbs[path.rpartition("/")[2]] = chunks_of(body)
            return reply({"was_inserted": True})
        if path == "/v1/shards":
            for sha256, pieces in files_of(body):
                content = b"".join(b"".join(self.xorbs[xorb][first:last]) for xorb, first, last in pieces)
                if not self._keep(sha256, content):
                    return refused(400, "The hash differs.")
            return reply({"result": 1})
        return Sent(404)


def chunks_of(xorb: bytes) -> list[bytes]:
    """A xorb's chunks: eight bytes (version, length, compression, length unpacked), then the content. Uncompressed ones."""
    chunks, at = [], 0
    while at < len(xorb) and xorb[at] == 0:
        length, compression = int.from_bytes(xorb[at + 1 : at + 4], "little"), xorb[at + 4]
        assert compression == 0, "the tests ask hf_xet not to compress"
        chunks.append(xorb[at + 8 : at + 8 + length])
        at += 8 + length
    return chunks


def files_of(shard: bytes) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """A shard's files: sha256, and in which chunks of which xorbs they lie (https://huggingface.co/docs/xet/shard)."""
    found, at = [], 48
    while shard[at : at + 32] != b"\xff" * 32:
        flags, count = (int.from_bytes(shard[at + n : at + n + 4], "little") for n in (32, 36))
        at += 48
        pieces = []
        for _ in range(count):
            first, last = (int.from_bytes(shard[at + n : at + n + 4], "little") for n in (40, 44))
            pieces.append((hash_at(shard, at), first, last))
            at += 48
        at += 48 * count if flags & 1 << 31 else 0
        assert flags & 1 << 30, "the sha256 is given"
        found.append((hash_at(shard, at), pieces))
        at += 48
    return found


def hash_at(shard: bytes, at: int) -> str:
    """Four numbers of eight bytes, the smallest byte first, in hex."""
    return "".join(f"{int.from_bytes(shard[n : n + 8], 'little'):016x}" for n in range(at, at + 32, 8))


def problems_of(card: str) -> list[str]:
    """What the Hub says against a card, as far as https://huggingface.co/docs/hub/model-cards tells its rules."""
    block = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    if not block:
        return ["metadata: empty or missing"]
    data = yaml.safe_load(block[1])
    problems = []
    if data.get("license") not in LICENCES:
        problems.append('"license" must be one of the list of licences')
    if data.get("license") == "other" and not data.get("license_name"):
        problems.append('"license_name" is required for license: other')
    if any(not re.fullmatch("[a-z]{2,3}", language) for language in listed(data, "language")):
        problems.append('"language" must only contain ISO 639 codes')
    names = [*listed(data, "base_model"), *listed(data, "datasets")]
    problems += [
        f"{name!r} is no id of the Hub" for name in names if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
    ]
    results = [result for model in data.get("model-index") or [] for result in model["results"]]
    for result in results:
        needed = (result["task"].get("type"), result["dataset"].get("type"), result["dataset"].get("name"))
        if not all(isinstance(value, str) for value in needed):
            problems.append('"model-index" needs task.type, dataset.type and dataset.name')
        if not all({"type", "value"} <= metric.keys() for metric in result["metrics"]):
            problems.append('"model-index" needs type and value of each metric')
    return problems


def listed(data: dict[str, Any], key: str) -> list[str]:
    value = data.get(key) or []
    return [value] if isinstance(value, str) else value


def reply(value: Any) -> Sent:
    return Sent(body=json.dumps(value).encode(), headers={"Content-Type": "application/json; charset=utf-8"})


def refused(status: int, message: str) -> Sent:
    return Sent(status, json.dumps({"error": message}).encode())
