"""Clones with a recorded build of petals-tiny, whose outputs are small files, and remotes for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bitbloom.pipeline import build, composition, graph
from bitbloom.pipeline.remote import records
from bitbloom.pipeline.remote.cache import Cache
from support.storage import BUCKET, emulator
from support.tiny import REPOSITORY

TARGET = "petals-tiny"
FILES = {f"photos/{number:02}.jpg": f"photo {number}".encode() * 50 for number in range(20)} | {"manifest.parquet": b"rows"}
"""The files of the folder that the first stage writes."""


def md5(content: bytes) -> str:
    """The name of an object."""
    return hashlib.md5(content).hexdigest()


@dataclass
class Clone:
    """A checkout with DVC's configuration and a lock; `put` are the paths that DVC was told to check out."""

    folder: Path
    put: list[str] = field(default_factory=list)

    @property
    def cache(self) -> Cache:
        """Its cache."""
        return Cache(self.folder / ".dvc/cache")

    def use(self, url: str, **options: str) -> None:
        """Make a remote its default one."""
        lines = "".join(f"    {key} = {value}\n" for key, value in {"url": url, **options}.items())
        (self.folder / ".dvc/config").write_text(
            f"[core]\n    no_scm = true\n    analytics = false\n    remote = store\n['remote \"store\"']\n{lines}"
        )

    def build(self) -> None:
        """Put the outputs of the recorded build into the cache."""
        for content in contents():
            path = self.cache.path(content[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[1])

    def record_run(self) -> Path:
        """Put the record of the first stage's run into the cache."""
        entry = YAML(typ="safe").load((self.folder / graph.lock(TARGET)).read_text())["stages"]["ingest"]
        path = self.cache.root / "runs/ab" / ("ab" + "0" * 62) / records.run_digest(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            YAML().dump(entry, stream)
        return path

    @property
    def missing(self) -> int:
        """The number of objects that its cache lacks."""
        return sum(not self.cache.has(name) for name, _ in contents())


def listing() -> bytes:
    """The object that lists the folder."""
    return json.dumps([{"md5": md5(content), "relpath": path} for path, content in sorted(FILES.items())]).encode()


def contents() -> list[tuple[str, bytes]]:
    """Name and content of every object."""
    plain = [*FILES.values(), *(path.encode() for path in written())]
    return [(f"{md5(listing())}.dir", listing()), *((md5(content), content) for content in plain)]


def written() -> list[str]:
    """The paths of the outputs that are files."""
    return ["reports/petals-tiny/validation.json"]


def lock_text() -> dict[str, object]:
    """A lock with two of the target's stages, for the present code."""
    found = {}
    for stage in graph.stages(TARGET, composition.compose(TARGET))[:2]:
        inputs = [path for path in stage.inputs if Path(path).is_file()]
        made = [path for path in stage.inputs if path.startswith("data/raw")]
        outputs = [
            {"path": path, "hash": "md5", "md5": f"{md5(listing())}.dir" if path.startswith("data") else md5(path.encode())}
            for path in stage.outputs
        ]
        found[stage.stage] = {
            "cmd": stage.as_dvc()["cmd"],
            "deps": [{"path": path, "hash": "md5", "md5": md5(Path(path).read_bytes())} for path in inputs]
            + [{"path": path, "hash": "md5", "md5": md5(b"rows")} for path in made],
            "outs": outputs,
        }
    return {"schema": "2.0", "stages": found}


def make_clone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A clone, in whose folder the test continues."""
    clone = Clone(folder)
    for name in (*build.SHARED, "params"):
        folder.mkdir(exist_ok=True)
        (folder / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(folder)
    (folder / ".dvc").mkdir()
    lock = folder / graph.lock(TARGET)
    lock.parent.mkdir(parents=True)
    with lock.open("w") as stream:
        YAML().dump(lock_text(), stream)
    monkeypatch.setattr(build, "checkout_tracked", lambda names, _environment: clone.put.extend(names))
    return clone


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A clone that built the target, with a folder as remote."""
    (tmp_path / "remote").mkdir()
    clone = make_clone(tmp_path / "built", monkeypatch)
    clone.use(str(tmp_path / "remote"))
    clone.build()
    return clone


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an emulator of Google Cloud Storage with a bucket BUCKET."""
    with emulator(tmp_path_factory.mktemp("emulator") / "log") as variables:
        yield variables["STORAGE_EMULATOR_HOST"]


@pytest.fixture(params=["folder", "bucket"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """A remote's address and options: a folder, then a bucket."""
    if request.param == "folder":
        (tmp_path / "remote").mkdir(exist_ok=True)
        return str(tmp_path / "remote"), {}
    options = {"endpointurl": request.getfixturevalue("bucket"), "allow_anonymous_login": "true"}
    return f"gs://{BUCKET}/{tmp_path.name}", options
