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


def install(folder: Path, checksum: str | None = None, machine: str = "x86_64") -> subprocess.CompletedProcess[str]:
    """Run nix/install.sh for a root folder of the test, with stand-ins for the download and for Nix."""
    release = folder / f"nix-2.35.2-{machine}-linux"
    program = release / "store/abc-nix-2.35.2/bin"
    program.mkdir(parents=True)
    for name, text in {"nix": "echo 'nix (Nix) 2.35.2'", "nix-store": f"cat > {folder}/registered"}.items():
        (program / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (program / name).chmod(0o755)
    (release / ".reginfo").write_text("paths", encoding="utf-8")
    subprocess.run(["tar", "-cJf", "nix.tar.xz", release.name], cwd=folder, check=True)
    digest = hashlib.sha256((folder / "nix.tar.xz").read_bytes()).hexdigest()
    script = (REPOSITORY / "nix/install.sh").read_text(encoding="utf-8")
    script = re.sub(r"sha256=[0-9a-f]{64}", f"sha256={checksum or digest}", script)
    (folder / "install.sh").write_text(re.sub(r"(?<!\w)/nix/", f"{folder}/root/nix/", script), encoding="utf-8")
    (folder / "bin").mkdir()
    download = f'while [ "$1" != --output ]; do shift; done; cp {folder}/nix.tar.xz "$2"; echo "$3" > {folder}/address'
    for name, text in {"curl": download, "uname": f"echo {machine}"}.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    variables = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(["sh", str(folder / "install.sh")], env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_installs_pinned_nix(tmp_path, machine):
    done = install(tmp_path, machine=machine)
    assert (done.returncode, done.stdout) == (0, "nix (Nix) 2.35.2\n"), done.stderr
    assert (tmp_path / "root/nix/var/nix/profiles/default").readlink() == tmp_path / "root/nix/store/abc-nix-2.35.2"
    assert (tmp_path / "registered").read_text(encoding="utf-8") == "paths"
    address = f"https://releases.nixos.org/nix/nix-2.35.2/nix-2.35.2-{machine}-linux.tar.xz\n"
    assert (tmp_path / "address").read_text(encoding="utf-8") == address


@pytest.mark.parametrize(
    ("options", "said"), [({"checksum": 64 * "0"}, "another SHA-256"), ({"machine": "riscv64"}, "no checksum of Nix 2.35.2")]
)
def test_rejects_unknown_download(tmp_path, options, said):
    done = install(tmp_path, **options)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "root").exists()


def test_documents_name_the_oldest_nix_that_nixpkgs_accepts():
    stub = (REPOSITORY / "tests/nix/stub/flake.nix").read_text(encoding="utf-8")
    oldest = re.findall(r'oldest = "([\d.]+)"', stub)
    assert (
        re.findall(r'^NIX = "([\d.]+)"$', (REPOSITORY / "scripts/doctor.py").read_text(encoding="utf-8"), re.MULTILINE) == oldest
    )
    for document in ("README.md", "CONTRIBUTING.md", "docs/toolchain.md"):
        named = re.findall(r"Nix (\d[\d.]*) or\slater", (REPOSITORY / document).read_text(encoding="utf-8"))
        assert named == oldest, document


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob(".devcontainer/**/devcontainer.json")), ids=lambda path: path.parent.name)
def test_development_container_names_existing_files_and_targets(path):
    container = json.loads(path.read_text(encoding="utf-8"))
    recipe = (path.parent / container["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert f"USER {container['remoteUser']}" in recipe
    called = [word for command in re.findall(r"make ([a-z -]+)", container["postCreateCommand"]) for word in command.split()]
    assert called
    assert set(called) <= makefiles.targets()
