"""A synthetic manifest of photos in the format of `ingest`."""

import hashlib

import numpy as np
import pandas as pd

LABELS = ["daisy", "rose", "tulip"]
QUALITY = ("shadows", "highlights", "variety", "saturation", "sharpness", "noise", "margin")
"""Columns with measures of a photo's quality."""


def manifest(labels: list[str] = LABELS, each: int = 12) -> pd.DataFrame:
    """Return a manifest that passes all expectations of `petals`: `each` rows per label, sorted by id."""
    generator = np.random.default_rng(7)
    rows = []
    for label in labels:
        for number in range(each):
            path = f"{label}/{number:03}.jpg"
            digest = hashlib.sha256(path.encode()).hexdigest()
            rows.append(
                {
                    "id": path,
                    "path": path,
                    "label": label,
                    "attributes": "{}",
                    "source": "garden",
                    "bytes": 3000 + number,
                    "sha256": digest,
                    "width": 96,
                    "height": 72,
                    "mode": "RGB",
                    "aspect": 96 / 72,
                    "brightness": float(generator.uniform(0.3, 0.7)),
                    "contrast": float(generator.uniform(0.1, 0.3)),
                    "decodable": True,
                    "error": None,
                    "key": hashlib.sha256(digest.encode()).hexdigest(),
                    "perceptual_hash": digest[:16],
                    "format": "JPEG",
                    "orientation": 1,
                    "complete": True,
                    "shadows": 0.1,
                    "highlights": 0.9,
                    "variety": 0.9,
                    "saturation": 0.2,
                    "sharpness": 1.2,
                    "noise": 0.01,
                    "margin": 0.0,
                    "thumbnail": digest,
                }
            )
    return pd.DataFrame(rows)
