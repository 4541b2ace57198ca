"""The W&B run of petals, from its offline record: curves, configuration, and the pictures that it logged.

`wandb sync` sends a copy of the record to a server on this machine (tests/support/wandb_standin.py), which keeps the rows. So the
picture shows what the client would send, and needs no account.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from canvas import Missing, Sheet, small

from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation.report import style
from bitbloom.pipeline import lineage

FILES = ("wandb.png", "wandb-media.png")
TARGET = "petals"
SHOWN = ("model.kind", "model.weights", "train.epochs", "train.batch_size", "train.seed", "numerics.profile", "data_sha256")
MEDIA = ("confusion", "mistakes", "recall", "reliability")
MEDIA_WIDTH = 620


def draw(built: Path, target: str = TARGET) -> dict[str, bytes]:
    """Both pictures. Raises Missing without an offline record of the built target."""
    try:
        identity = lineage.recorded_id(target, built)
    except (BitBloomError, OSError) as error:
        raise Missing(str(error)) from error
    records = sorted((built / ".bitbloom/wandb").glob(f"offline-run-*-{identity}"))
    records = [record for record in records if list(record.glob("files/media/images/figures/*.png"))]
    if not records:
        raise Missing(f"no offline record of run {identity}: .venv/bin/bitbloom track {target}")
    rows, run = sent(records[-1])
    return {"wandb.png": curves(rows, run, identity), "wandb-media.png": media(records[-1])}


def sent(record: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of the history that `wandb sync` sends, and the run with its configuration."""
    from support.wandb_standin import KEY, Server

    server = Server()
    try:
        with tempfile.TemporaryDirectory(prefix="bitbloom-wandb-") as folder:
            shutil.copytree(record, Path(folder) / record.name)
            settings = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online", "WANDB_CONFIG_DIR": folder}
            command = [sys.executable, "-m", "wandb", "sync", "--project", "bitbloom", str(Path(folder) / record.name)]
            done = subprocess.run(command, env=os.environ | settings, cwd=folder, capture_output=True, text=True)
        if done.returncode or not server.rows:
            raise Missing(f"wandb sync: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
        return list(server.rows), server.runs[-1]
    finally:
        server.close()


def curves(rows: Sequence[dict[str, Any]], run: dict[str, Any], identity: str) -> bytes:
    """Loss, accuracy and learning rate by epoch, below the run's settings."""
    epochs = sorted((row for row in rows if "train_loss" in row), key=lambda row: row["epoch"])
    xs = [row["epoch"] for row in epochs]
    sheet = Sheet(1240, 640)
    sheet.text(30, 34, f"Weights & Biases: project {run['project']}, run {identity}", 20, fontweight="bold")
    for number, (key, value) in enumerate(settings(json.loads(run["config"]))):
        sheet.text(30 + 300 * (number % 4), 72 + 26 * (number // 4), f"{key}: {value}", 14, color=style.MUTED)
    panels = {
        "Loss": {"train_loss": style.SKY, "val_loss": style.BLOOM},
        "Validation accuracy": {"val_accuracy": style.LEAF},
        "Learning rate": {"learning_rate": style.SUN},
    }
    with style.applied():
        for number, (title, lines) in enumerate(panels.items()):
            axes = sheet.figure.add_axes((0.05 + 0.335 * number, 0.12, 0.26, 0.6))
            for key, colour in lines.items():
                axes.plot(xs, [row[key] for row in epochs], color=colour, label=key, marker="o", markersize=3)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("epoch")
            axes.legend(loc="best")
            axes.yaxis.set_major_formatter("{x:g}")
    return sheet.png()


def settings(config: dict[str, Any]) -> list[tuple[str, str]]:
    """The shown keys of a run's configuration and their values, short."""
    found = []
    for name in SHOWN:
        value: Any = config
        for part in name.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
            value = value["value"] if isinstance(value, dict) and set(value) == {"value"} else value
        if value != {}:
            found.append((name, str(value)[:16]))
    return found


def media(record: Path) -> bytes:
    """Four of the pictures that the run logged, two by two."""
    from PIL import Image

    folder = record / "files/media/images/figures"
    pictures = []
    for name in MEDIA:
        found = sorted(folder.glob(f"{name}_*.png"))
        if not found:
            raise Missing(f"the run logged no figures/{name}")
        pictures.append(Image.open(found[-1]).convert("RGB"))
    scaled = [image.resize((MEDIA_WIDTH, round(image.height * MEDIA_WIDTH / image.width))) for image in pictures]
    columns = (scaled[:2], scaled[2:])
    height = max(sum(image.height + 40 for image in column) for column in columns)
    sheet = Image.new("RGB", (2 * MEDIA_WIDTH, height), style.PAPER)
    for left, column, names in ((0, columns[0], MEDIA[:2]), (MEDIA_WIDTH, columns[1], MEDIA[2:])):
        top = 0
        for image, name in zip(column, names, strict=True):
            sheet.paste(heading(f"figures/{name}"), (left, top))
            sheet.paste(image, (left, top + 40))
            top += image.height + 40
    return small(as_png(sheet))


def heading(text: str) -> Any:
    """A line of text as a picture, MEDIA_WIDTH × 40 pixels."""
    from PIL import Image

    sheet = Sheet(MEDIA_WIDTH, 40)
    sheet.text(14, 22, text, 16, fontweight="bold")
    return Image.open(io.BytesIO(style.png(sheet.figure))).convert("RGB").resize((MEDIA_WIDTH, 40))


def as_png(image: Any) -> bytes:
    """A picture of Pillow as PNG."""
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
