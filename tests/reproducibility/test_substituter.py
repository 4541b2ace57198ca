"""A remote as substituter: a clean clone downloads a build from it, with the same digests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitbloom.pipeline import graph
from support.checkouts import TARGET, changes, checkout, run
from support.storage import BUCKET, emulator

pytestmark = pytest.mark.slow
STAGES = tuple(graph.stage_name(stage, "petals-tiny") for stage in graph.ENDS)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start an emulator of Google Cloud Storage, and direct all clients to it."""
    with emulator(tmp_path / "emulator.log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


def add_remote(folder: Path, url: str) -> None:
    run(folder, "dvc", "remote", "add", "--local", "-f", "-d", "store", url)
    if url.startswith("gs:"):
        run(folder, "dvc", "remote", "modify", "--local", "store", "projectname", "test")


def downloaded(built: Path, other: Path, url: str) -> str:
    """Push a build to a remote, make the target in a clone with that remote, and return the output of make."""
    add_remote(built, url)
    try:
        run(built, "dvc", "push", "--run-cache", *STAGES, "--with-deps")
    finally:
        (built / ".dvc/config.local").unlink()
    add_remote(checkout(other), url)
    return run(other, "make", "all", TARGET)


def same(built: Path, other: Path) -> bool:
    outputs = ("dist/petals-tiny.bento", "models/petals-tiny/model.safetensors")
    names = ("digests/petals-tiny.json", *outputs, graph.lock("petals-tiny"))
    return all((built / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_downloads_build_from_bucket(built: Path, tmp_path: Path, storage: None) -> None:
    output = downloaded(built, tmp_path / "other", f"gs://{BUCKET}/dvc")
    assert "epoch 1:" not in output
    assert same(built, tmp_path / "other")
    assert changes(tmp_path / "other") == ""
