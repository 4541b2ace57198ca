"""ONNX Runtime, loaded so that it keeps to itself."""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def onnxruntime() -> ModuleType:
    """The module. From version 1.31 it sends what it does to its makers, unless the environment forbids it when it is loaded.

    (Privacy.md of the package.) Who wants that sets ORT_DISABLE_TELEMETRY=0.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")
