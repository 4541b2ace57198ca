"""The portable subset: ops, and their shapes, that give the same bits on every x86-64 CPU with AVX2.

The subset has two kinds of op. Ops in PROVEN add many numbers or approximate a function: the outputs of each were compared
between a real CPU and emulated ones (`tests/reproducibility/test_other_cpus.py` repeats it; docs/reproducibility.md has the
table). Ops in EXACT have one correct result by IEEE 754, or add numbers in the order of their elements: whole training steps
compare those that the shipped configs use. The `portable` profile enforces the subset before the first training step, so that
an unportable config fails at once and not on another machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import trace

_EXACT = """
_assert_async _foreach_add _is_all_true _is_any_true _local_scalar_dense _to_copy _unsafe_view abs add alias all amax amin any
arange argmax argmin bernoulli bitwise_and bitwise_not bitwise_or cat ceil clamp clamp_max clamp_min clone constant_pad_nd
copy cumsum div embedding empty empty_like empty_strided eq expand fill flip floor full full_like gather ge gt index index_add
index_copy index_put index_select isfinite isinf isnan item le lerp lift_fresh logical_and logical_not logical_or logical_xor
lt masked_fill max max_pool2d_with_indices max_pool2d_with_indices_backward maximum min minimum mul native_dropout
native_dropout_backward ne neg new_empty new_empty_strided new_full new_ones new_zeros nll_loss_backward nll_loss_forward
nonzero ones ones_like rand randint random reciprocal reflection_pad2d reflection_pad2d_backward relu repeat roll round rsub
scalar_tensor scatter select_backward select_scatter set sign slice_backward slice_scatter sort split split_with_sizes stack
sub threshold_backward topk tril triu unbind unfold uniform where zero zeros zeros_like
"""
EXACT = frozenset(_EXACT.split())
"""Ops that move, compare or draw numbers, apply correctly rounded operations to each, or sum them sequentially."""
_PROVEN = """
_adaptive_avg_pool2d _adaptive_avg_pool2d_backward _fused_adamw _log_softmax _log_softmax_backward_data _softmax
_softmax_backward_data addmm avg_pool2d avg_pool2d_backward baddbmm bmm convolution convolution_backward
embedding_dense_backward gelu gelu_backward linalg_vector_norm mean mm native_group_norm native_group_norm_backward
native_layer_norm native_layer_norm_backward sigmoid sigmoid_backward silu silu_backward sum tanh tanh_backward
upsample_bilinear2d upsample_bilinear2d_backward
"""
PROVEN = frozenset(_PROVEN.split())
"""Ops that add many numbers or approximate a function, with equal bits on every CPU that was compared."""
ALTERNATIVES = {
    "exp": "use softmax or log-softmax, or a table",
    "log": "use log-softmax or cross-entropy",
    "sqrt": "use torch.linalg.vector_norm for lengths",
    "rsqrt": "use layer or group norm",
    "pow": "multiply",
    "erfinv": "initialise weights with bitbloom.models.initialise",
    "normal": "initialise weights with bitbloom.models.initialise",
    "dot": "multiply, then sum",
    "grid_sampler_2d": "crop by slicing and resize by interpolation",
    "_scaled_dot_product_flash_attention_for_cpu": 'set attn_implementation="eager"',
    "scaled_dot_product_attention": 'set attn_implementation="eager"',
    "_linalg_solve_ex": "solve before training",
    "native_batch_norm": "use group norm: batch statistics depend on the micro-batches",
    "linalg_inv_ex": "invert before training",
}
FEWEST_ROWS, FEWEST_COLUMNS = 4, 12
"""Smallest portable matrix product: with PyTorch 2.13 and MKL on AVX2, smaller ones differ between CPUs."""
WHOLE, HALVED = 192, 256
"""Portable numbers of terms of a sum: up to WHOLE, an even number above HALVED, or 2 x WHOLE and more. MKL 2024.2 splits other
sums into different blocks on Intel and AMD CPUs. Every number up to 1,400 was compared, and many above."""
MATRICES = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
"""Positions of the two factors of a matrix product among its inputs."""
DIRECT_FROM = 16
"""PyTorch computes 1×1 convolutions of fewer images, and any convolution of one image, as a matrix product."""
Product = tuple[int, int, int]
"""Rows, terms per sum, and columns of a matrix product."""


class Unportable(BitBloomError):
    """An op or a shape outside the subset."""


class Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises Unportable at the first op outside the subset inside the block, forward or backward."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Check the op, then run it."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func.namespace != "profiler":
            check(trace.op_name(func), list(trace.tensors((args, kwargs or {}))), list(trace.tensors(result)))
        return result


def check(op: str, inputs: list[Tensor], results: list[Tensor] | None = None) -> None:
    """Raise Unportable unless an op on these tensors is in the subset. In-place forms count as the op itself.

    Ops without floating-point inputs and outputs are always exact.
    """
    name = op if op in EXACT | PROVEN else op.rstrip("_")
    floating = any(tensor.is_floating_point() for tensor in (*inputs, *(results or ())))
    if name not in EXACT | PROVEN and (floating or not inputs):
        raise Unportable(_message(op, inputs, ALTERNATIVES.get(name, "use the ops of bitbloom.numerics.subset")))
    if floating:
        for product in products(name, inputs, results or []):
            advice = _advice(product)
            if advice:
                raise Unportable(_message(op, inputs, advice))


def products(name: str, inputs: list[Tensor], results: list[Tensor]) -> list[Product]:
    """Return the matrix products by which PyTorch computes an op of these shapes."""
    if name in MATRICES:
        first, second = (inputs[position] for position in MATRICES[name])
        return [(first.shape[-2], first.shape[-1], second.shape[-1])]
    if name not in ("convolution", "convolution_backward"):
        return []
    backward = name == "convolution_backward"
    output, image, kernel = inputs[:3] if backward else (results[0], *inputs[:2])
    if len(image) > 1 and (len(image) >= DIRECT_FROM or kernel[0, 0].numel() > 1):
        return []
    outputs, terms, positions = len(kernel), kernel[0].numel(), output[0, 0].numel()
    factors = [(positions, terms, outputs), *([(positions, outputs, terms), (outputs, positions, terms)] if backward else [])]
    return [product for rows, inner, columns in factors for product in ((rows, inner, columns), (columns, inner, rows))]


def portable_terms(count: int) -> bool:
    """Return whether sums of this number of terms are split into the same blocks on every CPU."""
    return count <= WHOLE or count >= 2 * WHOLE or (count > HALVED and count % 2 == 0)


def _advice(product: Product) -> str:
    """Return what to do about a product that is not portable; empty if it is portable."""
    rows, inner, columns = product
    if rows < FEWEST_ROWS or columns < FEWEST_COLUMNS:
        return f"products need {FEWEST_ROWS} rows and {FEWEST_COLUMNS} columns: use larger micro-batches, or PortableLinear"
    if not portable_terms(inner):
        return (
            f"sums of {inner} terms are split differently on Intel and AMD: change batch size, tokens or width, so that no sum "
            f"has {WHOLE + 1} to {HALVED} terms, or an odd number from {HALVED + 1} to {2 * WHOLE - 1}"
        )
    return ""


def _message(op: str, inputs: list[Tensor], advice: str) -> str:
    shapes = ", ".join(trace.shape(tensor) for tensor in inputs)
    return (
        f"op '{op}' on ({shapes}) is outside the portable subset: its bits differ between CPUs, or were never compared; "
        f"{advice}; or build with numerics=fast, which gives the same bytes on one kind of CPU only"
    )


@contextmanager
def enforced(profile: str) -> Iterator[None]:
    """Enforce the subset inside the block, in the `portable` profile only."""
    if profile != "portable":
        yield
        return
    with Guard():  # type: ignore[no-untyped-call]
        yield
