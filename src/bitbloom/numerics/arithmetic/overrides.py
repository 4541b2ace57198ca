"""The kernels under the names of PyTorch's ops: `install` replaces its CPU kernels of float32 ops that add or approximate.

Autograd dispatches to the replaced kernels, forward and backward, so nothing in a model changes. Other dtypes, and arguments that
a function below declines, go to the kernel that PyTorch had: also shapes that do not fit, for which it has an error.
"""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitbloom.numerics.arithmetic.library import DIFFERENTIABLE, FUNCTIONS, Attention, Convolution, Library, Strided

FLOAT = torch.float32
Kernel = Callable[..., Any]

OPS: dict[str, Kernel] = {}
"""The ops that are replaced, and their functions: the arguments are those of the op, the first one a tensor."""

c: Library
"""The compiled kernels, set by `install`."""
_registration: torch.library.Library | None = None  # holds the registrations: they end with it


class Declined(Exception):
    """These arguments are not defined: PyTorch's own kernel computes them."""


def op(*names: str) -> Callable[[Kernel], Kernel]:
    """Register a function as the kernel of ops."""

    def register(function: Kernel) -> Kernel:
        OPS.update(dict.fromkeys(names, function))
        return function

    return register


def install(path: Path) -> None:
    """Replace PyTorch's kernels by those of a library, in this process, from now on. A second call does nothing."""
    global c, _registration
    if _registration is not None:
        return
    c = Library(path)
    _registration = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they replace kernels
        for name, function in OPS.items():
            _registration.impl(name, _dispatching(function, _original(name)), "CPU", with_keyset=True)  # type: ignore[no-untyped-call]


def _original(name: str) -> Any:
    """PyTorch's own kernel of an op."""
    for key in ("CPU", "CompositeExplicitAutograd", "CompositeImplicitAutograd"):  # the last two are for all devices
        try:
            return torch.library.get_kernel(f"aten::{name}", key)
        except RuntimeError:
            continue
    return None


def _dispatching(function: Kernel, original: Any) -> Kernel:
    """A kernel that leaves other dtypes and declined arguments to the original one."""

    def kernel(keys: Any, first: Any, *args: Any, **kwargs: Any) -> Any:
        if (first[0] if isinstance(first, list) else first).dtype is FLOAT:
            try:
                return function(first, *args, **kwargs)
            except Declined:
                pass
        return original.call_boxed(keys, first, *args, **kwargs)

    return kernel


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _decline_unless(condition: bool) -> None:
    if not condition:
        raise Declined


# Products


def _with_unit_stride(tensor: Tensor) -> Tensor:
    """Matrices [..., m, n] with adjacent elements in rows or in columns: the tensor itself, or a copy."""
    row, column = tensor.stride()[-2:]
    return tensor if (column == 1 and row >= 1) or (row == 1 and column >= 1) else tensor.contiguous()


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """float32 [(z,) m, k] · [(z,) k, n] (+ [n]) → float32 [(z,) m, n]."""
    _decline_unless(b.dtype is FLOAT and a.dim() == b.dim() and a.shape[-1] == b.shape[-2] and a.shape[:-2] == b.shape[:-2])
    a, b = _with_unit_stride(a), _with_unit_stride(b)
    *batch, m, k = a.shape
    n = b.shape[-1]
    result = torch.empty([*batch, m, n])
    count, each_a, each_b = (batch[0], a.stride(0), b.stride(0)) if batch else (1, 0, 0)
    strides_a, strides_b = a.stride()[-2:], b.stride()[-2:]
    c.product(
        *(count, m, n, k, a.data_ptr(), each_a, *strides_a, b.data_ptr(), each_b, *strides_b, result.data_ptr(), _pointer(bias))
    )
    return result


@op("mm", "bmm")
def mm(a: Tensor, b: Tensor) -> Tensor:
    """a · b."""
    return product(a, b)


