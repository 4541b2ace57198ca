"""A local stand-in of Hugging Face's hub: repositories in memory behind the part of its HTTP API that the client uses.

It has repos/create, validate-yaml, preupload, commit, LFS (batch, upload, verify), model info, tree and resolve, with `ETag`,
`X-Repo-Commit` and, for LFS, the redirect to another path with `X-Linked-Etag` and `X-Linked-Size`. Writing needs TOKEN. There is
no Xet storage: the client has to have it disabled, and then uploads by LFS.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

TOKEN = "hf_of_the_tests"
LFS_BYTES = 10_000_000
LFS_SUFFIXES = (".safetensors", ".onnx")
"""As the hub's .gitattributes."""
NAME = "(?P<name>[^/]+/[^/]+)"
REVISION = "(?P<revision>[^/]+)"


@dataclass
class Repository:
    """The commits of a repository: each has an id and the files after it, name → content."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: bool = False

    def add(self, files: dict[str, bytes], summary: str = "") -> str:
        """Commit files on top of the last commit. Returns the commit's id."""
        now = {**self.files("main"), **files}
        listed = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in now.items())
        commit = hashlib.sha1(json.dumps([summary, len(self.commits), listed]).encode()).hexdigest()
        self.commits[commit] = now
        return commit

    def resolve(self, revision: str) -> str | None:
        """The id of a commit, or of the last one for `main`."""
        if revision == "main":
            return list(self.commits)[-1] if self.commits else None
        return revision if revision in self.commits else None

    def files(self, revision: str) -> dict[str, bytes]:
        """The files of a revision; none for an unknown one."""
        return self.commits.get(self.resolve(revision) or "", {})


def is_lfs(name: str, size: int) -> bool:
    """Whether the hub keeps a file in LFS."""
    return size > LFS_BYTES or name.endswith(LFS_SUFFIXES)


