"""The page of a comparison: one self-contained HTML file, with equal bytes for equal inputs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import imaging
from bitbloom.data.dataset import Dataset
from bitbloom.drift.comparison import Comparison, distances, drifted_most
from bitbloom.drift.observations import IMAGE, Observations
from bitbloom.experiments.page import address, environment
from bitbloom.monitoring.drift import words

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN, NEAREST, SIDE = 8, 3, 112
"""Samples that drifted most, their nearest known samples, and the side of a picture in pixels."""


@dataclass(frozen=True)
class Shown:
    """A sample: its name, its label, and a picture as an address or a text."""

    name: str
    label: str
    picture: str = ""
    text: str = ""


def write(file: Path, target: str, source: str, found: Comparison, reference: Observations, current: Observations) -> str:
    """Return the page; `source` names what was compared. The processed data of the target shows the nearest known samples."""
    known = Dataset.open(file) if file.is_dir() else None
    template = environment(Path(__file__).parent / "templates").get_template("drift.html.j2")
    return template.render(
        target=target,
        source=source,
        found=found,
        verdict=words.verdict(found),
        changes=words.changes(found, reference, current),
        pairs=pairs(known, reference, current),
        meanings=words.MEANINGS,
    )


def pairs(known: Dataset | None, reference: Observations, current: Observations) -> list[tuple[Shown, list[Shown]]]:
    """The samples that drifted most with their content, each with the nearest known samples."""
    first, contents = reference.embeddings, current.texts("content")
    rows = [at for at in drifted_most(reference, current, SHOWN).tolist() if contents[at] is not None]
    near: list[list[int]] = [[] for _ in rows]
    if rows and known is not None and first is not None and current.embeddings is not None:
        place = np.cumsum(current.embedded) - 1
        far = distances(current.embeddings[place[rows]], first)
        embedded = np.flatnonzero(reference.embedded)
        near = [embedded[order[:NEAREST]].tolist() for order in np.argsort(far, axis=1, kind="stable")]
    kind = current.kind
    return [
        (_current(kind, current, at), [_known(kind, known, reference, other) for other in others])
        for at, others in zip(rows, near, strict=True)
    ]


def _current(kind: str, rows: Observations, at: int) -> Shown:
    content, name, label = rows.texts("content")[at], str(rows.ids[at] or ""), str(rows.labels[at] or "")
    if kind != IMAGE:
        return Shown(name, label, text=content.decode("utf-8", "replace"))
    try:
        return Shown(name, label, picture=picture(imaging.square(content, SIDE)))
    except UnreadableImage:
        return Shown(name, label, text="cannot be decoded")


def _known(kind: str, known: Dataset | None, reference: Observations, at: int) -> Shown:
    assert known is not None
    name = str(reference.ids[at])
    position = next(iter(np.flatnonzero((known.samples["id"] == name).to_numpy())), -1)
    label = str(reference.truth[at] or "")
    if position < 0:
        return Shown(name, label, text="is not in the processed data")
    if kind != IMAGE:
        return Shown(name, label, text=str(known.samples["text"].iloc[position]))
    return Shown(name, label, picture=picture(np.asarray(known.arrays["images"][position])))


def picture(square: NDArray[Any]) -> str:
    """A square uint8 [3, s, s] as the address of a JPEG."""
    photo = Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0))).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=82)
    return address(stream.getvalue(), "image/jpeg")
