"""More questions than a service can take, and its end in the middle of them."""

from __future__ import annotations

import contextlib
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
class Question:
    """A question that takes a service some time, and a word of its answer."""

    service: str
    route: str
    body: bytes
    kind: str
    word: str

    def ask(self, client: httpx.Client) -> httpx.Response:
        return client.post(self.route, content=self.body, headers={"Content-Type": self.kind})

    def is_answered(self, response: httpx.Response) -> bool:
        return response.status_code == 200 and self.word in response.text


TEXTS = json.dumps({"texts": ["flood " * 300] * text_standin.LIMITS.max_batch}).encode()
QUESTIONS = [
    Question("served", "/predict", photo((210, 40, 40), 900, 900), "image/jpeg", "poppy"),
    Question("served_texts", "/predict", TEXTS, "application/json", "disaster"),
    Question("served_captions", "/caption", caption_standin.photo("red", 900, 900), "image/jpeg", "red flower"),
]


@pytest.fixture(params=QUESTIONS, ids=lambda question: question.service)
def question(request: pytest.FixtureRequest) -> Question:
    return request.param


@pytest.fixture
def service(question: Question, request: pytest.FixtureRequest) -> Served:
    return request.getfixturevalue(question.service)


def test_a_service_that_is_full_turns_away_at_once_and_takes_all_again_later(service, question):
    def ask(client: httpx.Client) -> list[httpx.Response]:
        return [question.ask(client) for _ in range(20)]

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=service.url, timeout=60)) for _ in range(4 * LIMITS.max_requests)]
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = [answer for several in pool.map(ask, clients) for answer in several]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert 0 < len(refused) < len(answers)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert all(question.is_answered(answer) for answer in answers if answer.status_code != 503)
        assert all(question.is_answered(question.ask(client)) for client in clients)


def processes(port: int) -> tuple[psutil.Process, psutil.Process]:
    """The process that was started, and the one of its children that answers."""
    sockets = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port]
    found = {psutil.Process(one.pid) for one in sockets if one.pid}
    worker = next(process for process in found if "worker" in " ".join(process.cmdline()))
    first = worker
    while first.ppid() != os.getpid():
        first = first.parent()
    return first, worker


def test_what_was_accepted_before_the_end_is_answered_after_it(service, question, tmp_path):
    body, half = question.body, len(question.body) // 2
    head = f"POST {question.route} HTTP/1.1\r\nHost: a\r\nContent-Type: {question.kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with serving(f"{service.target}:latest", service.home, tmp_path) as url:
        where = urlsplit(url)
        lines = [socket.create_connection((where.hostname, where.port), timeout=30) for _ in range(4)]
        for line in lines:
            line.sendall(head.encode() + body[:half])
        with httpx.Client(base_url=url, timeout=60) as client:
            assert question.is_answered(question.ask(client))  # by now the four have been read as well
        first, worker = processes(where.port)
        first.send_signal(signal.SIGTERM)
        while any(one.status == "LISTEN" for one in worker.net_connections("tcp")):
            time.sleep(0.01)  # it takes no new questions from here on
        answers = []
        for line in lines:
            line.sendall(body[half:])
            answers.append(line.recv(65_536))
            line.close()
        first.wait(30)
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
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


def test_a_service_starts_and_answers_without_reading_a_pickle(service, question, tmp_path):
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    watched = tmp_path / "unpickled"
    hooked = {"WATCHED": str(watched), "PYTHONPATH": str(tmp_path / "hook")}
    with (
        serving(f"{service.target}:latest", service.home, tmp_path, **hooked) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert question.is_answered(question.ask(client))
    assert not watched.exists(), watched.read_text()
    check = [sys.executable, "-c", "import pickle; pickle.loads(pickle.dumps(ValueError('x')))"]
    assert os.spawnve(os.P_WAIT, sys.executable, check, os.environ | hooked) == 0
    assert "ValueError" in watched.read_text()  # the watch would have seen it
