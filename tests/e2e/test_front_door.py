"""What a newcomer types in a checkout of their own: `petals-tiny` from nothing to a Bento, again, from a remote, changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGET = "TARGET=petals-tiny"

pytestmark = pytest.mark.slow


def checkout(folder: Path) -> Path:
    """A copy of the working tree as git sees it, with this venv, as a repository of its own."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".bitbloom").mkdir()
    for stamp in ("venv-cpu", "venv-dev"):
        (folder / ".bitbloom" / stamp).touch()
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(folder: Path, *command: str) -> str:
    """Run a command in a checkout, with its own code; its whole output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "COV_", "WORKERS"))}
    environment |= {"PYTHONPATH": str(folder / "src"), "BITBLOOM_TRACK": "0", "DVC_SITE_CACHE_DIR": str(folder / ".bitbloom/dvc")}
    environment["PATH"] = f"{folder / '.venv/bin'}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which petals-tiny was built from nothing, and pushed to a remote beside it."""
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    output = run(folder, "make", "all", TARGET)
    assert "epoch 12" in output
    assert "sha256:" in output
    return folder


def test_a_build_from_nothing_leaves_the_claim_unchanged(built: Path) -> None:
    assert run(built, "git", "status", "--porcelain") == ""


def test_nothing_changed_means_nothing_done(built: Path) -> None:
    assert "Nothing to be done" in run(built, "make", "all", TARGET)


def test_a_deleted_output_comes_back_without_training(built: Path) -> None:
    before = (built / "reports/petals-tiny/metrics.json").read_bytes()
    (built / "reports/petals-tiny/metrics.json").unlink()
    output = run(built, "make", "all", TARGET)
    assert "epoch 1:" not in output
    assert (built / "reports/petals-tiny/metrics.json").read_bytes() == before


def test_the_exported_model_answers_for_a_photo(built: Path) -> None:
    photo = sorted((built / "data/raw/petals-tiny").glob("*/*.jpg"))[0]
    answer = json.loads(run(built, "bitbloom", "predict", "petals-tiny", str(photo)))
    assert list(answer) == ["path", "label", "probability", "top5", "model_digest"]
    assert answer["top5"][0] == {"label": answer["label"], "probability": answer["probability"]}


def test_overrides_build_a_variant_and_leave_the_rest_alone(built: Path) -> None:
    output = run(built, "make", "train", TARGET, "SET=train.max_steps=2")
    workspace = built / next(line.split()[-1] for line in output.splitlines() if line.strip().startswith("workspace"))
    assert len((workspace / "models/petals-tiny/ledger.jsonl").read_text().splitlines()) == 2
    assert len((built / "models/petals-tiny/ledger.jsonl").read_text().splitlines()) == 24
    assert run(built, "git", "status", "--porcelain") == ""


def test_a_remote_is_pulled_from_instead_of_building(built: Path, tmp_path: Path) -> None:
    store = tmp_path / "remote"
    store.mkdir()
    run(built, "dvc", "remote", "add", "--local", "-f", "-d", "store", str(store))
    run(built, "dvc", "push", "--run-cache", "evaluate-petals-tiny", "package-petals-tiny", "--with-deps")
    other = checkout(tmp_path / "other")
    run(other, "dvc", "remote", "add", "--local", "-d", "store", str(store))
    output = run(other, "make", "all", TARGET)
    assert "epoch 1:" not in output
    assert (other / "digests/petals-tiny.json").read_bytes() == (built / "digests/petals-tiny.json").read_bytes()
    assert (other / "dist/petals-tiny.bento").read_bytes() == (built / "dist/petals-tiny.bento").read_bytes()


def test_clean_leaves_the_users_own_data_alone(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "cleaned")
    own = copy / "data/external/petals-folder/rose/one.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    (copy / "models/petals-tiny").mkdir(parents=True)
    run(copy, "make", "clean")
    assert own.read_bytes() == b"mine"
    assert not (copy / "models").exists()
