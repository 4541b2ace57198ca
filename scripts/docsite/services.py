"""The OpenAPI documents of the services, without a trained model.

    python scripts/docsite/services.py FILE     # {target: document} as JSON

A service describes its routes from its code and its `service` section; the files of the model may be empty. BentoML adds its own
routes, so this runs in a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbloom import __version__
from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.pipeline import composition
from bitbloom.serving import build, model_files, openapi
from bitbloom.serving.predictor import MODEL
from bitbloom.serving.settings import LOCK, PROVENANCE, SETTINGS
from bitbloom.stages import package

CAPTION_FILES = (*model_files.GRAPHS, model_files.EMBEDDINGS, model_files.PHOTOS)


def targets() -> list[str]:
    """One target of each kind of model, the first that builds from the package index alone."""
    kinds: dict[str, str] = {}
    for name in composition.embedded():
        kinds.setdefault(str(composition.compose(name).model.kind), name)
    return list(kinds.values())


def document(name: str) -> dict[str, Any]:
    """The document of a target's service; its version is that of the package, because there is no Bento."""
    target = Target.load(name, package.READS)
    service = build.service_file(target.task, target.section("model.kind")).resolve()
    with tempfile.TemporaryDirectory(prefix="bitbloom-openapi-") as temporary:
        folder = Path(temporary)
        write(folder, target)
        (folder / build.SERVICE).write_bytes(service.read_bytes())
        with contextlib.chdir(folder):
            module = imported(folder / build.SERVICE, f"service_of_{name}")
        return openapi.document(module.application.routes, __version__, module.Service.openapi_spec.asdict())


def write(folder: Path, target: Target) -> None:
    """Write what a service reads at its import: settings, provenance, lock, the folder of the page, and empty model files."""
    for name in CAPTION_FILES if target.section("model.kind") == "caption" else (MODEL,):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    canonical.write_json(folder / SETTINGS, package.settings(target))
    canonical.write_json(folder / PROVENANCE, {"model_digest": model_files.digest(model_files.files(folder))})
    (folder / LOCK).touch()
    (folder / "page").mkdir()


def imported(path: Path, name: str) -> ModuleType:
    """The module of a file, under a name of its own."""
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    canonical.write_json(Path(sys.argv[1]), {name: document(name) for name in targets()})
