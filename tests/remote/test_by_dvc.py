"""DVC itself reads what `make push` writes, and checks out what `make pull` brings."""

from __future__ import annotations

import subprocess

import pytest

from bitbloom.config.models import typed_model
from bitbloom.pipeline import build, composition, graph
from bitbloom.pipeline.remote.pull import pull
from bitbloom.pipeline.remote.push import push
from remote.conftest import FILES, TARGET, Clone
from remote.test_transfer import PHOTO, damage, second

CHECKOUT = build.checkout_tracked


@pytest.fixture
def other(built, monkeypatch, tmp_path) -> Clone:
    """A second clone with a graph, after the first has pushed its raw data; DVC checks digests."""
    built.use(str(tmp_path / "remote"), verify="true")
    push(TARGET, "ingest")
    clone = second(built, monkeypatch)
    tree = composition.compose(TARGET)
    text = graph.dvc_text(TARGET, graph.stages(TARGET, tree)[:2], typed_model(tree.model))
    (clone.folder / graph.pipeline(TARGET) / "dvc.yaml").write_text(text)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setattr(build, "checkout_tracked", CHECKOUT)
    return clone


def dvc(*words: str) -> subprocess.CompletedProcess[str]:
    """Run DVC."""
    return subprocess.run(["dvc", *words], env=build.environ("portable"), capture_output=True, text=True)


def raw(clone: Clone) -> dict[str, bytes]:
    """The raw data in the workspace."""
    folder = clone.folder / "data/raw" / TARGET
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_dvc_pull_by_hand_brings_what_was_pushed_and_names_the_rest(other):
    done = dvc("pull")
    assert raw(other) == FILES
    assert done.returncode == 1
    assert "reports/petals-tiny/validation.json" in done.stderr
    assert dvc("pull", "--allow-missing").returncode == 0


def test_dvc_pull_by_hand_takes_no_damaged_object(other, tmp_path):
    damage(str(tmp_path / "remote"))
    assert dvc("pull", f"data/raw/{TARGET}").returncode
    assert not other.cache.has(PHOTO)


def test_pull_puts_files_into_the_workspace(other):
    assert "1 of 1 outputs are here" in pull(TARGET, "ingest")
    assert raw(other) == FILES
