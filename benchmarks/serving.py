"""Photos per second, and latency: our service beside common alternatives, all of the same network.

    python benchmarks/serving.py [--runs 3] [--seconds 8] [--clients 64] [--only "ours;FastAPI"] [--json results.json]

Three groups take turns in one run. The alternatives in their strongest form use ONNX Runtime with our decoder and our graph;
the base of all ratios is FastAPI with one thread for each core. Below them are the same servers with PyTorch, as courses teach
it. Last, our service without one of its parts: the gain from that part.

Every server has all cores, and one process for the model where the row does not say more (LitServe has another for HTTP). wrk
(`apt-get install wrk`) sends JPEG photos of the data set in forms, over one connection per client, from this machine: it takes
the same fraction of the cores from each server. "No HTTP" is a loop in this process with one thread for each core, and without
wrk: the limit of the network alone. Before a server is measured, its labels are compared with ours. Needs `make all`.
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
from bitbloom.serving import archive
from bitbloom.serving.predictor import Predictor

RIVALS = Path(__file__).resolve().parent / "rivals"
PHOTOS = 200
BASE = "FastAPI, a thread for each core"
PACKAGES = Path(".bitbloom/rivals")
"""LitServe requires packages that our services do not use, so it has a separate folder."""
Row = dict[str, float]
Command = Callable[[int, dict[str, str]], list[str]]
"""How to start a server on a port, with an environment."""
Case = Callable[[argparse.Namespace, Sequence[Path]], Row]


def fastapi(module: str, model: str, processes: int = 1, spare: int = 0) -> Command:
    """An application of FastAPI, with `spare` threads beside one for each core."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        environment |= {"MODEL": model, "SPARE": str(spare)}
        server = [sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(RIVALS), "--no-access-log"]
        return [*server, "--port", str(port), "--workers", str(processes)]

    return command


def bentoml(name: str, model: str) -> Command:
    """A service of BentoML's own API."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        environment["MODEL"] = model
        return ["bentoml", "serve", f"bentoml_plain:{name}", "--working-dir", str(RIVALS), "--port", str(port)]

    return command


def litserve(batch: int, model: str) -> Command:
    """LitServe, with batches of at most `batch` photos."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(PACKAGES)]
        if not PACKAGES.exists():
            subprocess.run([*install, "-r", str(RIVALS / "requirements.lock")], check=True)
        environment |= {"PYTHONPATH": os.pathsep.join([str(PACKAGES), environment.get("PYTHONPATH", "")]), "MODEL": model}
        return [sys.executable, str(RIVALS / "litserve_app.py"), str(port), str(batch)]

    return command


