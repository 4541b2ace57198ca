"""scripts/python.sh finds Python 3.11, or installs the build of python.lock with any Python 3 or uv."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.tiny import REPOSITORY

LOCK = json.loads((REPOSITORY / "python.lock").read_text(encoding="utf-8"))
KEY = "cpython-3.11.18-linux-x86_64-gnu"
TOOLS = ("sh", "cksum", "cut", "rm", "env", "mkdir")
UV = Path(sys.executable).with_name("uv")
PYTHON_311 = '#!/bin/sh\nexec {python} "$@"\n'
PYTHON_312 = '#!/bin/sh\ncase "$*" in *version_info*) exit 1 ;; esac\nexec {python} "$@"\n'
"""A Python that says that it is not 3.11."""
WITHOUT = '#!/bin/sh\ncase "$*" in *"import {module}"*) exit 1 ;; esac\nexec {python} "$@"\n'
STUB = "#!/bin/sh\necho 'command not found' >&2\nexit 127\n"
"""What some version managers put on PATH for a version that is not active."""
SYSCONFIG = "# system configuration generated and used by the sysconfig module\nbuild_time_vars = {}\n"


class Checkout:
    """A checkout with the scripts, a PATH of its own, and a mirror with a build whose Python is the one of the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.mirror = folder / "checkout", folder / "bin", folder / "mirror"
        for name in ("python.sh", "environment.sh", "fetch_python.py"):
            (self.folder / "scripts").mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / "scripts" / name, self.folder / "scripts")
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.archive = self.mirror / "20261110" / LOCK[KEY]["url"].rpartition("/")[2].replace("%2B", "+")
        self.archive.parent.mkdir(parents=True)
        self.archive.write_bytes(build({"bin/python3.11": PYTHON_311.format(python=sys.executable)}))
        self.lock(hashlib.sha256(self.archive.read_bytes()).hexdigest())

    def lock(self, digest: str, **changed: str) -> None:
        """Write a lock with one build for this platform."""
        (self.folder / "python.lock").write_text(json.dumps({KEY: LOCK[KEY] | {"sha256": digest} | changed}))

    def program(self, name: str, text: str) -> Path:
        """Put a script on PATH."""
        (self.bin / name).write_text(text.replace("{python}", sys.executable))
        (self.bin / name).chmod(0o755)
        return self.bin / name

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        environment = {
            "PATH": str(self.bin),
            "HOME": str(self.folder),
            "UV_PYTHON_INSTALL_MIRROR": self.mirror.as_uri(),
            "UV_CACHE_DIR": str(self.folder / "cache"),
        }
        command = ["sh", "scripts/python.sh"]
        return subprocess.run(command, cwd=self.folder, env=environment | variables, capture_output=True, text=True, timeout=60)

    def found(self, **variables: str) -> Path:
        """The path that the script prints, of a Python that runs."""
        done = self.run(**variables)
        assert done.returncode == 0, done.stderr
        path = Path(done.stdout.removesuffix("\n"))
        subprocess.run([path, "-c", "import venv"], check=True)
        return path

    def error(self, **variables: str) -> str:
        """The last line of the error output."""
        done = self.run(**variables)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr.splitlines()[-1]

    def installed(self) -> list[Path]:
        """The installed builds."""
        return sorted((self.folder / ".bitbloom/python").glob("*/*/bin/python3.11"))


