"""Package: the exported model, its service and the lock, as a Bento whose version is its digest.

    python -m bitbloom.stages.package petals      # dist/petals.bento, reports/petals/bento.json

The Bento has only what serving needs: the modules in the import closure of the service, the model, the page, and
`requirements-serve.lock`. Its bytes depend neither on the time and place of the build nor on the commit.
"""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.core.digests import digest, file_digest, folder_files
from bitbloom.numerics import pins
from bitbloom.serving import archive, bento, build, model_files
from bitbloom.serving.predictor import MODEL
from bitbloom.serving.settings import LOCK, PROVENANCE, SETTINGS
from bitbloom.stages import main

if TYPE_CHECKING:
    from bitbloom.config.target import Target

READS = ("task", "embedded", "overrides", "numerics", "service", "model.kind")
PARTS = ()
SERVE_LOCK = Path(LOCK)


def run(target: Target) -> None:
    """Write dist/<target>.bento and reports/<target>/bento.json.

    Raises:
        BitBloomError: an input is missing, or BentoML cannot build the service.
    """
    kind = target.section("model.kind")
    with tempfile.TemporaryDirectory(prefix="bitbloom-package-") as temporary:
        context = Path(temporary)
        texts = {SETTINGS: settings(target), PROVENANCE: provenance(target)}
        files = {**served(target), **model_files.reference(target.models, kind), LOCK: SERVE_LOCK}
        build.assemble(context, target.task, kind, files, texts)
        with build.built(context, target.name, {"task": target.task}) as (folder, whole):
            archive.write(folder, target.bento)
            canonical.write_json(target.reports / "bento.json", report(target, folder, whole))


def served(target: Target) -> dict[str, Path]:
    """The exported files that the service runs, by their names in the Bento."""
    found = model_files.files(target.models)
    return found | {MODEL: target.models / "model.int8.onnx"} if target.service.int8 and MODEL in found else found


def settings(target: Target) -> dict[str, object]:
    """`service.json`: the target's names, and its `service` section."""
    chosen = {name: value for name, value in asdict(target.service).items() if name != "int8"}
    return {"target": target.name, "task": target.task, "kind": target.section("model.kind"), **chosen}


def provenance(target: Target) -> dict[str, object]:
    """`provenance.json`: digests of the inputs and of the model. It cannot have the Bento's digest, which covers this file."""
    return {
        "target": target.name,
        "task": target.task,
        "data_digest": canonical.read_json(target.models / "config.json")["data_digest"],
        "lock_digest": file_digest(Path(pins.lock(target.numerics.profile))),
        "model_digest": model_files.digest(served(target)),
        "rebuild": rebuild(target),
    }


def rebuild(target: Target) -> str:
    """The command that builds the same again. For an embedded target, it also compares the digests."""
    overrides = target.section("overrides")
    if target.section("embedded") and not overrides:
        return f"make verify TARGET={target.name}"
    accelerated = " ACCEL=cuda" if target.numerics.profile == "cuda" else ""
    chosen = f" SET={shlex.quote(' '.join(overrides))}" if overrides else ""
    return f"make all TARGET={target.name}{accelerated}{chosen}"


def report(target: Target, folder: Path, whole: str) -> dict[str, object]:
    """`bento.json`: name, version, digest and files of the Bento, and digest and size of its archive."""
    sizes = {name: file.stat().st_size for name, file in folder_files(folder).items()}
    files = bento.files(folder)
    return {
        "name": target.name,
        "version": bento.version(whole),
        "digest": whole,
        "files": {name: {"sha256": files[name], "bytes": sizes[name]} for name in files},
        "archive": {"sha256": digest(target.bento), "bytes": target.bento.stat().st_size},
    }


if __name__ == "__main__":
    main(run, READS)
