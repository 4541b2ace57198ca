"""The architecture: what a commit goes through, with the stages and their order from the generated graph."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from canvas import Sheet

from bitbloom.evaluation.report import style

FILES = ("overview.png",)
WIDTH, HEIGHT = 1240, 680
BOX_WIDTH, BOX_HEIGHT = 126, 54
TOP = 320
"""Upper edge of the row of stages."""
BAND = 150
"""Height of the frame around the stages, without theirs."""
ABOVE = {
    "ingest": "photos, tweets:\nsynthetic, own,\ndownloaded",
    "validate": "Great\nExpectations",
    "prepare": "Pillow,\nPyArrow",
    "train": "PyTorch, Kornia,\nFabric; Hydra",
    "evaluate": "report,\nmodel card",
    "export": "ONNX,\nfp32 and int8",
    "package": "Bento",
}
"""What each stage works with. A stage of the graph that is missing here fails the drawing."""
UPPER = (
    ("Developer", "conf/, code, locks,\ngit commit"),
    ("GitHub Actions", "lint, tests, verify,\ndata, model, audit"),
    ("digests/", "expected SHA-256\nof every output"),
    ("Weights & Biases", "curves, figures,\nlineage"),
)
LOWER = (
    ("DVC cache and remote", "folder or gs:// bucket"),
    ("Image", "make containerize,\nArtifact Registry"),
    ("Service", "BentoML + FastAPI:\nlocal, Cloud Run, Kubernetes"),
    ("Clients", "page, bitbloom ask,\ncurl; Prometheus"),
)


def draw(built: Path) -> dict[str, bytes]:
    """The picture. It needs no build."""
    diagram = load("diagram")
    rows, needs = diagram.stages()
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.text(30, 34, "One commit, one set of bytes", 22, fontweight="bold")
    sheet.text(30, 64, "The stages and their order are those of pipelines/petals/dvc.yaml.", 14, color=style.MUTED)
    places = stages(sheet, [row.name for row in rows], needs)
    around(sheet, places)
    return {"overview.png": sheet.png()}


def stages(sheet: Sheet, names: list[str], needs: dict[str, set[str]]) -> dict[str, float]:
    """Draw the stages in a row, with an arrow from each to those that read its output. Returns their left edges."""
    step = (WIDTH - 60 - BOX_WIDTH) / (len(names) - 1)
    places = {name: 30 + number * step for number, name in enumerate(names)}
    depth = 0
    for name, left in places.items():
        sheet.box(left, TOP, BOX_WIDTH, BOX_HEIGHT)
        sheet.text(left + BOX_WIDTH / 2, TOP + BOX_HEIGHT / 2, name, 17, ha="center", fontweight="bold")
        sheet.text(left + BOX_WIDTH / 2, TOP - 34, ABOVE[name], 13, ha="center", color=style.MUTED)
        for needed in sorted(needs[name], key=names.index):
            start = places[needed] + BOX_WIDTH
            if names.index(name) == names.index(needed) + 1:
                sheet.line([(start, TOP + BOX_HEIGHT / 2), (left, TOP + BOX_HEIGHT / 2)])
            else:
                depth += 1
                low = TOP + BOX_HEIGHT + 12 + 11 * depth
                end = left + BOX_WIDTH / 2 - 12 * depth + 12
                sheet.line([(start - 20 - 9 * depth, TOP + BOX_HEIGHT), (start - 20 - 9 * depth, low), (end, low)], arrow=False)
                sheet.line([(end, low), (end, TOP + BOX_HEIGHT)])
    return places


def around(sheet: Sheet, places: dict[str, float]) -> None:
    """Draw what is before and after the stages, and the arrows between."""
    width, height, gap = 250, 84, (WIDTH - 60 - 4 * 250) / 3
    upper, lower = 100, HEIGHT - 116
    for row, top, face in ((UPPER, upper, "#eef3fa"), (LOWER, lower, "#ecf6f1")):
        edge = style.SKY if row is UPPER else style.LEAF
        for number, (name, words) in enumerate(row):
            left = 30 + number * (width + gap)
            sheet.box(left, top, width, height, facecolor=face, edgecolor=edge)
            sheet.text(left + width / 2, top + 20, name, 16, ha="center", fontweight="bold")
            sheet.text(left + width / 2, top + 56, words, 13, ha="center", color=style.MUTED)
    for number in range(3):
        start = 30 + number * (width + gap) + width
        if number < 2:
            sheet.line([(start, upper + height / 2), (start + gap, upper + height / 2)])
        if number > 0:
            sheet.line([(start, lower + height / 2), (start + gap, lower + height / 2)])
    band = TOP - 80
    sheet.box(18, band, WIDTH - 36, BOX_HEIGHT + BAND, facecolor="none", edgecolor=style.GRID)
    sheet.text(30, band + BOX_HEIGHT + BAND - 18, "make all: DVC runs a stage when an input changed", 13, color=style.MUTED)
    first = 30 + width / 2
    bottom = band + BOX_HEIGHT + BAND
    sheet.line([(first, upper + height), (first, band)])
    for number in (2, 3):
        middle = first + number * (width + gap)
        sheet.line([(middle, band), (middle, upper + height)])
    sheet.line([(first, bottom), (first, lower)])
    sheet.line([(first + 40, lower), (first + 40, bottom)])
    package = places["package"] + BOX_WIDTH / 2
    image = first + width + gap
    sheet.line([(package, TOP + BOX_HEIGHT), (package, bottom + 30), (image, bottom + 30), (image, lower)])


def load(name: str) -> ModuleType:
    """A program of scripts/ as a module."""
    found = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / f"{name}.py")
    if found is None or found.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
