"""The container images: names, tags and contents, as `make containerize` gives them to the Bentos that are built."""

from __future__ import annotations

import json
import re
from pathlib import Path

from canvas import Missing, table

from bitbloom.core.digests import file_digest

FILES = ("images.png",)
ROOT = Path(__file__).resolve().parents[2]


def draw(built: Path) -> dict[str, bytes]:
    """One row for each embedded target. Raises Missing when none is built as expected."""
    rows = [row for path in sorted(ROOT.glob("digests/*.json")) for row in of_target(path, built)]
    if len(rows) < len(list(ROOT.glob("digests/*.json"))):
        raise Missing("not all embedded targets are built as digests/ expects")
    packages = len(re.findall(r"^\S+==", (ROOT / "requirements-serve.lock").read_text(encoding="utf-8"), re.MULTILINE))
    note = [
        "The tag is the version of the Bento: 16 digits of its digest. A commit that does not change it has the same image.",
        "MB is the size of the Bento alone. The image has its base and its packages, too: several hundred MB.",
        f"Base: python:3.11-slim-bookworm; {packages} packages of requirements-serve.lock. Not pushed: no account was available.",
    ]
    columns = [
        ("image", 290, "left"),
        ("tag", 220, "left"),
        ("archive, SHA-256", 190, "left"),
        ("model", 150, "left"),
        ("Bento, MB", 120, "right"),
    ]
    return {"images.png": table("Bentos of the container images", note, columns, rows)}


def of_target(digests: Path, built: Path) -> list[list[str]]:
    """The row of a target, none unless its Bento is the expected one."""
    target, expected = digests.stem, json.loads(digests.read_text(encoding="utf-8"))
    report = f"reports/{target}/bento.json"
    if not (built / report).exists() or file_digest(built / report) != expected[report]["sha256"]:
        return []
    bento = json.loads((built / report).read_text(encoding="utf-8"))
    archive = bento["archive"]
    model = next((file["sha256"] for name, file in bento["files"].items() if name.endswith("model.onnx")), "three graphs")
    size = f"{archive['bytes'] / 1e6:.1f}"
    return [[f"bitbloom/{target}", bento["version"], archive["sha256"][:16], model[:12], size]]
