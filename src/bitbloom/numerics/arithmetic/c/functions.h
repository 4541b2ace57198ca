// Functions of one number: each is one sequence of correctly rounded operations, so it has one result in bits.
// docs/arithmetic.md states the formula and the largest measured error of each.
#pragma once
#include "lanes.h"

#define ABSOLUTE 0x7fffffff
#define SIGN ((int32_t)0x80000000)
INLINE lanes absolute(lanes x) { return (lanes)(bits(x) & ABSOLUTE); }
INLINE lanes with_sign(lanes magnitude, lanes sign) { return (lanes)((bits(magnitude) & ABSOLUTE) | (bits(sign) & SIGN)); }

// e^x = 2^k e^r, with k the integer next to x / ln 2 and r = x - k ln 2 in two steps (Cody and Waite); e^r by a polynomial of
// degree 7 with the coefficients of Cephes' expf. 2^k is two factors, because k may lie outside of the exponents of float32.
INLINE lanes exp_lanes(lanes x) {
  lanes c = choose(x < -104.f, every(-104.f), choose(x > 89.f, every(89.f), x));
  lanes k = __builtin_elementwise_roundeven(c * 1.44269504088896341f);
  lanes r = fma_lanes(k, every(-0.693359375f), c);
  r = fma_lanes(k, every(2.12194440e-4f), r);
  lanes p = every(1.9875691500e-4f);
  p = fma_lanes(p, r, every(1.3981999507e-3f));
  p = fma_lanes(p, r, every(8.3334519073e-3f));
  p = fma_lanes(p, r, every(4.1665795894e-2f));
  p = fma_lanes(p, r, every(1.6666665459e-1f));
  p = fma_lanes(p, r, every(5.0000001201e-1f));
  p = fma_lanes(p, r * r, r) + 1.f;
  k = choose(k == k, k, every(0.f)); // CPUs convert NaN to different integers
  integers exponent = __builtin_convertvector(k, integers), half = exponent >> 1;
  lanes scaled = p * (lanes)((half + 127) << 23) * (lanes)((exponent - half + 127) << 23);
  return choose(x < -104.f, every(0.f), scaled);
}

// ln x = e ln 2 + ln m with sqrt(1/2) <= m < sqrt(2), by the polynomial of Cephes' logf. Subnormal numbers are scaled up first.
INLINE lanes log_lanes(lanes x) {
  integers subnormal = x < 1.17549435e-38f;
  lanes scaled = choose(subnormal, x * 8388608.f, x);
  integers e = ((bits(scaled) >> 23) & 255) - 126 - (subnormal & 23);
  lanes m = (lanes)((bits(scaled) & 0x7fffff) | 0x3f000000);
  integers low = m < 0.707106781186547524f;
  e += low;
  m = choose(low, m + m, m) - 1.f;
  lanes z = m * m, k = __builtin_convertvector(e, lanes), y = every(7.0376836292e-2f);
  y = fma_lanes(y, m, every(-1.1514610310e-1f));
  y = fma_lanes(y, m, every(1.1676998740e-1f));
  y = fma_lanes(y, m, every(-1.2420140846e-1f));
  y = fma_lanes(y, m, every(1.4249322787e-1f));
  y = fma_lanes(y, m, every(-1.6668057665e-1f));
  y = fma_lanes(y, m, every(2.0000714765e-1f));
  y = fma_lanes(y, m, every(-2.4999993993e-1f));
  y = fma_lanes(y, m, every(3.3333331174e-1f));
  y = y * m * z;
  y = fma_lanes(k, every(-2.12194440e-4f), y);
  y = fma_lanes(every(-0.5f), z, y);
  y = fma_lanes(k, every(0.693359375f), m + y);
  y = choose(x == INFINITE | x != x, x, y);
  return choose(x > 0.f | x != x, y, choose(x == 0.f, every(-INFINITE), every(NOT_A_NUMBER)));
}

