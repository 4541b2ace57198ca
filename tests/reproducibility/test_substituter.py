"""A remote as substituter: a clean clone downloads a build from it, with the same digests."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitbloom.pipeline import graph
from support.checkouts import TARGET, changes, checkout, run

pytestmark = pytest.mark.slow
BUCKET = "bitbloom"
STAGES = tuple(graph.stage_name(stage, "petals-tiny") for stage in graph.ENDS)
SECONDS_TO_START = 30


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start an emulator of Google Cloud Storage with one bucket, and direct all clients to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = ["gcp-storage-emulator", "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    with (tmp_path / "emulator.log").open("w") as log:
        process = subprocess.Popen([*command, "--default-bucket", BUCKET], stdout=log, stderr=log)
    try:
        wait_for(f"{address}/storage/v1/b/{BUCKET}", process)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # the emulator has flat buckets only
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)


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
