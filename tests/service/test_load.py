"""More questions than a service can take, and its end in the middle of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from standin import LIMITS, photo, serving

pytestmark = pytest.mark.slow

RED = (210, 40, 40)


def test_a_service_that_is_full_turns_away_at_once_and_takes_all_again_later(served):
    def ask(client: httpx.Client) -> list[httpx.Response]:
        return [client.post("/predict", content=photo(RED, 900, 900)) for _ in range(20)]

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=served.url, timeout=60)) for _ in range(4 * LIMITS.max_requests)]
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = [answer for several in pool.map(ask, clients) for answer in several]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert {answer.status_code for answer in answers} == {200, 503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {answer.json()["label"] for answer in answers if answer.status_code == 200} == {"poppy"}
        assert [client.post("/predict", content=photo(RED)).status_code for client in clients] == [200] * len(clients)


def processes(port: int) -> tuple[psutil.Process, psutil.Process]:
    """The process that was started, and the one of its children that answers."""
    sockets = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr.port == port]
    found = {psutil.Process(one.pid) for one in sockets if one.pid}
    worker = next(process for process in found if "worker" in " ".join(process.cmdline()))
    first = worker
    while first.ppid() != os.getpid():
        first = first.parent()
    return first, worker


def test_what_was_accepted_before_the_end_is_answered_after_it(served, tmp_path):
    data = photo(RED)
    with serving("petals:latest", served.home, tmp_path) as url:
        where = urlsplit(url)
        lines = [socket.create_connection((where.hostname, where.port), timeout=30) for _ in range(4)]
        for line in lines:
            line.sendall(f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data[:100])
        httpx.post(f"{url}/predict", content=data)  # by now the four have been read as well
        first, worker = processes(where.port)
        first.send_signal(signal.SIGTERM)
        while any(one.status == "LISTEN" for one in worker.net_connections("tcp")):
            time.sleep(0.01)  # it takes no new questions from here on
        answers = []
        for line in lines:
            line.sendall(data[100:])
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


def test_a_service_starts_and_answers_without_reading_a_pickle(served, tmp_path):
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    watched = tmp_path / "unpickled"
    with serving("petals:latest", served.home, tmp_path, WATCHED=str(watched), PYTHONPATH=str(tmp_path / "hook")) as url:
        assert httpx.post(f"{url}/predict", content=photo(RED)).json()["label"] == "poppy"
    assert not watched.exists(), watched.read_text()
    check = [sys.executable, "-c", "import pickle; pickle.loads(pickle.dumps(ValueError('x')))"]
    environment = {**os.environ, "WATCHED": str(watched), "PYTHONPATH": str(tmp_path / "hook")}
    assert os.spawnve(os.P_WAIT, sys.executable, check, environment) == 0
    assert "ValueError" in watched.read_text()  # the watch would have seen it
