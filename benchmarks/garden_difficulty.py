"""Measure the accuracy on the garden of models without shapes.

    python benchmarks/garden_difficulty.py [--images N] [--workers N] [--json FILE]

Linear models on colour histograms and on tiny thumbnails must have a low accuracy; otherwise the
`petals` task needs no vision model. Draws the pictures in memory, splits them 80/20 by index and
prints the accuracy of each baseline on the held-out fifth. The numbers are deterministic.
"""

import argparse
import io
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bitbloom.core import checkout
from bitbloom.data.sources import garden

Features = NDArray[np.float64]
Pictures = NDArray[np.uint8]  # (image, row, column, channel)


def joint_histogram(pictures: Pictures) -> Features:
    """Square root of the fraction of pixels in each of 8 x 8 x 8 boxes of RGB."""
    boxes = (pictures // 32).reshape(len(pictures), -1, 3).astype(np.int64)
    codes = boxes[..., 0] * 64 + boxes[..., 1] * 8 + boxes[..., 2]
    return _fractions(codes, 512)


def channel_histograms(pictures: Pictures) -> Features:
    """Square root of the fraction of pixels in each of 16 bins of every channel of RGB and of HSV."""
    hsv = np.stack([np.asarray(Image.fromarray(picture).convert("HSV")) for picture in pictures])
    channels = np.concatenate((pictures, hsv), axis=-1).reshape(len(pictures), -1, 6)
    return np.concatenate([_fractions(channels[..., c] // 16, 16) for c in range(6)], axis=1)


def thumbnails(pictures: Pictures) -> Features:
    """The picture itself at 16 x 16 pixels."""
    small = [Image.fromarray(p).resize((16, 16), Image.Resampling.BOX) for p in pictures]
    return np.stack([np.asarray(image, dtype=np.float64).ravel() / 255 for image in small])


def _fractions(codes: NDArray[np.integer], boxes: int) -> Features:
    counts = np.stack([np.bincount(row, minlength=boxes) for row in codes])
    return np.sqrt(counts / codes.shape[1])


BASELINES: dict[str, tuple[Callable[[Pictures], Features], float]] = {
    "joint RGB histogram": (joint_histogram, 0.70),
    "RGB and HSV histograms": (channel_histograms, 0.70),
    "16 x 16 pixels": (thumbnails, 0.60),
}  # each with its upper bound of the accuracy


def load(images: int, workers: int) -> tuple[Pictures, NDArray[np.str_]]:
    """Draw the first pictures of the garden."""
    config = garden.Config(images=images)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = list(pool.map(partial(garden.draw, config), range(images), chunksize=50))
    pictures = [np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg, _, _ in drawn]
    return np.stack(pictures), np.array([label for _, label, _ in drawn])


def accuracy(features: Features, labels: NDArray[np.str_]) -> float:
    """Accuracy on the held-out fifth of the best of several logistic regressions.

    The held-out fifth also selects the model. This favours the baseline, which is the conservative choice here.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    test, train = np.split(order, [len(labels) // 5])
    scaled = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=300)) for c in (0.01, 0.1, 1)]
    plain = [LogisticRegression(C=c, max_iter=300) for c in (0.1, 10, 100)]
    fitted = (model.fit(features[train], labels[train]) for model in (*scaled, *plain))
    return float(max(model.score(features[test], labels[test]) for model in fitted))


def measure(images: int, workers: int) -> dict[str, float]:
    """The accuracy of every baseline, including the majority class."""
    pictures, labels = load(images, workers)
    _, counts = np.unique(labels, return_counts=True)
    scores = {"majority class": float(counts.max() / len(labels))}
    for name, (features, _) in BASELINES.items():
        scores[name] = accuracy(features(pictures), labels)
    return scores


def main() -> None:
    """Measure, print a table, and fail if a baseline reaches its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=2400)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the accuracies to this file too")
    arguments = parser.parse_args()
    scores = measure(arguments.images, arguments.workers)
    table = Table("baseline", "accuracy", "must stay below", title=f"{arguments.images} pictures")
    for name, score in scores.items():
        limit = f"{BASELINES[name][1]:.2f}" if name in BASELINES else ""
        table.add_row(name, f"{score:.3f}", limit)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(scores, indent=2, sort_keys=True) + "\n")
    if any(scores[name] >= limit for name, (_, limit) in BASELINES.items()):
        raise SystemExit("A baseline reaches its bound: the garden is too easy.")


if __name__ == "__main__":
    checkout.require()
    main()
