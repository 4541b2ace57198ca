"""Checkpoints that a killed training resumes from: tensors as safetensors, the rest as JSON, no pickle.

They live outside DVC's outputs, which it removes before it runs a stage, under the digest of the stage's inputs: a
changed input never resumes from another run's state.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from bitbloom.core import canonical

ROOT = Path(".bitbloom/checkpoints")


class Checkpoints:
    """The checkpoints of one run, the newest complete one being kept."""

    def __init__(self, inputs_digest: str) -> None:
        self.folder = ROOT / inputs_digest

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint whole, then drop the older ones."""
        name = f"step-{step:08d}"
        with canonical.replacing_folder(self.folder / name) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary / "state.safetensors")
            # Not canonical JSON, which rounds: a resumed run has to compare the very same scores.
            canonical.write_text(temporary / "state.json", json.dumps(state | {"step": step}))
        for old in self._complete():
            if old.name != name:
                shutil.rmtree(old)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the newest checkpoint, or None."""
        complete = self._complete()
        if not complete:
            return None
        return load_file(complete[-1] / "state.safetensors"), canonical.read_json(complete[-1] / "state.json")

    def remove(self) -> None:
        """Forget the run: it is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _complete(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
