"""Checkpoints from which an interrupted training resumes: tensors as safetensors, the rest as JSON, no pickle.

Checkpoints are stored outside DVC's outputs, which DVC removes before it runs a stage. Their folder is named by the digest of
the stage's inputs, so that a run with changed inputs never resumes from the state of another run.
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
    """The checkpoints of one run. Only the newest complete one is kept."""

    def __init__(self, inputs_digest: str) -> None:
        self.folder = ROOT / inputs_digest

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint atomically, then remove the older ones."""
        name = f"step-{step:08d}"
        with canonical.replacing_folder(self.folder / name) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary / "state.safetensors")
            # Not canonical JSON, which rounds floats: a resumed run compares the exact scores.
            canonical.write_text(temporary / "state.json", json.dumps(state | {"step": step}))
        for old in self._complete():
            if old.name != name:
                shutil.rmtree(old)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return tensors and state of the newest checkpoint, or None."""
        complete = self._complete()
        if not complete:
            return None
        return load_file(complete[-1] / "state.safetensors"), canonical.read_json(complete[-1] / "state.json")

    def remove(self) -> None:
        """Remove the checkpoints of a finished run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _complete(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))
