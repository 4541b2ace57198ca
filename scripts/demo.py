"""Five minutes for an oral exam: the service of a built target, photos, drift, metrics, provenance, and a rebuild.

    make demo                     # petals if it is built, else petals-tiny, which is then built first
    make demo PAUSE=1             # waits for Enter between the steps
    python scripts/demo.py --target petals-tiny

The service listens on a free port of this machine only. Everything that the demonstration starts ends with it, also on Ctrl-C
and when its terminal is closed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from PIL import Image, ImageFilter
from rich.console import Console
from rich.rule import Rule
from rich.table import Table

from bitbloom.core import canonical, checkout, git, guarded
from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.drift.command import DRIFTED
from bitbloom.pipeline import build, composition, graph
from bitbloom.serving.client import Client, ServiceError

TINY = "petals-tiny"
"""The target that is built again: the smallest one."""
PHOTOS = 4
BLURRED = 64
"""Photos of the step about drift; a comparison needs 50."""
DAMAGED = Path(".bitbloom/demo/blurred")
CHANGES = 5
"""Printed lines of the comparison."""
SECONDS_TO_START = 60
WHOLE = 100
"""Columns in a log, which has no terminal."""


class Talk:
    """What the demonstration prints, and the pauses between its steps."""

    def __init__(self, console: Console, pause: bool) -> None:
        self.console, self.pause, self.steps = console, pause, 0

    def step(self, title: str, *sentences: str) -> None:
        """Begin a step: wait for Enter if wanted, then print its title and what is to be seen."""
        if self.pause and self.steps:
            self.console.input("[dim]Enter: next step[/dim] ")
        self.steps += 1
        self.console.print(Rule(f"{self.steps}. {title}", align="left"))
        self.say(*sentences)

    def say(self, *sentences: str) -> None:
        """Print sentences, each on a line."""
        for sentence in sentences:
            self.console.print(sentence, highlight=False)

    def command(self, text: str) -> None:
        """Print the command that does the same from a shell."""
        self.console.print(f"$ {text}", style="bold", highlight=False, soft_wrap=True, markup=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)


def main() -> int:
    """Run the demonstration. Exit code 1 when a step fails, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="", help="a target of photos (default: petals if it is built, else petals-tiny)")
    parser.add_argument("--pause", action="store_true", help="wait for Enter between the steps")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, lambda found, _: sys.exit(128 + found))  # the blocks that started something end it
    console = Console(width=None if sys.stdout.isatty() else WHOLE)
    try:
        checkout.require()
        show(asked.target or first_target(), Talk(console, asked.pause))
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\ninterrupted: the service has ended", file=sys.stderr)
        return 130
    return 0


def first_target() -> str:
    """The target to show: petals if it is built."""
    return "petals" if is_built("petals") else TINY


def is_built(target: str) -> bool:
    """Whether a target's Bento, report and photos are here."""
    wanted = (f"dist/{target}.bento", f"reports/{target}/metrics.json", f"data/processed/{target}", f"data/raw/{target}")
    return all(Path(path).exists() for path in wanted)


def show(target: str, talk: Talk) -> None:
    """Run all steps."""
    tree = composition.compose(target)
    if tree.model.kind != "image":
        raise BitBloomError(f"'{target}' predicts no photos: choose a target of photos, like {TINY}")
    talk.step(f"The pipeline of {target}", "One command builds it; DVC runs only the stages whose inputs changed.")
    talk.command(f"make all TARGET={target}")
    if not is_built(target):
        talk.say(f"{target} is not built: it is built now.")
        run("build", [sys.executable, "-m", "bitbloom", "build", target])
    stages = graph.stages(target, tree)
    talk.table(["stage", "what it does"], [[stage.stage, graph.DOES[stage.stage]] for stage in stages])
    show_metrics(target, talk)
    with service(target) as url, Client(url, timeout=30) as client:
        show_service(target, url, client, talk)
        show_photos(target, url, client, talk)
        show_damage(target, client, talk)
        show_drift(target, talk)
        show_counters(url, talk)
        show_provenance(target, client, talk)
    talk.say("The service has ended.")
    show_rebuild(talk)


def show_metrics(target: str, talk: Talk) -> None:
    """The metrics of the test split."""
    metrics = canonical.read_json(Path(f"reports/{target}/metrics.json"))
    talk.step("The metrics", f"Of the test split, which training never saw. The report: reports/{target}/index.html")
    talk.table(["metric", "value"], [[key.replace("_", " "), f"{value:.4g}"] for key, value in metrics.items()])


def show_service(target: str, url: str, client: Client, talk: Talk) -> None:
    """The service: its address and its limits."""
    known = client.service()
    limit = f"It takes photos of up to {known['max_bytes'] // 1_000_000} MB, {known['max_batch']} in a request."
    talk.step("The service", f"The Bento of {target} serves '{known['title']}' at {url}, which is a web page, too.", limit)
    talk.command(f"make serve TARGET={target}")


def show_photos(target: str, url: str, client: Client, talk: Talk) -> None:
    """Predictions of test photos, with the labels that they have."""
    photos = test_photos(target)
    talk.step("Photos", f"{len(photos)} photos of the test split, one request each.")
    talk.command(f"curl -F image=@{photos[0][0]} {url}/predict")
    rows = []
    for path, label in photos:
        found = client.predict(path.read_bytes())
        second = found["top5"][1]
        verdict = "right" if found["label"] == label else f"wrong: {label}"
        rows.append(
            [path.name, found["label"], f"{found['probability']:.3f}", f"{second['label']} {second['probability']:.3f}", verdict]
        )
    talk.table(["photo", "prediction", "probability", "second", "label"], rows)


