"""Digests: the SHA-256 of a file, or of a folder's listing."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from bitbloom.core import canonical, digests
from bitbloom.pipeline import claim, composition, graph
from bitbloom.pipeline.why import known_to_dvc


@pytest.fixture
def folder(tmp_path):
    for name, text in {"b": "two", "a/c": "one", "a.txt": ""}.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "folder"


def test_digest_of_a_file_is_its_sha256(folder):
    assert digests.digest(folder / "b") == digests.file_digest(folder / "b") == hashlib.sha256(b"two").hexdigest()


def test_digest_of_a_folder_is_the_sha256_of_its_listing(folder):
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    said = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert digests.digest(folder) == said.stdout.split()[0]


def test_digest_of_a_folder_depends_on_names_and_bytes_only(folder):
    before = digests.digest(folder)
    os.utime(folder / "b", (1, 1))
    (folder / "b").chmod(0o755)
    (folder / "empty").mkdir()
    assert digests.digest(folder) == before
    (folder / "b").rename(folder / "B")
    renamed = digests.digest(folder)
    (folder / "B").write_text("twO")
    assert len({before, renamed, digests.digest(folder)}) == 3


def test_size_of_a_folder_is_the_sum_of_its_files(folder):
    assert digests.size(folder / "b") == 3
    assert digests.size(folder) == 6


def test_missing_path_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        digests.digest(tmp_path / "nothing")


def test_only_embedded_targets_have_committed_digests():
    assert claim.path("petals-tiny").as_posix() == "digests/petals-tiny.json"
    assert claim.path("petals-folder").as_posix() == ".bitbloom/digests/petals-folder.json"


@pytest.mark.parametrize("target", composition.embedded())
def test_target_with_all_digests_has_a_dvc_lock(target):
    """A new project has neither before its first build."""
    outputs = claim.artifacts(target)
    assert graph.lock(target).exists() == (outputs.keys() == claim.read(target).keys())


@pytest.mark.parametrize("target", [target for target in composition.embedded() if graph.lock(target).exists()])
def test_committed_dvc_lock_matches_code_and_parameters(target):
    made = ("data/", "models/", "reports/")
    names = [stage.name for stage in graph.stages(target, composition.compose(target))]
    stages = known_to_dvc()
    read = [(name, dependency) for name in names for dependency in stages[name].deps]
    changed = [f"{name}: {item.def_path}" for name, item in read if not item.def_path.startswith(made) and item.status()]
    assert names and not changed, "build these targets again and commit their dvc.lock and digests/"


def test_claim_has_digest_and_size_of_every_output(tmp_path, monkeypatch, folder):
    outputs = [
        path
        for stage in graph.stages("petals-tiny", composition.compose("petals-tiny"))
        for path in (*stage.outputs, *stage.metrics)
    ]
    for name in ("conf", "bentos"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    monkeypatch.chdir(tmp_path)
    for path in outputs:
        canonical.write_text(tmp_path / path, path)
    claim.write("petals-tiny")
    written = canonical.read_json(tmp_path / "digests/petals-tiny.json")
    assert sorted(written) == sorted(outputs)
    path = "models/petals-tiny/model.onnx"
    assert written[path] == {"sha256": hashlib.sha256(path.encode()).hexdigest(), "bytes": len(path)}
