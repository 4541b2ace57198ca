"""export: the trained network as ONNX graphs, preprocessing included, compared with the network.

    python -m bitbloom.stages.export petals      # → models/petals/{model.onnx, model.int8.onnx, parity.json, …}

The task's exporter writes the graphs. This stage compares ONNX Runtime with PyTorch and keeps only counts and verdicts, because
the last bits of ONNX Runtime's outputs depend on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitbloom import tasks
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.drift import familiar
from bitbloom.drift.observations import REFERENCE
from bitbloom.evaluation.shown import ShownTrained
from bitbloom.numerics import pins
from bitbloom.stages import main
from bitbloom.training import inference

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.contracts import Parity

READS = ("task", "export")
PARTS = ("model", "export")


def run(target: Target) -> None:
    """Write the exported model, `parity.json`, `reference.parquet` and, for photos to label, `familiar.npy`.

    Raises:
        BitBloomError: the exported model and the network differ on the test split.
    """
    pins.pin_torch()
    trained = ShownTrained.of(inference.load(target, tasks.model(target.task)))
    exporter = tasks.exporter(target.task)
    parity = exporter.export(trained, target.export, target.models)
    canonical.write_json(target.models / "parity.json", parity.verdict)
    record(target, parity)
    if parity.wrong:
        raise BitBloomError(f"the exported model in {target.models} differs from the network: {parity.wrong} (see parity.json)")
    reference = exporter.reference(trained, sizes(target))
    reference.write(target.models / REFERENCE)
    if trained.model.kind in familiar.KINDS:
        familiar.write(target.models / familiar.FAMILIAR, familiar.chosen(reference.embeddings))


def sizes(target: Target) -> dict[str, int]:
    """The bytes of each sample's file, by its id."""
    import pandas as pd

    manifest = pd.read_parquet(target.manifest, columns=["id", "bytes"])
    return dict(zip(manifest["id"], map(int, manifest["bytes"]), strict=True))


def record(target: Target, parity: Parity) -> None:
    """Add the measurements that depend on the machine to reports/<target>/run.json, which is not hashed."""
    path = target.reports / "run.json"
    before = canonical.read_json(path) if path.exists() else {}
    canonical.write_json(path, before | {"export": parity.measured})


if __name__ == "__main__":
    main(run, READS)
