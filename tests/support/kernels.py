"""The compiled kernels for tests: libraries of this CPU, and calls with NumPy arrays."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.core import cpu
from bitbloom.numerics.arithmetic import build
from bitbloom.numerics.arithmetic.library import Library

Array = NDArray[np.float32]
NATIVE = [name for name in ("v3", "v4") if build.MACHINES[name].flags <= cpu.flags()]
"""Instruction sets of this CPU."""


@functools.cache
def library(name: str) -> Library:
    """The library of an instruction set."""
    return Library(build.library(name))


def address(array: NDArray[Any] | None) -> int | None:
    """The address of an array's memory."""
    return None if array is None else array.ctypes.data


def everywhere(call: Any) -> Any:
    """What a call gives with the library of every native instruction set, which has to be equal in bits."""
    first, *others = (call(library(name)) for name in NATIVE)
    for other in others:
        for one, two in zip(*(each if isinstance(each, tuple) else (each,) for each in (first, other)), strict=True):
            assert one.tobytes() == two.tobytes()
    return first


def empty(*shape: int) -> Array:
    """Memory full of NaN: an element that a kernel forgets is seen."""
    return np.full(shape, np.nan, np.float32)


def product(c: Library, a: Array, b: Array, bias: Array | None = None) -> Array:
    """a [z, m, k] · b [z, k, n] (+ bias [n]); strides as they are."""
    result = empty(a.shape[0], a.shape[1], b.shape[2])
    strides = [[stride // 4 for stride in each.strides] for each in (a, b)]
    sizes = (a.shape[0], a.shape[1], b.shape[2], a.shape[2])
    c.product(*sizes, address(a), *strides[0], address(b), *strides[1], address(result), address(bias))
    return result


def rows(c: Library, name: str, *inputs: Array) -> Array:
    """A kernel of rows [n, size]."""
    result = empty(*inputs[0].shape)
    getattr(c, name)(*inputs[0].shape, *map(address, inputs), address(result))
    return result


def mapped(c: Library, name: str, *inputs: Array) -> Array:
    """A kernel of single numbers."""
    result = empty(inputs[0].size)
    getattr(c, name)(inputs[0].size, *map(address, inputs), address(result))
    return result


def structure(kind: Any, *values: Any) -> Any:
    """A structure by reference."""
    return ctypes.byref(kind(*values))
