"""Builds of the flake: wheelhouse and venv are reproducible, and the command of the image serves."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bitbloom.core.digests import file_digest
from bitbloom.serving.predictor import Predictor
from support.standin import COLOURS, listening, photo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
REPOSITORY = Path(__file__).resolve().parents[2]


def built(flake, attribute: str, *words: str) -> Path:
    """Build an attribute. Returns its store path."""
    done = flake.build(attribute, *words)
    assert done.returncode == 0, done.stderr[-4000:]
    return Path(flake.evaluate(f"{attribute}.outPath"))


def test_wheelhouse_has_the_files_of_the_lock(flake):
    files = list(built(flake, "wheelhouse").iterdir())
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert len(files) == lock.count("==")
    for file in files:
        assert f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" in lock


def test_wheelhouse_is_reproducible(flake):
    built(flake, "wheelhouse")
    again = flake.build("wheelhouse", "--rebuild")  # fails when an output differs
    assert again.returncode == 0, again.stderr[-4000:]


def test_venv_is_reproducible(flake):
    """Deleted from the store in between: `--rebuild` without a sandbox uses another path, which a venv's RECORDs hash."""
    hashes = []
    for _ in range(2):
        place = built(flake, "venv")
        hashes.append(flake.run("hash", "path", str(place), stub=False).stdout)
        assert flake.run("store", "delete", "--ignore-liveness", str(place), stub=False).returncode == 0
    assert hashes[0] == hashes[1] != ""


def test_venv_has_no_pip_and_no_bytecode(flake):
    venv = built(flake, "venv")
    assert not list(venv.glob("lib/python3.11/site-packages/pip"))
    assert not next(venv.rglob("*.pyc"), None)
    assert (venv / "bin/dvc").exists()


def test_command_of_the_image_serves_from_the_store(flake, workspace, tmp_path):
    """Only the command of the image: the stand-in for nixpkgs describes an image but makes none."""
    bento = workspace / "dist/petals.bento"
    subprocess.run(["nix-store", "--add-fixed", "sha256", str(bento)], check=True, capture_output=True)
    expected = {"dist/petals.bento": {"sha256": file_digest(bento)}}
    (flake.folder / "digests/petals.json").write_text(json.dumps(expected), encoding="utf-8")
    image = json.loads(built(flake, "image").read_text(encoding="utf-8"))
    settings = dict(line.split("=", 1) for line in image["config"]["Env"])
    own = {key: str(tmp_path / value.lstrip("/")) for key, value in settings.items() if value.startswith("/tmp")}
    with listening(image["config"]["Cmd"], settings | own, tmp_path) as url:
        response = httpx.post(f"{url}/predict", files={"image": photo(COLOURS["poppy"])}).json()
    assert response == Predictor.open(workspace / "models/petals").predict(photo(COLOURS["poppy"]))
    assert image["tag"] == f"nix-{file_digest(bento)[:12]}"


def test_checks_pass(flake):
    programs = {"lock": "python3.11", "imports": "python3.11", "scripts": "shellcheck", "format": "nixfmt"}
    for check, program in programs.items():
        if shutil.which(program):  # the stand-in for nixpkgs has only the host's programs
            built(flake, f"checks.x86_64-linux.{check}")


def test_small_venv_is_reproducible(tmp_path):
    """The two scripts without Nix: a wheel, compiled code, and a source archive that needs a build."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    wanted = ("setuptools", "antlr4-python3-runtime", "pyyaml")
    packages = [re.search(rf"^{name}==.*?[^\\]$", text, re.MULTILINE | re.DOTALL) for name in wanted]
    lock, wheels, venv = tmp_path / "small.lock", tmp_path / "wheels", tmp_path / "venv"
    lock.write_text("\n".join(package[0] for package in packages if package) + "\n", encoding="utf-8")
    script("wheelhouse.sh", "x86_64-linux", sys.executable, str(lock), str(wheels))
    assert len(list(wheels.iterdir())) == len(wanted)
    made = []
    for _ in range(2):
        script("venv.sh", sys.executable, str(lock), str(wheels), str(venv))
        made.append(
            {path.relative_to(venv): path.read_bytes() for path in venv.rglob("*") if path.is_file() and not path.is_symlink()}
        )
        shutil.rmtree(venv)
    assert made[0] == made[1]
    assert not any(path.suffix == ".pyc" for path in made[0])


def script(name: str, *words: str) -> None:
    """Run a script of nix/."""
    done = subprocess.run(["sh", str(REPOSITORY / "nix" / name), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