// erf x: a polynomial in x below 0.927734375, beyond 1 - e^p with a polynomial p in |x| (N. Juffa).
INLINE lanes erf_lanes(lanes x) {
  lanes t = absolute(x), s = x * x;
  lanes p = fma_lanes(every(-1.72853470e-5f), t, every(3.83197126e-4f)), q = fma_lanes(every(-3.88396438e-3f), t, every(2.42546219e-2f));
  p = fma_lanes(p, s, q);
  p = fma_lanes(p, t, every(-1.06777877e-1f));
  p = fma_lanes(p, t, every(-6.34846687e-1f));
  p = fma_lanes(p, t, every(-1.28717512e-1f));
  p = fma_lanes(p, t, -t);
  lanes far = with_sign(1.f - exp_lanes(p), x);
  lanes near = fma_lanes(every(-5.96761703e-4f), s, every(4.99119423e-3f));
  near = fma_lanes(near, s, every(-2.67681349e-2f));
  near = fma_lanes(near, s, every(1.12819925e-1f));
  near = fma_lanes(near, s, every(-3.76125336e-1f));
  near = fma_lanes(near, s, every(1.28379166e-1f));
  near = fma_lanes(near, x, x);
  return choose(t > 0.927734375f, far, near);
}

// tanh x: the polynomial of Cephes' tanhf below 0.625, beyond 1 - 2 / (e^2|x| + 1).
INLINE lanes tanh_lanes(lanes x) {
  lanes t = absolute(x), s = x * x;
  lanes far = with_sign(1.f - 2.f / (exp_lanes(t + t) + 1.f), x);
  lanes p = every(-5.70498872745e-3f);
  p = fma_lanes(p, s, every(2.06390887954e-2f));
  p = fma_lanes(p, s, every(-5.37397155531e-2f));
  p = fma_lanes(p, s, every(1.33314422036e-1f));
  p = fma_lanes(p, s, every(-3.33332819422e-1f));
  return choose(t >= 0.625f, far, fma_lanes(p * s, x, x));
}

INLINE lanes sqrt_lanes(lanes x) { return __builtin_elementwise_sqrt(x); }
INLINE lanes rsqrt_lanes(lanes x) { return 1.f / sqrt_lanes(x); }
// 1 / (1 + e^-x), and e^x / (1 + e^x) for negative x.
INLINE lanes sigmoid_lanes(lanes x) {
  lanes e = exp_lanes(-absolute(x));
  return choose(x < 0.f, e, every(1.f)) / (1.f + e);
}
INLINE lanes silu_lanes(lanes x) { return x * sigmoid_lanes(x); }

// Gaussian error linear units (Hendrycks and Gimpel 2016): x times the normal distribution function of x; its derivative.
#define ROOT_HALF 0.70710678118654752f
#define DENSITY 0.3989422804014327f // 1 / sqrt(2 pi)
INLINE lanes normal_lanes(lanes x) { return fma_lanes(erf_lanes(x * ROOT_HALF), every(0.5f), every(0.5f)); }
INLINE lanes gelu_lanes(lanes x) { return x * normal_lanes(x); }
INLINE lanes gelu_slope(lanes x) { return fma_lanes(x, exp_lanes(x * x * -0.5f) * DENSITY, normal_lanes(x)); }

// Its approximation by tanh, x / 2 (1 + tanh u) with u = sqrt(2 / pi) (x + 0.044715 x^3); its derivative.
#define ROOT_TWO_BY_PI 0.7978845608028654f
#define CUBIC 0.044715f
INLINE lanes gelu_inner(lanes x) { return ROOT_TWO_BY_PI * fma_lanes(x * x * CUBIC, x, x); }
INLINE lanes gelu_tanh_lanes(lanes x) { return x * fma_lanes(tanh_lanes(gelu_inner(x)), every(0.5f), every(0.5f)); }
INLINE lanes gelu_tanh_slope(lanes x) {
  lanes t = tanh_lanes(gelu_inner(x)), inner = ROOT_TWO_BY_PI * fma_lanes(x * x, every(3.f * CUBIC), every(1.f));
  return fma_lanes(x * 0.5f, fma_lanes(-t, t, every(1.f)) * inner, fma_lanes(t, every(0.5f), every(0.5f)));
}
INLINE lanes silu_slope(lanes x) {
  lanes s = sigmoid_lanes(x);
  return s * fma_lanes(x, 1.f - s, every(1.f));
}
