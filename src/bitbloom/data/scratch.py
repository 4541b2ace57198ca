"""Large temporary arrays outside the memory."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

FOLDER = Path(".bitbloom/scratch")
LARGE = 64 << 20
"""Bytes from which an array is on disk."""


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be filled. A large one is a mapped file without a name, which ends with the array or the process."""
    if math.prod(shape) * np.dtype(dtype).itemsize < LARGE:
        return np.empty(shape, dtype)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=FOLDER) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
