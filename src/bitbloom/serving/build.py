"""Build a Bento whose bytes depend on its content only.

BentoML builds it in a separate process, from a folder with exactly the files that the service needs. Then the time of the
build is replaced by a fixed one, and the Bento is named after its digest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from bitbloom.core import canonical
from bitbloom.core.digests import folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.core.imports import ROOT, closure
from bitbloom.serving import bento, pages
from bitbloom.serving.settings import LOCK, SETTINGS

SERVICE, README = "service.py", "README.md"
BENTOS = Path("bentos")
BASE, COMMON = BENTOS / "common/base", BENTOS / "common"
CLEARED = ("BENTO", "PYTHON", "YATAI", "UV_", "PIP_")
"""Prefixes of environment variables that could change what BentoML writes, or the path on which it finds modules."""


def service_folders(task: str, kind: str) -> list[Path]:
    """Return the folders that a service is assembled from; a file of a later folder replaces that of an earlier one.

    These are the folder of all services, that of the kind of model, and the task's own, if it has one.
    """
    return [folder for folder in (BASE, COMMON / kind, BENTOS / task) if folder.is_dir()]


def layered(task: str, kind: str) -> dict[str, Path]:
    """Return the files of a service by their path in it, each from the last folder that has it."""
    found = {name: path for folder in service_folders(task, kind) for name, path in folder_files(folder).items()}
    return {name: path for name, path in found.items() if not bento.DERIVED.search(name)}


def service_file(task: str, kind: str) -> Path:
    """Return the `service.py` of a task, or else that of its kind. Raises BitBloomError when both are missing."""
    found = layered(task, kind).get(SERVICE)
    if found is None:
        raise BitBloomError(f"{BENTOS / task / SERVICE} is missing, and {COMMON / kind} has none for models of kind '{kind}'")
    return found


def assemble(context: Path, task: str, kind: str, files: Mapping[str, Path], texts: Mapping[str, object]) -> None:
    """Fill an empty folder with the files of a service.

    Args:
        context: the folder.
        task: the task of the service.
        kind: the kind of the task's model.
        files: further files by their path in the folder.
        texts: values that are written as canonical JSON, by their path in the folder; service.json is one of them.

    Raises:
        BitBloomError: a file is missing, or a page cannot be rendered.
    """
    code = {path.relative_to(ROOT).as_posix(): path for path in closure([service_file(task, kind)])}
    own = layered(task, kind)
    copied = {name: path for name, path in own.items() if not name.endswith((pages.PAGE, pages.SHELL))}
    for name, path in {**copied, **code, **files}.items():
        if not path.is_file():
            raise BitBloomError(f"{path} is missing: build the stage that writes it")
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, context / name)
    for name, value in texts.items():
        canonical.write_json(context / name, value)
    templates = page_templates(task, kind)
    for name in (name for name in own if name.endswith(pages.PAGE)):
        text = pages.render(own[name].relative_to(BENTOS).as_posix(), templates, texts[SETTINGS])
        canonical.write_text(context / name, text)
    canonical.write_text(context / README, readme(task, kind))


def readme(task: str, kind: str) -> str:
    """Return the README that BentoML shows: that of the task, then those of its kind and of all services."""
    files = [folder / README for folder in reversed(service_folders(task, kind))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def page_templates(task: str, kind: str) -> dict[str, Path]:
    """Return the templates that pages of a service can extend, by their path in `bentos/`."""
    paths = (path for folder in service_folders(task, kind) for path in folder_files(folder).values())
    return {path.relative_to(BENTOS).as_posix(): path for path in paths if path.name.endswith((pages.PAGE, pages.SHELL))}


@contextmanager
def built(context: Path, name: str, labels: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Build the Bento `name` from an assembled folder. Yields the unpacked Bento and its digest; both exist within the block.

    Raises:
        BitBloomError: BentoML fails; the message has the last lines of its output.
    """
    options = {"service": SERVICE.removesuffix(".py"), "name": name, "labels": dict(labels)}
    canonical.write_text(context / "bentofile.yaml", yaml.safe_dump(options))
    with tempfile.TemporaryDirectory(prefix="bitbloom-bento-") as home:
        _bentoml_build(context, Path(home))
        folder = Path(home) / "bentos" / name / "unnamed"
        _use_lock(folder, (context / LOCK).read_text(encoding="utf-8"))
        yield folder, bento.name_after_content(folder)


def _bentoml_build(context: Path, home: Path) -> None:
    """Run `bentoml build` with a separate store, without tracking, and with the installed and the assembled modules only."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(CLEARED)}
    ours = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "bentoml", "build", "--version", "unnamed", str(context)]
    done = subprocess.run(command, cwd=context, env=kept | ours, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BitBloomError(f"BentoML cannot build the service in {context}:\n{output}")


def _use_lock(folder: Path, lock: str) -> None:
    """Replace the requirements by the lock: BentoML adds itself a second time, without a hash."""
    python = folder / "env" / "python"
    (python / "requirements.in").unlink(missing_ok=True)
    canonical.write_text(python / "requirements.txt", lock)
    manifest = folder / bento.MANIFEST
    tree = yaml.safe_load(manifest.read_bytes())
    tree["image"]["python_requirements"] = lock
    canonical.write_text(manifest, yaml.safe_dump(tree, sort_keys=True, allow_unicode=True))
