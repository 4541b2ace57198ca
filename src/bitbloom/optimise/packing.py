"""A Bento with a variant: the service of the target with another graph.

bitbloom pack petals pruned-25-int8      # dist/optimised/petals-pruned-25-int8.bento
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bitbloom.config.target import Target
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.optimise.variants import OPTIMISED, checked, named
from bitbloom.serving import archive, build, model_files
from bitbloom.serving.predictor import MODEL
from bitbloom.serving.settings import LOCK, PROVENANCE, SETTINGS
from bitbloom.stages import package


def pack(target: Target, name: str) -> Path:
    """Write the Bento as an archive. Its provenance has the digest of this graph and the command that makes it.

    Raises:
        BitBloomError: the variant is unknown, does not run on ONNX Runtime or is not made, or BentoML cannot build it.
    """
    variant = named(name)
    file = variant.path(checked(target).name)
    if not variant.by_onnx:
        raise BitBloomError(f"{name} runs in PyTorch, but a service has ONNX Runtime only: docs/optimise.md says how to load it")
    if not file.is_file():
        raise BitBloomError(f"{file} is missing: run `make optimise TARGET={target.name}` first")
    packed = Target.load(target.name, package.READS)
    kind = packed.section("model.kind")
    made = {"model_digest": file_digest(file), "rebuild": f"make optimise TARGET={target.name}"}
    bento = Path(OPTIMISED) / f"{target.name}-{name}.bento"
    with tempfile.TemporaryDirectory(prefix="bitbloom-package-") as temporary:
        context = Path(temporary)
        texts = {SETTINGS: package.settings(packed), PROVENANCE: package.provenance(packed) | made}
        files = {MODEL: file, **model_files.reference(target.models, kind), LOCK: package.SERVE_LOCK}
        build.assemble(context, target.task, kind, files, texts)
        with build.built(context, target.name, {"task": target.task}) as (folder, _):
            archive.write(folder, bento)
    return bento
