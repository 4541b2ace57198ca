"""The weights as DVC's artifact: a git tag is a version, and `dvc artifacts get` fetches the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from bitbloom.core.digests import digest
from bitbloom.pipeline import composition
from support.checkouts import run
from support.tiny import REPOSITORY


def test_every_target_has_its_weights_as_an_artifact():
    found = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    weights = {target: f"models/{target}/model.safetensors" for target in composition.targets()}
    assert {target: entry["path"] for target, entry in found.items()} == weights


@pytest.mark.slow
def test_dvc_gets_the_weights_of_a_tagged_version(built: Path, tmp_path: Path):
    named = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "-m", "first", "petals-tiny@v1.0.0"]
    subprocess.run(named, cwd=built, check=True)
    run(built, "dvc", "artifacts", "get", ".", "petals-tiny", "-o", str(tmp_path / "weights"))
    assert digest(tmp_path / "weights") == digest(built / "models/petals-tiny/model.safetensors")
