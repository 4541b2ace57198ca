"""`nix develop`, `make all`, `bentoml serve petals:latest`, `bentoml containerize petals:latest`: as typed, with Nix and without.

Stand-ins: `scripts/venv.sh` (the packages come from the venv of the tests), `bitbloom build` (it installs the Bento of a small
model), podman (it records its arguments), nixpkgs. Make, the shell, BentoML and the service are real.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from support.standin import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
VENV = """\
#!/bin/sh
set -eu
"$(sh scripts/python.sh)" -m venv --without-pip .venv
ln -s "$PWD/.venv/pyvenv.cfg" .venv/itself
site=$(echo .venv/lib/python*/site-packages)
cp installed.pth "$site/installed.pth"
cp scripts/project_environment.py "$site/bitbloom_project_environment.py"
echo 'import bitbloom_project_environment' > "$site/bitbloom_project_environment.pth"
printf '#!%s\nfrom bentoml_cli.cli import cli\ncli()\n' "$PWD/.venv/bin/python" > .venv/bin/bentoml
printf '#!%s\nimport build\n' "$PWD/.venv/bin/python" > .venv/bin/bitbloom
chmod +x .venv/bin/bentoml .venv/bin/bitbloom
"""
BUILD = """\
import pathlib, sys
from bitbloom.serving import store
assert sys.argv[1:] == "build petals --until all".split(), sys.argv
store.install(pathlib.Path("dist/petals.bento"))
"""
PODMAN = """\
#!/bin/sh
printf '%s\\n' "$@" > '{log}'
"""
COMMANDS = """\
set -e
make all
command -v bentoml
bentoml serve petals:latest >serve.log 2>&1 &
server=$!
curl --silent --fail --retry 60 --retry-delay 1 --retry-connrefused --output ready --write-out '%{http_code}\\n' \\
    "http://127.0.0.1:$BENTOML_PORT/readyz" || cat serve.log
kill $server
wait $server || true
bentoml containerize petals:latest
"""

OF_THE_TESTS = ("PYTHON", "MAKE", "BENTOML_", "BITBLOOM_", "VIRTUAL_ENV")
"""Variables of the tests' own shell, which a user's shell lacks."""

Shell = Callable[[str], subprocess.CompletedProcess[str]]


def prepare(folder: Path, workspace: Path) -> None:
    """Make a checkout of the Makefile, the stand-ins and a packaged model."""
    for part in ("make", "scripts"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for part in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copyfile(REPOSITORY / part, folder / part)
    (folder / "scripts/venv.sh").write_text(VENV, encoding="utf-8")
    (folder / "build.py").write_text(BUILD, encoding="utf-8")
    paths = [str(folder), str(REPOSITORY / "src"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (folder / "installed.pth").write_text("".join(f"{path}\n" for path in dict.fromkeys(paths)), encoding="utf-8")
    (folder / "dist").mkdir()
    shutil.copyfile(workspace / "dist/petals.bento", folder / "dist/petals.bento")
    tools = folder / "tools"
    tools.mkdir()
    (tools / "podman").write_text(PODMAN.format(log=folder / "podman.log"), encoding="utf-8")
    (tools / "podman").chmod(0o755)


@pytest.fixture
def checkout(tmp_path, workspace) -> Path:
    folder = tmp_path / "flake"
    folder.mkdir(exist_ok=True)
    prepare(folder, workspace)
    return folder


@pytest.fixture(params=["nix develop", "venv on PATH"])
def shell(request, checkout, monkeypatch) -> Shell:
    """Run a script in `nix develop`, or in a shell with `.venv/bin` on PATH."""
    for name in [name for name in os.environ if name.startswith(OF_THE_TESTS)]:
        monkeypatch.delenv(name)
    host = f"{checkout / 'tools'}:{Path(sys.base_prefix) / 'bin'}:{HOST}"
    own = {"BENTOML_HOST": "127.0.0.1", "BENTOML_PORT": str(free_port())}
    if request.param == "nix develop":
        flake = request.getfixturevalue("flake")
        options = ["--impure", "--command", "bash", "-c"]
        return lambda script: flake.run("develop", "path:.", *options, script, environment=own | {"STUB_HOST_PATH": host})
    venv = checkout / ".venv/bin"
    environment = os.environ | own | {"PATH": f"{venv}:{host}"}
    return lambda script: subprocess.run(["bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True)


def test_four_commands_build_serve_and_containerize(shell, checkout):
    done = shell(COMMANDS)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"{checkout}/.venv/bin/bentoml\n200\n" in done.stdout
    version = (checkout / "dist/bentoml/bentos/petals/latest").read_text(encoding="utf-8")
    build, *options = (checkout / "podman.log").read_text(encoding="utf-8").splitlines()
    assert build == "build"
    assert f"petals:{version}" in options


@pytest.mark.parametrize("nix", [True, False])
def test_direnv_puts_the_venv_on_path(nix):
    """Without Nix the venv alone; `use flake` evaluates the hook of the shell."""
    stand_ins = f'has() {{ {json.dumps(nix)}; }}; use() {{ echo use "$@"; }}; PATH_add() {{ echo add "$@"; }}'
    said = subprocess.check_output(["bash", "-c", f"{stand_ins}; . ./.envrc"], cwd=REPOSITORY, text=True)
    assert said.splitlines() == (["use flake"] if nix else []) + ["add .venv/bin"]
