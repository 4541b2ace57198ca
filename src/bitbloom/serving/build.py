"""Build a Bento whose bytes depend on its content only.

BentoML builds it, in a process of its own and from a folder that holds exactly what the service needs; then what
BentoML knows of the moment is taken out, and the Bento is named after its digest.
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
"""Prefixes of environment variables that could change what BentoML writes, or where it looks for modules."""


def service_folders(task: str, kind: str) -> list[Path]:
    """The folders that a service is assembled from; a file of a later one stands in for that of an earlier one.

    What all services share, what those of a kind of model share, and the task's own, where it has one.
    """
    return [folder for folder in (BASE, COMMON / kind, BENTOS / task) if folder.is_dir()]


def layered(task: str, kind: str) -> dict[str, Path]:
    """The files of a service, by their path in it: of each, that of the last folder which has it."""
    found = {name: path for folder in service_folders(task, kind) for name, path in folder_files(folder).items()}
    return {name: path for name, path in found.items() if not bento.DERIVED.search(name)}


def service_file(task: str, kind: str) -> Path:
    """The `service.py` of a task: its own, or that of its kind. Raises BitBloomError when there is neither."""
    found = layered(task, kind).get(SERVICE)
    if found is None:
        raise BitBloomError(f"{BENTOS / task / SERVICE} is missing, and {COMMON / kind} has none for models of kind '{kind}'")
    return found


def assemble(context: Path, task: str, kind: str, files: Mapping[str, Path], texts: Mapping[str, object]) -> None:
    """Fill an empty folder with a service and all it needs.

    Args:
        context: the folder.
        task: whose service it is.
        kind: of the task's model.
        files: more files by the path they get.
        texts: values written as canonical JSON by the path they get, service.json among them.

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
    """What BentoML shows of the Bento: what the task says of its service, then what its kind and all services have to say."""
    files = [folder / README for folder in reversed(service_folders(task, kind))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def page_templates(task: str, kind: str) -> dict[str, Path]:
    """What the pages of a service may extend: pages and shells of its own folders, by their path in `bentos/`."""
    paths = (path for folder in service_folders(task, kind) for path in folder_files(folder).values())
    return {path.relative_to(BENTOS).as_posix(): path for path in paths if path.name.endswith((pages.PAGE, pages.SHELL))}


@contextmanager
def built(context: Path, name: str, labels: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Build the Bento `name` from an assembled folder. Gives the unpacked Bento and its digest, while the block lasts.

    Raises:
        BitBloomError: BentoML refuses; its last words are in the message.
    """
    options = {"service": SERVICE.removesuffix(".py"), "name": name, "labels": dict(labels)}
    canonical.write_text(context / "bentofile.yaml", yaml.safe_dump(options))
    with tempfile.TemporaryDirectory(prefix="bitbloom-bento-") as home:
        _bentoml_build(context, Path(home))
        folder = Path(home) / "bentos" / name / "unnamed"
        _use_lock(folder, (context / LOCK).read_text(encoding="utf-8"))
        yield folder, bento.name_after_content(folder)


def _bentoml_build(context: Path, home: Path) -> None:
    """`bentoml build`, with a store of its own, no tracking, and no modules but the installed and the assembled ones."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(CLEARED)}
    ours = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "bentoml", "build", "--version", "unnamed", str(context)]
    done = subprocess.run(command, cwd=context, env=kept | ours, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BitBloomError(f"BentoML cannot build the service in {context}:\n{words}")


def _use_lock(folder: Path, lock: str) -> None:
    """Let the requirements be the lock, whole: BentoML adds itself a second time, without a hash."""
    python = folder / "env" / "python"
    (python / "requirements.in").unlink(missing_ok=True)
    canonical.write_text(python / "requirements.txt", lock)
    manifest = folder / bento.MANIFEST
    tree = yaml.safe_load(manifest.read_bytes())
    tree["image"]["python_requirements"] = lock
    canonical.write_text(manifest, yaml.safe_dump(tree, sort_keys=True, allow_unicode=True))
