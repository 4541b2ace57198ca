"""Nix for the tests: one user, no daemon, network for fixed-output builds only, and a stand-in for nixpkgs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STUB = "tests/nix/stub"
PARTS = ("flake.nix", "flake.lock", "nix", "digests", STUB)
ACCEPT_OLDER_NIX = "accept-older-nix"
"""A file that the tests write into the stand-in for nixpkgs where Nix is older than nixpkgs accepts."""
CONFIGURATION = """
experimental-features = nix-command flakes
sandbox = false
build-users-group =
substituters =
flake-registry =
"""


@dataclass(frozen=True)
class Flake:
    """A copy of the flake and its inputs, without data and caches, which Nix would copy to its store."""

    folder: Path

    @property
    def stub(self) -> Path:
        """Its stand-in for nixpkgs."""
        return self.folder / STUB

    def run(
        self, *words: str, stub: bool = True, environment: dict[str, str] | None = None, below: str = "."
    ) -> subprocess.CompletedProcess[str]:
        """Run `nix` with these arguments in the copy, or in a folder below it."""
        options = ["--override-input", "nixpkgs", f"path:{self.stub}", "--no-write-lock-file"] if stub else []
        command, *rest = words
        variables = os.environ | {"NIX_CONFIG": CONFIGURATION} | (environment or {})
        return subprocess.run(
            ["nix", command, *_with_options(rest, options)],
            cwd=self.folder / below,
            env=variables,
            capture_output=True,
            text=True,
        )

    def evaluate(self, attribute: str, *words: str) -> Any:
        """The value of an attribute. On an error, the test fails with Nix's message."""
        done = self.run("eval", "--json", f"path:.#{attribute}", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def build(self, attribute: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Build an attribute without a result link."""
        return self.run("build", f"path:.#{attribute}", "--no-link", *words)


def _with_options(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Insert options before the command of `nix develop --command`."""
    at = words.index("--command") if "--command" in words else len(words)
    return [*words[:at], *options, *words[at:]]


def _is_older_than_nixpkgs_accepts() -> bool:
    major, minor = re.findall(r"\d+", subprocess.check_output(["nix", "--version"], text=True))[:2]
    return (int(major), int(minor)) < (2, 18)


@pytest.fixture
def flake(tmp_path) -> Flake:
    """The flake. Skips the test without Nix."""
    if not shutil.which("nix"):
        pytest.skip("Nix is not here (Debian: apt-get install nix-bin)")
    if os.geteuid() != 0 and not os.access("/nix/var/nix/db", os.W_OK):
        pytest.skip("the tests use Nix without a daemon, as a user who may write to /nix")
    folder = tmp_path / "flake"
    for part in (*PARTS, *(path.name for path in REPOSITORY.glob("requirements*.lock"))):
        source, copy = REPOSITORY / part, folder / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy)
    if _is_older_than_nixpkgs_accepts():
        (folder / STUB / ACCEPT_OLDER_NIX).touch()
    return Flake(folder)
