"""Photos a second, and how long one waits: our service beside what people would build instead, all of the same network.

    python benchmarks/serving.py [--runs 3] [--seconds 8] [--clients 64] [--json results.json]

Every server has one process for the model where two are not said (LitServe has another for HTTP), all cores, and the weights of
`models/petals`. wrk (`apt-get install wrk`) sends it JPEG photos of the data set in forms, over as many connections as there are
clients, from this machine: what it needs of the cores is missing to all alike. The cases take turns. "No HTTP" is a loop in this
process that decodes, resizes and asks ONNX Runtime with one thread a core, as our service does: what the network's part alone
would allow. It has the cores for itself, without wrk. Before it is measured, a server has to label some photos as ours does.
FastAPI gets asyncio's event loop, as ours has: with uvloop, which accepts a connection a turn, many of the clients are still
unheard when a measurement ends. Needs `make all`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build
from bitbloom.serving.predictor import Predictor

RIVALS = Path(__file__).resolve().parent / "rivals"
PHOTOS = 200
BASE = "FastAPI + PyTorch"
BARE = "no HTTP, fp32"
PACKAGES = Path(".bitbloom/rivals")
"""LitServe wants packages that our services do without, so it has a folder of its own."""
Row = dict[str, float]
Command = Callable[[int, dict[str, str]], list[str]]
"""How to start a server on a port, with an environment."""
Case = Callable[[argparse.Namespace, Sequence[Path]], Row]


def fastapi(module: str) -> Command:
    """An application of FastAPI's."""

    def command(port: int, _: dict[str, str]) -> list[str]:
        server = [sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(RIVALS), "--no-access-log"]
        return [*server, "--loop", "asyncio", "--port", str(port)]

    return command


def bentoml(port: int, _: dict[str, str]) -> list[str]:
    """BentoML's own API, eager and unbatched."""
    return ["bentoml", "serve", "bentoml_eager:Petals", "--working-dir", str(RIVALS), "--port", str(port)]


def litserve(batch: int) -> Command:
    """LitServe, with batches of up to so many."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(PACKAGES)]
        if not PACKAGES.exists():
            subprocess.run([*install, "-r", str(RIVALS / "requirements.lock")], check=True)
        environment["PYTHONPATH"] = str(PACKAGES)
        return [sys.executable, str(RIVALS / "litserve_eager.py"), str(port), str(batch)]

    return command


def ours(*settings: str, processes: int = 1) -> Command:
    """The packaged service, of a variant where there are settings."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        environment["BENTOML_CONFIG_OPTIONS"] = f"services.petals.workers={processes}"
        build.build("petals", "package", settings)
        tag = subprocess.check_output(["bitbloom", "install", "petals", *settings], env=environment, text=True).split()[-1]
        return ["bentoml", "serve", tag, "--port", str(port)]

    return command


