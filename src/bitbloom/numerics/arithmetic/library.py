"""The compiled kernels as functions of Python. Pointers are addresses of contiguous float32 memory, sizes count elements."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

POINTER, SIZE, FLOAT, DOUBLE = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_float, ctypes.c_double

FUNCTIONS = ("exp", "log", "erf", "tanh", "sqrt", "rsqrt", "sigmoid", "silu", "gelu", "gelu_tanh")
"""Functions of one number."""
DIFFERENTIABLE = ("gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
"""Those with a backward op of their own in PyTorch."""


class Convolution(ctypes.Structure):
    """Sizes of a convolution: images [N, C, H, W], kernels [O, C / groups, kernel_h, kernel_w], results [N, O, out_h, out_w]."""

    _fields_ = tuple(
        (name, SIZE)
        for name in (
            *("N", "C", "H", "W", "O", "kernel_h", "kernel_w", "stride_h", "stride_w"),
            *("pad_h", "pad_w", "dilation_h", "dilation_w", "groups", "out_h", "out_w"),
        )
    )


class Strided(ctypes.Structure):
    """A tensor [batch, heads, rows, columns] with adjacent columns: its address and the distances along the other axes."""

    _fields_ = (("at", POINTER), ("batch", SIZE), ("head", SIZE), ("row", SIZE))


class Attention(ctypes.Structure):
    """Sizes of an attention, whether it is causal, and the factor of its scores."""

    _fields_ = (
        *((name, SIZE) for name in ("batch", "heads", "queries", "keys", "width", "width_v")),
        ("causal", ctypes.c_int),
        ("scale", FLOAT),
    )


SIZES = ctypes.POINTER(Convolution)
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "product": (SIZE, SIZE, SIZE, SIZE, *(POINTER, SIZE, SIZE, SIZE) * 2, POINTER, POINTER),
    "linear_backward": (SIZE, SIZE, SIZE, *(POINTER,) * 6),
    "convolution": (SIZES, *(POINTER,) * 4),
    "convolution_backward": (SIZES, *(POINTER,) * 6),
    "attention": (ctypes.POINTER(Attention), *(ctypes.POINTER(Strided),) * 5),
    "attention_backward": (ctypes.POINTER(Attention), *(ctypes.POINTER(Strided),) * 8),
    "softmax": (SIZE, SIZE, POINTER, POINTER),
    "softmax_backward": (SIZE, SIZE, POINTER, POINTER, POINTER),
    "log_softmax": (SIZE, SIZE, POINTER, POINTER),
    "log_softmax_backward": (SIZE, SIZE, POINTER, POINTER, POINTER),
    "layer_norm": (SIZE, SIZE, FLOAT, *(POINTER,) * 6),
    "layer_norm_backward": (SIZE, SIZE, *(POINTER,) * 8),
    "group_norm": (SIZE, SIZE, SIZE, SIZE, FLOAT, *(POINTER,) * 6),
    "group_norm_backward": (SIZE, SIZE, SIZE, SIZE, *(POINTER,) * 8),
    "sum_rows": (SIZE, SIZE, POINTER, FLOAT, POINTER),
    "sum_middle": (SIZE, SIZE, SIZE, POINTER, FLOAT, POINTER),
    "norm": (SIZE, SIZE, POINTER, POINTER),
    "lerp": (SIZE, FLOAT, POINTER, POINTER),
    "adamw": (SIZE, *(POINTER,) * 4, *(DOUBLE,) * 6),
    "embedding_backward": (SIZE, SIZE, SIZE, *(POINTER,) * 3),
    "bilinear": (*(SIZE,) * 5, POINTER, POINTER),
    "bilinear_backward": (*(SIZE,) * 5, POINTER, POINTER),
    **dict.fromkeys(FUNCTIONS, (SIZE, POINTER, POINTER)),
    **{f"{name}_backward": (SIZE, POINTER, POINTER, POINTER) for name in DIFFERENTIABLE},
}


class Library:
    """The functions of a compiled library, by their names without prefix."""

    def __init__(self, path: Path) -> None:
        loaded = ctypes.CDLL(str(path))
        for name, types in SIGNATURES.items():
            function = getattr(loaded, f"bloom_{name}")
            function.argtypes, function.restype = types, None
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        """Only for names that are no function of the library; tells type checkers that the others are there."""
        raise AttributeError(name)
