"""The portable subset: the ops that give the same bits on every x86-64 CPU with AVX2, and the shapes in which they do.

Two kinds of op are in it. Those in PROVEN add many numbers up or approximate a function: each was compared, output by output,
between a real CPU and emulated ones (`tests/reproducibility/test_other_cpus.py` does it again; docs/reproducibility.md has the
table). Those in EXACT have one right result by the rules of IEEE 754, or add up in the order of their elements: whole training
steps compare the ones that the shipped configs reach. A training in the `portable` profile is held to the subset before its first
step, so that a config that leaves it fails at once and not on somebody else's machine.
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
"""Ops that move numbers, compare them, draw them, take correctly rounded operations on each, or sum them one after the other."""
_PROVEN = """
_adaptive_avg_pool2d _adaptive_avg_pool2d_backward _fused_adamw _log_softmax _log_softmax_backward_data _softmax
_softmax_backward_data addmm avg_pool2d avg_pool2d_backward baddbmm bmm convolution convolution_backward
embedding_dense_backward gelu gelu_backward linalg_vector_norm mean mm native_group_norm native_group_norm_backward
native_layer_norm native_layer_norm_backward sigmoid sigmoid_backward silu silu_backward sum tanh tanh_backward
upsample_bilinear2d upsample_bilinear2d_backward
"""
PROVEN = frozenset(_PROVEN.split())
"""Ops that add many numbers up or approximate a function, and gave equal bits on every CPU they were compared on."""
INSTEAD = {
    "exp": "keep exponentials inside softmax and log-softmax, or draw from a table",
    "log": "keep logarithms inside log-softmax and cross-entropy",
    "sqrt": "take lengths by torch.linalg.vector_norm",
    "rsqrt": "use layer or group norm",
    "pow": "multiply",
    "erfinv": "draw weights with bitbloom.models.initialise",
    "normal": "draw weights with bitbloom.models.initialise",
    "dot": "multiply, then sum",
    "grid_sampler_2d": "crop by slicing and resize by interpolation",
    "_scaled_dot_product_flash_attention_for_cpu": 'set attn_implementation="eager"',
    "scaled_dot_product_attention": 'set attn_implementation="eager"',
    "_linalg_solve_ex": "solve before training, or not at all",
    "native_batch_norm": "use group norm: statistics of a batch depend on how it is cut into micro-batches",
    "linalg_inv_ex": "invert before training, or not at all",
}
FEWEST_ROWS, FEWEST_COLUMNS = 4, 12
"""Of a matrix product that is portable: with PyTorch 2.13 and MKL on AVX2, smaller ones differed between CPUs."""
WHOLE, HALVED = 192, 256
"""How many products a sum may have: up to WHOLE, an even number above HALVED, or 2 x WHOLE and more. MKL 2024.2 cuts sums of any
other number into other blocks on Intel's CPUs than on AMD's; every number up to 1,400 was compared, and many above."""
MATRICES = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
"""Where the two factors of a matrix product stand among its tensors."""
DIRECT_FROM = 16
"""PyTorch computes a convolution with kernels of one pixel as a matrix product for fewer images, and any of a single image."""
Product = tuple[int, int, int]
"""Rows, terms of each sum, and columns of a matrix product."""


class Unportable(BitBloomError):
    """An op or a shape outside the subset."""


class Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises Unportable at the first op outside the subset that runs inside the block, forward or backward."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Check the op, then run it."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func.namespace != "profiler":
            check(trace.op_name(func), list(trace.tensors((args, kwargs or {}))), list(trace.tensors(result)))
        return result


def check(op: str, inputs: list[Tensor], results: list[Tensor] | None = None) -> None:
    """Raise Unportable unless an op on these tensors is in the subset. In-place forms count as the op itself.

    An op that neither takes nor gives floating-point numbers is exact, whatever it is.
    """
    name = op if op in EXACT | PROVEN else op.rstrip("_")
    floating = any(tensor.is_floating_point() for tensor in (*inputs, *(results or ())))
    if name not in EXACT | PROVEN and (floating or not inputs):
        raise Unportable(_message(op, inputs, INSTEAD.get(name, "express it with the ops of bitbloom.numerics.subset")))
    if floating:
        for product in products(name, inputs, results or []):
            instead = _refused(product)
            if instead:
                raise Unportable(_message(op, inputs, instead))


def products(name: str, inputs: list[Tensor], results: list[Tensor]) -> list[Product]:
    """The matrix products that an op is, or that PyTorch computes a convolution of these shapes by."""
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
    ways = [(positions, terms, outputs), *([(positions, outputs, terms), (outputs, positions, terms)] if backward else [])]
    return [product for rows, inner, columns in ways for product in ((rows, inner, columns), (columns, inner, rows))]


def portable_terms(count: int) -> bool:
    """Whether sums of so many products are cut into blocks alike on every CPU."""
    return count <= WHOLE or count >= 2 * WHOLE or (count > HALVED and count % 2 == 0)


def _refused(product: Product) -> str:
    """What to do instead of a product that is not portable; empty when it is."""
    rows, inner, columns = product
    if rows < FEWEST_ROWS or columns < FEWEST_COLUMNS:
        return f"products need {FEWEST_ROWS} rows and {FEWEST_COLUMNS} columns: larger micro-batches, or PortableLinear"
    if not portable_terms(inner):
        return (
            f"sums of {inner} products are cut otherwise on Intel than on AMD: change batch size, tokens or width, so that none "
            f"has {WHOLE + 1} to {HALVED} terms, or an odd number from {HALVED + 1} to {2 * WHOLE - 1}"
        )
    return ""


def _message(op: str, inputs: list[Tensor], instead: str) -> str:
    shapes = ", ".join(trace.shape(tensor) for tensor in inputs)
    return (
        f"op '{op}' on ({shapes}) is outside the portable subset: its bits differ between CPUs, or nobody has compared them; "
        f"{instead}; or build with numerics=fast, which promises the same bytes on one kind of CPU only"
    )


@contextmanager
def held_to(profile: str) -> Iterator[None]:
    """The block keeps to the subset, where the profile promises it."""
    if profile != "portable":
        yield
        return
    with Guard():  # type: ignore[no-untyped-call]
        yield