def build(files: dict[str, str]) -> bytes:
    """A tar like those of python-build-standalone, with the files that uv reads."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, text in {**files, "lib/python3.11/_sysconfigdata__linux_x86_64-linux-gnu.py": SYSCONFIG}.items():
            member = tarfile.TarInfo(f"python/{name}")
            member.size, member.mode = len(text.encode()), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return target.getvalue()


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


def test_uses_named_python(checkout):
    named = checkout.program("mine", PYTHON_311)
    checkout.program("python3.11", PYTHON_311)
    assert checkout.found(PYTHON="mine") == named


def test_rejects_missing_named_python(checkout):
    assert checkout.error(PYTHON="mine") == "error: mine is not installed: install Python 3.11, or set PYTHON=path"


@pytest.mark.parametrize(
    ("text", "message"), [(PYTHON_312, "is not Python 3.11"), (WITHOUT.replace("{module}", "venv"), "python3.11-venv")]
)
def test_rejects_unusable_named_python(checkout, text, message):
    checkout.program("mine", text)
    checkout.program("python3.11", PYTHON_311)
    assert message in checkout.error(PYTHON="mine")


@pytest.mark.parametrize("name", ["python3.11", "python3", "python"])
def test_uses_python_of_path(checkout, name):
    program = checkout.program(name, PYTHON_311)
    assert checkout.found() == program
    assert checkout.installed() == []


@pytest.mark.parametrize("text", [STUB, PYTHON_312, WITHOUT.replace("{module}", "venv")], ids=["stub", "other", "without venv"])
def test_unusable_python_of_path_is_replaced_by_the_locked_build(checkout, text):
    checkout.program("python3.11", text)
    checkout.program("python3", PYTHON_312)
    assert [checkout.found()] == checkout.installed()


@pytest.mark.parametrize("module", ["ensurepip", "pip"])
def test_python_with_one_installer_suffices(checkout, module):
    program = checkout.program("python3.11", WITHOUT.replace("{module}", module))
    assert checkout.found() == program


def test_any_python3_without_venv_and_pip_installs_the_locked_build(checkout):
    none = '#!/bin/sh\ncase "$*" in *version_info* | *"import venv"* | *"pip") exit 1 ;; esac\nexec {python} "$@"\n'
    checkout.program("python3", none)
    assert [checkout.found()] == checkout.installed()


def test_locked_build_is_downloaded_once(checkout):
    checkout.program("python3", PYTHON_312)
    first = checkout.found()
    shutil.rmtree(checkout.mirror)
    assert checkout.found() == first


def test_changed_lock_installs_another_build(checkout):
    checkout.program("python3", PYTHON_312)
    first = checkout.found()
    checkout.archive.write_bytes(build({"bin/python3.11": PYTHON_311.format(python=sys.executable), "more": ""}))
    checkout.lock(hashlib.sha256(checkout.archive.read_bytes()).hexdigest())
    assert checkout.found() != first


@pytest.mark.skipif(not UV.exists(), reason="needs the uv of the lock")
def test_uv_alone_installs_the_locked_build(checkout):
    (checkout.bin / "uv").symlink_to(UV)
    assert checkout.found() in checkout.installed()


@pytest.mark.parametrize("program", ["python3", "uv"])
def test_rejects_build_with_another_digest(checkout, program):
    checkout.program("python3", PYTHON_312) if program == "python3" else (checkout.bin / "uv").symlink_to(UV)
    checkout.lock("0" * 64)
    done = checkout.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert hashlib.sha256(checkout.archive.read_bytes()).hexdigest() in done.stderr
    assert "0" * 64 in done.stderr
    assert checkout.installed() == []


@pytest.mark.parametrize("mirror", ["file:///nowhere", "nowhere", "ftp:"])
def test_unreachable_mirror_is_one_line_with_a_remedy(checkout, mirror):
    checkout.program("python3", PYTHON_312)
    line = checkout.error(UV_PYTHON_INSTALL_MIRROR=mirror)
    assert line.startswith(f"error: {mirror}/20261110/cpython-3.11.18")
    assert line.endswith("or name a mirror with UV_PYTHON_INSTALL_MIRROR")


def test_rejects_platform_without_locked_build(checkout):
    checkout.program("python3", PYTHON_312)
    checkout.lock("0" * 64, libc="musl")
    assert checkout.error().startswith("error: python.lock has no build for linux")


def test_rejects_machine_without_python_and_uv(checkout):
    assert checkout.error() == "error: neither Python 3 nor uv is installed: install one of them, or Python 3.11"


def test_rejects_locked_build_that_does_not_run(checkout):
    checkout.program("python3", PYTHON_312)
    checkout.archive.write_bytes(build({"bin/python3.11": "#!/nowhere\n"}))
    checkout.lock(hashlib.sha256(checkout.archive.read_bytes()).hexdigest())
    assert "does not run here" in checkout.error()


@pytest.mark.parametrize("key", LOCK)
def test_lock_has_the_digest_that_the_locked_uv_contains(tmp_path, key):
    """uv, given another archive, names the digest that it expects."""
    url = LOCK[key]["url"].rpartition("/")
    archive = tmp_path / LOCK[key]["build"] / url[2].replace("%2B", "+")
    archive.parent.mkdir()
    archive.write_bytes(build({}))
    environment = {"UV_PYTHON_INSTALL_MIRROR": tmp_path.as_uri(), "UV_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    command = [UV, "python", "install", "--no-bin", "--install-dir", tmp_path / "here", key]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert re.search(r"Expected:\s+([0-9a-f]{64})", done.stderr)[1] == LOCK[key]["sha256"]


def test_lock_names_the_version_of_the_project():
    wanted = (REPOSITORY / ".python-version").read_text().strip()
    assert {f"{build['major']}.{build['minor']}" for build in LOCK.values()} == {wanted}
    assert {key.split("-")[2] for key in LOCK} == {"linux", "macos"}
