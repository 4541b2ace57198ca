"""The bucket after `dvc push` of petals-tiny: what an emulator of Google Cloud Storage then lists."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import httpx
import yaml
from canvas import Missing, table

FILES = ("bucket.png",)
TARGET = "petals-tiny"
BUCKET = "bitbloom"


def draw(built: Path, target: str = TARGET) -> dict[str, bytes]:
    """The listing by output. Raises Missing when an output is not in DVC's cache, or the emulator does not start."""
    from support.storage import emulator

    outputs = recorded(built, target)
    with tempfile.TemporaryDirectory(prefix="bitbloom-bucket-") as folder:
        try:
            with emulator(Path(folder) / "emulator.log") as variables:
                push(built, target, Path(folder) / "checkout", variables)
                objects = listing(variables["STORAGE_EMULATOR_HOST"])
        except (FileNotFoundError, TimeoutError) as error:
            raise Missing(f"the emulator of the bucket did not start: make test installs it ({error})") from error
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


def push(built: Path, target: str, checkout: Path, variables: dict[str, str]) -> None:
    """Push the outputs of the target from the cache of `built`, with the settings of a temporary copy."""
    for path in ("dvc.yaml", "pipelines", "params", ".dvc/config"):
        source, place = built / path, checkout / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, place) if source.is_dir() else shutil.copy2(source, place)
    settings = {"core.no_scm": "true", "cache.dir": str(built / ".dvc/cache"), "core.remote": "gcs"}
    own = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(checkout / "site")}
    environment = os.environ | variables | own
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
