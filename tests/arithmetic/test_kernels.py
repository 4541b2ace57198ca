"""The kernels compute what docs/arithmetic.md defines, with every instruction set of this CPU."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.numerics.arithmetic.library import Convolution
from support import exact, kernels

SEEDS = st.integers(0, 2**32 - 1)


def numbers(seed: int, *shape: int) -> kernels.Array:
    """Numbers of several magnitudes: their sums depend on the order."""
    dice = np.random.default_rng(seed)
    return (dice.standard_normal(shape) * 2.0 ** dice.integers(-6, 7, shape)).astype(np.float32)


@given(
    seed=SEEDS,
    m=st.integers(1, 40),
    n=st.integers(1, 70),
    k=st.integers(0, 40),
    turned=st.tuples(st.booleans(), st.booleans()),
    biased=st.booleans(),
)
def test_product_is_one_chain_of_fused_multiply_adds(seed, m, n, k, turned, biased):
    a = numbers(seed, 1, k, m).transpose(0, 2, 1) if turned[0] else numbers(seed, 1, m, k)
    b = numbers(seed + 1, 1, n, k).transpose(0, 2, 1) if turned[1] else numbers(seed + 1, 1, k, n)
    bias = numbers(seed + 2, n) if biased else None
    found = kernels.everywhere(lambda c: kernels.product(c, a, b, bias))
    for i, j in {(0, 0), (m - 1, n - 1), (seed % m, seed % n)}:
        start = exact.number(bias[j]) if biased else Fraction(0)
        assert exact.fractions(found[0, i, j]) == [exact.chain(exact.fractions(a[0, i]), exact.fractions(b[0, :, j]), start)]


@pytest.mark.parametrize("k", [256, 257, 513, 1300])
def test_long_chain_is_one_chain(k):
    a, b = numbers(k, 1, 20, k), numbers(k + 1, 1, k, 40)
    found = kernels.everywhere(lambda c: kernels.product(c, a, b))
    assert exact.fractions(found[0, 19, 39]) == [exact.chain(exact.fractions(a[0, 19]), exact.fractions(b[0, :, 39]))]


@given(seed=SEEDS, rows=st.integers(1, 60), k=st.integers(1, 50), n=st.integers(1, 60))
def test_row_of_a_product_does_not_depend_on_others(seed, rows, k, n):
    a, b = numbers(seed, 1, rows, k), numbers(seed + 1, 1, k, n)
    whole = kernels.everywhere(lambda c: kernels.product(c, a, b))
    alone = kernels.everywhere(lambda c: kernels.product(c, a[:, :1].copy(), b))
    assert whole[:, :1].tobytes() == alone.tobytes()


@settings(max_examples=30)
@given(
    seed=SEEDS, n=st.integers(1, 4), channels=st.integers(1, 3), outputs=st.integers(1, 3), groups=st.integers(1, 3),
    side=st.integers(1, 9), kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)), stride=st.integers(1, 3),
    pad=st.integers(0, 2), dilation=st.integers(1, 2),
)  # fmt: skip
def test_convolution_is_a_chain_over_channels_and_kernel(seed, n, channels, outputs, groups, side, kernel, stride, pad, dilation):
    channels, outputs = channels * groups, outputs * groups
    size = [side + 2 * pad - dilation * (each - 1) for each in kernel]
    if min(size) < 1:
        return
    height, width = ((each - 1) // stride + 1 for each in size)
    x, w, b = (
        numbers(seed, n, channels, side, side),
        numbers(seed + 1, outputs, channels // groups, *kernel),
        numbers(seed + 2, outputs),
    )
    shape = (n, channels, side, side, outputs, *kernel, stride, stride, pad, pad, dilation, dilation, groups, height, width)

    def call(c):
        result = kernels.empty(n, outputs, height, width)
        c.convolution(kernels.structure(Convolution, *shape), *map(kernels.address, (x, w, b, result)))
        return result

    found = kernels.everywhere(call)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    image, o, i, j = seed % n, seed % outputs, seed % height, seed % width
    rows, columns = (
        slice(at * stride, at * stride + dilation * (each - 1) + 1, dilation) for at, each in zip((i, j), kernel, strict=True)
    )
    first = o // (outputs // groups) * (channels // groups)
    patch = padded[image, first : first + channels // groups, rows, columns]
    assert exact.fractions(found[image, o, i, j]) == [
        exact.chain(exact.fractions(w[o]), exact.fractions(patch), exact.number(b[o]))
    ]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 37, 1023, 1024, 1025, 2500])
def test_sum_adds_lanes_blocks_and_a_tree(size):
    x = numbers(size, 2, size)

    def call(c):
        result = kernels.empty(2)
        c.sum_rows(2, size, kernels.address(x), 3.0, kernels.address(result))
        return result

    assert exact.fractions(kernels.everywhere(call)) == [
        exact.divide(exact.total(exact.fractions(row)), Fraction(3)) for row in x
    ]


def test_sum_over_a_middle_axis_adds_in_order():
    x = numbers(1, 2, 20, 19)

    def call(c):
        result = kernels.empty(2, 19)
        c.sum_middle(2, 20, 19, kernels.address(x), 1.0, kernels.address(result))
        return result

    expected = [exact.chain(exact.fractions(x[o, :, j]), [Fraction(1)] * 20) for o in range(2) for j in range(19)]
    assert exact.fractions(kernels.everywhere(call)) == expected


@given(x=st.floats(-100, 88, width=32))
def test_exp_is_the_defined_polynomial(x):
    found = kernels.everywhere(lambda c: kernels.mapped(c, "exp", np.full(1, x, np.float32)))
    assert exact.fractions(found) == [exact.exponential(exact.number(x))]


@pytest.mark.parametrize("size", [1, 7, 16, 37, 100])
def test_softmax_is_as_defined(size):
    x = numbers(size, 2, size)
    assert exact.fractions(kernels.everywhere(lambda c: kernels.rows(c, "softmax", x))) == [
        each for row in x for each in exact.softmax(exact.fractions(row))
    ]


@pytest.mark.parametrize("size", [1, 7, 16, 37, 100])
def test_layer_norm_is_as_defined(size):
    x, w, b = numbers(size, 2, size), numbers(size + 1, size), numbers(size + 2, size)

    def call(c):
        result, mean, scale = kernels.empty(2, size), kernels.empty(2), kernels.empty(2)
        c.layer_norm(2, size, 1e-5, *map(kernels.address, (x, w, b, result, mean, scale)))
        return result

    weights = exact.fractions(w), exact.fractions(b)
    assert exact.fractions(kernels.everywhere(call)) == [
        each for row in x for each in exact.layer_norm(exact.fractions(row), *weights, 1e-5)
    ]


def test_euclidean_length_is_as_defined():
    x = numbers(3, 2, 50)

    def call(c):
        result = kernels.empty(2)
        c.norm(2, 50, kernels.address(x), kernels.address(result))
        return result

    assert exact.fractions(kernels.everywhere(call)) == [
        exact.root(exact.lane_sum([(each, each) for each in exact.fractions(row)])) for row in x
    ]


def test_step_of_adamw_is_as_defined():
    p, g, m, v = numbers(1, 20), numbers(2, 20), numbers(3, 20), np.abs(numbers(4, 20))
    rate, b1, b2, decay, epsilon, step = 1e-3, 0.9, 0.999, 0.05, 1e-8, 3

    def call(c):
        found = p.copy(), m.copy(), v.copy()
        c.adamw(
            20,
            kernels.address(found[0]),
            kernels.address(g),
            *map(kernels.address, found[1:]),
            rate,
            b1,
            b2,
            decay,
            epsilon,
            step,
        )
        return found

    stride, bias = exact.number(rate / (1 - b1 * b1**2)), exact.number(np.sqrt(1 - b2 * b2**2))
    expected: list[list[Fraction]] = [[], [], []]
    for each in zip(*map(exact.fractions, (p, g, m, v)), strict=True):
        weight, gradient, first, second = each
        first = exact.fma(exact.number(1 - b1), exact.add(gradient, -first), first)
        square = exact.multiply(exact.multiply(exact.number(1 - b2), gradient), gradient)
        second = exact.fma(exact.number(b2), second, square)
        size = exact.add(exact.divide(exact.root(second), bias), exact.number(epsilon))
        move = exact.multiply(stride, exact.divide(first, size))
        for found, value in zip(
            expected, (exact.add(exact.multiply(weight, exact.number(1 - rate * decay)), -move), first, second), strict=True
        ):
            found.append(value)
    for found, values in zip(kernels.everywhere(call), expected, strict=True):
        assert exact.fractions(found) == values
