"""A stack of Prometheus and Alertmanager for tests, and what arrives at its webhook."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bitbloom.monitoring.stack import receiver, run
from bitbloom.monitoring.stack.configuration import Pace
from bitbloom.monitoring.stack.job import Job
from support.standin import free_port

needs_prometheus = pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "prometheus-alertmanager", "promtool", "amtool"))),
    reason="Prometheus is not here: apt-get install prometheus prometheus-alertmanager",
)
SECONDS = 40


@dataclass
class Watched:
    """A running stack and the lines of its receiver."""

    prometheus: str
    alertmanager: str
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def say(self, line: str) -> None:
        """Note a line."""
        with self.changed:
            self.lines.append(line)
            self.changed.notify_all()

    def await_line(self, start: str, seconds: float = SECONDS) -> str:
        """The first line with this beginning, once it arrives."""

        def found() -> str | None:
            return next((line for line in self.lines if line.startswith(start)), None)

        with self.changed:
            assert self.changed.wait_for(found, seconds), (start, self.lines)
            return str(found())

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an expression now."""
        found = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expression}).json()
        assert found["status"] == "success", found
        return found["data"]["result"]

    def await_data(self, expression: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
        """The result of an expression, once it has one."""
        return eventually(lambda: self.query(expression), seconds, expression)


def eventually(look: Callable[[], Any], seconds: float, about: object) -> Any:
    """What a function returns, once it is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, about
        time.sleep(0.1)
    return found


@contextlib.contextmanager
def watching(service: str, folder: Path, source: Path, job: Job | None = None) -> Iterator[Watched]:
    """Run a stack that scrapes a service every second, with the rules of `source` and no delay of alerts."""
    watched = Watched("", "")
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "grafana")}
    with receiver.listening("127.0.0.1", 0, watched.say, job) as webhook:
        wanted = run.Wanted(
            service, webhook, Pace("1s", "1s"), ports, folder, source, os.environ.get(receiver.TOKEN_VARIABLE, "")
        )
        with run.running(wanted, watched.say) as stack, job.waiting() if job else contextlib.nullcontext():
            watched.prometheus, watched.alertmanager = stack.addresses["prometheus"], stack.addresses["alertmanager"]
            yield watched
