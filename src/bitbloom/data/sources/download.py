"""Source `download`: photos in class folders of a published archive with a known SHA-256."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from bitbloom.core.errors import BitBloomError
from bitbloom.data.archives import extract
from bitbloom.data.sources.folder import collect
from bitbloom.data.verified_file import DOWNLOADS, PublishedFile, obtain

if TYPE_CHECKING:
    from bitbloom.data.sources import SourceFile


@dataclass
class Config:
    """The `source` section: an archive (tar, tar.gz, tar.bz2, tar.xz or zip)."""

    kind: str = "download"
    url: str = MISSING
    bytes: int = MISSING
    """Expected size; a different size is rejected before the download."""
    sha256: str = MISSING
    folder: str = ""
    """The folder of the class folders in the archive; wrapper folders are skipped without it."""
    splits: str = "computed"
    """computed, given or none, as in the source `folder`."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Obtain and unpack the archive, and copy its images below `destination` like the source `folder`.

    Raises:
        BitBloomError: the archive is not available, has another digest, or is unsafe; or see `folder.fetch`.
    """
    archive = obtain(PublishedFile(config.url, config.bytes, config.sha256))
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack.", dir=DOWNLOADS) as temporary:
        unpacked = Path(temporary) / "archive"
        extract(archive, unpacked)
        classes = unpacked / config.folder
        if unpacked.resolve() not in (classes.resolve(), *classes.resolve().parents) or not classes.is_dir():
            raise BitBloomError(f"{archive}: it has no folder '{config.folder}' (source.folder)")
        return collect(classes, destination, config.splits)
