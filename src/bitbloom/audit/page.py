"""The page of an audit: one self-contained HTML file, with equal bytes for equal inputs."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import imaging
from bitbloom.experiments.page import address, environment

if TYPE_CHECKING:
    from bitbloom.audit.table import Finding

SHOWN, CONFUSIONS, SIDE = 60, 10, 144
"""Samples with their content, pairs of labels in the table, and the side of a picture in pixels."""

WEAK = 0.75
"""Agreement with fewer labels has a warning."""


@dataclass(frozen=True)
class Shown:
    """The content of a sample: a picture as an address, a text, or both."""

    picture: str = ""
    text: str = ""


@dataclass(frozen=True)
class Audit:
    """What the page shows.

    Attributes:
        target: its name.
        method: how the samples are ranked, one sentence.
        unit: what is ranked: samples, or pairs of a photo and a caption.
        ranked: number of all ranked samples.
        listed: the findings of the CSV, the most suspicious first.
        wrong: estimated number of wrong labels; None for pairs.
        agreement: fraction of the labels that models which have not seen them predict; None for pairs.
        contradictions: groups of samples with one content and several labels.
        csv: path of the CSV.
    """

    target: str
    method: str
    unit: str
    ranked: int
    listed: Sequence[Finding]
    wrong: int | None
    agreement: float | None
    csv: str
    contradictions: Sequence[Sequence[tuple[str, str]]] = field(default_factory=tuple)

    @property
    def weak(self) -> bool:
        """Whether the models predict too few labels for a ranking that means something."""
        return self.agreement is not None and self.agreement < WEAK

    @property
    def confusions(self) -> list[tuple[str, str, int]]:
        """Pairs of given and suggested label among the listed samples with their number, the most frequent first."""
        counts = Counter((each.label, each.suggested) for each in self.listed)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [(label, suggested, count) for (label, suggested), count in ordered[:CONFUSIONS]]


def render(audit: Audit, show: Callable[[str], Shown]) -> str:
    """Return the page; `show` gives the content of a sample by its id. All names and texts are escaped."""
    cards = [(each, show(each.id)) for each in audit.listed[:SHOWN]]
    groups = [(group, show(group[0][0])) for group in audit.contradictions[:SHOWN]]
    template = environment(Path(__file__).parent / "templates").get_template("label-errors.html.j2")
    return template.render(audit=audit, cards=cards, groups=groups)


def picture(file: Path) -> Shown:
    """The centre square of an image file as a JPEG."""
    try:
        square = imaging.square(file.read_bytes(), SIDE)
    except UnreadableImage:
        return Shown(text="cannot be decoded")
    stream = io.BytesIO()
    Image.fromarray(square.transpose(1, 2, 0)).save(stream, "JPEG", quality=82)
    return Shown(picture=address(stream.getvalue(), "image/jpeg"))
