"""Measure F1 of `tweets-kaggle` on real tweets, and the throughput of its service on one core.

    python benchmarks/tweets.py train.csv [--runs 5]

Builds two variants of the target, with the fp32 and the int8 graph in the Bento. Each service runs under `bentoml serve` with one
worker, pinned to one core. The client, on another core, sends RUN texts over one connection, 32 per request, without word
attributions. The cases take turns. The baseline is TF-IDF with logistic regression in this process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.data import texts
from bitbloom.data.sources import tweets_csv
from bitbloom.pipeline import build, external
from bitbloom.serving import store

TARGET = "tweets-kaggle"
PLACE = "data/external/bench-tweets"
OWN = (f"source.path={PLACE}",)
"""The folder of the tweets, apart from a user's own."""
GRAPHS = {"fp32": OWN, "int8": (*OWN, "service.int8=true")}
RUN = 1024
REQUEST = 32


@contextlib.contextmanager
def served(workspace: Path, home: Path) -> Iterator[str]:
    """The address of a workspace's service, on one core; its Bento is installed in `home`."""
    os.environ |= {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    environment = dict(os.environ)
    tag = store.install(workspace / "dist" / f"{TARGET}.bento")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    core = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", core, "bentoml", "serve", str(tag), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def by_service(url: str) -> Callable[[Sequence[dict[str, str]]], None]:
    """Predictions of some tweets by a service, over one connection."""
    client = httpx.Client(timeout=120)

    def predict(tweets: Sequence[dict[str, str]]) -> None:
        for start in range(0, len(tweets), REQUEST):
            body = {"texts": tweets[start : start + REQUEST], "words": False}
            client.post(f"{url}/predict", json=body).raise_for_status()

    return predict


def by_counting(rows: Sequence[dict[str, str]]) -> Callable[[Sequence[dict[str, str]]], None]:
    """Predictions by TF-IDF with logistic regression, one text at a time, as a service does."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    model.fit([texts.clean(row["text"]) for row in rows], [row["target"] for row in rows])

    def predict(tweets: Sequence[dict[str, str]]) -> None:
        for tweet in tweets:
            model.predict_proba([texts.clean(tweet["text"])])

    return predict


def rates(cases: dict[str, Callable[[Sequence[dict[str, str]]], None]], tweets: Sequence[dict[str, str]], runs: int) -> Table:
    """Texts/s, the cases in turn: median, spread, and the ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for predict in cases.values():
        predict(tweets[:64])
    for _ in range(runs):
        for name, predict in cases.items():
            start = time.monotonic()
            predict(tweets)
            seconds[name].append(len(tweets) / (time.monotonic() - start))
    table = Table("case", "texts/s, median", "spread", "ratio", title="one core")
    first = statistics.median(next(iter(seconds.values())))
    for name, found in seconds.items():
        middle = statistics.median(found)
        table.add_row(name, f"{middle:.0f}", f"{min(found):.0f} to {max(found):.0f}", f"{middle / first:.2f}")
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tweets", type=Path, help="Kaggle's train.csv")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    try:
        external.take(TARGET, str(options.tweets), OWN)
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    start = time.monotonic()
    workspaces = {"fp32": build.build(TARGET, "all", GRAPHS["fp32"])}
    minutes = (time.monotonic() - start) / 60
    workspaces["int8"] = build.build(TARGET, "all", GRAPHS["int8"])
    metrics = canonical.read_json(workspaces["fp32"] / "reports" / TARGET / "metrics.json")
    parity = canonical.read_json(workspaces["fp32"] / "reports" / TARGET / "run.json")
    Console().print(f"f1 {metrics['f1']:.4f}, tfidf_f1 {metrics['tfidf_f1']:.4f}, whole build {minutes:.1f} min; {parity}")
    rows = tweets_csv.rows(Path(PLACE) / tweets_csv.FILE)
    tweets = [{name: row[name] or "" for name in ("text", "keyword", "location")} for row in rows[:RUN]]
    with contextlib.ExitStack() as stack:
        homes = {name: Path(stack.enter_context(tempfile.TemporaryDirectory())) for name in workspaces}
        urls = {name: stack.enter_context(served(place, homes[name])) for name, place in workspaces.items()}
        cases = {f"service, {name} graph": by_service(url) for name, url in urls.items()}
        Console().print(rates(cases | {"TF-IDF, no service": by_counting(rows)}, tweets, options.runs))


if __name__ == "__main__":
    checkout.require()
    main()
