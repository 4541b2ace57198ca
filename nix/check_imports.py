"""Import what the stages import, out of the venv that Nix built; fails when a library that a wheel needs is not found."""

from __future__ import annotations

import importlib
import sys

MODULES = (
    "torch",
    "transformers",
    "kornia",
    "lightning_fabric",
    "hydra",
    "bentoml",
    "dvc",
    "great_expectations",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "PIL",
    "matplotlib",
    "safetensors",
    "tokenizers",
)

for name in MODULES:
    importlib.import_module(name)
print(f"{len(MODULES)} modules import, with Python {sys.version.split()[0]}")
