"""pyproject.toml: the dependencies of the package are those of requirements*.in, and uv leaves the venv as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.tiny import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
BASE = set(PYPROJECT["project"]["dependencies"])
EXTRAS = {name: set(listed) for name, listed in PYPROJECT["project"]["optional-dependencies"].items()}
UV = Path(sys.executable).with_name("uv")


def required(name: str) -> set[str]:
    """The requirements of a file, without comments and included files."""
    lines = (line.partition("#")[0].strip() for line in (REPOSITORY / name).read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line and not line.startswith("-r")}


def test_base_and_build_are_the_requirements_of_the_stages():
    assert BASE | EXTRAS["build"] == required("requirements.in")
    assert not BASE & EXTRAS["build"]


def test_extra_serve_has_the_requirements_of_a_service():
    assert EXTRAS["serve"] == required("requirements-serve.in")


def test_extra_dev_has_the_requirements_of_development():
    assert EXTRAS["dev"] == required("requirements-dev.in") | {"bitbloom[build]"}


def test_extra_client_is_part_of_the_base():
    assert EXTRAS["client"] <= BASE


def test_extra_cuda_has_the_requirements_of_its_lock():
    assert EXTRAS["cuda"] == {"bitbloom[build]"}


@pytest.mark.parametrize(
    "module", ["bitbloom.cli", "bitbloom.serving.files", "bitbloom.serving.client", "bitbloom.pipeline.composition"]
)
def test_base_suffices_for_prediction_and_client(module):
    """Only the extras' own modules are hidden: dependencies of the base stay."""
    hidden = {"torch", "transformers", "dvc", "bentoml", "fastapi", "wandb", "pandas", "pyarrow", "kornia", "lightning_fabric"}
    program = f"import sys; sys.modules.update(dict.fromkeys({sorted(hidden)}, None)); import {module}"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of pyproject.toml beside a venv with a package that it does not name."""
    shutil.copy2(REPOSITORY / "pyproject.toml", tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    extra = tmp_path / ".venv/lib/python3.11/site-packages/extra-1.dist-info"
    extra.mkdir()
    (extra / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1\n")
    (extra / "RECORD").write_text("extra-1.dist-info/METADATA,,\nextra-1.dist-info/RECORD,,\n")
    return tmp_path


def uv(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(project), "UV_CACHE_DIR": str(project / "cache"), "UV_OFFLINE": "1"}
    return subprocess.run([UV, *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=60)


def test_uv_sync_removes_no_package(project):
    done = uv(project, "sync")
    assert done.returncode != 0
    assert "unmanaged" in done.stderr
    assert (project / ".venv/lib/python3.11/site-packages/extra-1.dist-info").exists()
    assert not (project / "uv.lock").exists()


def test_uv_run_uses_the_venv_as_it_is(project):
    done = uv(project, "run", "python", "-c", "import importlib.metadata as m, sys; print(m.version('extra'), sys.prefix)")
    assert done.stdout == f"1 {project}/.venv\n", done.stderr
    assert not (project / "uv.lock").exists()


def test_every_pinned_version_is_the_locked_one():
    locked = (REPOSITORY / "requirements-dev.lock").read_text(encoding="utf-8")
    for requirement in BASE.union(*EXTRAS.values()):
        name, pinned, version = requirement.partition("==")
        if pinned:
            assert re.search(rf"^{re.escape(name)}(\[\S*\])?=={re.escape(version)}([+ ]|$)", locked, re.MULTILINE), requirement
