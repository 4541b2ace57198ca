"""Overload of a service, its termination while it receives requests, and unpickling."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from support import caption_standin, text_standin
from support.standin import LIMITS, Served, photo, serving

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class SlowRequest:
    """A request that takes a service some time, and a word of its response."""

    service: str
    route: str
    body: bytes
    kind: str
    word: str

    def send(self, client: httpx.Client) -> httpx.Response:
        """Send the request."""
        return client.post(self.route, content=self.body, headers={"Content-Type": self.kind})

    def succeeded(self, response: httpx.Response) -> bool:
        """Whether the response has the status 200 and the word."""
        return response.status_code == 200 and self.word in response.text


TEXTS = json.dumps({"texts": ["flood " * 300] * text_standin.LIMITS.max_batch}).encode()
SLOW = [
    SlowRequest("served", "/predict", photo((210, 40, 40), 900, 900), "image/jpeg", "poppy"),
    SlowRequest("served_texts", "/predict", TEXTS, "application/json", "disaster"),
    SlowRequest("served_captions", "/caption", caption_standin.photo("red", 900, 900), "image/jpeg", "red flower"),
]


@pytest.fixture(params=SLOW, ids=lambda slow: slow.service)
def slow(request: pytest.FixtureRequest) -> SlowRequest:
    return request.param


@pytest.fixture
def service(slow: SlowRequest, request: pytest.FixtureRequest) -> Served:
    return request.getfixturevalue(slow.service)


def test_full_service_rejects_with_retry_after_and_recovers(service, slow):
    def send(client: httpx.Client) -> list[httpx.Response]:
        return [slow.send(client) for _ in range(20)]

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=service.url, timeout=60)) for _ in range(4 * LIMITS.max_requests)]
        with ThreadPoolExecutor(len(clients)) as pool:
            responses = list(itertools.chain.from_iterable(pool.map(send, clients)))
        rejected = [response for response in responses if response.status_code == 503]
        assert 0 < len(rejected) < len(responses)
        assert all(int(response.headers["retry-after"]) >= 1 for response in rejected)
        assert all(slow.succeeded(response) for response in responses if response.status_code != 503)
        assert all(slow.succeeded(slow.send(client)) for client in clients)


def processes(port: int) -> tuple[psutil.Process, psutil.Process]:
    """The process that was started, and its child that serves."""
    sockets = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port]
    found = {psutil.Process(one.pid) for one in sockets if one.pid}
    worker = next(process for process in found if "worker" in " ".join(process.cmdline()))
    first = worker
    while first.ppid() != os.getpid():
        first = first.parent()
    return first, worker


def test_completes_accepted_requests_after_sigterm(service, slow, tmp_path):
    body, half = slow.body, len(slow.body) // 2
    headers = f"POST {slow.route} HTTP/1.1\r\nHost: a\r\nContent-Type: {slow.kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with serving(f"{service.target}:latest", service.home, tmp_path) as url:
        where = urlsplit(url)
        connections = [socket.create_connection((where.hostname, where.port), timeout=30) for _ in range(4)]
        for connection in connections:
            connection.sendall(headers.encode() + body[:half])
        with httpx.Client(base_url=url, timeout=60) as client:
            assert slow.succeeded(slow.send(client))  # the service has received the other four by now
        first, worker = processes(where.port)
        first.send_signal(signal.SIGTERM)
        while any(one.status == "LISTEN" for one in worker.net_connections("tcp")):
            time.sleep(0.01)  # then it accepts no new connections
        responses = []
        for connection in connections:
            connection.sendall(body[half:])
            responses.append(connection.recv(65_536))
            connection.close()
        first.wait(30)
    assert all(response.startswith(b"HTTP/1.1 200") for response in responses)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/readyz")


HOOK = """\
import os, sys
def watch(event, arguments):
    if event == "pickle.find_class":
        with open(os.environ["WATCHED"], "a") as stream:
            stream.write(f"{arguments}\\n")
sys.addaudithook(watch)
"""


def test_starts_and_predicts_without_reading_a_pickle(service, slow, tmp_path):
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    watched = tmp_path / "unpickled"
    hooked = {"WATCHED": str(watched), "PYTHONPATH": str(tmp_path / "hook")}
    with (
        serving(f"{service.target}:latest", service.home, tmp_path, **hooked) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert slow.succeeded(slow.send(client))
    assert not watched.exists(), watched.read_text()
    check = [sys.executable, "-c", "import pickle; pickle.loads(pickle.dumps(ValueError('x')))"]
    assert os.spawnve(os.P_WAIT, sys.executable, check, os.environ | hooked) == 0
    assert "ValueError" in watched.read_text()  # the hook works