def blob_id(content: bytes) -> str:
    """The id of a blob in git."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(ThreadingHTTPServer):
    """The server. `requests` has the method and the path of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.summaries: list[str] = []

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def storage(self) -> str:
        """Its address under another name, as that of the hub's storage: the client follows no redirect to it with its token."""
        return f"http://localhost:{self.server_address[1]}"

    def lose(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()


class Refused(Exception):
    """A response with an error: status and the code in `X-Error-Code`."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _answer(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(parts.path)
        self.server.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            for method, pattern, function, writes in ROUTES:
                if self.command in method and (found := re.fullmatch(pattern, path)):
                    if writes and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        raise Refused(401, message="Invalid username or password.")
                    getattr(self, function)(body, **found.groupdict())
                    return
            raise Refused(404, "RepoNotFound", f"no {path}")
        except Refused as error:
            self._send({"error": str(error)}, status=error.status, **{"X-Error-Code": error.code} if error.code else {})

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _send(self, content: Any, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _repository(self, name: str) -> Repository:
        if name not in self.server.repositories:
            raise Refused(404, "RepoNotFound", "Repository not found")
        return self.server.repositories[name]

    def _commit_id(self, name: str, revision: str) -> str:
        found = self._repository(name).resolve(revision)
        if found is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _require_no_token(self) -> None:
        """The storage is another server, with signed addresses."""
        if self.headers.get("Authorization"):
            raise Refused(400, message="a token for the storage")

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            self._send({"error": "You already created this model repo", "url": f"{self.server.endpoint}/{name}"}, status=409)
            return
        self.server.repositories[name] = Repository(private=asked.get("visibility") == "private")
        self.server.repositories[name].add({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        self._send({"url": f"{self.server.endpoint}/{name}"})

    def validate(self, body: bytes) -> None:
        found = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        if not found or not isinstance(yaml.safe_load(found[1]), dict):
            self._send({"errors": [{"message": "no metadata"}], "warnings": []}, status=400)
        else:
            self._send({"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        now, modes = self._repository(name).files(revision), []
        for asked in json.loads(body)["files"]:
            lfs, before = is_lfs(asked["path"], asked["size"]), now.get(asked["path"])
            oid = None if before is None else hashlib.sha256(before).hexdigest() if lfs else blob_id(before)
            mode = {"path": asked["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            modes.append(mode | ({"oid": oid} if oid else {}))
        self._send({"files": modes})

    def batch(self, body: bytes, name: str) -> None:
        self._repository(name)
        found = []
        for asked in json.loads(body)["objects"]:
            actions = {
                "upload": {"href": f"{self.server.endpoint}/storage/{asked['oid']}"},
                "verify": {"href": f"{self.server.endpoint}/verify"},
            }
            found.append(asked | ({} if asked["oid"] in self.server.objects else {"actions": actions}))
        self._send({"transfer": "basic", "objects": found})

    def store(self, body: bytes, oid: str) -> None:
        self._require_no_token()
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(400, message="wrong hash")
        self.server.objects[oid] = body
        self._send(b"")

    def verify(self, body: bytes) -> None:
        asked = json.loads(body)
        if len(self.server.objects.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(404, message="no such object")
        self._send({})

    def commit(self, body: bytes, name: str, revision: str) -> None:
        self._commit_id(name, revision)
        files, summary = {}, ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                summary = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            else:
                raise Refused(400, message=f"no operation {line['key']}")
        self.server.summaries.append(summary)
        oid = self._repository(name).add(files, summary)
        self._send({"success": True, "commitOid": oid, "commitUrl": f"{self.server.endpoint}/{name}/commit/{oid}"})

    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        commit = self._commit_id(name, revision or "main")
        siblings = [{"rfilename": path} for path in self._repository(name).files(commit)]
        self._send({"id": name, "sha": commit, "private": False, "tags": [], "siblings": siblings})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        commit, entries = self._commit_id(name, revision), []
        for path, content in self._repository(name).files(commit).items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
            if is_lfs(path, len(content)):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self._send(entries)

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        commit = self._commit_id(name, revision)
        content = self._repository(name).files(commit).get(path)
        if content is None:
            self._send({}, status=404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        elif is_lfs(path, len(content)):
            oid = hashlib.sha256(content).hexdigest()
            linked = {
                "X-Linked-Etag": f'"{oid}"',
                "X-Linked-Size": str(len(content)),
                "Location": f"{self.server.storage}/storage/{commit}/{path}",
            }
            self._send(b"", status=302, **linked, **{"X-Repo-Commit": commit})
        else:
            self._send(content, **{"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": commit})

    def download(self, body: bytes, commit: str, path: str) -> None:
        self._require_no_token()
        for repository in self.server.repositories.values():
            if path in repository.files(commit):
                self._send(repository.files(commit)[path])
                return
        raise Refused(404)


ROUTES = [
    ("POST", "/api/repos/create", "create", True),
    ("POST", "/api/validate-yaml", "validate", False),
    ("POST", f"/api/models/{NAME}/preupload/{REVISION}", "preupload", True),
    ("POST", f"/api/models/{NAME}/commit/{REVISION}", "commit", True),
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch", "batch", True),
    ("POST", "/verify", "verify", True),
    ("PUT", "/storage/(?P<oid>[0-9a-f]{64})", "store", False),
    ("GET HEAD", f"/api/models/{NAME}", "info", False),
    ("GET HEAD", f"/api/models/{NAME}/revision/{REVISION}", "info", False),
    ("GET", f"/api/models/{NAME}/tree/{REVISION}", "tree", False),
    ("GET HEAD", f"/{NAME}/resolve/{REVISION}/(?P<path>.+)", "resolve", False),
    ("GET HEAD", "/storage/(?P<commit>[0-9a-f]{40})/(?P<path>.+)", "download", False),
]
"""Methods, pattern of the path, function of Handler, and whether it needs the token."""


@contextlib.contextmanager
def serving(patch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """Run a hub, and direct the client of this process to it, with a cache of its own and without a token."""
    hub = Hub()
    patch.setattr(constants, "ENDPOINT", hub.endpoint)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        patch.delenv(name, raising=False)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.lose()
        thread.join()
