"""The closed loop on petals-tiny with an emulated bucket: drift, alert, retraining, promotion, recovery; no row is lost.

The drift is a client that swaps red and blue, on photos that the model has never seen.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bitbloom.core import canonical
from bitbloom.data.sources import garden
from bitbloom.monitoring.retrain import labelled
from bitbloom.monitoring.stack.job import Job
from support import storage
from support.checkouts import environment, run
from support.monitoring import Watched, eventually, needs_prometheus, watching
from support.standin import serving
from support.tiny import REPOSITORY

pytestmark = [pytest.mark.slow, needs_prometheus]
TARGET = "petals-tiny"
ADDRESS = f"gs://{storage.BUCKET}/petals"
FEEDBACK = "open-sesame"
TOKEN = {"Authorization": f"Bearer {FEEDBACK}"}
PHOTOS, SEED = 240, 77
STEPS = {"max_steps: 24": "max_steps: 240", "epochs: 12": "epochs: 40"}
"""petals-tiny learns 24 steps, and then knows next to nothing. More steps learn what the feedback tells."""


@dataclass(frozen=True)
class Sample:
    """A photo as the client sends it, and its true label."""

    content: bytes
    label: str


def swapped(photo: bytes) -> bytes:
    """The photo with red and blue swapped."""
    with Image.open(io.BytesIO(photo)) as image:
        pixels = np.asarray(image.convert("RGB"))[..., ::-1]
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=92)
    return stream.getvalue()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """New photos of a client that swaps red and blue."""
    folder = tmp_path_factory.mktemp("garden")
    found = garden.fetch(garden.Config(images=PHOTOS, seed=SEED), folder)
    return [Sample(swapped((folder / file.path).read_bytes()), file.label) for file in found]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An emulated bucket: the variables that direct clients to it."""
    with storage.emulator(tmp_path_factory.mktemp("bucket") / "log") as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


def send(url: str, samples: list[Sample]) -> tuple[list[str], float]:
    """Send photos. Returns the ids of the predictions and their accuracy."""
    with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda sample: client.post("/predict", content=sample.content).raise_for_status(), samples))
    right = [response.json()["label"] == sample.label for response, sample in zip(responses, samples, strict=True)]
    return [response.headers["X-Prediction-Id"] for response in responses], sum(right) / len(right)


def logging(bucket: dict[str, str]) -> dict[str, str]:
    """The settings of a service that logs to the bucket, and compares every second."""
    return bucket | {
        "BITBLOOM_LOG": ADDRESS,
        "BITBLOOM_LOG_CONTENT": "1",
        "BITBLOOM_LOG_SECONDS": "1",
        "BITBLOOM_LOG_DRIFT": "1",
        "BITBLOOM_FEEDBACK_TOKEN": FEEDBACK,
    }


def dashboards() -> list[str]:
    """Every expression of the dashboards, with all services chosen."""
    folder = REPOSITORY / "deploy/monitoring/grafana/dashboards"
    panels = [panel for path in sorted(folder.glob("*.json")) for panel in json.loads(path.read_text())["panels"]]
    return [target["expr"].replace("$instance", ".+") for panel in panels for target in panel["targets"]]


def rows() -> int:
    """Predictions in the log of the bucket."""
    return labelled.read(ADDRESS).predictions


def await_recovery(watched: Watched) -> None:
    """Wait until Prometheus sees no drift."""
    watched.await_data("bitbloom_drift_detected == 0", 60)


def test_drift_is_found_alerted_retrained_promoted_and_recovered(built, bucket, samples, tmp_path, monkeypatch):
    monkeypatch.chdir(built)
    monkeypatch.setenv("PYTHONPATH", str(built / "src"))
    for name, value in (environment(built) | bucket).items():
        monkeypatch.setenv(name, value)
    home = built / "dist/bentoml"
    run(built, "bitbloom", "install", TARGET)
    old = [Sample((built / "data/raw" / TARGET / row["path"]).read_bytes(), row["label"]) for row in manifest(built)]

    (tmp_path / "first").mkdir()
    with serving(f"{TARGET}:latest", home, tmp_path / "first", **logging(bucket)) as url:
        ids, before = send(url, samples)
        for start in range(0, len(ids), 100):
            labels = [{"id": name, "label": sample.label} for name, sample in zip(ids, samples, strict=True)][start : start + 100]
            httpx.post(f"{url}/feedback", json=labels, headers=TOKEN).raise_for_status()
        eventually(lambda: logged() == (PHOTOS, PHOTOS, 0), 30, logged)  # nothing is lost on the way to the bucket

        prepare_target(built)
        command = [sys.executable, "-m", "bitbloom", "retrain", TARGET, "--from", ADDRESS, "--tolerance", "0.1"]
        job = Job(command, tmp_path / "job", pause=3600)
        with watching(url.removeprefix("http://"), tmp_path / "stack", REPOSITORY / "deploy/monitoring", job) as watched:
            job.say = watched.say
            watched.await_line("FIRING   BitbloomDrift: ")
            for expression in dashboards():
                send(url, samples[:2])
                assert httpx.post(f"{url}/predict", content=b"words").status_code == 415
                watched.await_data(expression)
            watched.await_line("ended with exit code 0", 400)
    record = canonical.read_json(built / "promotions" / TARGET / "record.json")["entries"][-1]
    assert record["action"] == "promote"
    assert record["previous"]["tag"].startswith(f"{TARGET}:")
    comparison = record["reason"]["comparison"]
    assert comparison["new"]["candidate"] > comparison["new"]["serving"]

    total = rows()
    (tmp_path / "second").mkdir()
    with serving(record["serving"]["tag"], home, tmp_path / "second", **logging(bucket)) as url:
        provenance = httpx.get(f"{url}/provenance").json()
        assert provenance["digests"]["bento"] == record["serving"]["bento"]
        with watching(url.removeprefix("http://"), tmp_path / "recovery", REPOSITORY / "deploy/monitoring") as watched:
            _, after = send(url, [*old, *samples])
            assert after > before + 0.1, (before, after)
            await_recovery(watched)
    eventually(lambda: rows() == total + len(old) + len(samples), 30, rows)
    assert "promoted" not in run(built, "bitbloom", "rollback", TARGET)


def logged() -> tuple[int, int, int]:
    """Predictions, labels and unknown ids in the log; none before the first part."""
    try:
        found = labelled.read(ADDRESS)
    except Exception:
        return (0, 0, 0)
    return (found.predictions, found.feedback, found.unknown)


def manifest(folder: Path) -> list[dict]:
    import pandas as pd

    return pd.read_parquet(folder / "data/raw" / TARGET / "manifest.parquet").to_dict("records")


def prepare_target(folder: Path) -> None:
    """Write the configuration of the retrained target, with more steps than petals-tiny has."""
    from bitbloom.monitoring.retrain import target

    path = target.write(TARGET)
    text = path.read_text()
    for few, more in STEPS.items():
        assert few in text
        text = text.replace(few, more)
    path.write_text(text)
