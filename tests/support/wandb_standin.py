"""A stand-in for the server of Weights & Biases: as much of its API as the locked client needs for a run with artifacts."""

from __future__ import annotations

import base64
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

KEY = "k" * 40


class Server:
    """Requests that were received, by kind.

    Attributes:
        runs: variables of the mutations that create or update a run.
        rows: rows of the history of any run.
        artifacts: variables of the mutations that create an artifact.
        used: variables of the mutations that make an artifact an input.
        hangs: whether requests get no response.
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.used: list[dict[str, Any]] = []
        self.operations: list[str] = []
        self.hangs = False
        self.over = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if outer.hangs:
                    outer.over.wait(60)
                status, content = outer.response(self.path, self.headers.get("authorization", ""), body)
                sent = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = respond

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that ends closes its connections."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def response(self, path: str, authorization: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and content of the response to a request."""
        if path.endswith("/file_stream"):
            history = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
            self.rows += [json.loads(line) for line in history.get("content", ())]
            return 200, {}
        if path != "/graphql":
            return 200, {}
        if authorization != f"Basic {base64.b64encode(f'api:{KEY}'.encode()).decode()}":
            return 401, {"error": "user is not logged in"}
        request = json.loads(body)
        named = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        name = request.get("operationName") or (named[1] if named else "")
        self.operations.append(name)
        return 200, {"data": self.data(name, request.get("variables") or {})}

    def data(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL response."""
        if name == "Viewer":
            return {"viewer": {"id": "1", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}}
        if name == "UpsertBucket":
            self.runs.append(given)
            project = {"id": "2", "name": given["project"], "entity": {"id": "3", "name": given["entity"] or "me"}}
            return {"upsertBucket": {"bucket": {"id": "4", "name": given["name"], "project": project}, "inserted": True}}
        if name == "CreateArtifact":
            self.artifacts.append(given["input"])
            return {"createArtifact": {"artifact": {"id": f"a{len(self.artifacts)}", "state": "COMMITTED"}}}
        if name == "UseArtifact":
            self.used.append(given)
            return {"useArtifact": {"artifact": {"id": given.get("artifactID")}}}
        if name == "ArtifactByID":
            return {"artifact": self.artifact(given["id"])}
        if name == "CreateRunFiles":
            files = [{"name": each, "uploadUrl": f"{self.url}/files/{each}"} for each in given["files"]]
            return {"createRunFiles": {"runID": "4", "uploadHeaders": [], "files": files}}
        return {"project": None, "model": None}

    def artifact(self, identity: str) -> dict[str, Any]:
        """A committed artifact, by the id that the stand-in gave it."""
        given = self.artifacts[int(identity.removeprefix("a")) - 1]
        internal = base64.b64encode(b"ProjectInternalId:2").decode()
        project = {
            "id": "2",
            "internalId": internal,
            "name": given["projectName"],
            "entity": {"id": "3", "name": given["entityName"]},
        }
        collection = {"__typename": "ArtifactSequence", "name": given["artifactCollectionName"], "project": project}
        return {
            "__typename": "Artifact",
            "id": identity,
            "artifactSequence": collection,
            "versionIndex": 0,
            "artifactType": {"name": given["artifactTypeName"]},
            "description": None,
            "metadata": given["metadata"],
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": 1,
            "digest": given["digest"],
            "commitHash": "c",
            "fileCount": 1,
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": None,
            "aliases": [],
        }

    def wait(self, condition: Any, seconds: float = 60.0) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.operations, self.rows)
            time.sleep(0.1)

    def close(self) -> None:
        """Stop."""
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def wandb_server() -> Iterator[Server]:
    """The running stand-in."""
    server = Server()
    yield server
    server.close()
