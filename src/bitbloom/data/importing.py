"""Import of the user's own data (`PHOTOS=`, `TWEETS=`, `CAPTIONS=`) to `data/external/<target>/`.

After the import, every command reads that folder. The import is atomic. A new import replaces only data of an *earlier
import*: a folder that was filled or changed by hand is never overwritten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core.canonical import read_json, replacing_folder, write_json
from bitbloom.core.digests import file_digest, folder_files, listing_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data.archives import extract, is_archive

if TYPE_CHECKING:
    from bitbloom.data.sources import OwnDataSource


def import_data(source: Path, destination: Path, kind: OwnDataSource, **options: Any) -> dict[str, Any]:
    """Copy the data of a folder, file, tar or zip that a kind of source needs to `destination`.

    The options are those of `collect` of that kind.

    Returns:
        `changed` (bool), `digest` of the listing, `files` (count), and the changes to the previous content: `added`,
        `removed` and `modified` (counts).

    Raises:
        BitBloomError: the source is missing or has the wrong form, or `destination` holds data of another origin.
    """
    if source.parts[:1] == ("~",) and not source.exists():  # not every shell expands it in PHOTOS=~/photos
        source = Path.home().joinpath(*source.parts[1:])
    _check(source, destination, kind)
    before = _listing(destination)
    record = _record(destination)
    known = record.get("digest") == listing_digest(before)
    archive = file_digest(source) if source.is_file() else None
    again = known and archive and record.get("archive") == archive and record.get("options", {}) == options
    if source.resolve() == destination.resolve() or again:
        return _summary(before, before)
    with replacing_folder(destination) as staged:
        with _opened(source, destination.parent) as given:
            kind.collect(given, staged, **options)
        after = _listing(staged)
        if before and after != before and not known:
            raise BitBloomError(
                f"{destination} holds other data that no import put there ({len(before):,} files): "
                "move it away, or remove it, and import again"
            )
    write_json(_record_path(destination), {"archive": archive, "digest": listing_digest(after), "options": options})
    return _summary(before, after)


def _check(source: Path, destination: Path, kind: OwnDataSource) -> None:
    if not source.exists():
        variable = kind.GIVEN.partition("=")[0]
        raise BitBloomError(f"{source}: there is no such file or folder; {variable}= takes {kind.TAKES}")
    inside = source.resolve() in destination.resolve().parents or destination.resolve() in source.resolve().parents
    if inside:
        raise BitBloomError(f"{source} and {destination} lie inside each other: give a folder elsewhere")


@contextmanager
def _opened(source: Path, scratch: Path) -> Iterator[Path]:
    """Yield the source; an archive is unpacked next to the destination and removed afterwards."""
    if source.is_dir() or not is_archive(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix=".import.", dir=scratch) as temporary:
        folder = Path(temporary) / source.stem
        extract(source, folder)
        try:
            yield folder
        except BitBloomError as error:  # the folder is gone when the message is read
            raise BitBloomError(str(error).replace(str(folder), str(source))) from error


def _listing(folder: Path) -> dict[str, str]:
    """Return POSIX path → SHA-256 of every file; empty if there is no folder."""
    return {name: file_digest(path) for name, path in folder_files(folder).items()} if folder.is_dir() else {}


def _record_path(destination: Path) -> Path:
    """Return the record file of an import: hidden, next to the folder, ignored by git."""
    return destination.with_name(f".{destination.name}.import.json")


def _record(destination: Path) -> dict[str, Any]:
    path = _record_path(destination)
    record: dict[str, Any] = read_json(path) if path.is_file() else {}
    return record


def _summary(before: dict[str, str], after: dict[str, str]) -> dict[str, Any]:
    return {
        "changed": before != after,
        "digest": listing_digest(after),
        "files": len(after),
        "added": len(after.keys() - before.keys()),
        "removed": len(before.keys() - after.keys()),
        "modified": sum(before[name] != after[name] for name in before.keys() & after.keys()),
    }
