"""A process whose PyTorch computes with the kernels: prints results of ops, and of training steps, as JSON lines.

overridden.py ops ISA|pytorch        # results and gradients of many ops, as float32 in hexadecimal
overridden.py errors ISA|pytorch     # the kinds of errors of calls whose shapes do not fit
overridden.py steps ISA SEED COUNT   # ledgers of two steps of random small networks
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitbloom.config.models.image import ImageModel
from bitbloom.config.sections.augment import Augment
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.train import Train
from bitbloom.numerics import pins
from bitbloom.numerics.arithmetic import build, overrides
from bitbloom.training import loop
from support import tiny


def differentiated(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """The result of a function, and the gradients of its inputs for a fixed gradient of the result."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    result = function(*leaves)
    result.backward(torch.randn(result.shape, generator=torch.Generator().manual_seed(3)))
    return [result.detach(), *(each.grad for each in leaves if each.grad is not None)]


def ops() -> Iterator[tuple[str, list[Tensor]]]:
    """Ops with what they give. Names and order do not depend on the kernels."""
    dice = torch.Generator().manual_seed(1)

    def v(*shape: int) -> Tensor:
        return torch.randn(shape, generator=dice)

    yield "linear", differentiated(F.linear, v(3, 7, 20), v(9, 20), v(9))
    yield "linear without bias", differentiated(F.linear, v(20), v(9, 20))
    yield "matmul", differentiated(torch.matmul, v(2, 3, 7, 11), v(2, 3, 11, 5))
    yield "addmm", differentiated(lambda a, b, c: torch.addmm(c, a, b, beta=0.5, alpha=2), v(4, 6), v(6, 3), v(4, 3))
    yield "baddbmm", differentiated(torch.baddbmm, v(2, 4, 3), v(2, 4, 6), v(2, 6, 3))
    yield "strided product", differentiated(lambda a, b: a[:, ::2] @ b.t()[::2], v(5, 8), v(6, 8))
    options: dict[str, dict[str, Any]] = {
        "stride": {"stride": 2, "padding": 1},
        "groups": {"groups": 2, "dilation": 2, "padding": (2, 1)},
        "same": {"padding": "same"},
    }
    for name, given in options.items():
        channels = 2 if name == "groups" else 4
        yield f"conv {name}", differentiated(partial(F.conv2d, **given), v(2, 4, 9, 8), v(6, channels, 3, 3), v(6))
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "exp": torch.exp, "log": lambda x: x.abs().log(), "sqrt": lambda x: x.abs().sqrt(),
        "rsqrt": lambda x: (x.abs() + 0.1).rsqrt(),
        "erf": torch.erf, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "in place": lambda x: (x * 1).sigmoid_(),
        "softmax": lambda x: x.softmax(-1), "softmax of a middle axis": lambda x: x.softmax(1),
        "log_softmax": lambda x: x.log_softmax(-1),
        "sum": torch.sum, "mean": torch.mean, "sum of axes": lambda x: x.sum((0, 2)),
        "mean of an axis": lambda x: x.mean(1, keepdim=True),
        "norm": torch.linalg.vector_norm, "norms": lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True),
        "transposed": lambda x: x.transpose(0, 2).softmax(-1).tanh(), "empty": lambda x: x[:0].softmax(-1),
    }  # fmt: skip
    for name, function in functions.items():
        yield name, differentiated(function, v(3, 5, 19))
    yield "layer_norm", differentiated(lambda x, w, b: F.layer_norm(x, (20,), w, b), v(3, 4, 20), v(20), v(20))
    yield "group_norm", differentiated(lambda x, w, b: F.group_norm(x, 3, w, b), v(2, 6, 5, 5), v(6), v(6))
    yield "embedding", differentiated(lambda w: F.embedding(torch.arange(30).reshape(3, 10) % 7, w, padding_idx=2), v(9, 5))
    yield "resize", differentiated(lambda x: F.interpolate(x, (7, 23), mode="bilinear"), v(2, 3, 11, 10))
    mask = torch.where(torch.rand(2, 1, 1, 13, generator=dice) < 0.3, -1e9, 0.0)
    attentions: dict[str, dict[str, Any]] = {"attention": {}, "causal": {"is_causal": True}, "masked": {"attn_mask": mask}}
    for name, given in attentions.items():
        heads = [v(2, 13, 3, 8).transpose(1, 2) for _ in range(3)]
        yield name, differentiated(partial(F.scaled_dot_product_attention, **given), *heads)
    weight = torch.nn.Parameter(v(37))
    optimiser = torch.optim.AdamW([weight], lr=1e-2, fused=True)
    for _ in range(3):
        weight.grad = v(37)
        optimiser.step()
    yield "adamw", [weight.detach()]
    aligned: dict[str, Any] = {"mode": "bilinear", "align_corners": True}
    yield "declined resize", differentiated(lambda x: F.interpolate(x, (7, 23), **aligned), v(2, 3, 11, 10))
    yield "float64", differentiated(lambda x: x.softmax(-1).sum(), v(3, 5).double())


def errors() -> Iterator[str]:
    """The errors of calls that would read beyond a tensor."""
    v = torch.randn
    calls: list[Callable[[], Any]] = [
        lambda: F.linear(v(3, 5), v(4, 6)),
        lambda: F.linear(v(3, 5), v(4, 5), v(3)),
        lambda: torch.mm(v(3, 5), v(6, 4)),
        lambda: torch.bmm(v(2, 3, 5), v(3, 5, 4)),
        lambda: torch.addmm(v(3), v(3, 5), v(5, 4)),
        lambda: F.conv2d(v(1, 3, 8, 8), v(4, 2, 3, 3)),
        lambda: F.conv2d(v(1, 3, 2, 2), v(4, 3, 3, 3)),
        lambda: F.conv2d(v(1, 3, 8, 8), v(4, 3, 3, 3), v(5)),
        lambda: F.layer_norm(v(3, 5), (4,)),
        lambda: F.layer_norm(v(3, 5), (5,), v(4)),
    ]
    for call in calls:
        try:
            call()
            yield "none"
        except (RuntimeError, ValueError) as error:
            yield type(error).__name__


def sections(seed: int) -> loop.Sections:
    """Config sections of a small network of random widths, heads, tokens and batch size."""
    dice = random.Random(seed)
    heads, side = dice.randint(1, 4), dice.choice([8, 12, 16, 20])
    model = ImageModel(
        image_size=side, patch_size=dice.choice([2, 4]), hidden_size=heads * dice.randint(3, 17), layers=1, heads=heads,
        mlp_ratio=dice.randint(1, 4), stem="patch", pooling=dice.choice(["mean", "class"]),
    )  # fmt: skip
    return loop.Sections(model, Augment(colour=0.0, crop=0.0), Train(epochs=1, batch_size=dice.choice([8, 24, 40])), Numerics())


def main(work: str, isa: str, *words: str) -> None:
    """Print what the work gives."""
    pins.pin_torch()
    if isa != "pytorch":
        overrides.install(build.library(isa))
    if work == "ops":
        for name, results in ops():
            print(json.dumps([name, [each.contiguous().numpy().tobytes().hex() for each in results]]))
        return
    if work == "errors":
        print("\n".join(errors()))
        return
    seed, count = map(int, words)
    for each in range(seed, seed + count):
        chosen = sections(each)
        run = tiny.start(chosen, tiny.dataset(side=chosen.model.image_size))  # type: ignore[attr-defined]
        run.step(0)
        run.step(1)
        print(json.dumps(run.history.ledger))


if __name__ == "__main__":
    main(*sys.argv[1:])
