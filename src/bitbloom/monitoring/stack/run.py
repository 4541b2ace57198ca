"""Start a stack beside a service, and stop all of it on Ctrl-C, SIGTERM or an error.

bitbloom monitor up                      # called by `make monitor`
bitbloom monitor up --every 1s --hold 1s # alerts within seconds, to try them
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bitbloom.core import guarded
from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.stack import configuration, parts
from bitbloom.monitoring.stack.configuration import Addresses, Pace
from bitbloom.monitoring.stack.parts import Places

STATE = Path(".bitbloom/monitoring")
PORTS = {"prometheus": 9090, "alertmanager": 9093, "grafana": 3001}
NEEDED = ("prometheus", "alertmanager")
READY = {"prometheus": "/-/ready", "alertmanager": "/-/ready", "grafana": "/api/health"}
SECONDS_TO_START, SECONDS_TO_END = 60, 10
SHOWN = 5
"""Lines of a log in a message, at most."""
CONTAINER_SECONDS = 600
"""Time for a start in containers, whose images may have to be downloaded."""


@dataclass(frozen=True)
class Wanted:
    """What to start.

    Attributes:
        service: host and port of the service.
        webhook: host and port that Alertmanager notifies.
        pace: intervals that replace those of the files.
        ports: of the parts, on loopback.
        folder: of the configuration, the data and the logs.
        source: the committed configuration.
        token: that Alertmanager sends to the webhook; "" for none.
    """

    service: str
    webhook: str
    pace: Pace = field(default_factory=Pace)
    ports: dict[str, int] = field(default_factory=lambda: dict(PORTS))
    folder: Path = STATE
    source: Path = configuration.SOURCE
    token: str = ""


@dataclass(frozen=True)
class Stack:
    """A running stack: the address of each part, and its processes."""

    addresses: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]]

    def ended(self) -> str | None:
        """The name of a program that ended by itself; None while all run."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), None)


@contextlib.contextmanager
def running(wanted: Wanted, say: Callable[[str], None] = print) -> Iterator[Stack]:
    """Run a stack while the block runs; it is ready when the block begins.

    Raises:
        BitBloomError: Prometheus or Alertmanager is neither installed nor to be had as a container, a port is taken, or a
            program does not start; the message has the end of its log.
    """
    direct, contained = _chosen(say)
    _require_free({name: wanted.ports[name] for name in [*direct, *contained]})
    places = Places(wanted.folder / "configuration", wanted.folder / "data", wanted.ports)
    addresses = Addresses(wanted.service, places.address("prometheus"), places.address("alertmanager"), wanted.webhook)
    configuration.write(places.configuration, addresses, wanted.pace, wanted.source, wanted.token)
    commands = {name: parts.command(name, program, places) for name, program in direct.items()}
    engine = parts.engine()
    if contained and engine:
        commands["containers"] = parts.composed(engine, contained)
    with contextlib.ExitStack() as opened:
        processes = {name: opened.enter_context(_program(name, words, places, wanted)) for name, words in commands.items()}
        started = {name: f"http://{places.address(name)}" for name in [*direct, *contained]}
        stack = Stack(started, processes)
        for name, address in started.items():
            _await(name, f"{address}{READY[name]}", stack, wanted, CONTAINER_SECONDS if name in contained else SECONDS_TO_START)
        yield stack


def _chosen(say: Callable[[str], None]) -> tuple[dict[str, str], list[str]]:
    """The paths of installed programs, and the names of the parts that run in containers. Raises BitBloomError."""
    direct = {name: found for name in parts.NAMES if (found := parts.installed(name))}
    rest = [name for name in parts.NAMES if name not in direct]
    if parts.engine() and not all(name in direct for name in NEEDED):
        return direct, rest
    if missing := [name for name in NEEDED if name not in direct]:
        packages = " ".join(parts.PACKAGES[name] for name in missing)
        raise BitBloomError(f"{' and '.join(missing)} not found: apt-get install {packages}, or install docker with compose")
    if rest:
        say(f"{', '.join(rest)}: not installed; deploy/monitoring/README.md tells how to start it in a container")
    return direct, []


def _require_free(ports: dict[str, int]) -> None:
    """Raise BitBloomError when a port is in use: another program would otherwise be taken for ours."""
    for name, port in ports.items():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                raise BitBloomError(
                    f"port {port} for {name} is in use: end the program there, or give another --{name}"
                ) from error


@contextlib.contextmanager
def _program(name: str, words: list[str], places: Places, wanted: Wanted) -> Iterator[subprocess.Popen[bytes]]:
    """Run one program; its output is in `<name>.log`."""
    (places.data / name).mkdir(parents=True, exist_ok=True)
    with (
        _log(wanted, name).open("wb") as log,
        guarded.running(words, parts.environment(places), log, seconds=SECONDS_TO_END) as process,
    ):
        yield process


def _log(wanted: Wanted, name: str) -> Path:
    return wanted.folder / f"{name}.log"


def _await(name: str, address: str, stack: Stack, wanted: Wanted, seconds: int) -> None:
    """Wait until a part is ready. Raises BitBloomError with the end of the log when its program ends, or after some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ended := stack.ended():
            raise BitBloomError(f"{ended} did not start:\n" + _reason(_log(wanted, ended)))
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise BitBloomError(f"{name} is not ready at {address} after {seconds} s: see {_log(wanted, name)}")


def _reason(log: Path) -> str:
    """The lines of a log that tell of errors, or else the last ones."""
    lines = log.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if "level=error" in line or "ERROR" in line]
    return "\n".join(errors[-SHOWN:] or lines[-SHOWN:])