def served(command: Command) -> Case:
    """Ask a server that runs for this one measurement."""

    def case(arguments: argparse.Namespace, photos: Sequence[Path]) -> Row:
        with running(command) as url:
            agree(url, photos[:: len(photos) // 8])
            ask(url, arguments.clients, 2, photos)
            return ask(url, arguments.clients, arguments.seconds, photos)

    return case


def looped(model: str) -> Case:
    """The same work without a server: a thread a core."""

    def case(arguments: argparse.Namespace, photos: Sequence[Path]) -> Row:
        predictor = Predictor.open(Path("models/petals") / model)
        files, cores = [path.read_bytes() for path in photos], len(os.sched_getaffinity(0))

        def work(first: int) -> list[float]:
            taken, number, end = [], first, time.perf_counter() + arguments.seconds
            while (began := time.perf_counter()) < end:
                predictor.predict(files[number % len(files)])
                number += cores
                taken.append(time.perf_counter() - began)
            return taken

        with ThreadPoolExecutor(cores) as pool:
            taken = sorted(itertools.chain.from_iterable(pool.map(work, range(cores))))
        row = {"rate": len(taken) / arguments.seconds, "p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100]}
        return row | {"refused": 0, "lost": 0}

    return case


@contextlib.contextmanager
def running(command: Command) -> Iterator[str]:
    """The address of a server once it answers. BentoML's store is its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ) | {"BENTOML_HOME": home}
        started = command(port, environment)
        # A session of its own: LitServe's processes outlive their parent, and would take cores from the next server.
        process = subprocess.Popen(
            started, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield _answering(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def agree(url: str, photos: Sequence[Path]) -> None:
    """Raises BitBloomError unless a server labels the photos as our predictor does."""
    predictor = Predictor.open(Path("models/petals"))
    for photo in photos:
        found = httpx.post(f"{url}/predict", files={"image": ("photo.jpg", photo.read_bytes(), "image/jpeg")}, timeout=60)
        label, expected = found.json()["label"], predictor.predict(photo.read_bytes())["label"]
        if label != expected:
            raise BitBloomError(f"{photo} is labelled {label} by {url}, not {expected}")


def _answering(url: str, process: subprocess.Popen[bytes]) -> str:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/livez")  # LitServe and FastAPI have no such route, and say so: they are up
            return url
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise BitBloomError(f"{process.args} did not start in a minute: run it by hand to see why")


def ask(url: str, clients: int, seconds: int, photos: Sequence[Path]) -> Row:
    """Answers a second, seconds to wait, and how many questions were `refused` (503) or `lost` (broken off, or failed)."""
    load = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(RIVALS / "photos.lua")]
    done = subprocess.run([*load, f"{url}/predict", "--", *map(str, photos)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    answered = found["requests"] - found["refused"] - found["lost"]
    return {"rate": answered / found["seconds"], **{key: found[key] for key in ("p50", "p99", "refused", "lost")}}


CASES: dict[str, Case] = {
    BASE: served(fastapi("fastapi_eager")),
    "FastAPI + PyTorch, a thread a core": served(fastapi("fastapi_threads")),
    "BentoML + PyTorch": served(bentoml),
    "LitServe + PyTorch": served(litserve(1)),
    "LitServe + PyTorch, batches of 16": served(litserve(16)),
    "ours": served(ours()),
    "ours, two processes": served(ours(processes=2)),
    "ours, static int8": served(ours("service.int8=true")),
    BARE: looped("model.onnx"),
    "no HTTP, static int8": looped("model.int8.onnx"),
}


def show(rows: dict[str, list[Row]], console: Console) -> None:
    """A line a case: medians, the spread of the rate, and the ratio of each run to the base of the same run."""
    names = ("", "photos/s", "spread", "ratio", "p50 ms", "p99 ms", "refused or lost")
    table = Table(*names, title="`petals` served on all cores, medians")
    for name, found in rows.items():
        rates = [row["rate"] for row in found]
        ratio = statistics.median(row["rate"] / base["rate"] for row, base in zip(found, rows[BASE], strict=True))
        waits = [f"{1000 * statistics.median(row[key] for row in found):.0f}" for key in ("p50", "p99")]
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        bad = f"{sum(row['refused'] + row['lost'] for row in found):.0f}"
        table.add_row(name, f"{statistics.median(rates):.0f}", spread, f"{ratio:.2f}", *waits, bad)
    console.print(table)


def main() -> None:
    """Run the cases in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing: apt-get install wrk")
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))[:: 2400 // PHOTOS]
    if not photos:
        sys.exit("error: there are no photos: run `make all`")
    rows: dict[str, list[Row]] = {name: [] for name in CASES}
    for run in range(arguments.runs):
        for name, case in CASES.items():
            rows[name].append(case(arguments, photos))
            print(f"run {run + 1}: {name}: {rows[name][-1]['rate']:.0f} photos/s", file=sys.stderr, flush=True)
    show(rows, Console())
    if arguments.json:
        canonical.write_json(arguments.json, rows)


if __name__ == "__main__":
    checkout.require()
    main()
