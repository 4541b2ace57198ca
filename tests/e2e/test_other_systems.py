"""The README's two commands on systems as people have them: another Python or none, no venv module, a user without a home.

The build of python.lock comes from a local mirror. It is a stand-in: the Python of these tests, packed like that build.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import systems
from support.checkouts import TARGET, checkout
from support.systems import NOBODY, System

PACKAGES = "python3,make,git,ca-certificates,procps,libstdc++6,libexpat1,libuuid1"
SYSTEMS = {
    "Debian 12": (System("bookworm"), "3.11"),
    "Debian 13": (System("trixie"), "3.13"),
    "Ubuntu 24.04": (System("noble", ubuntu=True), "3.12"),
}
FAST = "tests/pipeline/test_cli.py tests/data/test_imaging.py"
TESTS_OF_PYTHON = {"test", "tests", "idle_test", "site-packages", "__pycache__"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), *systems.needs_root_folders]


def stand_in(target: Path) -> str:
    """Pack this machine's Python 3.11 like a build of python.lock. Returns the SHA-256."""
    library = Path(sysconfig.get_path("stdlib"))
    binary = Path(sysconfig.get_config_var("BINDIR")) / "python3.11"

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if TESTS_OF_PYTHON & set(Path(member.name).parts) else member

    target.parent.mkdir(parents=True)
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        tar.add(binary.resolve(), "python/bin/python3.11")
        tar.add(library, "python/lib/python3.11", filter=wanted)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def install_libpython(root: Path) -> None:
    """Put the shared library of the stand-in, if it has one, into the system; the real build needs none."""
    shared = Path(sysconfig.get_config_var("LIBDIR")) / (sysconfig.get_config_var("LDLIBRARY") or "")
    if shared.suffix == ".so":
        shutil.copy(shared.resolve(), root / "usr/local/lib")
        subprocess.run(["chroot", root, "ldconfig"], check=True)


def pip_paths() -> list[Path]:
    """The local files and folders from which pip on this machine takes its settings and packages."""
    listed = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    words = [word.strip("'") for line in listed.splitlines() for word in line.partition("=")[2].split()]
    named = [Path(urlsplit(word).path) for word in words if word.startswith(("/", "file:"))]
    debug = subprocess.run(["pip", "config", "debug"], capture_output=True, text=True, check=True).stdout
    files = [Path(line.strip().partition(",")[0]) for line in debug.splitlines() if line.strip().endswith("exists: True")]
    return [path for path in dict.fromkeys([*named, *files, Path("/etc/resolv.conf")]) if path.exists()]


@pytest.mark.parametrize("name", SYSTEMS)
def test_readme_commands_work(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    system, version = SYSTEMS[name]
    base = tmp_path_factory.mktemp("system")
    root = systems.make(system, base / system.suite, PACKAGES)
    install_libpython(root)
    folder, mirror = checkout(base / "checkout", venv=False), base / "mirror"
    lock = json.loads((folder / "python.lock").read_text())
    build = lock["cpython-3.11.18-linux-x86_64-gnu"]
    build["sha256"] = stand_in(mirror / build["build"] / build["url"].rpartition("/")[2].replace("%2B", "+"))
    (folder / "python.lock").write_text(json.dumps(lock))
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)
    kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_"))}
    own = [str(path) for path in pip_paths() if path.name == "pip.conf" and path.is_relative_to(Path.home())]
    kept |= {"PIP_CONFIG_FILE": own[0]} if own else {}
    variables = kept | {"PATH": "/usr/sbin:/usr/bin:/bin", "UV_PYTHON_INSTALL_MIRROR": mirror.as_uri(), "BITBLOOM_TRACK": "0"}

    def run(command: str) -> str:
        return systems.run(root, folder, command, [mirror, *pip_paths()], variables)

    assert f"Python {version}." in run("python3 --version")
    assert "epoch 12" in run(f"make all {TARGET}")
    assert run("git status --porcelain -- . ':!python.lock'") == ""
    assert " passed" in run(f"make test PYTEST='-n 0 {FAST}'")
    assert "bitbloom" in run(".venv/bin/bitbloom --version")
