"""The history of builds: the commits that changed an expected digest of petals, with what they changed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from canvas import Missing, table

FILES = ("builds.png",)
TARGET = "petals"
RECORD = f"digests/{TARGET}.json"
ROOT = Path(__file__).resolve().parents[2]
ROWS = 16
PARTS = {
    "data": f"data/processed/{TARGET}",
    "weights": f"models/{TARGET}/model.safetensors",
    "model": f"models/{TARGET}/model.onnx",
    "metrics": f"reports/{TARGET}/metrics.json",
    "Bento": f"dist/{TARGET}.bento",
}


def draw(built: Path) -> dict[str, bytes]:
    """The newest builds, the newest first. Raises Missing in a checkout without the history."""
    history = [
        line.split(" ", 2) for line in git("log", "--format=%h %cd %H", "--date=format:%Y-%m-%dT%H:%M", "--", RECORD).splitlines()
    ]
    if git("rev-parse", "--is-shallow-repository").strip() == "true" or len(history) < 2:
        raise Missing("this clone has no history")
    digests = [read(commit) for _, _, commit in history[: ROWS + 1]]
    rows = []
    for (short, date, _), now, before in zip(history, digests, [*digests[1:], {}], strict=False):
        changed = [part for part in PARTS if now.get(part) != before.get(part)]
        rows.append(
            [
                date.replace("T", " "),
                short[:7],
                now.get("weights", "")[:8],
                now.get("Bento", "")[:8],
                ", ".join(changed) or "other outputs",
            ]
        )
    shown = f"The newest {ROWS} of {len(history)}." if len(history) > ROWS else f"{len(history)} in all."
    note = [
        f"Commits that changed {RECORD}: each is a build whose outputs have other bytes. {shown}",
        "The Cloud Build trigger would push one image for each Bento. It has not run: no account was available.",
    ]
    columns = [
        ("date (UTC)", 190, "left"),
        ("commit", 110, "left"),
        ("weights", 120, "left"),
        ("Bento", 120, "left"),
        ("changed", 420, "left"),
    ]
    return {"builds.png": table(f"Build history of {TARGET}", note, columns, rows[:ROWS])}


def git(*words: str) -> str:
    """The output of git in this repository. Raises Missing."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"TZ": "UTC"})
    except OSError as error:
        raise Missing(f"git does not start: {error}") from error
    if done.returncode:
        raise Missing("this folder has no git repository")
    return done.stdout


def read(commit: str) -> dict[str, str]:
    """The digests of PARTS at a commit, hexadecimal."""
    entries = json.loads(git("show", f"{commit}:{RECORD}"))
    found = {part: entries[path] for part, path in PARTS.items() if path in entries}
    return {
        part: entry["sha256"] if isinstance(entry, dict) else str(entry).removeprefix("sha256:") for part, entry in found.items()
    }
