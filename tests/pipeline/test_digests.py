"""Digests: of a file its SHA-256, of a folder that of its listing, and of nothing else."""

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


def test_a_files_digest_is_its_sha256(folder):
    assert digests.digest(folder / "b") == digests.file_digest(folder / "b") == hashlib.sha256(b"two").hexdigest()


def test_a_folders_digest_is_what_sha256sum_says_of_its_listing(folder):
    command = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    said = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert digests.digest(folder) == said.stdout.split()[0]


def test_names_and_bytes_change_a_folders_digest_and_times_and_modes_do_not(folder):
    before = digests.digest(folder)
    os.utime(folder / "b", (1, 1))
    (folder / "b").chmod(0o755)
    (folder / "empty").mkdir()
    assert digests.digest(folder) == before
    (folder / "b").rename(folder / "B")
    renamed = digests.digest(folder)
    (folder / "B").write_text("twO")
    assert len({before, renamed, digests.digest(folder)}) == 3


def test_the_size_of_a_folder_is_that_of_its_files(folder):
    assert digests.size(folder / "b") == 3
    assert digests.size(folder) == 6


def test_what_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        digests.digest(tmp_path / "nothing")


def test_only_targets_that_everybody_can_build_have_a_committed_claim():
    assert claim.path("petals-tiny").as_posix() == "digests/petals-tiny.json"
    assert claim.path("petals-folder").as_posix() == ".bitbloom/digests/petals-folder.json"


@pytest.mark.parametrize("target", composition.embedded())
def test_the_committed_record_of_dvc_is_of_the_code_and_the_parameters_that_are_here(target):
    made = ("data/", "models/", "reports/")
    names = [stage.name for stage in graph.stages(target, composition.compose(target))]
    stages = known_to_dvc()
    read = [(name, dependency) for name in names for dependency in stages[name].deps]
    changed = [f"{name}: {item.def_path}" for name, item in read if not item.def_path.startswith(made) and item.status()]
    assert names and not changed, "build these targets again and commit their dvc.lock and digests/"


def test_a_claim_names_every_output_with_its_digest_and_size(tmp_path, monkeypatch, folder):
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
