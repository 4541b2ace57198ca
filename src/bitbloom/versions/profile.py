"""`bitbloom accept-data`: the accepted profile of a target's data, `expectations/profiles/<target>.json`, for review in git."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import SPLITS
from bitbloom.validation.profile import profile_path
from bitbloom.validation.profiling import profile
from bitbloom.versions import data

if TYPE_CHECKING:
    import pandas as pd

CENTROID_DIGITS = 3
"""Significant digits of a component: enough for a distance of centroids, and few enough for a file that git keeps."""
_LIST = re.compile(r'\[\n[^\[\]{}"]*\]')
"""A list of numbers over several lines. A JSON string holds no line break, so no string matches."""


@dataclass(frozen=True)
class Accepted:
    """A written profile, the file, whether its content is new, and why it has no centroids; empty if it has them."""

    content: dict[str, Any]
    path: Path
    changed: bool
    missing: str


def accept(target: str) -> Accepted:
    """Write the profile of the data in the working tree. Raises BitBloomError if there are none."""
    import pandas as pd

    version = data.of_working_tree(target)
    manifest = pd.read_parquet(Path("data/raw") / target / "manifest.parquet")
    centroids, missing = _centroids(target, manifest)
    content = {**profile(manifest), "target": target, "splits": _splits(version), "centroids": centroids}
    path, new = profile_path(target), text(content)
    changed = not path.exists() or path.read_text(encoding="utf-8") != new
    canonical.write_text(path, new)
    return Accepted(content, path, changed, missing)


def text(content: dict[str, Any]) -> str:
    """Return a profile as canonical JSON, each centroid on one line: a change of one class is one line of a diff."""
    return _LIST.sub(lambda found: f"[{' '.join(found[0][1:-1].split())}]", canonical.json_text(content))


def _splits(version: data.Version) -> dict[str, int] | None:
    """Return the number of samples of each split."""
    counts = Counter(one.split for one in version.samples if one.split)
    return {split: counts[split] for split in SPLITS} if counts else None


def _centroids(target: str, manifest: pd.DataFrame) -> tuple[dict[str, list[float]] | None, str]:
    """Return the mean embedding of each label in the validation split, by the exported model; or None, and the reason."""
    from bitbloom.drift.observations import REFERENCE, Observations

    file = Path("models") / target / REFERENCE
    if not file.exists():
        return None, f"{file} is missing: `make export TARGET={target}` writes the embeddings"
    try:
        reference = Observations.read([file])
        embeddings, rows = reference.embeddings, np.flatnonzero(reference.embedded)
    except BitBloomError as error:
        return None, str(error)
    if embeddings is None or not len(rows):
        return None, f"{file} has no embeddings: the model of {target} gives none"
    known = dict(zip(manifest["id"].astype(str), manifest["label"].astype(str), strict=True))
    labels = np.array([known.get(str(reference.ids[row]), "") for row in rows])
    if not (labels != "").any():
        return None, f"{file} is of other data: `make export TARGET={target}` renews it"
    means = {label: embeddings[labels == label].astype(np.float64).mean(0) for label in sorted(set(labels) - {""})}
    return {label: [float(f"{value:.{CENTROID_DIGITS}g}") for value in mean] for label, mean in means.items()}, ""
