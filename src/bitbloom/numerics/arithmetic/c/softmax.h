// Softmax of one row and its gradient, which attention shares.
#pragma once
#include "functions.h"

// y = e^(x - m) (1 / sum of e^(x - m)), with m the largest x of the row.
INLINE void softmax_row(ptrdiff_t size, const float *x, float *y) {
  lanes top = every(-INFINITE);
  EACH(size, top = larger(get(x + j, n, -INFINITE), top);)
  float m = largest(top);
  running sum = nothing();
  EACH(size, {
    lanes e = exp_lanes(get(x + j, n, -INFINITE) - m);
    put(y + j, e, n);
    sum.block += e; // lanes beyond the row hold e^-infinity = 0
    set_aside(&sum, j);
  })
  float factor = 1.f / total_of(sum);
  EACH(size, put(y + j, get(y + j, n, 0.f) * factor, n);)
}

// d = y (g - sum of g y).
INLINE void softmax_backward_row(ptrdiff_t size, const float *g, const float *y, float *d) {
  running sum = nothing();
  EACH(size, {
    sum.block = fma_lanes(get(g + j, n, 0.f), get(y + j, n, 0.f), sum.block);
    set_aside(&sum, j);
  })
  float s = total_of(sum);
  EACH(size, put(d + j, get(y + j, n, 0.f) * (get(g + j, n, 0.f) - s), n);)
}
