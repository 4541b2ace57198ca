"""Lay out what goes into TorchServe's archive: weights, config, what serving needs to know, and the modules of bitbloom.

python deploy/torchserve/archive.py petals FOLDER      # from the root of a workspace in which `petals` is trained
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.core.imports import ROOT, closure
from bitbloom.evaluation import calibration
from bitbloom.training import inference

HERE = Path(__file__).resolve().parent


def lay_out(name: str, folder: Path) -> None:
    """Fill an empty folder. Raises BitBloomError when the target is not trained, or is not of photos."""
    target = Target.load(name)
    if target.task != "petals":
        raise BitBloomError(f"'{name}' is of the task {target.task}: this archive is for photos (petals and its relatives)")
    weights = target.models / "model.safetensors"
    if not weights.is_file():
        raise BitBloomError(f"{weights} is missing: make train TARGET={name}")
    shutil.copyfile(weights, folder / weights.name)
    shutil.copyfile(target.models / "config.json", folder / "config.json")
    temperature = calibration.temperature(inference.load(target))
    canonical.write_json(folder / "serving.json", {"temperature": temperature, "max_pixels": target.service.max_pixels})
    shutil.copyfile(HERE / "torch_predictor.py", folder / "torch_predictor.py")
    for path in closure([HERE / "torch_predictor.py", f"bitbloom.tasks.{target.task}"]):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


if __name__ == "__main__":
    try:
        lay_out(sys.argv[1], Path(sys.argv[2]))
    except BitBloomError as error:
        sys.exit(f"error: {error}")
