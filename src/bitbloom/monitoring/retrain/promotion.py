"""Which Bento of a target serves: a record of promotions and rollbacks by digest, and the archives of all promoted Bentos.

promotions/<target>/record.json        every change, the last one counts; made to be committed
promotions/<target>/<version>.bento    the archives, which git ignores
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.serving import archive, bento, settings, store

FOLDER = Path("promotions")
RECORD = "record.json"
FEWEST_DIGITS = 8


@dataclass(frozen=True)
class Identity:
    """A Bento: its tag, its digest, and the digests of its model and of its processed data."""

    tag: str
    bento: str
    model: str
    data: str


@dataclass(frozen=True)
class Entry:
    """A change of what serves.

    Attributes:
        action: promote, rollback, or initial for what served before the first promotion.
        at: seconds since 1970.
        serving: the Bento that serves from then on.
        previous: the one that served before.
        reason: the comparison and the data of a promotion.
    """

    action: str
    at: int
    serving: Identity
    previous: Identity | None = None
    reason: dict[str, Any] = field(default_factory=dict)


def identity(path: Path) -> Identity:
    """Identify the Bento of an archive by the files in it. Raises BitBloomError when it is missing or is none."""
    if not path.is_file():
        raise BitBloomError(f"{path} is missing: build it with `make package`")
    try:
        with tempfile.TemporaryDirectory() as folder:
            archive.unpack(path, Path(folder))
            facts = canonical.read_json(Path(folder) / "src" / settings.PROVENANCE)
            whole = bento.digest(Path(folder))
    except (tarfile.TarError, OSError, ValueError) as error:
        raise BitBloomError(f"{path} is not an archive of a Bento ({error}): build it again with `make package`") from error
    return Identity(f"{facts['target']}:{bento.version(whole)}", whole, facts["model_digest"], facts["data_digest"])


def history(target: str) -> list[Entry]:
    """All changes of a target, the oldest first."""
    file = FOLDER / target / RECORD
    if not file.is_file():
        return []
    try:
        return [_entry(one) for one in canonical.read_json(file)["entries"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BitBloomError(f"{file} is damaged ({error}): restore it, for instance with `git checkout {file}`") from error


def _entry(tree: dict[str, Any]) -> Entry:
    previous = tree["previous"]
    return Entry(**tree | {"serving": Identity(**tree["serving"]), "previous": Identity(**previous) if previous else None})


def archive_of(target: str, found: Identity) -> Path:
    """The path of the archive of a promoted Bento."""
    return FOLDER / target / f"{bento.version(found.bento)}.bento"


def serving(target: str) -> Path:
    """The archive of the Bento that serves: the last promoted one, else that of the build. Raises BitBloomError."""
    entries = history(target)
    path = archive_of(target, entries[-1].serving) if entries else Path("dist") / f"{target}.bento"
    if not path.is_file():
        remedy = "restore it" if entries else f"make package TARGET={target}"
        raise BitBloomError(f"{path}, the serving Bento of '{target}', is missing: {remedy}")
    return path


def promote(target: str, path: Path, reason: dict[str, Any] | None = None) -> Entry:
    """Make the Bento of an archive the serving one of a target, and install it. Returns the new entry.

    The archive of what served until now is kept, so that a rollback finds it.

    Raises:
        BitBloomError: an archive is missing or damaged, or this Bento serves already.
    """
    entries = history(target)
    chosen = identity(path)
    if not entries:
        first = serving(target)
        entries = [Entry("initial", _now(), identity(first))]
        _keep(target, entries[0].serving, first)
    if entries[-1].serving.bento == chosen.bento:
        raise BitBloomError(f"{chosen.tag} already serves '{target}'")
    _keep(target, chosen, path)
    return _record(target, entries, Entry("promote", _now(), chosen, entries[-1].serving, reason or {}))


def rollback(target: str, digest: str = "") -> Entry:
    """Make an earlier Bento the serving one again, by its digest or the beginning of it; by default the previous one.

    Raises:
        BitBloomError: nothing was promoted, no or several promoted Bentos have this digest, or the archive is missing.
    """
    entries = history(target)
    if not entries or (not digest and entries[-1].previous is None):
        raise BitBloomError(f"no Bento of '{target}' was promoted: there is nothing to roll back")
    now = entries[-1].serving
    chosen = _by_digest(entries, digest) if digest else entries[-1].previous
    assert chosen is not None
    if chosen.bento == now.bento:
        raise BitBloomError(f"{chosen.tag} already serves '{target}'")
    if identity(archive_of(target, chosen)).bento != chosen.bento:
        raise BitBloomError(f"{archive_of(target, chosen)} holds another Bento than {chosen.tag}: restore it")
    return _record(target, entries, Entry("rollback", _now(), chosen, now))


def _by_digest(entries: list[Entry], digest: str) -> Identity:
    if len(digest) < FEWEST_DIGITS:
        raise BitBloomError(f"'{digest}' is too short for a digest: give at least {FEWEST_DIGITS} digits")
    found = {entry.serving.bento: entry.serving for entry in entries if entry.serving.bento.startswith(digest)}
    if len(found) != 1:
        known = ", ".join(sorted({bento.version(entry.serving.bento) for entry in entries}))
        raise BitBloomError(f"{len(found) or 'no'} promoted Bentos have a digest that starts with {digest}; there are: {known}")
    return next(iter(found.values()))


def _keep(target: str, found: Identity, path: Path) -> None:
    """Copy an archive to the promoted ones, whole or not at all."""
    kept = archive_of(target, found)
    if kept.resolve() != path.resolve():
        with canonical.replacing(kept) as temporary:
            shutil.copyfile(path, temporary)


def _record(target: str, entries: list[Entry], entry: Entry) -> Entry:
    """Install the Bento, then write the record: a kill between the two leaves what served in the record."""
    store.install(archive_of(target, entry.serving))
    plain = [asdict(one) for one in [*entries, entry]]
    canonical.write_json(FOLDER / target / RECORD, {"target": target, "entries": plain})
    return entry


def _now() -> int:
    return int(time.time())
