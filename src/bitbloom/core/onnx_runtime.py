"""ONNX Runtime, loaded with telemetry disabled."""

from __future__ import annotations

import importlib
import os
from types import ModuleType


def onnxruntime() -> ModuleType:
    """Return the module. From version 1.31, it sends telemetry unless the environment disables it at load time (Privacy.md).

    Set ORT_DISABLE_TELEMETRY=0 to enable telemetry.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")
