"""float32 arithmetic in exact rationals, rounded once an operation: the reference of the kernels, as docs/arithmetic.md has it.

Numbers are `Fraction`s that are exactly float32 (finite); an operation rounds its exact result once, to nearest, ties to even.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

SMALLEST = -149
"""Exponent of the smallest float32."""


def nearest(exact: Fraction) -> Fraction:
    """Round to float32."""
    if exact == 0:
        return exact
    exponent = math.floor(math.log2(abs(exact.numerator))) - math.floor(math.log2(exact.denominator))
    while abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - 23, SMALLEST)
    return round(exact / unit) * unit  # Python rounds a half to even


def number(value: float) -> Fraction:
    """A float32, or a constant of the C source rounded to one."""
    return Fraction(float(np.float32(value)))


def fma(a: Fraction, b: Fraction, c: Fraction) -> Fraction:
    """a b + c."""
    return nearest(a * b + c)


def add(a: Fraction, b: Fraction) -> Fraction:
    """a + b."""
    return nearest(a + b)


def multiply(a: Fraction, b: Fraction) -> Fraction:
    """a b."""
    return nearest(a * b)


def divide(a: Fraction, b: Fraction) -> Fraction:
    """a / b."""
    return nearest(a / b)


def root(a: Fraction) -> Fraction:
    """The square root: of 120 binary digits, more than enough to round a float32's root."""
    scale = 4**120
    return nearest(Fraction(math.isqrt(a.numerator * scale // a.denominator), 2**120))


def chain(a: Sequence[Fraction], b: Sequence[Fraction], start: Fraction = Fraction(0)) -> Fraction:
    """The sum of a b, one fused multiply-add after the other."""
    for one, other in zip(a, b, strict=True):
        start = fma(one, other, start)
    return start


def tree(lanes: Sequence[Fraction]) -> Fraction:
    """The sum of sixteen lanes: i and i + 8, then 4, 2 and 1 apart."""
    lanes = list(lanes)
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [add(lanes[i], lanes[i + half]) for i in range(half)]
    return lanes[0]


def lane_sum(terms: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    """The sum of products over a row: element j in lane j mod 16, blocks of 64 elements a lane, then the tree."""
    blocks, block = [Fraction(0)] * 16, [Fraction(0)] * 16
    for j, (a, b) in enumerate(terms):
        block[j % 16] = fma(a, b, block[j % 16])
        if j % 1024 == 1023:
            blocks, block = [add(x, y) for x, y in zip(blocks, block, strict=True)], [Fraction(0)] * 16
    return tree([add(x, y) for x, y in zip(blocks, block, strict=True)])


def total(row: Sequence[Fraction]) -> Fraction:
    """The sum of a row."""
    return lane_sum([(x, Fraction(1)) for x in row])


def exponential(x: Fraction) -> Fraction:
    """e^x by Cody and Waite's reduction and the polynomial of Cephes' expf."""
    if x < -104:
        return Fraction(0)
    k = Fraction(round(multiply(x, number(1.44269504088896341))))
    r = fma(k, number(2.12194440e-4), fma(k, number(-0.693359375), x))
    p = number(1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = fma(p, r, number(coefficient))
    p = add(fma(p, multiply(r, r), r), Fraction(1))
    half = int(k) >> 1
    return multiply(multiply(p, Fraction(2) ** half), Fraction(2) ** (int(k) - half))


def softmax(row: Sequence[Fraction]) -> list[Fraction]:
    """e^(x - m) times the reciprocal of their sum."""
    powers = [exponential(add(x, -max(row))) for x in row]
    factor = divide(Fraction(1), total(powers))
    return [multiply(power, factor) for power in powers]


def layer_norm(row: Sequence[Fraction], w: Sequence[Fraction], b: Sequence[Fraction], epsilon: float) -> list[Fraction]:
    """(x - mean) scale w + b, with the scale 1 / sqrt(variance + epsilon)."""
    count = Fraction(len(row))
    mean = divide(total(row), count)
    centred = [add(x, -mean) for x in row]
    variance = divide(lane_sum([(x, x) for x in centred]), count)
    scale = divide(Fraction(1), root(add(variance, number(epsilon))))
    return [fma(multiply(x, scale), one, other) for x, one, other in zip(centred, w, b, strict=True)]


def fractions(array: np.ndarray) -> list[Fraction]:
    """The numbers of a float32 array, in order."""
    return [Fraction(float(value)) for value in array.ravel()]