def ours(*settings: str, processes: int = 1) -> Command:
    """The packaged service; with settings, that of a variant."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        environment["BENTOML_CONFIG_OPTIONS"] = f"services.petals.workers={processes}"
        build.build("petals", "package", settings)
        tag = subprocess.check_output(["bitbloom", "install", "petals", *settings], env=environment, text=True).split()[-1]
        return ["bentoml", "serve", tag, "--port", str(port)]

    return command


def without(part: str) -> Command:
    """The service without one of its parts, from the working tree; "nothing" leaves it whole."""

    def command(port: int, environment: dict[str, str]) -> list[str]:
        folder = Path(environment["BENTOML_HOME"]) / "unpacked"
        archive.unpack(Path("dist/petals.bento"), folder)
        environment |= {"WITHOUT": part, "SERVICE": str(folder / "src")}
        return ["bentoml", "serve", "ours_without:Petals", "--working-dir", str(RIVALS), "--port", str(port)]

    return command


def served(command: Command) -> Case:
    """Measure a server, which is started for this measurement."""

    def case(arguments: argparse.Namespace, photos: Sequence[Path]) -> Row:
        with running(command) as url:
            compare(url, photos[:: len(photos) // 8])
            measure(url, arguments.clients, 2, photos)
            return measure(url, arguments.clients, arguments.seconds, photos)

    return case


def looped(model: str) -> Case:
    """The same work without a server: one thread for each core."""

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
        return row | {"rejected": 0, "lost": 0}

    return case


@contextlib.contextmanager
def running(command: Command) -> Iterator[str]:
    """The address of a server, once it responds. Its store of BentoML is empty before."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ) | {"BENTOML_HOME": home}
        started = command(port, environment)
        # In a new session: LitServe's processes outlive their parent, and would take cores from the next server.
        process = subprocess.Popen(
            started, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield _ready(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def compare(url: str, photos: Sequence[Path]) -> None:
    """Raises BitBloomError unless a server labels the photos as our predictor does."""
    predictor = Predictor.open(Path("models/petals"))
    for photo in photos:
        found = httpx.post(f"{url}/predict", files={"image": ("photo.jpg", photo.read_bytes(), "image/jpeg")}, timeout=60)
        content = found.json()
        label = (content[0] if isinstance(content, list) else content)["label"]
        expected = predictor.predict(photo.read_bytes())["label"]
        if label != expected:
            raise BitBloomError(f"{photo} is labelled {label} by {url}, not {expected}")


def _ready(url: str, process: subprocess.Popen[bytes]) -> str:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/livez")  # LitServe and FastAPI respond with 404: they run, too
            return url
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise BitBloomError(f"{process.args} did not start in a minute: run it by hand to see why")


def measure(url: str, clients: int, seconds: int, photos: Sequence[Path]) -> Row:
    """Load a server. Returns responses per second, latency in seconds, and the numbers of `rejected` and `lost` requests.

    A request is rejected with 503, and lost when its connection breaks or its response has another error status.
    """
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(RIVALS / "photos.lua")]
    done = subprocess.run([*command, f"{url}/predict", "--", *map(str, photos)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    responses = found["requests"] - found["rejected"] - found["lost"]
    return {"rate": responses / found["seconds"], **{key: found[key] for key in ("p50", "p99", "rejected", "lost")}}


PARTS = (
    "routes before BentoML's",
    "grouped results",
    "a spare thread",
    "frequent thread switches, rare garbage collection",
    "metrics of our own",
    "protection",
)
"""The parts of `rivals/ours_without.py`."""
CASES: dict[str, dict[str, Case]] = {
    "ONNX Runtime": {
        BASE: served(fastapi("fastapi_threads", "onnx")),
        "FastAPI, a thread for each core and one more": served(fastapi("fastapi_threads", "onnx", spare=1)),
        "FastAPI, two processes": served(fastapi("fastapi_async", "onnx", processes=2)),
        "FastAPI, `async def`": served(fastapi("fastapi_async", "onnx")),
        "BentoML's own API, a thread for each core": served(bentoml("Petals", "onnx")),
        "BentoML's own API, adaptive batching": served(bentoml("Batched", "onnx")),
        "LitServe, a process for each core": served(litserve(1, "onnx")),
        "LitServe, batches of 16": served(litserve(16, "onnx")),
        "ours": served(ours()),
        "ours, two processes": served(ours(processes=2)),
        "ours, static int8": served(ours("service.int8=true")),
        "no HTTP, fp32": looped("model.onnx"),
        "no HTTP, static int8": looped("model.int8.onnx"),
    },
    "PyTorch, as courses teach it": {
        "PyTorch: FastAPI, `async def`": served(fastapi("fastapi_async", "torch")),
        "PyTorch: FastAPI, a thread for each core": served(fastapi("fastapi_threads", "torch")),
        "PyTorch: BentoML's own API": served(bentoml("Petals", "torch")),
        "PyTorch: LitServe": served(litserve(1, "torch")),
        "PyTorch: LitServe, batches of 16": served(litserve(16, "torch")),
    },
    "Ours, without one part": {
        "without nothing": served(without("nothing")),
        **{f"without {part}": served(without(part)) for part in PARTS},
    },
}


def show(rows: dict[str, list[Row]], console: Console) -> None:
    """Print one row per case: medians, the spread of the rate, and the median ratio to the base in the same run."""
    names = ("", "photos/s", "spread", "ratio", "p50 ms", "p99 ms", "rejected or lost")
    table = Table(*names, title="`petals` served on all cores, medians")
    for name, found in rows.items():
        rates = [row["rate"] for row in found]
        base = rows.get(BASE, found)
        ratio = statistics.median(row["rate"] / one["rate"] for row, one in zip(found, base, strict=True))
        waits = [f"{1000 * statistics.median(row[key] for row in found):.0f}" for key in ("p50", "p99")]
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        bad = f"{sum(row['rejected'] + row['lost'] for row in found):.0f}"
        table.add_row(name, f"{statistics.median(rates):.0f}", spread, f"{ratio:.2f}", *waits, bad)
    console.print(table)


def main() -> None:
    """Run the cases in turns, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="duration of each measurement")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--only", default="", help="beginnings of the names of rows, separated by semicolons")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing: apt-get install wrk")
    photos = sorted(Path("data/raw/petals").rglob("*.jpg"))[:: 2400 // PHOTOS]
    if not photos:
        sys.exit("error: there are no photos: run `make all`")
    cases = {name: case for group in CASES.values() for name, case in group.items()}
    wanted = [name for name in cases if not arguments.only or name.startswith(tuple(arguments.only.split(";")))]
    rows: dict[str, list[Row]] = {name: [] for name in wanted}
    for run in range(arguments.runs):
        for name, case in ((name, cases[name]) for name in wanted):
            rows[name].append(case(arguments, photos))
            print(f"run {run + 1}: {name}: {rows[name][-1]['rate']:.0f} photos/s", file=sys.stderr, flush=True)
    show(rows, Console())
    if arguments.json:
        canonical.write_json(arguments.json, rows)


if __name__ == "__main__":
    checkout.require()
    main()
