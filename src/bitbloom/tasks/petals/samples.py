"""Samples of `petals`: photos in folders, each labelled by its folder.

Arrays: `images` uint8 [N, 3, S, S] RGB, `labels` int64 [N] (positions in `meta["classes"]`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.data import imaging, photo_facts, scratch
from bitbloom.data.look_alikes import look_alikes

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.config.sections.prepare import Prepare
    from bitbloom.data.dataset import Arrays

EXAMPLE = "photo.jpg"
KEPT = ()
READ = ("perceptual_hash",)

near_duplicates = look_alikes


def describe(data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
    """Return size, mode, light, sharpness and other facts of a photo, its key and its perceptual hash."""
    return photo_facts.describe(data)


def pack(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
    """Decode and crop every photo; index the labels in sorted order."""
    classes = sorted(set(rows["label"]))
    numbers = {name: number for number, name in enumerate(classes)}
    images = scratch.empty((len(raw), 3, prepare.image_size, prepare.image_size), np.uint8)
    for position, data in enumerate(raw):
        images[position] = imaging.square(data, prepare.image_size)
    labels = np.fromiter((numbers[label] for label in rows["label"]), np.int64, len(rows))
    return {"images": images, "labels": labels}, {"classes": classes, "image_size": prepare.image_size}