@op("addmm", "baddbmm")
def addmm(bias: Tensor, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    """The chains of `a · b` begin with the bias, if it is a row; else it is added at the end."""
    if beta == alpha == 1 and bias.dim() == 1 and len(bias) == b.shape[-1]:
        return product(a, b, bias.contiguous())
    scaled = product(a, b) if alpha == 1 else product(a, b) * alpha
    return scaled if beta == 0 else scaled + bias * beta


@op("linear")
def linear(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """[..., in] · [out, in]ᵀ (+ [out]) → [..., out]."""
    _decline_unless(w.dtype is FLOAT and w.dim() == 2 and x.dim() > 0 and x.shape[-1] == w.shape[1])
    _decline_unless(b is None or (b.dtype is FLOAT and b.shape == w.shape[:1]))
    x, w = x.contiguous(), w.contiguous()
    size, out = w.shape[1], w.shape[0]
    result = torch.empty([*x.shape[:-1], out])
    rows = result.numel() // out if out else 0
    bias = None if b is None else b.contiguous().data_ptr()
    c.product(1, rows, out, size, x.data_ptr(), 0, size, 1, w.data_ptr(), 0, 1, size, result.data_ptr(), bias)
    return result


@op("linear_backward")
def linear_backward(x: Tensor, g: Tensor, w: Tensor, wanted: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """The gradients of input, weight and bias that are wanted."""
    x, g, w = x.contiguous(), g.contiguous(), w.contiguous()
    shapes = (x.shape, w.shape, w.shape[:1])
    found = tuple(torch.empty(shape) if each else None for shape, each in zip(shapes, wanted, strict=True))
    rows = g.numel() // w.shape[0] if w.shape[0] else 0
    c.linear_backward(rows, w.shape[1], w.shape[0], *map(_pointer, (g, x, w, *found)))
    return found


# Convolutions


def _convolution(x: Tensor, w: Tensor, strides: Any, padding: Any, dilation: Any, groups: int) -> tuple[Any, list[int]]:
    """The sizes of a convolution of images for the kernels, and the shape of its result."""
    height, width = (
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (w.shape[2 + i] - 1) - 1) // strides[i] + 1 for i in range(2)
    )
    _decline_unless(height > 0 and width > 0 and x.shape[1] == w.shape[1] * groups and w.shape[0] % groups == 0)
    sizes = Convolution(*x.shape, w.shape[0], *w.shape[2:], *strides, *padding, *dilation, groups, height, width)
    return ctypes.byref(sizes), [x.shape[0], w.shape[0], height, width]


def _pairs(x: Tensor, transposed: bool, *values: Sequence[int]) -> tuple[Any, ...]:
    """Stride, padding and dilation of two axes."""
    _decline_unless(x.dim() == 4 and not transposed)
    return tuple(list(value) * 2 if len(value) == 1 else list(value) for value in values)


@op("convolution")
def convolution(
    x: Tensor, w: Tensor, b: Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool, _: Any, groups: int
) -> Tensor:
    """Images [n, c, h, w] and kernels [o, c / groups, a, b] → [n, o, h', w']."""
    strides, padding, dilation = _pairs(x, transposed, stride, padding, dilation)
    _decline_unless(w.dtype is FLOAT and w.dim() == 4 and (b is None or (b.dtype is FLOAT and b.shape == w.shape[:1])))
    x, w, b = x.contiguous(), w.contiguous(), None if b is None else b.contiguous()
    sizes, shape = _convolution(x, w, strides, padding, dilation, groups)
    result = torch.empty(shape)
    c.convolution(sizes, x.data_ptr(), w.data_ptr(), _pointer(b), result.data_ptr())
    return result


@op("convolution_backward")
def convolution_backward(
    g: Tensor,
    x: Tensor,
    w: Tensor,
    _: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    __: Any,
    groups: int,
    wanted: Any,
) -> tuple[Tensor | None, ...]:
    """The gradients of images, kernels and bias that are wanted."""
    strides, padding, dilation = _pairs(x, transposed, stride, padding, dilation)
    g, x, w = g.contiguous(), x.contiguous(), w.contiguous()
    sizes, _shape = _convolution(x, w, strides, padding, dilation, groups)
    shapes = (x.shape, w.shape, w.shape[:1])
    found = tuple(torch.empty(shape) if each else None for shape, each in zip(shapes, wanted, strict=True))
    c.convolution_backward(sizes, g.data_ptr(), x.data_ptr(), w.data_ptr(), *map(_pointer, found))
    return found


# Functions of one number


def _function(name: str) -> Kernel:
    def apply(x: Tensor, approximate: str = "none") -> Tensor:
        x = x.contiguous()
        y = torch.empty_like(x)
        getattr(c, name if approximate == "none" else f"{name}_{approximate}")(x.numel(), x.data_ptr(), y.data_ptr())
        return y

    return apply


def _backward(name: str) -> Kernel:
    def apply(g: Tensor, x: Tensor, approximate: str = "none") -> Tensor:
        g, x = g.contiguous(), x.contiguous()
        d = torch.empty_like(x)
        function = getattr(c, f"{name}_backward" if approximate == "none" else f"{name}_{approximate}_backward")
        function(x.numel(), g.data_ptr(), x.data_ptr(), d.data_ptr())
        return d

    return apply


def _in_place(function: Kernel) -> Kernel:
    return lambda x, *args, **kwargs: x.copy_(function(x, *args, **kwargs))


for _name in FUNCTIONS:
    if not _name.endswith("_tanh"):
        op(_name)(_function(_name))
        op(f"{_name}_")(_in_place(_function(_name)))
for _name in DIFFERENTIABLE:
    if not _name.endswith("_tanh"):
        op(f"{_name}_backward")(_backward(_name))


@op("lerp_.Scalar")
def lerp_(x: Tensor, end: Tensor, weight: float) -> Tensor:
    """x += weight (end - x)."""
    _decline_unless(x.is_contiguous() and end.shape == x.shape)
    end = end.contiguous()
    c.lerp(x.numel(), weight, end.data_ptr(), x.data_ptr())
    return x


# Rows


def _rows(function: str, inputs: Sequence[Tensor], dim: int) -> Tensor:
    """Apply a function to the rows along an axis."""
    last = dim % inputs[0].dim() == inputs[0].dim() - 1 if inputs[0].dim() else True
    moved = [(each if last else each.movedim(dim, -1)).contiguous() for each in inputs]
    result = torch.empty_like(moved[0])
    size = moved[0].shape[-1] if moved[0].dim() else 1
    getattr(c, function)(moved[0].numel() // size if size else 0, size, *map(_pointer, moved), result.data_ptr())
    return result if last else result.movedim(-1, dim).contiguous()


@op("_softmax")
def softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """Along an axis."""
    return _rows("softmax", [x], dim)


@op("_log_softmax")
def log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """Along an axis."""
    return _rows("log_softmax", [x], dim)


@op("_softmax_backward_data")
def softmax_backward(g: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """The gradient of the input, from the result y."""
    _decline_unless(dtype is FLOAT)
    return _rows("softmax_backward", [g, y], dim)


@op("_log_softmax_backward_data")
def log_softmax_backward(g: Tensor, y: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """The gradient of the input, from the result y."""
    _decline_unless(dtype is FLOAT)
    return _rows("log_softmax_backward", [g, y], dim)


@op("native_layer_norm")
def layer_norm(x: Tensor, shape: Sequence[int], w: Tensor | None, b: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and mean and scale of each row."""
    _decline_unless(list(x.shape[x.dim() - len(shape) :]) == list(shape))
    _decline_unless(all(each is None or (each.dtype is FLOAT and list(each.shape) == list(shape)) for each in (w, b)))
    size, x = math.prod(shape), x.contiguous()
    y, ones = torch.empty_like(x), [1] * len(shape)
    mean, scale = (torch.empty([*x.shape[: x.dim() - len(shape)], *ones]) for _ in range(2))
    w, b = (None if each is None else each.contiguous() for each in (w, b))
    c.layer_norm(mean.numel(), size, eps, *map(_pointer, (x, w, b, y, mean, scale)))
    return y, mean, scale


@op("native_layer_norm_backward")
def layer_norm_backward(
    g: Tensor, x: Tensor, shape: Sequence[int], mean: Tensor, scale: Tensor, w: Tensor | None, b: Tensor | None, wanted: Any
) -> tuple[Tensor | None, ...]:
    """The gradients of input, weight and bias that are wanted."""
    g, x, w = g.contiguous(), x.contiguous(), None if w is None else w.contiguous()
    found = tuple(
        torch.empty(like.shape) if each and like is not None else None for like, each in zip((x, w, b), wanted, strict=True)
    )
    c.layer_norm_backward(mean.numel(), math.prod(shape), *map(_pointer, (g, x, mean, scale, w, *found)))
    return found


@op("native_group_norm")
def group_norm(
    x: Tensor, w: Tensor | None, b: Tensor | None, n: int, channels: int, area: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and mean and scale of each group."""
    x = x.contiguous()
    y, mean, scale = torch.empty_like(x), torch.empty(n, groups), torch.empty(n, groups)
    w, b = (None if each is None else each.contiguous() for each in (w, b))
    c.group_norm(n, channels, area, groups, eps, *map(_pointer, (x, w, b, y, mean, scale)))
    return y, mean, scale


@op("native_group_norm_backward")
def group_norm_backward(
    g: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    w: Tensor | None,
    n: int,
    channels: int,
    area: int,
    groups: int,
    wanted: Any,
) -> tuple[Tensor | None, ...]:
    """The gradients of input, weight and bias that are wanted."""
    g, x, w = g.contiguous(), x.contiguous(), None if w is None else w.contiguous()
    shapes = (x.shape, (channels,), (channels,))
    found = tuple(torch.empty(shape) if each else None for shape, each in zip(shapes, wanted, strict=True))
    c.group_norm_backward(n, channels, area, groups, *map(_pointer, (g, x, mean, scale, w, *found)))
    return found


# Attention


def _strided(x: Tensor | None) -> Any:
    """A tensor of four axes with adjacent columns, or none."""
    return ctypes.byref(Strided() if x is None else Strided(x.data_ptr(), *x.stride()[:3]))


def _adjacent(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, causal: bool, scale: float | None
) -> tuple[Any, Any]:
    """The sizes of an attention for the kernels, and its mask over all heads."""
    fits = k.shape[:2] == q.shape[:2] and k.shape[-1] == q.shape[-1] and v.shape[:3] == k.shape[:3]
    _decline_unless(dropout == 0 and fits and (mask is None or mask.dtype is FLOAT))
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    sizes = Attention(*q.shape[:3], k.shape[2], q.shape[3], v.shape[3], causal, factor)
    if mask is not None:
        mask = _adjacent(mask.expand(*q.shape[:3], k.shape[2]))
    return ctypes.byref(sizes), mask


def _like_heads(x: Tensor, width: int) -> Tensor:
    """Memory [batch, heads, rows, width] in which the heads of a row are adjacent: what follows needs no copy."""
    batch, heads, rows, _ = x.shape
    return torch.empty(batch, rows, heads, width).transpose(1, 2)


@op("_scaled_dot_product_flash_attention_for_cpu")
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The result, and an empty tensor in place of the logarithms of sums: the backward pass computes the scores again."""
    q, k, v = map(_adjacent, (q, k, v))
    sizes, mask = _attention(q, k, v, attn_mask, dropout, causal, scale)
    result = _like_heads(q, v.shape[-1])
    c.attention(sizes, *map(_strided, (q, k, v, mask, result)))
    return result, torch.empty(0)


@op("_scaled_dot_product_flash_attention_for_cpu_backward")
def attention_backward(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, result: Tensor, _: Tensor, dropout: float, causal: bool, *,
    attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of queries, keys and values."""
    g, q, k, v = map(_adjacent, (g, q, k, v))
    sizes, mask = _attention(q, k, v, attn_mask, dropout, causal, scale)
    found = _like_heads(q, q.shape[-1]), _like_heads(k, k.shape[-1]), _like_heads(v, v.shape[-1])
    c.attention_backward(sizes, *map(_strided, (g, q, k, v, mask, *found)))
    return found


# Sums


def _sum(x: Tensor, dims: Sequence[int] | None, keepdim: bool, mean: bool) -> Tensor:
    """Sum or mean over axes: adjacent ones at once, others are made adjacent first."""
    count = x.dim()
    summed = sorted({dim % count for dim in dims} if dims else range(count)) if count else []
    kept = [dim for dim in range(count) if dim not in summed]
    shape = [1 if dim in summed else x.shape[dim] for dim in range(count)] if keepdim else [x.shape[dim] for dim in kept]
    if summed and summed != list(range(summed[0], summed[-1] + 1)):
        x, summed = x.permute(*kept, *summed), list(range(len(kept), count))
    x = x.contiguous()
    first, last = (summed[0], summed[-1] + 1) if summed else (0, 0)
    outer, terms, inner = (math.prod(x.shape[part]) for part in (slice(first), slice(first, last), slice(last, None)))
    y, divisor = torch.empty(shape), float(terms) if mean else 1.0
    if last == count:
        c.sum_rows(outer, terms, x.data_ptr(), divisor, y.data_ptr())
    else:
        c.sum_middle(outer, terms, inner, x.data_ptr(), divisor, y.data_ptr())
    return y


def _reduction(mean: bool) -> Kernel:
    def over(x: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
        _decline_unless(dtype in (None, FLOAT))
        return _sum(x, dims, keepdim, mean)

    return over


op("sum.dim_IntList")(_reduction(mean=False))
op("mean.dim")(_reduction(mean=True))


@op("sum")
def sum_all(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Of all elements."""
    _decline_unless(dtype in (None, FLOAT))
    return _sum(x, None, False, mean=False)


@op("mean")
def mean_all(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Of all elements."""
    _decline_unless(dtype in (None, FLOAT))
    return _sum(x, None, False, mean=True)


@op("linalg_vector_norm")
def vector_norm(
    x: Tensor, ord: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: torch.dtype | None = None
) -> Tensor:
    """Euclidean lengths along the last axis, or of all elements."""
    _decline_unless(ord == 2 and dtype in (None, FLOAT) and (dim is None or [each % x.dim() for each in dim] == [x.dim() - 1]))
    x = x.contiguous()
    shape = [] if dim is None else list(x.shape[:-1])
    if keepdim:
        shape = [1] * x.dim() if dim is None else [*shape, 1]
    y = torch.empty(shape)
    c.norm(y.numel(), x.numel() if dim is None else x.shape[-1], x.data_ptr(), y.data_ptr())
    return y


# Others


@op("embedding_dense_backward")
def embedding_backward(g: Tensor, index: Tensor, count: int, skipped: int, scale: bool) -> Tensor:
    """The gradient of a table [count, width]."""
    _decline_unless(not scale)
    g, index = g.contiguous(), index.to(torch.int64).contiguous()
    table = torch.zeros(count, g.shape[-1])
    c.embedding_backward(index.numel(), g.shape[-1], skipped, g.data_ptr(), index.data_ptr(), table.data_ptr())
    return table


@op("_fused_adamw_")
def adamw(
    weights: Any, gradients: Any, ms: Any, vs: Any, _: Any, steps: Any, lr: float, beta1: float, beta2: float,
    weight_decay: float, eps: float, amsgrad: bool, maximize: bool, grad_scale: Any = None, found_inf: Any = None,
) -> None:  # fmt: skip
    """A step of all weights, in place."""
    _decline_unless(not amsgrad and not maximize and grad_scale is None and all(w.is_contiguous() for w in weights))
    for w, g, m, v, step in zip(weights, gradients, ms, vs, steps, strict=True):
        c.adamw(w.numel(), *map(_pointer, (w, g.contiguous(), m, v)), lr, beta1, beta2, weight_decay, eps, step.item())


@op("upsample_bilinear2d")
def bilinear(x: Tensor, size: Sequence[int], align_corners: bool, scale_h: Any = None, scale_w: Any = None) -> Tensor:
    """Planes [n, c, h, w] → [n, c, *size]."""
    _decline_unless(not align_corners)
    x = x.contiguous()
    y = torch.empty([*x.shape[:2], *size])
    c.bilinear(x.shape[0] * x.shape[1], *x.shape[2:], *size, x.data_ptr(), y.data_ptr())
    return y


@op("upsample_bilinear2d_backward")
def bilinear_backward(
    g: Tensor, size: Sequence[int], shape: Sequence[int], align_corners: bool, scale_h: Any = None, scale_w: Any = None
) -> Tensor:
    """The gradient of planes of a shape."""
    _decline_unless(not align_corners)
    g = g.contiguous()
    dx = torch.empty(list(shape))
    c.bilinear_backward(shape[0] * shape[1], *shape[2:], *size, g.data_ptr(), dx.data_ptr())
    return dx
