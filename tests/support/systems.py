"""Root folders of other Linux systems, made by mmdebstrap, and commands that run inside them."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

NOBODY = 12345
"""A user without an entry in /etc/passwd."""
UBUNTU = "http://archive.ubuntu.com/ubuntu"
KEYS = "ubuntu-keyring_2023.11.28.1_all.deb"
KEYS_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"

needs_root_folders = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts folders into another system's root"),
    pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap: apt-get install mmdebstrap"),
]


class System(NamedTuple):
    """A release of Debian or Ubuntu."""

    suite: str
    ubuntu: bool = False


def make(system: System, root: Path, packages: str) -> Path:
    """Make a root folder with these packages, and what dpkg calls required."""
    if system.ubuntu:
        _require_ubuntu(system.suite)
    options = ["--mode=root", "--variant=minbase", f"--include={packages}", "--aptopt=APT::Install-Recommends false"]
    options += ["--aptopt=Acquire::Check-Valid-Until false"]  # the mirror of mmdebstrap can be outdated
    mirror = [UBUNTU] if system.ubuntu else []
    if system.ubuntu:
        options.append(f"--keyring={_ubuntu_keys(root.with_name(f'{root.name}-keys'))}")
    command = ["mmdebstrap", *options, system.suite, str(root), *mirror]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return root


def _require_ubuntu(suite: str) -> None:
    try:
        urllib.request.urlopen(f"{UBUNTU}/dists/{suite}/InRelease", timeout=60).close()
    except OSError as error:
        pytest.skip(f"Ubuntu's archive is not reached from here: {error}")


def _ubuntu_keys(folder: Path) -> Path:
    """The keys of Ubuntu's archive, which Debian 12 does not have."""
    folder.mkdir()
    package = folder / KEYS
    with urllib.request.urlopen(f"{UBUNTU}/pool/main/u/ubuntu-keyring/{KEYS}", timeout=60) as source:
        package.write_bytes(source.read())
    assert hashlib.sha256(package.read_bytes()).hexdigest() == KEYS_SHA256
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder / "usr/share/keyrings/ubuntu-archive-keyring.gpg"


def python_files() -> list[Path]:
    """The files and folders of Python 3.11 on this machine."""
    if sys.base_prefix != "/usr":
        return [Path(sys.base_prefix)]
    return [Path("/usr/bin/python3.11"), Path("/usr/lib/python3.11")]


def run(root: Path, folder: Path, command: str, mounted: Iterable[Path], variables: Mapping[str, str]) -> str:
    """Run a shell command in `folder` as NOBODY inside the root, with `folder` and other paths mounted. Returns its output."""
    lines = ["set -e"]
    for path in (folder, Path("/proc"), Path("/dev"), *mounted):
        inside = shlex.quote(f"{root}{path}")
        make = f"mkdir -p {inside}" if path.is_dir() else f"mkdir -p $(dirname {inside}); touch {inside}"
        above = " ".join(shlex.quote(f"{root}{parent}") for parent in path.parents[:-1])
        lines += [make, f"chmod a+rx {above}" if above else "true", f"mount --rbind {shlex.quote(str(path))} {inside}"]
    inner = f"cd {shlex.quote(str(folder))} && {command}"
    lines.append(f"exec chroot --userspec={NOBODY}:{NOBODY} {shlex.quote(str(root))} /bin/sh -c {shlex.quote(inner)}")
    shell = ["unshare", "--mount", "sh", "-c", "\n".join(lines)]
    done = subprocess.run(shell, env=dict(variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout
