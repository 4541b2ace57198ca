"""The bucket after `dvc push` of petals-tiny: what an emulator of Google Cloud Storage then lists."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml
from canvas import Missing, table

FILES = ("bucket.png",)
TARGET = "petals-tiny"
BUCKET = "bitbloom"
SECONDS = 60


def draw(built: Path, target: str = TARGET) -> dict[str, bytes]:
    """The listing by output. Raises Missing when an output is not in DVC's cache, or the emulator does not start."""
    outputs = recorded(built, target)
    with tempfile.TemporaryDirectory(prefix="bitbloom-bucket-") as folder, emulator(Path(folder)) as address:
        push(built, target, Path(folder) / "checkout", address)
        objects = listing(address)
    rows = []
    for path, key in outputs:
        names = members(built, key) | {key}
        sizes = [objects[name] for name in names if name in objects]
        if len(sizes) != len(names):
            raise Missing(f"dvc push sent {len(sizes)} of {len(names)} objects of {path}")
        rows.append(
            [
                path,
                f"dvc/files/md5/{key[:2]}/{key[2:14]}…{'.dir' if key.endswith('.dir') else ''}",
                str(len(names)),
                f"{sum(sizes):,}",
            ]
        )
    note = [
        f"gs://{BUCKET} after `dvc push` of {target}: {len(objects):,} objects, {sum(objects.values()):,} bytes.",
        "An emulated bucket (gcp-storage-emulator): no account of Google Cloud was available.",
    ]
    columns = [("output", 380, "left"), ("object", 340, "left"), ("objects", 110, "right"), ("bytes", 130, "right")]
    return {"bucket.png": table("The DVC remote in a bucket", note, columns, rows)}


def recorded(built: Path, target: str) -> list[tuple[str, str]]:
    """The outputs of dvc.lock: path and MD5."""
    lock = built / f"pipelines/{target}/dvc.lock"
    if not lock.exists():
        raise Missing(f"{lock} is missing")
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    return [(out["path"], out["md5"]) for stage in stages.values() for out in stage.get("outs", ())]


def members(built: Path, key: str) -> set[str]:
    """The MD5 of each file of a folder, none of a file. Raises Missing."""
    if not key.endswith(".dir"):
        return set()
    path = built / ".dvc/cache/files/md5" / key[:2] / key[2:]
    if not path.exists():
        raise Missing(f"{path} is missing: build the target first")
    return {entry["md5"] for entry in json.loads(path.read_text(encoding="utf-8"))}


@contextlib.contextmanager
def emulator(folder: Path) -> Iterator[str]:
    """A running emulator with one empty bucket in memory, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [
        "gcp-storage-emulator",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--in-memory",
        "--default-bucket",
        BUCKET,
    ]
    try:
        with (folder / "emulator.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
    except OSError as error:
        raise Missing("gcp-storage-emulator is not installed: make test installs it") from error
    try:
        wait(f"{address}/storage/v1/b/{BUCKET}", process)
        yield address
    finally:
        process.terminate()
        process.wait()


def wait(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until an address responds."""
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(address, timeout=1).raise_for_status()
            return
        time.sleep(0.1)
    raise Missing("the emulator of the bucket did not start")


def push(built: Path, target: str, checkout: Path, address: str) -> None:
    """Push the outputs of the target from the cache of `built`, with the settings of a temporary copy."""
    for path in ("dvc.yaml", "pipelines", "params", ".dvc/config"):
        source, place = built / path, checkout / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, place) if source.is_dir() else shutil.copy2(source, place)
    settings = {"core.no_scm": "true", "cache.dir": str(built / ".dvc/cache"), "core.remote": "gcs"}
    environment = os.environ | {
        "STORAGE_EMULATOR_HOST": address,
        "NO_GCE_CHECK": "true",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # the emulator has flat buckets only
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(checkout / "site"),
    }
    commands = [["config", "--local", key, value] for key, value in settings.items()]
    commands.insert(0, ["remote", "add", "--local", "gcs", f"gs://{BUCKET}/dvc"])
    commands.insert(1, ["remote", "modify", "--local", "gcs", "projectname", "test"])
    stages = yaml.safe_load((built / f"pipelines/{target}/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    commands.append(["push", *(f"pipelines/{target}/dvc.yaml:{stage}" for stage in stages)])
    for words in commands:
        done = subprocess.run(["dvc", *words], cwd=checkout, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"dvc {words[0]}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")


def listing(address: str) -> dict[str, int]:
    """MD5 → size of every object that the bucket lists."""
    found: dict[str, int] = {}
    token = ""
    while True:
        page = httpx.get(f"{address}/storage/v1/b/{BUCKET}/o?maxResults=1000{token}").raise_for_status().json()
        for item in page.get("items", ()):
            found["".join(item["name"].rsplit("/", 2)[1:])] = int(item["size"])
        if "nextPageToken" not in page:
            return found
        token = f"&pageToken={page['nextPageToken']}"
