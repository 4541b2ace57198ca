"""The wheelhouse and the venv are the same bytes when they are built again, and what a wheel needs is found."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
REPOSITORY = Path(__file__).resolve().parents[2]


def built(flake, attribute: str, *words: str) -> Path:
    """Build an attribute. Returns its place in the store."""
    done = flake.build(attribute, *words)
    assert done.returncode == 0, done.stderr[-4000:]
    return Path(flake.evaluate(f"{attribute}.outPath"))


def test_the_wheelhouse_is_the_lock(flake):
    files = list(built(flake, "wheelhouse").iterdir())
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert len(files) == lock.count("==")
    for file in files:
        assert f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" in lock


def test_wheelhouse_and_venv_are_equal_when_built_again(flake):
    for attribute in ("wheelhouse", "venv"):
        built(flake, attribute)
        again = flake.build(attribute, "--rebuild")  # fails where an output differs
        assert again.returncode == 0, again.stderr[-4000:]


def test_the_venv_has_no_pip_and_no_bytecode(flake):
    venv = built(flake, "venv")
    assert not list(venv.glob("lib/python3.11/site-packages/pip"))
    assert not next(venv.rglob("*.pyc"), None)
    assert (venv / "bin/dvc").exists()


def test_the_checks_pass(flake):
    programs = {"lock": "python3.11", "imports": "python3.11", "scripts": "shellcheck", "format": "nixfmt"}
    for check, program in programs.items():
        if shutil.which(program):  # the stand-in for nixpkgs has no programs but the host's
            built(flake, f"checks.x86_64-linux.{check}")
