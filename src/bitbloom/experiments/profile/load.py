"""A load of fixed size on a service: a number of clients for a number of seconds, each with one request at a time.

wrk sends it where it is installed, because it takes the least of the cores from the service; else threads of this process.
"""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bitbloom.core.errors import BitBloomError

TIMEOUT_SECONDS = 30
SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Requests:
    """What is sent: POST requests to a path, whose bodies take turns."""

    path: str
    content_type: str
    bodies: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True)
class Load:
    """Results.

    Attributes:
        tool: what sent the load.
        clients, seconds: its size.
        requests, failed: numbers of responses, and of requests without one or with an error.
        latencies: of the responses, in seconds, ascending.
    """

    tool: str
    clients: int
    seconds: float
    requests: int
    failed: int
    latencies: Sequence[float] = field(repr=False)

    @property
    def mean(self) -> float:
        """Mean time of a request in seconds: each client always waits for one response."""
        return self.clients * self.seconds / max(1, self.requests)

    def percentile(self, percent: float) -> float:
        """A percentile of the latencies, in seconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]


def send(url: str, requests: Requests, clients: int, seconds: int) -> Load:
    """Send a load. Raises BitBloomError when no request succeeds."""
    load = (_wrk if shutil.which("wrk") else _threads)(url, requests, clients, seconds)
    if load.failed or not load.requests:
        raise BitBloomError(
            f"{load.failed} of {load.requests} requests to {url}{requests.path} failed: see the service's messages"
        )
    return load


def _wrk(url: str, requests: Requests, clients: int, seconds: int) -> Load:
    with tempfile.TemporaryDirectory(prefix="bitbloom-load-") as temporary:
        files = []
        for number, body in enumerate(requests.bodies):
            files.append(Path(temporary) / str(number))
            files[-1].write_bytes(body)
        options = ["-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(SCRIPT)]
        command = ["wrk", *options, f"{url}{requests.path}", "--", requests.content_type, *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BitBloomError(f"wrk failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    latencies = [value / 1e6 for value, count in found["latencies"] for _ in range(count)]
    return Load("wrk", clients, found["seconds"], found["requests"], found["failed"], latencies)


def _threads(url: str, requests: Requests, clients: int, seconds: int) -> Load:
    began = time.perf_counter()
    end = began + seconds

    def client(first: int) -> tuple[list[float], int]:
        return _one_client(url, requests, itertools.count(first), end)

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(client, range(clients)))
    latencies = sorted(itertools.chain.from_iterable(taken for taken, _ in found))
    lost = sum(failed for _, failed in found)
    return Load("threads", clients, time.perf_counter() - began, len(latencies) + lost, lost, latencies)


def _one_client(url: str, requests: Requests, numbers: itertools.count[int], end: float) -> tuple[list[float], int]:
    """Latencies in seconds, and the number of failures, of one client until a time."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_SECONDS)
    taken, failed = [], 0
    while (began := time.perf_counter()) < end:
        try:
            connection.request("POST", requests.path, _body(requests, next(numbers)), {"Content-Type": requests.content_type})
            response = connection.getresponse()
            response.read()
        except OSError:
            connection.close()
            failed += 1
            continue
        if response.status >= 400:
            failed += 1
        else:
            taken.append(time.perf_counter() - began)
    connection.close()
    return taken, failed


def _body(requests: Requests, number: int) -> bytes:
    return requests.bodies[number % len(requests.bodies)]