def test_photos(target: str) -> list[tuple[Path, str]]:
    """The first photo of each of several classes of the test split, with its label."""
    samples = pd.read_parquet(Path(f"data/processed/{target}/samples.parquet"))
    chosen = samples[(samples["split"] == "test") & ~samples["excluded"]].sort_values("id").groupby("label").head(1)
    return [(Path(f"data/raw/{target}") / row.id, str(row.label)) for row in chosen.head(PHOTOS).itertuples()]


def show_damage(target: str, client: Client, talk: Talk) -> None:
    """A photo cut in the middle, and a file that is none: errors with a remedy, and a service that goes on."""
    path, _ = test_photos(target)[0]
    whole = path.read_bytes()
    talk.step("Damaged photos", f"The first half of {path.name}, then a text in place of a photo.")
    for name, data in {"half a photo": whole[: len(whole) // 2], "a text": b"no photo"}.items():
        try:
            client.predict(data)
        except ServiceError as error:
            talk.say(f"  {name}: status {error.status}, {error.reason}")
        else:
            raise BitBloomError(f"the service accepted {name}")
    talk.say(f"The next photo: {client.predict(whole)['label']}.")


def show_drift(target: str, talk: Talk) -> None:
    """Blurred photos, which the service accepts without an error: the comparison with the training data finds them."""
    talk.step("Drift", "Photos of a camera out of focus cause no error, so they are compared with the training data.")
    write_blurred(target, DAMAGED)
    talk.command(f"make drift TARGET={target} DATA={DAMAGED}")
    lines = run("drift", [sys.executable, "-m", "bitbloom", "drift", target, "--data", str(DAMAGED)], DRIFTED).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Drift: "))
    for line in lines[start:-2][:CHANGES]:
        talk.console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    talk.say(f"The page with the pictures: {lines[-2]}")


def write_blurred(target: str, folder: Path) -> None:
    """Write blurred copies of photos of all classes and splits, in folders of their classes, in place of earlier ones."""
    shutil.rmtree(folder, ignore_errors=True)
    samples = pd.read_parquet(Path(f"data/processed/{target}/samples.parquet"))
    chosen = samples[~samples["excluded"]].sort_values(["label", "id"])
    for row in chosen.iloc[:: max(1, len(chosen) // BLURRED)].itertuples():
        copy = folder / str(row.label) / f"{row.Index}.jpg"
        copy.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(Path(f"data/raw/{target}") / str(row.id)) as photo:
            sharp = photo.convert("RGB")
        sharp.filter(ImageFilter.GaussianBlur(min(sharp.size) / 24)).save(copy, quality=95)


def show_counters(url: str, talk: Talk) -> None:
    """What the service counted of the requests above."""
    talk.step("Monitoring", "What the service counted, in the format of Prometheus.")
    talk.command(f"curl {url}/metrics")
    lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    names = ("bitbloom_predictions_total", "bitbloom_rejections_total")
    for line in lines:
        if line.startswith(names):
            talk.console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def show_provenance(target: str, client: Client, talk: Talk) -> None:
    """The digests of the service, beside those of the build."""
    found = client.provenance()
    talk.step("Provenance", "Each response names the model's digest; /provenance names data, lock, model and Bento.")
    rows = [[name, f"sha256:{value}"[:30] + "…"] for name, value in found["digests"].items() if value]
    talk.table(["what", "digest"], [*rows, ["commit", found["commit"] or "unknown: the working tree had changes"]])
    talk.command(found["rebuild"])


def show_rebuild(talk: Talk) -> None:
    """Build the tiny target again without a cache, and compare every digest."""
    talk.step("The rebuild", f"{TINY} is built again in a new folder without a cache, and every digest is compared.")
    talk.command(f"make verify TARGET={TINY}")
    begun = time.monotonic()
    output = run("verify", [sys.executable, "-m", "bitbloom", "verify", TINY])
    last = output.rstrip().splitlines()[-1]
    talk.say(f"{last}, after {time.monotonic() - begun:.0f} s.", "One commit, one set of bytes.")


@contextlib.contextmanager
def service(target: str) -> Iterator[str]:
    """The address of a target's service on a free port, while the block runs."""
    from bitbloom.serving import store

    environment = build.environ(str(composition.compose(target).numerics.profile))
    tag = store.install(Path(f"dist/{target}.bento"), git.clean_commit())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log, guarded.running(command, environment, log) as process:
        wait_until(lambda: is_ready(url), process, log)
        yield url


def is_ready(url: str) -> bool:
    """Whether a service responds."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz").status_code == 200
    return False


def wait_until(is_done: Callable[[], bool], process: subprocess.Popen[bytes], log: Any) -> None:
    """Wait for a process that starts. Raises BitBloomError with the end of its log."""
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        if is_done():
            return
        time.sleep(0.1)
    log.seek(0)
    raise BitBloomError(f"the service did not start: {log.read().decode(errors='replace').strip()[-500:]}")


def run(what: str, command: Sequence[str], expected: int = 0) -> str:
    """Run a command to its end and return its output. Raises BitBloomError with its end after another exit code."""
    with tempfile.TemporaryFile() as log, guarded.running(command, os.environ | {"BITBLOOM_TRACK": "0"}, log) as process:
        code = process.wait()
        log.seek(0)
        output = log.read().decode(errors="replace")
    if code != expected:
        raise BitBloomError(f"{what} failed ({code}): {output.strip()[-500:]}")
    return output


if __name__ == "__main__":
    sys.exit(main())
