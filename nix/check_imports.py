"""Import the packages of the stages from the venv that Nix built. Fails if a library that a wheel needs is missing."""

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
