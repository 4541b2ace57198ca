"""Measure the kernels of the defined arithmetic beside PyTorch's own, on the shapes of the tasks, with one thread.

    python benchmarks/kernels.py [--rounds 5] [--isa v4]

A process computes with the kernels or with PyTorch, unpinned, because kernels cannot be taken back. The processes take turns, and
a time is the smallest of all rounds: other work only adds to it. The table shows microseconds, and PyTorch's time as a multiple
of the kernels': above 1 the kernels are faster. `forward` computes the result, `both` the gradients too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

PYTORCH = "pytorch"
SHORTEST = 0.004
"""Seconds of one measurement: short calls are repeated."""
REPEATS = 15

Case = Callable[[], Any]


def linear(rows: int, size: int, out: int) -> tuple[Any, ...]:
    """A linear layer."""
    import torch
    from torch.nn import functional

    return functional.linear, torch.randn(rows, size), torch.randn(out, size), torch.randn(out)


def convolution(images: int, channels: int, side: int, out: int, kernel: int, stride: int) -> tuple[Any, ...]:
    """A convolution of square images."""
    import torch
    from torch.nn import functional

    apply = partial(functional.conv2d, stride=stride, padding=kernel // 2)
    return apply, torch.randn(images, channels, side, side), torch.randn(out, channels, kernel, kernel), torch.randn(out)


def attention(samples: int, heads: int, tokens: int, width: int) -> tuple[Any, ...]:
    """Attention whose heads are adjacent in memory, as in a transformer."""
    import torch
    from torch.nn import functional

    return functional.scaled_dot_product_attention, *(
        torch.randn(samples, tokens, heads, width).transpose(1, 2) for _ in range(3)
    )


def mapped(function: Callable[..., Any], *shape: int) -> tuple[Any, ...]:
    """A function of one tensor."""
    import torch

    return function, torch.randn(shape)


def calls() -> dict[str, tuple[Any, ...]]:
    """Functions and inputs of the three tasks, by name."""
    import torch
    from torch.nn import functional

    return {
        "linear 296 × 192 → 768 (petals)": linear(296, 192, 768),
        "linear 296 × 768 → 192 (petals)": linear(296, 768, 192),
        "linear 296 × 192 → 192 (petals)": linear(296, 192, 192),
        "linear 256 × 256 → 1024 (tweets)": linear(256, 256, 1024),
        "linear 8 × 192 → 12 (head)": linear(8, 192, 12),
        "convolution 3 → 32, 96 px": convolution(8, 3, 96, 32, 3, 2),
        "convolution 32 → 48, 48 px": convolution(8, 32, 48, 48, 3, 2),
        "convolution 48 → 96, 24 px": convolution(8, 48, 24, 96, 3, 2),
        "convolution 96 → 192, 12 px": convolution(8, 96, 12, 192, 3, 2),
        "convolution 1 × 1, 192, 6 px": convolution(8, 192, 6, 192, 1, 1),
        "attention 37 tokens, 3 heads of 64": attention(8, 3, 37, 64),
        "attention 128 tokens, 4 heads of 32": attention(8, 4, 128, 32),
        "attention 257 tokens, 6 heads of 64": attention(8, 6, 257, 64),
        "softmax 8 × 3 × 37 × 37": mapped(partial(functional.softmax, dim=-1), 8, 3, 37, 37),
        "log-softmax 512 × 2,000": mapped(partial(functional.log_softmax, dim=-1), 512, 2000),
        "GELU 296 × 768": mapped(functional.gelu, 296, 768),
        "layer norm 296 × 192": (
            lambda x, w, b: functional.layer_norm(x, (192,), w, b),
            torch.randn(296, 192),
            torch.randn(192),
            torch.randn(192),
        ),
        "group norm 8 × 32 × 48 × 48": mapped(partial(functional.group_norm, num_groups=8), 8, 32, 48, 48),
        "sum of rows 296 × 768": mapped(partial(torch.sum, dim=0), 296, 768),
        "mean of all 296 × 768": mapped(torch.mean, 296, 768),
    }


def cases() -> dict[str, Case]:
    """What is measured, by name."""
    import torch

    found: dict[str, Case] = {}
    for name, (function, *inputs) in calls().items():
        leaves = [each.requires_grad_() for each in inputs]
        gradient = torch.randn_like(function(*leaves))

        def forward(function: Any = function, leaves: Any = leaves) -> None:
            with torch.no_grad():
                function(*leaves)

        def both(function: Any = function, leaves: Any = leaves, gradient: Any = gradient) -> None:
            torch.autograd.grad(function(*leaves), leaves, gradient)

        found[f"{name}, forward"], found[f"{name}, both"] = forward, both
    weights = [torch.nn.Parameter(torch.randn(500_000)) for _ in range(4)]
    for each in weights:
        each.grad = torch.randn(500_000)
    found["AdamW, 2 million weights"] = torch.optim.AdamW(weights, fused=True).step
    return found


def seconds(call: Case) -> float:
    """The shortest time of a call."""
    call()
    start = time.perf_counter()
    call()
    repeated = max(1, int(SHORTEST / (time.perf_counter() - start)))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(repeated):
            call()
        times.append((time.perf_counter() - start) / repeated)
    return min(times)


def measure(kernels: str) -> None:
    """Print the times of all cases in this process as JSON."""
    import torch

    torch.set_num_threads(1)
    if kernels != PYTORCH:
        from bitbloom.numerics.arithmetic import build, overrides

        overrides.install(build.library(kernels))
    print(json.dumps({name: seconds(call) for name, call in cases().items()}))


def main() -> None:
    """Measure in turn, and print the table."""
    from bitbloom.core import progress
    from bitbloom.numerics.arithmetic import build

    parser = argparse.ArgumentParser(description="Compare the kernels with PyTorch's own, one thread.")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind")
    parser.add_argument("--isa", default=build.isa(), help="instruction set of the kernels: v3 or v4 (this CPU's best)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    build.library(arguments.isa)
    best: dict[str, dict[str, float]] = {PYTORCH: {}, arguments.isa: {}}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for _ in progress.track(range(arguments.rounds), "rounds"):
        for kind, times in best.items():
            command = [sys.executable, __file__, "--measure", kind]
            done = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True)
            for name, found in json.loads(done.stdout).items():
                times[name] = min(found, times.get(name, found))
    print(f"| call | PyTorch, µs | kernels ({arguments.isa}), µs | ratio |\n| --- | --- | --- | --- |")
    ratios = []
    for name, ours in best[arguments.isa].items():
        theirs = best[PYTORCH][name]
        ratios.append(theirs / ours)
        print(f"| {name} | {theirs * 1e6:,.0f} | {ours * 1e6:,.0f} | {ratios[-1]:.2f} |")
    print(f"| median of the ratios | | | {statistics.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
