"""Ten minutes at capacity, then an overload: does the service of `petals` lose a response, leak memory, or fail?

    make soak                                        # or: python benchmarks/soak.py [--seconds 600] [--log] [--json results.json]

At capacity, each of 64 clients sends a request as soon as it has the last response. Then four times as many clients send requests
as the service admits: it has to reject the rest at once (503). A few more clients measure how long admitted requests wait. At the
end the 64 clients return: none of their requests may be rejected. The exit code is 1, with the reasons, when a response is lost,
the flood is too small, admitted requests wait too long, or memory grows: see `Soak.failures`. With --log, the service keeps a
prediction log, of which no row may be missing, and compares it with its reference once before memory is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

import page_tables
from bitbloom.core import canonical, checkout
from bitbloom.pipeline import composition
from prediction_log import logged, missing
from serving import Row, measure, ours, running

CLIENTS = 64
OVERLOAD_SECONDS = 30
WARM_SECONDS = 70
"""Before memory is measured: caches and pools fill."""
EVERY = 2.0
"""Seconds between two measurements of memory."""
FLOOD = 2
"""The rate of requests in the flood, at least, in units of the capacity."""
PROBES = 8
PATIENCE = 8
"""The 99th percentile of the waits of admitted requests, at most, in units of the time that all permits take at capacity."""
GROWTH, KEPT = 1.03, 1.1
"""Ratios of memory, at most: of the last third of the time at capacity to the first, and of the end to the last third."""


class Watch:
    """Calls a function repeatedly in a thread, and keeps its results."""

    def __init__(self, function: Callable[[], float | None], pause: float) -> None:
        self.function, self.pause, self.seen = function, pause, list[float]()
        self.over = threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        """Call until the block ends, or the function raises."""
        try:
            while not self.over.is_set():
                found = self.function()
                if found is not None:
                    self.seen.append(found)
                self.over.wait(self.pause)
        except Exception as error:  # raised where the block ends
            self.error = error

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        if self.error:
            raise self.error


def memory(url: str) -> float:
    """Megabytes in memory of the processes that listen at an address."""
    port = urlsplit(url).port
    owners = {one.pid for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.status == "LISTEN"}
    return sum(psutil.Process(pid).memory_info().rss for pid in owners if pid) / 1e6


def wait(client: httpx.Client, photo: bytes) -> float | None:
    """Seconds until the response to one request, or None when it was rejected."""
    began = time.perf_counter()
    response = client.post("/predict", content=photo)
    if response.status_code == 503:
        time.sleep(0.01)
        return None
    response.raise_for_status()
    return time.perf_counter() - began


def flood(url: str, photos: Sequence[Path], clients: int) -> tuple[Row, list[float]]:
    """Flood the service. Returns the row of `clients`, and the waits of PROBES more, with a new connection for each request."""
    photo = photos[0].read_bytes()
    with contextlib.ExitStack() as stack:
        limits = httpx.Limits(max_keepalive_connections=0)
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60, limits=limits))
        probes = [stack.enter_context(Watch(lambda: wait(client, photo), 0)) for _ in range(PROBES)]
        flooded = measure(url, clients, OVERLOAD_SECONDS, photos)
    return flooded, sorted(seconds for probe in probes for seconds in probe.seen)


@dataclass(frozen=True)
class Soak:
    """Results: `soaked`, `flooded` and `after` from wrk; megabytes at capacity and at the end; waits in seconds, sorted."""

    admitted: int
    soaked: Row
    memory: list[float]
    flooded: Row
    waits: list[float]
    after: Row
    end: float
    missing: int | None
    """Rows that the prediction log lacks; None without one."""

    @property
    def offered(self) -> float:
        """Requests per second in the flood, including rejected ones."""
        return self.flooded["rate"] + self.flooded["rejected"] / OVERLOAD_SECONDS

    @property
    def thirds(self) -> tuple[float, float]:
        """Median memory of the first and of the last third of the time at capacity."""
        third = max(1, len(self.memory) // 3)
        return statistics.median(self.memory[:third]), statistics.median(self.memory[-third:])

    @property
    def p99(self) -> float:
        """The 99th percentile of the waits, in seconds; NaN without waits."""
        return self.waits[len(self.waits) * 99 // 100] if self.waits else float("nan")

    def bound(self) -> float:
        """The p99, at most, in seconds."""
        return PATIENCE * self.admitted / self.soaked["rate"]

    def failures(self) -> list[str]:
        """The rules that do not hold, as messages."""
        first, last = self.thirds
        rules = {
            "a row of the prediction log is missing": not self.missing,
            "a response was lost": self.soaked["lost"] + self.flooded["lost"] + self.after["lost"] == 0,
            "a request was rejected at capacity": self.soaked["rejected"] + self.after["rejected"] == 0,
            "no request was rejected in the flood": self.flooded["rejected"] > 0,
            f"the flood had less than {FLOOD} times the capacity": self.offered >= FLOOD * self.soaked["rate"],
            "no request of the probes was admitted": bool(self.waits),
            f"the p99 of the waits is not below {self.bound():.2f} s": self.p99 <= self.bound(),
            f"memory grew by more than {GROWTH - 1:.0%} at capacity": last <= GROWTH * first,
            f"at the end memory is more than {KEPT - 1:.0%} above that at capacity": self.end <= KEPT * last,
        }
        return [words for words, holds in rules.items() if not holds]

    def rows(self) -> dict[str, str]:
        """The rows of the table."""
        first, last = self.thirds
        waits = self.waits or [float("nan")]
        return {
            "at capacity, photos/s; p50, p99 ms": f"{self.soaked['rate']:.0f}; {_ms(self.soaked['p50'], self.soaked['p99'])}",
            "… lost; rejected": _lost(self.soaked),
            "… memory, median of the first and of the last third, MB": f"{first:.0f}, {last:.0f}",
            f"{4 * self.admitted} clients where {self.admitted} are admitted, photos/s": f"{self.flooded['rate']:.0f}",
            "… requests/s; times the capacity": f"{self.offered:.0f}; {self.offered / self.soaked['rate']:.1f}",
            "… lost; rejected in the flood": _lost(self.flooded),
            f"… waits of {len(self.waits)} admitted requests: p50, p99, maximum; bound of the p99, ms": (
                f"{_ms(waits[len(waits) // 2], self.p99, waits[-1])}; {_ms(self.bound())}"
            ),
            f"{CLIENTS} clients again, photos/s": f"{self.after['rate']:.0f}",
            "… then lost; rejected": _lost(self.after),
            "… memory at the end, MB": f"{self.end:.0f}",
            "rows missing in the prediction log": "no log" if self.missing is None else f"{self.missing}",
        }


def soak(seconds: int, log: Path | None = None) -> Soak:
    """Measure at capacity, in the flood, and at capacity after it; with a prediction log in the folder `log`, if it is named."""
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))[::12]
    admitted = int(composition.compose("petals").service.max_requests)
    with running(logged(log) if log else ours()) as url:
        measure(url, CLIENTS, WARM_SECONDS, photos)
        if log:  # the first comparison, which the service makes after 300 s, loads packages that stay
            httpx.get(f"{url}/drift", timeout=120).raise_for_status()
        with Watch(lambda: memory(url), EVERY) as watched:
            soaked = measure(url, CLIENTS, seconds, photos)
        flooded, waits = flood(url, photos, 4 * admitted)
        after = measure(url, CLIENTS, 10, photos)
        lost = missing(url, log) if log else None
        return Soak(admitted, soaked, watched.seen, flooded, waits, after, memory(url), lost)


def main() -> None:
    """Run, print the table, and exit with the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--log", action="store_true", help="with a prediction log")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(arguments.seconds, Path(folder) if arguments.log else None)
    print(page_tables.table([f"`petals`, {arguments.seconds} s at capacity", ""], result.rows().items()))
    if arguments.json:
        canonical.write_json(arguments.json, result.rows())
    if failures := result.failures():
        sys.exit(f"error: {'; '.join(failures)}")


def _ms(*seconds: float) -> str:
    return ", ".join(f"{1000 * each:.0f}" for each in seconds)


def _lost(row: Row) -> str:
    return f"{row['lost']:.0f}; {row['rejected']:.0f}"


if __name__ == "__main__":
    checkout.require()
    main()
