"""Ten minutes at capacity, then far too much: does the service of `petals` lose an answer, grow, or fall over?

    make soak                                        # or: python benchmarks/soak.py [--seconds 600] [--json results.json]

At capacity 64 clients ask as fast as they are answered. Then four times as many clients come as the service admits: it has to
turn away the rest at once (503). What an admitted question then waits is taken by a few more clients of ours. Last, the 64
again: nobody may be turned away. Exit code 1, and why, when an answer was lost, the flood was none, an admitted question
waited for long, or memory grew: see `Soak.wrong`.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from bitbloom.core import canonical, checkout
from bitbloom.pipeline import composition
from serving import Row, ask, ours, running

CLIENTS = 64
OVERLOAD_SECONDS = 30
WARM_SECONDS = 70
"""Until memory can be compared: caches and pools fill."""
EVERY = 2.0
"""Seconds between two looks at the memory."""
FLOOD = 2
"""Times its capacity that a service has to be asked for: less were no flood."""
PROBES = 8
PATIENCE = 8
"""The 99th percentile of an admitted question's wait, in units of what all who may be inside take at capacity."""
GROWTH, KEPT = 1.03, 1.1
"""Of memory: from the first third of the time at capacity to the last, and from that to the end, after the flood."""


class Watch:
    """Calls a function again and again beside something else, and keeps what it gave."""

    def __init__(self, look: Callable[[], float | None], pause: float) -> None:
        self.look, self.pause, self.seen = look, pause, list[float]()
        self.over = threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        """Look until it is over, or goes wrong."""
        try:
            while not self.over.is_set():
                found = self.look()
                if found is not None:
                    self.seen.append(found)
                self.over.wait(self.pause)
        except Exception as error:  # told to whoever waits for the end
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
    """Megabytes that the processes listening there have in memory."""
    port = urlsplit(url).port
    owners = {one.pid for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port and one.status == "LISTEN"}
    return sum(psutil.Process(pid).memory_info().rss for pid in owners if pid) / 1e6


def waited(client: httpx.Client, photo: bytes) -> float | None:
    """Seconds that one question took, or None when it was turned away."""
    began = time.perf_counter()
    answer = client.post("/predict", content=photo)
    if answer.status_code == 503:
        time.sleep(0.01)
        return None
    answer.raise_for_status()
    return time.perf_counter() - began


def probed(url: str, photos: Sequence[Path], clients: int) -> tuple[Row, list[float]]:
    """So many clients flood the service; what that gave, and what PROBES more waited, each question on a line of its own."""
    photo = photos[0].read_bytes()
    with contextlib.ExitStack() as stack:
        limits = httpx.Limits(max_keepalive_connections=0)
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60, limits=limits))
        probes = [stack.enter_context(Watch(lambda: waited(client, photo), 0)) for _ in range(PROBES)]
        flooded = ask(url, clients, OVERLOAD_SECONDS, photos)
    return flooded, sorted(wait for probe in probes for wait in probe.seen)


@dataclass(frozen=True)
class Soak:
    """What was seen: `soaked`, `flooded` and `after` by wrk; megabytes at capacity and at the end; seconds waited, sorted."""

    admitted: int
    soaked: Row
    memory: list[float]
    flooded: Row
    waits: list[float]
    after: Row
    end: float

    @property
    def offered(self) -> float:
        """Questions a second in the flood, those turned away included."""
        return self.flooded["rate"] + self.flooded["rejected"] / OVERLOAD_SECONDS

    @property
    def thirds(self) -> tuple[float, float]:
        """Median memory of the first and of the last third of the time at capacity."""
        third = max(1, len(self.memory) // 3)
        return statistics.median(self.memory[:third]), statistics.median(self.memory[-third:])

    @property
    def p99(self) -> float:
        """Of the waits; not a number without any."""
        return self.waits[len(self.waits) * 99 // 100] if self.waits else float("nan")

    def bound(self) -> float:
        """Seconds that the p99 may be."""
        return PATIENCE * self.admitted / self.soaked["rate"]

    def wrong(self) -> list[str]:
        """What is not as it has to be, in words."""
        first, last = self.thirds
        rules = {
            "an answer was lost": self.soaked["lost"] + self.flooded["lost"] + self.after["lost"] == 0,
            "somebody was turned away at capacity": self.soaked["rejected"] + self.after["rejected"] == 0,
            "nobody was turned away in the flood": self.flooded["rejected"] > 0,
            f"less than {FLOOD} times the capacity was asked for": self.offered >= FLOOD * self.soaked["rate"],
            "no question of ours was let in": bool(self.waits),
            f"the p99 of the waits is not below {self.bound():.2f} s": self.p99 <= self.bound(),
            f"memory grew by more than {GROWTH - 1:.0%} at capacity": last <= GROWTH * first,
            f"at the end memory is more than {KEPT - 1:.0%} above that at capacity": self.end <= KEPT * last,
        }
        return [words for words, holds in rules.items() if not holds]

    def rows(self) -> dict[str, str]:
        """The table."""
        first, last = self.thirds
        waits = self.waits or [float("nan")]
        return {
            "at capacity, photos/s; p50, p99 ms": f"{self.soaked['rate']:.0f}; {_ms(self.soaked['p50'], self.soaked['p99'])}",
            "  lost; refused": _lost(self.soaked),
            "  memory, median of the first and of the last third, MB": f"{first:.0f}, {last:.0f}",
            f"{4 * self.admitted} clients where {self.admitted} are admitted, photos/s": f"{self.flooded['rate']:.0f}",
            "  asked for, photos/s; times the capacity": f"{self.offered:.0f}; {self.offered / self.soaked['rate']:.1f}",
            "  lost; turned away": _lost(self.flooded),
            f"  an admitted question waited, of {len(self.waits)}: p50, p99, most; bound of the p99, ms": (
                f"{_ms(waits[len(waits) // 2], self.p99, waits[-1])}; {_ms(self.bound())}"
            ),
            f"{CLIENTS} clients again, photos/s": f"{self.after['rate']:.0f}",
            "  then lost; refused": _lost(self.after),
            "  memory after all that, MB": f"{self.end:.0f}",
        }


def soak(seconds: int) -> Soak:
    """Soak, flood, and see whether it is as before."""
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))[::12]
    admitted = int(composition.compose("petals").service.max_requests)
    with running(ours()) as url:
        ask(url, CLIENTS, WARM_SECONDS, photos)
        with Watch(lambda: memory(url), EVERY) as watched:
            soaked = ask(url, CLIENTS, seconds, photos)
        flooded, waits = probed(url, photos, 4 * admitted)
        after = ask(url, CLIENTS, 10, photos)
        return Soak(admitted, soaked, watched.seen, flooded, waits, after, memory(url))


def main() -> None:
    """Soak, show, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seen = soak(arguments.seconds)
    table = Table("", "", title=f"`petals` under load, {arguments.seconds} s at capacity", show_header=False)
    for row in seen.rows().items():
        table.add_row(*row)
    Console().print(table)
    if arguments.json:
        canonical.write_json(arguments.json, seen.rows())
    if wrong := seen.wrong():
        sys.exit(f"error: {'; '.join(wrong)}")


def _ms(*seconds: float) -> str:
    return ", ".join(f"{1000 * each:.0f}" for each in seconds)


def _lost(row: Row) -> str:
    return f"{row['lost']:.0f}; {row['rejected']:.0f}"


if __name__ == "__main__":
    checkout.require()
    main()
