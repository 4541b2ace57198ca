"""PyTorch with the kernels: ops and gradients agree between instruction sets, and with PyTorch's own up to rounding."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from support import kernels
from support.tiny import REPOSITORY

KEPT = ("declined resize", "float64")
"""Ops that are left to PyTorch."""
BOUND = 5e-6
"""Largest difference from PyTorch's result, as a fraction of its largest number."""


def run(*words: str) -> list[str]:
    """The lines that a process of its own prints: kernels cannot be taken back."""
    command = [sys.executable, "-W", "ignore", "tests/support/overridden.py", *words]
    environment = os.environ | {"PYTHONPATH": "src:tests"}
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@functools.cache
def ops(isa: str) -> dict[str, list[str]]:
    """Results of ops, in hexadecimal."""
    return dict(map(json.loads, run("ops", isa)))


NAMES = (
    "linear", "linear without bias", "matmul", "addmm", "baddbmm", "strided product", "conv stride", "conv groups", "conv same",
    "exp", "log", "sqrt", "rsqrt", "erf", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "in place", "softmax",
    "softmax of a middle axis", "log_softmax", "sum", "mean", "sum of axes", "mean of an axis", "norm", "norms", "transposed",
    "empty", "layer_norm", "group_norm", "embedding", "resize", "attention", "causal", "masked", "adamw", *KEPT,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_op_agrees_with_pytorch_up_to_rounding(name):
    for found, expected in zip(ops(kernels.NATIVE[-1])[name], ops("pytorch")[name], strict=True):
        if name in KEPT:
            assert found == expected
            continue
        ours, theirs = (np.frombuffer(bytes.fromhex(each), np.float32) for each in (found, expected))
        assert np.abs(ours - theirs).max(initial=0) <= BOUND * np.abs(theirs).max(initial=1e-30)


@pytest.mark.parametrize("isa", kernels.NATIVE)
def test_ops_have_equal_bits_with_every_instruction_set(isa):
    assert list(ops(isa)) == list(NAMES)
    assert ops(isa) == ops("v3")


def test_kernels_take_the_place_of_pytorch_s():
    changed = [name for name in NAMES if ops("v3")[name] != ops("pytorch")[name]]
    assert {"linear", "conv stride", "exp", "gelu", "softmax", "layer_norm", "group_norm", "attention", "resize"} <= set(changed)


def test_shapes_that_do_not_fit_are_errors():
    found = run("errors", "v3")
    assert found == run("errors", "pytorch")
    assert set(found) == {"RuntimeError"}


def test_training_has_equal_bytes_whatever_widths_heads_tokens_and_batch():
    ledgers = [run("steps", isa, "1", "6") for isa in kernels.NATIVE]
    assert len(ledgers[0]) == 6
    assert all(each == ledgers[0] for each in ledgers)


@pytest.mark.slow
def test_training_of_more_networks_has_equal_bytes():
    ledgers = [run("steps", isa, "100", "60") for isa in kernels.NATIVE]
    assert len(ledgers[0]) == 60
    assert all(each == ledgers[0] for each in ledgers)
