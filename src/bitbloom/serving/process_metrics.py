"""Prometheus metrics of a serving process: what it runs, since when, its queue, and the CPU, memory and files it takes.

prometheus_client's own collector of processes does not work with the several processes that BentoML may start. A thread measures
each process once a second instead; /metrics has their sums.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from bitbloom.core.errors import BitBloomError
from bitbloom.serving.metrics import PREFIX
from bitbloom.serving.settings import Provenance

SECONDS = 1.0
DEPLOYED_VARIABLE = "BITBLOOM_DEPLOYED_AT"
"""When this model was deployed, in seconds since 1970; else the age of the model is that of the process."""


def start(provenance: Provenance, waiting: Callable[[], int]) -> None:
    """Set the metrics that stay, and measure the others in a thread. Raises BitBloomError for a time that is no number."""
    from prometheus_client import Gauge

    began = Gauge(
        "service_start_time_seconds",
        "When the model was deployed, or else the process began, since 1970",
        namespace=PREFIX,
        multiprocess_mode="livemostrecent",
    )
    began.set(_deployed())
    digests = provenance["digests"]
    labels = {
        "target": provenance["target"],
        "model_digest": digests["model"],
        "bento": provenance["bento"] or "",
        "data_digest": digests["data"],
        "commit": provenance["commit"] or "",
        "lock_digest": digests["lock"],
    }
    info = Gauge("model_info", "What responds: 1", list(labels), namespace=PREFIX, multiprocess_mode="livemostrecent")
    info.labels(**labels).set(1)
    threading.Thread(target=_measure, args=(waiting,), name="process-metrics", daemon=True).start()


def _deployed() -> float:
    text = os.environ.get(DEPLOYED_VARIABLE, "").strip()
    try:
        return float(text) if text else time.time()
    except ValueError as error:
        raise BitBloomError(f"{DEPLOYED_VARIABLE}={text} is no number of seconds since 1970 (date +%s)") from error


def _measure(waiting: Callable[[], int]) -> None:
    import psutil
    from prometheus_client import Counter, Gauge

    queue = Gauge("queue_length", "Predictions that wait for a thread", namespace=PREFIX, multiprocess_mode="livesum")
    cpu = Counter("process_cpu_seconds", "CPU time of the processes that serve", namespace=PREFIX)
    memory = Gauge("process_resident_memory_bytes", "Memory of these processes", namespace=PREFIX, multiprocess_mode="livesum")
    files = Gauge("process_open_fds", "Open files of these processes", namespace=PREFIX, multiprocess_mode="livesum")
    process, taken = psutil.Process(), 0.0
    while True:
        queue.set(waiting())
        times = process.cpu_times()
        cpu.inc(max(0.0, times.user + times.system - taken))
        taken = times.user + times.system
        memory.set(process.memory_info().rss)
        files.set(process.num_fds())
        time.sleep(SECONDS)
