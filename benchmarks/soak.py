"""Ten minutes at capacity, then far too much: does the service of `petals` lose an answer, grow, or fall over?

    make soak                                        # or: python benchmarks/soak.py [--seconds 600] [--json results.json]

At capacity 64 clients ask as fast as they are answered. Then four times as many clients come as the service admits: it has to
turn away the rest at once (503). What an admitted question then waits is taken by one more client of ours. Last, the 64 again:
nobody may be turned away. Exit code 1 when an answer was lost, or memory grew by more than a tenth at capacity.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from bitbloom import canonical, config
from serving import ask, ours, running

CLIENTS = 64
OVERLOAD_SECONDS = 30
WARM_SECONDS = 70
"""Until memory can be compared: caches and pools fill, and BentoML keeps the timer of each question for 60 s, answered or not."""
EVERY = 2.0
"""Seconds between two looks at the memory."""
GROWTH = 1.1


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


def waited(url: str, photo: bytes) -> float | None:
    """Seconds that one question took, or None when it was turned away."""
    began = time.perf_counter()
    answer = httpx.post(f"{url}/predict", content=photo, timeout=60)
    if answer.status_code == 503:
        time.sleep(0.01)
        return None
    answer.raise_for_status()
    return time.perf_counter() - began


def main() -> None:
    """Soak, overload, and see whether it is as before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))[::12]
    admitted = int(config.compose("petals").service.max_requests)
    with running(ours()) as url:
        ask(url, CLIENTS, WARM_SECONDS, photos)
        with Watch(lambda: memory(url), EVERY) as watched:
            soaked = ask(url, CLIENTS, arguments.seconds, photos)
        with Watch(lambda: waited(url, photos[0].read_bytes()), 0) as probe:
            flooded = ask(url, 4 * admitted, OVERLOAD_SECONDS, photos)
        after, end = ask(url, CLIENTS, 10, photos), memory(url)
    third = max(1, len(watched.seen) // 3)
    first, last = statistics.median(watched.seen[:third]), statistics.median(watched.seen[-third:])
    lost = {"soak": soaked["lost"] + soaked["refused"], "flood": flooded["lost"], "after": after["lost"] + after["refused"]}
    waits = sorted(probe.seen) or [float("nan")]
    rows = {
        f"{arguments.seconds} s at capacity, photos/s; p50, p99 ms": f"{soaked['rate']:.0f}; {_waits(soaked)}",
        "  lost or refused": f"{lost['soak']:.0f}",
        "  memory, median of the first and of the last third, MB": f"{first:.0f}, {last:.0f}",
        f"{4 * admitted} clients where {admitted} are admitted, photos/s": f"{flooded['rate']:.0f}",
        "  turned away; lost": f"{flooded['refused']:.0f}; {flooded['lost']:.0f}",
        f"  an admitted question waited, of {len(probe.seen)}: p50, p99 ms": (
            f"{1000 * waits[len(waits) // 2]:.0f}, {1000 * waits[len(waits) * 99 // 100]:.0f}"
        ),
        f"{CLIENTS} clients again, photos/s; lost or refused": f"{after['rate']:.0f}; {lost['after']:.0f}",
        "  memory after all that, MB": f"{end:.0f}",
    }
    table = Table("", "", title="`petals` under load", show_header=False)
    for row in rows.items():
        table.add_row(*row)
    Console().print(table)
    if arguments.json:
        canonical.write_json(arguments.json, rows)
    sys.exit(sum(lost.values()) > 0 or last > GROWTH * first)


def _waits(row: dict[str, float]) -> str:
    return f"{1000 * row['p50']:.0f}, {1000 * row['p99']:.0f}"


if __name__ == "__main__":
    main()
