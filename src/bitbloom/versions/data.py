"""A version of a target's data: the samples, and their files. One is that of the working tree, others are those of git revisions.

The data of a revision are what its `pipelines/<target>/dvc.lock` names. DVC reads them from its cache, or from the remote.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from bitbloom.config.target import params_path
from bitbloom.core import git
from bitbloom.core.errors import BitBloomError
from bitbloom.data import splits
from bitbloom.data.dataset import SPLITS
from bitbloom.data.texts import joined
from bitbloom.pipeline import graph
from bitbloom.versions.diff import Sample

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("id", "path", "label", "sha256", "key", "text", "keyword", "location", "captions", "attributes", "decodable")
"""Columns of a manifest that a version reads, as far as the task has them."""
WORKING_TREE = "the working tree"
SHORT = 10
"""Digits of a commit that is named by its whole hash."""


@dataclass(frozen=True)
class Version:
    """The data of a target at one time.

    Attributes:
        name: of the revision, or WORKING_TREE.
        samples: all rows of the manifest.
        read: path relative to the raw data → the bytes of the file. Raises OSError or BitBloomError if there is none.
        photos: whether the files of samples are photos.
        notes: what could not be read, in sentences.
    """

    name: str
    samples: Sequence[Sample]
    read: Callable[[str], bytes]
    photos: bool
    notes: Sequence[str] = ()


def of_working_tree(target: str) -> Version:
    """Return the data in `data/`. Raises BitBloomError if there are none."""
    raw = Path("data/raw") / target

    def read(path: str) -> bytes:
        return (Path() / path).read_bytes()

    if not (raw / "manifest.parquet").exists():
        raise BitBloomError(f"{raw}/manifest.parquet is missing: run `make data TARGET={target}` first")
    percents = _percents(params_path(target).read_bytes() if params_path(target).exists() else None)
    return _version(target, WORKING_TREE, read, percents)


def of_revision(target: str, revision: str) -> Version:
    """Return the data that a git revision names.

    Raises:
        BitBloomError: there is no such revision, it was not built, or its data are neither in the cache nor in the remote.
    """
    commit = git.merge_base(revision, revision)  # of a revision with itself: its commit
    if not commit:
        raise BitBloomError(f"git has no revision '{revision}': name a commit, a branch or a tag (`git log --oneline`)")
    name = revision[:SHORT] if revision == commit else revision
    _require_built(target, name, git.show(commit, graph.lock(target)))
    read = _reader(target, name, commit)
    return _version(target, name, read, _percents(git.show(commit, params_path(target))))


def _require_built(target: str, revision: str, lock: bytes | None) -> None:
    """Raise BitBloomError unless the `dvc.lock` of a revision names the raw data."""
    recorded = (yaml.safe_load(lock) or {}).get("stages", {}) if lock else {}
    if "ingest" not in recorded:
        raise BitBloomError(
            f"revision {revision} has no data of {target}: its {graph.lock(target)} "
            f"{'has no stage ingest' if lock else 'does not exist'}. Name a revision that commits this file after a build "
            f"(`git log --oneline -- {graph.lock(target)}`)"
        )


def _reader(target: str, revision: str, commit: str) -> Callable[[str], bytes]:
    """Return a function that reads files of a revision with DVC, by the cache and the remotes that are configured today."""
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo

    with Repo(".") as here:
        configured = {name: dict(here.config[name]) for name in ("core", "cache", "remote") if name in here.config}
    files = DVCFileSystem(".", rev=commit, config=configured)

    def read(path: str) -> bytes:
        try:
            content: bytes = files.read_bytes(path)
        except Exception as error:  # DVC wraps errors of every kind of remote
            raise BitBloomError(
                f"the data of {target} at revision {revision} are not here: {path} is neither in DVC's cache nor in the remote "
                f"({str(error) or type(error).__name__}). Run `dvc fetch` with a remote that has them, or build that revision "
                f"in a clone with this cache (`dvc cache dir`)"
            ) from error
        return content

    return read


def _version(target: str, name: str, read: Callable[[str], bytes], percents: Sequence[int] | None) -> Version:
    """Read manifest and splits with `read`, whose paths are relative to the workspace."""
    import pyarrow.parquet as pq

    raw = f"data/raw/{target}"
    file = pq.ParquetFile(io.BytesIO(read(f"{raw}/manifest.parquet")))
    manifest: pd.DataFrame = file.read(columns=[column for column in COLUMNS if column in file.schema_arrow.names]).to_pandas()
    prepared, notes = _prepared(target, name, read)
    assigned = [
        prepared.get((str(one), str(key)), law)
        for one, key, law in zip(manifest["id"], manifest["key"], by_law(manifest, percents), strict=True)
    ]
    return Version(
        name, samples(manifest, assigned), lambda path: read(f"{raw}/{path}"), "width" in file.schema_arrow.names, notes
    )


def _prepared(target: str, name: str, read: Callable[[str], bytes]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Return the splits that `prepare` wrote, by id and key, or a note that they follow from `prepare.split`.

    A sample whose content changed since has another key, and so no split here.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(io.BytesIO(read(f"data/processed/{target}/samples.parquet")), columns=["id", "key", "split"])
    except (BitBloomError, OSError):
        return {}, [f"The prepared samples of {name} are not here: its splits follow from keys and prepare.split."]
    names = zip(table["id"].astype(str), table["key"].astype(str), strict=True)
    return dict(zip(names, table["split"].astype(str), strict=True)), []


def by_law(manifest: pd.DataFrame, percents: Sequence[int] | None) -> list[str]:
    """Return the split of each row as `prepare` assigns it; empty for rows that it leaves out, and without percentages."""
    found = [""] * len(manifest)
    if percents is None:
        return found
    rows = [row for row, decodable in enumerate(manifest["decodable"]) if decodable is True or decodable == 1]
    keys = [str(manifest["key"].iloc[row]) for row in rows]
    given = [str(json.loads(manifest["attributes"].iloc[row]).get("split", "")) for row in rows]
    known = [split if split in SPLITS else "" for split in given]
    for row, split in zip(rows, splits.with_given(keys, known, percents), strict=True):
        found[row] = split
    return found


def samples(manifest: pd.DataFrame, assigned: Sequence[str]) -> list[Sample]:
    """Return the rows of a manifest as samples, with their splits."""
    empty = [""] * len(manifest)
    texts = {name: [_text(value) for value in manifest[name]] if name in manifest else empty for name in COLUMNS}
    return [
        Sample(
            id=texts["id"][row],
            sha256=texts["sha256"][row],
            key=texts["key"][row],
            label=texts["label"][row],
            split=assigned[row],
            path=texts["path"][row],
            text=joined(texts["text"][row], texts["keyword"][row], texts["location"][row]),
            sentences=tuple(json.loads(texts["captions"][row] or "[]")),
        )
        for row in range(len(manifest))
    ]


def _text(value: object) -> str:
    """Return a cell as text; empty for a missing one."""
    return value if isinstance(value, str) else ""


def _percents(text: bytes | None) -> list[int] | None:
    """Return `prepare.split` of a composed configuration, if there is one."""
    tree = yaml.safe_load(text) if text else None
    found = ((tree or {}).get("prepare") or {}).get("split")
    return list(found) if found else None
