"""The user's shell, account and checkout do not change the venv: other Pythons, pip's targets, no home, no account, no `.git`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.pipeline import build
from support.tiny import REPOSITORY

PYTHON = """#!/bin/sh
# Stands in for Python 3.11: makes a venv of itself, and installs a uv that records its calls.
env > "$LOG/$(echo "$*" | tr -c 'a-z\\n' - | cut -c 1-20)"
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin .venv/site && cp "$0" .venv/bin/python && touch .venv/pyvenv.cfg ;;
    *"-m pip"*install*) printf '%s\\n' '#!/bin/sh' 'env > "$LOG/uv-$2"' > .venv/bin/uv && chmod +x .venv/bin/uv ;;
    *sysconfig*) echo .venv/site ;;
esac
"""
LEADING_ELSEWHERE = {
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "/elsewhere:/other",
    "PIP_TARGET": "/nowhere",
    "PIP_PREFIX": "/nowhere",
    "PIP_ROOT": "/nowhere",
    "PIP_PYTHON": "/nowhere/python",
    "VIRTUAL_ENV": "/nowhere",
    "CONDA_PREFIX": "/nowhere",
    "UV_PYTHON": "3.9",
    "UV_SYSTEM_PYTHON": "1",
    "UV_CONSTRAINT": "/nowhere.txt",
    "UV_REQUIRE_HASHES": "1",
}
KEPT = {"PIP_INDEX_URL": "https://index.test/simple", "UV_DEFAULT_INDEX": "https://index.test/simple", "SSL_CERT_FILE": "/ca.pem"}


class Checkout:
    """A checkout with its makefiles and scripts. Python is a stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "checkout", folder / "log"
        self.log.mkdir()
        for name in ("Makefile", "make", "scripts", "pyproject.toml", "python.lock"):
            copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copyfile
            self.folder.mkdir(exist_ok=True)
            copy(REPOSITORY / name, self.folder / name)
        for lock in ("requirements.lock", "requirements-dev.lock"):
            (self.folder / lock).write_text("uv==0.13.8 \\\n    --hash=sha256:0\n")
        (folder / "bin").mkdir()
        (folder / "bin/python3.11").write_text(PYTHON)
        (folder / "bin/python3.11").chmod(0o755)
        self.path = f"{folder / 'bin'}{os.pathsep}{os.defpath}"

    def setup(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `make setup`, the first command of a user."""
        environment = {"PATH": self.path, "HOME": str(self.folder), "LOG": str(self.log), "PIP_FIND_LINKS": "/wheels"}
        return subprocess.run(
            ["make", "setup"], cwd=self.folder, env=environment | variables, capture_output=True, text=True, timeout=60
        )

    def environments(self) -> dict[str, dict[str, str]]:
        """The environment of each recorded call, by its begin."""
        files = {file.name: file.read_text().splitlines() for file in self.log.iterdir()}
        return {name: dict(line.split("=", 1) for line in lines if "=" in line) for name, lines in files.items()}


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize(("name", "value"), LEADING_ELSEWHERE.items(), ids=LEADING_ELSEWHERE)
def test_setup_ignores_settings_that_lead_packages_elsewhere(checkout, name, value):
    done = checkout.setup(**{name: value})
    assert done.returncode == 0, done.stderr
    found = checkout.environments()
    assert {"-m-venv--venv", "uv-sync", "uv-install"} <= set(found)
    assert all(not environment.get(name) for environment in found.values())


@pytest.mark.parametrize("name", ["PIP_USER", "PIP_REQUIRE_VIRTUALENV"])
def test_setup_turns_switches_of_pip_off_also_for_its_configuration_files(checkout, name):
    assert checkout.setup(**{name: "1"}).returncode == 0
    assert {environment[name] for environment in checkout.environments().values()} == {"0"}


def test_setup_keeps_indexes_and_certificates(checkout):
    assert checkout.setup(**KEPT).returncode == 0
    assert all(KEPT.items() <= environment.items() for environment in checkout.environments().values())


@pytest.mark.parametrize("home", ["/dev/null/home", ""])
def test_setup_without_writable_home_uses_one_in_the_project(checkout, home):
    assert checkout.setup(HOME=home).returncode == 0
    assert {environment["HOME"] for environment in checkout.environments().values()} == {str(checkout.folder / ".bitbloom/home")}


def test_setup_finishes_with_a_venv_that_stays(checkout):
    assert checkout.setup().returncode == 0
    assert "Nothing to be done" in checkout.setup().stdout


def test_setup_after_a_move_makes_the_venv_again(checkout):
    assert checkout.setup().returncode == 0
    (checkout.folder / ".venv/left").touch()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    assert checkout.setup().returncode == 0
    assert not (checkout.folder / ".venv/left").exists()
    assert "Nothing to be done" in checkout.setup().stdout


def test_setup_rejects_pip_that_installs_elsewhere(checkout):
    program = Path(checkout.path.split(os.pathsep)[0], "python3.11")
    program.write_text(PYTHON.replace("> .venv/bin/uv && chmod +x .venv/bin/uv", "> /dev/null"))
    done = checkout.setup()
    assert done.returncode != 0
    assert "`pip config list` shows the setting that moves it" in done.stderr


def test_setup_rejects_crlf_before_anything_else(checkout):
    for file in checkout.folder.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = checkout.setup()
    assert done.returncode != 0
    assert done.stderr.startswith("error: this checkout has CRLF line ends: clone it again, with LF\n")
    assert not (checkout.folder / ".venv").exists()


def test_git_checks_text_out_with_lf(tmp_path):
    """Also for a user whose git converts to CRLF."""
    shutil.copy2(REPOSITORY / ".gitattributes", tmp_path)
    (tmp_path / "some.sh").write_bytes(b"one\ntwo\n")
    for command in (
        "init -q",
        "config user.name t",
        "config user.email t@t",
        "config core.autocrlf true",
        "add -A",
        "commit -qm x",
    ):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / "some.sh").unlink()
    subprocess.run(["git", "checkout", "-q", "."], cwd=tmp_path, check=True)
    assert (tmp_path / "some.sh").read_bytes() == b"one\ntwo\n"


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv, to be another user")
def test_setup_without_write_permission_is_one_line(checkout):
    checkout.folder.chmod(0o755)
    for folder in (checkout.folder, *checkout.folder.parents):
        if folder.owner() == "root" and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    command = ["setpriv", "--reuid", "12345", "--clear-groups", "make", "setup"]
    environment = {"PATH": checkout.path, "LOG": "/nowhere"}
    done = subprocess.run(command, cwd=checkout.folder, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines()[0] == (
        f"error: uid 12345 may not write to {checkout.folder}: change its owner, or copy it to a folder of yours"
    )


PROBE = "import json, os; print(json.dumps(dict(os.environ)))"


def started(checkout: Path, prefix: tuple[str, ...] = (), **variables: str) -> dict[str, str]:
    """The environment that project_environment.py gives a Python of the checkout's venv."""
    program = f"""
import runpy, sys
sys.prefix = {str(checkout / ".venv")!r}
runpy.run_path({str(REPOSITORY / "scripts/project_environment.py")!r}, run_name="bitbloom_project_environment")
{PROBE}
"""
    command = [*prefix, "/usr/bin/python3" if prefix else sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env={"PATH": os.defpath} | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_commands_without_writable_home_use_one_in_the_project(tmp_path):
    assert started(tmp_path, HOME="/dev/null/home")["HOME"] == str(tmp_path / ".bitbloom/home")
    assert (tmp_path / ".bitbloom/home").is_dir()


def test_commands_keep_a_writable_home_and_the_name_of_the_user(tmp_path):
    found = started(tmp_path, HOME=str(tmp_path), USER="someone")
    assert (found["HOME"], found["USER"]) == (str(tmp_path), "someone")
    assert not (tmp_path / ".bitbloom").exists()


def test_commands_without_git_limit_git_and_dvc_to_the_checkout(tmp_path):
    found = started(tmp_path, HOME=str(tmp_path))
    assert found["DVC_SYSTEM_CONFIG_DIR"] == str(tmp_path / ".dvc/without-git")
    assert found["GIT_CEILING_DIRECTORIES"] == str(tmp_path.parent)


def test_commands_in_a_clone_keep_the_settings_of_git_and_dvc(tmp_path):
    (tmp_path / ".git").mkdir()
    assert not [name for name in started(tmp_path, HOME=str(tmp_path)) if name.startswith(("GIT_", "DVC_SYSTEM"))]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_git_works_in_the_checkout_of_another_user(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    os.chown(tmp_path, 12345, -1)
    os.chown(tmp_path / ".git", 12345, -1)
    refused = subprocess.run(
        ["git", "status"], cwd=tmp_path, env={"PATH": os.defpath, "HOME": "/"}, capture_output=True, text=True
    )
    found = started(tmp_path, HOME=str(tmp_path))
    accepted = subprocess.run(["git", "status"], cwd=tmp_path, env=found, capture_output=True, text=True)
    assert ("dubious ownership" in refused.stderr, accepted.returncode) == (True, 0)
    assert started(tmp_path, **found)["GIT_CONFIG_COUNT"] == found["GIT_CONFIG_COUNT"] == "1"


def test_build_without_git_tells_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert build.environ("portable")["DVC_SYSTEM_CONFIG_DIR"] == str(tmp_path / ".dvc/without-git")
    (tmp_path / ".git").mkdir()
    assert "DVC_SYSTEM_CONFIG_DIR" not in build.environ("portable") or "DVC_SYSTEM_CONFIG_DIR" in os.environ


def test_settings_without_git_turn_it_off_in_dvc(tmp_path, monkeypatch):
    from dvc.repo import Repo

    shutil.copytree(REPOSITORY / ".dvc/without-git", tmp_path / ".dvc/without-git")
    (tmp_path / ".dvc/config").touch()
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / ".dvc/without-git"))
    with Repo(tmp_path) as repository:
        assert repository.config["core"]["no_scm"] is True
