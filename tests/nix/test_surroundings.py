"""`make nix-hashes` and the development containers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import makefiles

REPOSITORY = Path(__file__).resolve().parents[2]
NIX = """#!/bin/sh
case $1 in
    develop) shift 2; PYTHON=python3.11 exec "$@" ;;
    eval) printf %s "${SYSTEM:-x86_64-linux}" ;;
    hash) echo "sha256-of-$(cat "$3/what")" ;;
esac
"""
WHEELHOUSE = """#!/bin/sh
mkdir "$4" && printf '%s' "$1:$3" > "$4/what"
"""


def hashes(folder: Path, system: str) -> subprocess.CompletedProcess[str]:
    """Run nix/hashes.sh on a simulated system, with stand-ins for Nix and the download."""
    (folder / "bin").mkdir()
    (folder / "nix").mkdir()
    (folder / "bin/nix").write_text(NIX, encoding="utf-8")
    (folder / "bin/nix").chmod(0o755)
    (folder / "nix/wheelhouse.sh").write_text(WHEELHOUSE, encoding="utf-8")
    shutil.copy(REPOSITORY / "nix/hashes.sh", folder / "nix")
    (folder / "nix/hashes.json").write_text('{"aarch64-darwin": {}, "x86_64-linux": {"wheelhouse": {}}}', encoding="utf-8")
    for lock in ("requirements.lock", "requirements-serve.lock"):
        (folder / lock).write_text(lock, encoding="utf-8")
    variables = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SYSTEM": system}
    return subprocess.run(["sh", str(folder / "nix/hashes.sh")], env=variables, capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not here")
def test_writes_hashes_of_a_platform_beside_the_others(tmp_path):
    done = hashes(tmp_path, "x86_64-linux")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "nix/hashes.json").read_text(encoding="utf-8")) == {
        "aarch64-darwin": {},
        "x86_64-linux": {
            what: {"hash": f"sha256-of-x86_64-linux:{lock}", "lock": hashlib.sha256(lock.encode()).hexdigest()}
            for what, lock in {"wheelhouse": "requirements.lock", "serve-wheelhouse": "requirements-serve.lock"}.items()
        },
    }


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not here")
def test_rejects_platform_without_a_lock(tmp_path):
    done = hashes(tmp_path, "aarch64-linux")
    assert done.returncode == 1
    assert "requirements-aarch64-linux.lock is missing" in done.stderr
    assert "aarch64-linux" not in (tmp_path / "nix/hashes.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob(".devcontainer/**/devcontainer.json")), ids=lambda path: path.parent.name)
def test_development_container_names_existing_files_and_targets(path):
    container = json.loads(path.read_text(encoding="utf-8"))
    recipe = (path.parent / container["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert f"USER {container['remoteUser']}" in recipe
    called = [word for command in re.findall(r"make ([a-z -]+)", container["postCreateCommand"]) for word in command.split()]
    assert called
    assert set(called) <= makefiles.targets()
