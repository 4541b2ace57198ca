"""How well scores tell inputs of no known class from test samples: the AUROC of each, as the table of docs/robustness.md.

    python benchmarks/unknown.py petals petals-folder --photos captions.tar     # a folder or a tar; else synthetic photos
    python benchmarks/unknown.py petals-folder --photos captions.tar --least 0.9

Needs trained targets (`make train TARGET=`). With --least, the exit code is 1 when the AUROC of `neighbours`, the score of the
service, is smaller for one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import page_tables
from bitbloom.core import checkout
from bitbloom.monitoring.robustness import strangers, unknown
from bitbloom.monitoring.robustness.subject import load, spread
from bitbloom.numerics import pins

SCORES = {
    "max softmax": "largest probability",
    "energy": "energy",
    "mahalanobis": "Mahalanobis",
    "neighbours": "neighbours",
}


@contextlib.contextmanager
def opened(photos: Path | None) -> Iterator[Path | None]:
    """A folder with photos of a folder or a tar, evenly chosen from a tar; None for synthetic ones."""
    if photos is None or photos.is_dir():
        yield photos
        return
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(photos) as archive:
        names = sorted(one.name for one in archive.getmembers() if one.name.endswith(".jpg"))
        for at in spread(np.arange(len(names)), strangers.COUNT).tolist():
            stream = archive.extractfile(names[at])
            assert stream is not None
            Path(temporary, f"{at:06}.jpg").write_bytes(stream.read())
        yield Path(temporary)


def measured(target: str, photos: Path | None) -> tuple[dict[str, float], str]:
    """The AUROC of each score for a target, and what the unknown inputs are. Texts are always synthetic."""
    subject = load(target)
    source = None if subject.kind == "text" else photos
    others = strangers.of(subject, source)
    found = unknown.compare(subject, others)
    kind = "texts" if subject.kind == "text" else "photos"
    described = f"{len(others.samples)} {kind}" if source else f"{len(others.samples)} synthetic {kind}"
    return {name: score.auroc for name, score in found.items()}, described


def main() -> None:
    """Measure, print the table, and exit with the targets whose score is too small."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--photos", type=Path, help="photos of no known class: a folder or a tar")
    parser.add_argument("--least", type=float, default=0.0, help="the AUROC of the service's score, at least")
    arguments = parser.parse_args()
    pins.pin_torch()
    lines, wrong = [], []
    with opened(arguments.photos) as photos:
        for target in arguments.targets:
            aurocs, described = measured(target, photos)
            cells = [f"{aurocs[name]:.3f}" if name in aurocs else "–" for name in SCORES]
            lines.append([f"`{target}`", described, *cells])
            wrong += [target] if aurocs["neighbours"] < arguments.least else []
    print(page_tables.table(["target", "unknown inputs", *SCORES.values()], lines))
    if wrong:
        sys.exit(f"error: the score of the service is below {arguments.least} for {', '.join(wrong)}")


if __name__ == "__main__":
    checkout.require()
    main()
