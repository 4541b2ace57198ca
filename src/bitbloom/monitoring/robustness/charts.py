"""Charts of the report on robustness. Every function returns a new figure that fits a window of 400 pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitbloom.evaluation.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitbloom.drift.familiar import Vectors

Photo = NDArray[np.uint8]
COLOURS = {"confidence": style.SKY, "cbpe": style.SKY, "atc": style.SUN, "doc": style.LEAF}
GAP = 4
"""Pixels between photos."""


@style.applied()
def estimates(rows: Sequence[dict[str, Any]]) -> Figure:
    """The estimated accuracy of each damage by the true one; on the diagonal an estimate is right."""
    made = style.figure(style.NARROW, 3.6, layout="constrained")
    axes = made.subplots()
    for name in rows[0]["estimated"]:
        colour = COLOURS.get(name, style.BLOOM)
        axes.scatter(
            [row["score"] for row in rows], [row["estimated"][name] for row in rows], s=16, alpha=0.75, color=colour, label=name
        )
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set_title("Estimated accuracy")
    axes.set_xlabel("accuracy by the labels")
    axes.set_ylabel("accuracy estimated without labels")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right")
    return made


@style.applied()
def histogram(known: Vectors, unknown: Vectors, threshold: float, name: str) -> Figure:
    """How often known and unknown inputs have a score, with the threshold."""
    made = style.figure(style.NARROW, 2.8, layout="constrained")
    axes = made.subplots()
    every = np.concatenate([known, unknown])
    edges = np.linspace(every.min(), every.max() + 1e-9, 31).tolist()
    for values, colour, label in ((known, style.LEAF, "test samples"), (unknown, style.BLOOM, "unknown inputs")):
        axes.hist(values, edges, weights=np.full(len(values), 1 / len(values)), color=colour, alpha=0.6, label=label)
    axes.axvline(threshold, color=style.INK, linewidth=1.2, linestyle=(0, (3, 2)), label="threshold")
    axes.set_xlabel(name)
    axes.set_ylabel("fraction")
    made.legend(loc="outside upper center", ncols=3, columnspacing=1, handlelength=1.2)
    return made


def strip(photos: Sequence[Photo]) -> bytes:
    """Photos [3, S, S] beside each other, as a WebP with transparent gaps: a fifth of a PNG."""
    side = photos[0].shape[-1]
    sheet = np.zeros((side, len(photos) * (side + GAP) - GAP, 4), np.uint8)
    for number, photo in enumerate(photos):
        left = number * (side + GAP)
        sheet[:, left : left + side, :3] = photo.transpose(1, 2, 0)
        sheet[:, left : left + side, 3] = 255
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "WEBP", quality=85)
    return stream.getvalue()
