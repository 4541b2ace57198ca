"""The profile of the packaged service under a load of fixed size: a request by part, CPU time, latencies, flame graph."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd

from bitbloom.core import canonical, guarded
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.profile import cpu, load, processes, service_page, spy
from bitbloom.experiments.profile.phases import FLAMES
from bitbloom.pipeline import composition
from bitbloom.serving import settings, store

if TYPE_CHECKING:
    from bitbloom.experiments.profile.content import Content

PATHS = {"image": "/predict", "text": "/predict", "caption": "/caption"}
"""Kind of the model → the route that is measured."""
BODIES = 100
"""Samples that are sent, at most, spread over the raw data."""
SECONDS_TO_START, SECONDS_TO_END, WARM_SECONDS = 90, 30, 2
METRIC = "bitbloom_part_seconds"


@dataclass(frozen=True)
class Size:
    """The size of the load."""

    clients: int = 16
    seconds: int = 8


def profile(target: str, size: Size, scratch: Path, results: Path) -> Content:
    """Serve the Bento of a target in `scratch` and load it; write numbers and flame graph to `results`, and return the page.

    Raises:
        BitBloomError: the Bento or the raw data is missing, or the service does not start or rejects requests.
    """
    tree = composition.compose(target)
    bento = Path("dist") / f"{target}.bento"
    if not bento.exists():
        raise BitBloomError(f"the service of '{target}' is in {bento}, which is missing: make package TARGET={target}")
    sent = requests(target, str(tree.model.kind))
    with running(bento, scratch) as (url, process):
        load.send(url, sent, size.clients, WARM_SECONDS)
        parts_before, cpu_before = parts(url), cpu.times(process.pid)
        measured = load.send(url, sent, size.clients, size.seconds)
        used, parts_after = cpu.difference(cpu_before, cpu.times(process.pid)), parts(url)
        sampler = spy.Sampler(process.pid, scratch / FLAMES)
        sampler.start()
        load.send(url, sent, size.clients, size.seconds)
        problem = sampler.stop()
    record = summary(measured, difference(parts_before, parts_after), used)
    canonical.write_json(results / "profile.json", record)
    flames = "" if problem else (scratch / FLAMES).read_text(encoding="utf-8")
    if flames:
        canonical.write_text(results / FLAMES, flames)
    return service_page.content(target, record, measured.latencies, flames, problem)


def requests(target: str, kind: str) -> load.Requests:
    """Requests with samples of a target's raw data. Raises BitBloomError when it is missing."""
    raw = Path("data/raw") / target
    if not (raw / "manifest.parquet").exists():
        raise BitBloomError(f"the load has samples of {raw}, which is missing: make data TARGET={target}")
    rows = pd.read_parquet(raw / "manifest.parquet")
    rows = rows[rows["decodable"].astype(bool)].iloc[:: max(1, len(rows) // BODIES)]
    if kind == "text":
        bodies = [json.dumps({"texts": [text], "words": False}).encode() for text in rows["text"]]
        return load.Requests(PATHS[kind], "application/json", bodies)
    return load.Requests(PATHS[kind], "image/jpeg", [(raw / path).read_bytes() for path in rows["path"]])


@contextlib.contextmanager
def running(bento: Path, scratch: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of a service on a free port of loopback, once it is ready; its store is in `scratch`."""
    home = scratch / "bentoml"
    tag = _install(bento, home)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    # The Bento has its own modules, and a token would reject the load.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", settings.TOKEN_VARIABLE)}
    environment |= {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    log = scratch / "output.txt"
    with log.open("wb") as stream, guarded.running(command, environment, stream, scratch, SECONDS_TO_END) as process:
        yield _ready(f"http://127.0.0.1:{port}", process, log), process


def _install(bento: Path, home: Path) -> str:
    before = os.environ.get("BENTOML_HOME")
    os.environ["BENTOML_HOME"] = str(home)
    try:
        return store.install(bento)
    finally:
        if before is None:
            del os.environ["BENTOML_HOME"]
        else:
            os.environ["BENTOML_HOME"] = before


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return url
        time.sleep(0.1)
    raise BitBloomError(f"the service did not start:\n{processes.tail(log)}")


def parts(url: str) -> dict[str, tuple[float, float]]:
    """Part → (seconds, number) since the service started, from its metrics."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        for sample in family.samples:
            if sample.name in (f"{METRIC}_sum", f"{METRIC}_count"):
                numbers = found.setdefault(sample.labels["part"], {})
                numbers[sample.name] = numbers.get(sample.name, 0.0) + sample.value
    return {part: (numbers[f"{METRIC}_sum"], numbers[f"{METRIC}_count"]) for part, numbers in found.items()}


def difference(
    before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """What came between two looks at the metrics."""
    return {
        part: (seconds - before.get(part, (0.0, 0.0))[0], number - before.get(part, (0.0, 0.0))[1])
        for part, (seconds, number) in after.items()
    }


def summary(measured: load.Load, found: Mapping[str, tuple[float, float]], used: cpu.Used) -> dict[str, Any]:
    """The numbers of profile.json, in seconds a request. The parts of a request add up to its mean time."""
    named = {part: seconds / measured.requests for part, (seconds, _) in found.items()}
    rest = max(0.0, measured.mean - sum(named.values()))
    computing = {part: seconds for part, seconds in named.items() if part != "queue"}
    whole = sum(computing.values()) or 1.0
    cpu_parts = {part: used.compute * seconds / whole / measured.requests for part, seconds in computing.items()}
    return {
        "tool": measured.tool,
        "clients": measured.clients,
        "seconds": measured.seconds,
        "requests": measured.requests,
        "rate": measured.requests / measured.seconds,
        "mean": measured.mean,
        "percentiles": {str(percent): measured.percentile(percent) for percent in (50, 90, 99, 100)},
        "parts": named | {service_page.REST: rest},
        "cpu": cpu_parts | {service_page.LOOP: used.loop / measured.requests, service_page.OTHER: used.other / measured.requests},
        "cores": used.total / measured.seconds,
    }
