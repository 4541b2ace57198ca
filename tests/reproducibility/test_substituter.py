"""A remote as substituter: a clean clone downloads what a job elsewhere trained, with the same digests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitbloom.pipeline import composition, graph
from support.checkouts import TARGET, changes, checkout, run
from support.storage import BUCKET, emulator

pytestmark = pytest.mark.slow
STAGES = graph.stages("petals-tiny", composition.compose("petals-tiny"))
URL = f"gs://{BUCKET}/dvc"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start an emulator of Google Cloud Storage, and direct all clients to it."""
    with emulator(tmp_path / "emulator.log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def remote(folder: Path) -> None:
    run(folder, "bitbloom", "remote", URL)
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "remote")


def same(one: Path, other: Path) -> bool:
    outputs = ("dist/petals-tiny.bento", "models/petals-tiny/model.safetensors")
    names = ("digests/petals-tiny.json", *outputs, graph.lock("petals-tiny"))
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_downloads_build_from_bucket(tmp_path: Path, storage: None, monkeypatch: pytest.MonkeyPatch) -> None:
    image = checkout(tmp_path / "image")
    remote(image)
    job = {"TARGET": "petals-tiny", "REMOTE": URL, "WORKSPACE": str(tmp_path / "job"), "OUTPUT": str(tmp_path / "out")}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    trained = run(image, "python", "deploy/train.py")
    assert "epoch 1:" in trained
    assert "as expected" in trained
    assert (tmp_path / "out/model.safetensors").exists()
    clone = checkout(tmp_path / "clone")
    remote(clone)
    output = run(clone, "make", "all", TARGET)
    assert "epoch 1:" not in output
    assert output.count("from the cache") == len(STAGES)
    assert same(tmp_path / "job/checkout", clone)
    assert changes(clone) == ""
