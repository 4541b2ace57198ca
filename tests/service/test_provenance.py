"""What a service says of its commit when plain `bentoml serve` starts it."""

from __future__ import annotations

import httpx
import pytest

from bitbloom.serving import bento, store
from support.standin import Served, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def installed_folder(served: Served, tmp_path, monkeypatch):
    """The folder of the Bento in a store of its own, and a function that installs it with a commit."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))

    def install(commit: str | None):
        name, version = store.install(served.workspace / "dist/petals.bento", commit).split(":")
        return tmp_path / "home/bentos" / name / version

    return install


def test_installation_notes_the_commit_outside_of_the_digest(installed_folder, served):
    folder = installed_folder(COMMIT)
    assert (folder / bento.COMMIT).read_text() == COMMIT
    assert bento.digest(folder) == served.report["digest"]


def test_installation_without_a_commit_removes_an_earlier_one(installed_folder):
    installed_folder(COMMIT)
    assert not (installed_folder(None) / bento.COMMIT).exists()


def test_plain_serve_knows_commit_and_digests(installed_folder, served, tmp_path):
    installed_folder(COMMIT)
    with serving("petals:latest", tmp_path / "home", tmp_path) as url:
        provenance = httpx.get(f"{url}/provenance").json()
    assert provenance["commit"] == COMMIT
    assert provenance["digests"]["bento"] == served.report["digest"]
    assert provenance["rebuild"] == f"git checkout {COMMIT} && make verify TARGET=petals"
