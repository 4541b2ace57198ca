"""Comparison of a repository of the hub with the digests of this checkout.

bitbloom hub check org/name@0123456789012345678901234567890123456789
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bitbloom.core.digests import file_digest, listing_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.hub import client, files
from bitbloom.hub.push import MADE_BY_HUB
from bitbloom.pipeline import claim, composition

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MISSING, SURPLUS = "missing", "not expected"
SHOWN_DIGITS = 16


@dataclass(frozen=True)
class Row:
    """A file or a folder of a comparison: its expected and its found digest, or a word in place of one."""

    path: str
    expected: str
    found: str

    @property
    def same(self) -> bool:
        """Whether both are equal."""
        return self.expected == self.found


def check(name: str, target: str | None = None) -> list[Row]:
    """Download a commit of a repository, `org/name@commit`, and compare every file with the digests of this checkout.

    Without `target`, it is the one whose digests are in the repository. Attestations are not compared: their signatures are the
    proof, which `bitbloom check-attestation` verifies.

    Raises:
        BitBloomError: the name has no commit, the target is unknown or has no digests, or the hub cannot be reached.
    """
    repository, commit = client.require_revision(name)
    api = client.connect()
    with client.errors(name):
        listed = [path for path in api.list_repo_files(repository, revision=commit) if path not in MADE_BY_HUB]
    chosen = target or named_target(listed)
    compared = sorted(path for path in listed if not path.startswith(f"{files.ATTESTATIONS}/"))
    with tempfile.TemporaryDirectory() as folder:
        return compare(chosen, download(api, repository, commit, compared, Path(folder)))


def download(api: HfApi, repository: str, commit: str, paths: Sequence[str], folder: Path) -> dict[str, Path]:
    """Download files of a commit into a folder, past any cache. Returns the file of each path. Raises BitBloomError."""
    outside = [path for path in paths if path.startswith("/") or {"", ".", ".."} & set(path.split("/"))]
    if outside:
        raise BitBloomError(f"refused: {repository} lists the path '{outside[0]}', which leaves the folder of the download")
    with client.errors(repository):
        return {
            path: Path(api.hf_hub_download(repository, path, revision=commit, local_dir=folder))
            for path in track(paths, f"download {repository}")
        }


def named_target(listed: Sequence[str]) -> str:
    """Return the target of a repository by its `digests/<target>.json`. Raises BitBloomError unless there is one of a target."""
    found = [Path(path).stem for path in listed if Path(path).parent == Path("digests") and path.endswith(".json")]
    if len(found) != 1 or found[0] not in composition.targets():
        raise BitBloomError(
            f"the repository has digests of {', '.join(found) or 'no target'}: name a target of this checkout (--target petals)"
        )
    return found[0]


def compare(target: str, here: Mapping[str, Path]) -> list[Row]:
    """Return a row for every expected and every found file, sorted.

    `here` has the downloaded file of every path in the repository.
    """
    wanted = files.claimed(target, files.expected(target))
    committed = {f"digests/{target}.json": claim.path(target)} | {name: Path(name) for name in files.TERMS}
    wanted |= {name: file_digest(path) for name, path in committed.items()}
    rows = [Row(path, digest, _found(target, path, here)) for path, digest in wanted.items()]
    surplus = [path for path in here if path not in wanted and path.split("/")[0] not in wanted]
    return sorted([*rows, *(Row(path, SURPLUS, file_digest(here[path])) for path in surplus)], key=lambda row: row.path)


def _found(target: str, path: str, here: Mapping[str, Path]) -> str:
    """Return the digest of a file or a folder of the repository, MISSING without one."""
    if path == files.CARD and path in here:
        return _card_digest(target, here[path].read_bytes())
    if path in here:
        return file_digest(here[path])
    inside = {name.removeprefix(f"{path}/"): file_digest(file) for name, file in here.items() if name.startswith(f"{path}/")}
    return listing_digest(inside) if inside else MISSING


def _card_digest(target: str, readme: bytes) -> str:
    """Return the digest of the card without its last section, which has to be the one that a push adds; else of the whole."""
    card, rest = files.split_card(readme)
    stated = files.STATED_COMMIT.search(rest)
    as_pushed = stated is not None and rest == files.section(target, stated[1])
    return files.of_bytes(files.CARD, card if as_pushed else readme).sha256


def show(name: str, rows: Sequence[Row]) -> None:
    """Print the table and the verdict. Raises BitBloomError that names the first different file."""
    table = Table("file", "expected", "found", "same", title=name)
    for row in rows:
        table.add_row(row.path, row.expected[:SHOWN_DIGITS], row.found[:SHOWN_DIGITS], "yes" if row.same else "[red]NO[/red]")
    Console(width=None if Console().is_terminal else 120, highlight=False).print(table)
    different = [row.path for row in rows if not row.same]
    if different:
        raise BitBloomError(f"{name}: {len(different)} of {len(rows)} files differ, the first is {different[0]}")
    print(f"{name}: all {len(rows)} files are as the digests say")
