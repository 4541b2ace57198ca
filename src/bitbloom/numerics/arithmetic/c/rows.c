// Ops on rows, the last axis: softmax, norms, sums. Lanes add as lanes.h says.
#include "softmax.h"

EXPORT void bloom_softmax(ptrdiff_t rows, ptrdiff_t size, const float *x, float *y) {
  for (ptrdiff_t r = 0; r < rows; r++) softmax_row(size, x + r * size, y + r * size);
}
EXPORT void bloom_softmax_backward(ptrdiff_t rows, ptrdiff_t size, const float *g, const float *y, float *d) {
  for (ptrdiff_t r = 0; r < rows; r++) softmax_backward_row(size, g + r * size, y + r * size, d + r * size);
}

// y = (x - m) - ln(sum of e^(x - m)).
EXPORT void bloom_log_softmax(ptrdiff_t rows, ptrdiff_t size, const float *x, float *y) {
  for (ptrdiff_t r = 0; r < rows; r++, x += size, y += size) {
    lanes top = every(-INFINITE);
    EACH(size, top = larger(get(x + j, n, -INFINITE), top);)
    float m = largest(top);
    running sum = nothing();
    EACH(size, {
      sum.block += exp_lanes(get(x + j, n, -INFINITE) - m);
      set_aside(&sum, j);
    })
    lanes logarithm = log_lanes(every(total_of(sum)));
    EACH(size, put(y + j, get(x + j, n, 0.f) - m - logarithm, n);)
  }
}

// d = g - e^y (sum of g).
EXPORT void bloom_log_softmax_backward(ptrdiff_t rows, ptrdiff_t size, const float *g, const float *y, float *d) {
  for (ptrdiff_t r = 0; r < rows; r++, g += size, y += size, d += size) {
    running sum = nothing();
    EACH(size, {
      sum.block += get(g + j, n, 0.f);
      set_aside(&sum, j);
    })
    lanes s = every(total_of(sum));
    EACH(size, put(d + j, fma_lanes(-exp_lanes(get(y + j, n, 0.f)), s, get(g + j, n, 0.f)), n);)
  }
}

// Mean of a row, and 1 / sqrt(variance + epsilon); the variance is that of the differences from the mean.
INLINE void moments(ptrdiff_t size, const float *x, float epsilon, float *mean, float *scale) {
  running sum = nothing(), squares = nothing();
  EACH(size, {
    sum.block += get(x + j, n, 0.f);
    set_aside(&sum, j);
  })
  float m = total_of(sum) / (float)size;
  EACH(size, {
    lanes c = get(x + j, n, m) - m;
    squares.block = fma_lanes(c, c, squares.block);
    set_aside(&squares, j);
  })
  *mean = m;
  *scale = 1.f / __builtin_sqrtf(total_of(squares) / (float)size + epsilon);
}

// y = (x - mean) scale w + b; mean and scale [rows] are kept for the backward pass. w and b may be missing.
EXPORT void bloom_layer_norm(ptrdiff_t rows, ptrdiff_t size, float epsilon, const float *x, const float *w, const float *b, float *y,
                             float *mean, float *scale) {
  for (ptrdiff_t r = 0; r < rows; r++, x += size, y += size) {
    moments(size, x, epsilon, mean + r, scale + r);
    float m = mean[r], s = scale[r];
    EACH(size, put(y + j, fma_lanes((get(x + j, n, 0.f) - m) * s, w ? get(w + j, n, 0.f) : every(1.f), b ? get(b + j, n, 0.f) : every(0.f)), n);)
  }
}

// With h = (x - mean) scale and q = g w: dx = scale (q - mean of q - h (mean of q h)), dw = sum of g h, db = sum of g over the rows,
// one after the other. dx, dw and db may be missing.
EXPORT void bloom_layer_norm_backward(ptrdiff_t rows, ptrdiff_t size, const float *g, const float *x, const float *mean,
                                      const float *scale, const float *w, float *dx, float *dw, float *db) {
  if (dw) memset(dw, 0, size * sizeof(float));
  if (db) memset(db, 0, size * sizeof(float));
  for (ptrdiff_t r = 0; r < rows; r++, x += size, g += size) {
    float m = mean[r], s = scale[r];
    running sum = nothing(), products = nothing();
    EACH(size, {
      lanes h = (get(x + j, n, m) - m) * s, q = get(g + j, n, 0.f);
      if (dw) put(dw + j, fma_lanes(q, h, get(dw + j, n, 0.f)), n);
      if (db) put(db + j, get(db + j, n, 0.f) + q, n);
      if (w) q *= get(w + j, n, 0.f);
      sum.block += q;
      products.block = fma_lanes(q, h, products.block);
      set_aside(&sum, j);
      set_aside(&products, j);
    })
    if (!dx) continue;
    float a = total_of(sum) / (float)size, c = total_of(products) / (float)size;
    EACH(size, {
      lanes h = (get(x + j, n, m) - m) * s, q = get(g + j, n, 0.f);
      if (w) q *= get(w + j, n, 0.f);
      put(dx + j, s * fma_lanes(-h, every(c), q - a), n);
    })
    dx += size;
  }
}

// Group norm of images [N, C, area] with G groups of channels; mean and scale [N, G]: y = (x - mean) (scale w) + b.
EXPORT void bloom_group_norm(ptrdiff_t N, ptrdiff_t C, ptrdiff_t area, ptrdiff_t G, float epsilon, const float *x, const float *w,
                             const float *b, float *y, float *mean, float *scale) {
  ptrdiff_t each = C / G;
  for (ptrdiff_t g = 0; g < N * G; g++) {
    moments(each * area, x + g * each * area, epsilon, mean + g, scale + g);
    for (ptrdiff_t d = 0; d < each; d++) {
      ptrdiff_t channel = g % G * each + d, at = (g * each + d) * area;
      float m = mean[g], s = scale[g] * (w ? w[channel] : 1.f), shift = b ? b[channel] : 0.f;
      EACH(area, put(y + at + j, fma_lanes(get(x + at + j, n, 0.f) - m, every(s), every(shift)), n);)
    }
  }
}

// Sums over a channel: of g, and of g h with h = (x - mean) scale.
INLINE void channel_sums(ptrdiff_t area, const float *g, const float *x, float m, float s, float *of_g, float *of_gh) {
  running sum = nothing(), products = nothing();
  EACH(area, {
    lanes q = get(g + j, n, 0.f);
    sum.block += q;
    products.block = fma_lanes(q, (get(x + j, n, m) - m) * s, products.block);
    set_aside(&sum, j);
    set_aside(&products, j);
  })
  *of_g = total_of(sum), *of_gh = total_of(products);
}

// dx = scale (g w - mean of g w - h (mean of g w h)) with the means over a group; dw and db add channels of one image after another.
EXPORT void bloom_group_norm_backward(ptrdiff_t N, ptrdiff_t C, ptrdiff_t area, ptrdiff_t G, const float *g, const float *x,
                                      const float *mean, const float *scale, const float *w, float *dx, float *dw, float *db) {
  ptrdiff_t each = C / G;
  if (dw) memset(dw, 0, C * sizeof(float));
  if (db) memset(db, 0, C * sizeof(float));
  for (ptrdiff_t group = 0; group < N * G; group++) {
    float m = mean[group], s = scale[group], sum = 0.f, products = 0.f;
    for (ptrdiff_t d = 0; d < each; d++) {
      ptrdiff_t channel = group % G * each + d, at = (group * each + d) * area;
      float of_g, of_gh, weight = w ? w[channel] : 1.f;
      channel_sums(area, g + at, x + at, m, s, &of_g, &of_gh);
      if (dw) dw[channel] += of_gh;
      if (db) db[channel] += of_g;
      sum = __builtin_fmaf(of_g, weight, sum), products = __builtin_fmaf(of_gh, weight, products);
    }
    if (!dx) continue;
    float count = (float)(each * area), a = sum / count, c = products / count;
    for (ptrdiff_t d = 0; d < each; d++) {
      ptrdiff_t channel = group % G * each + d, at = (group * each + d) * area;
      lanes weight = every(w ? w[channel] : 1.f);
      EACH(area, {
        lanes h = (get(x + at + j, n, m) - m) * s;
        put(dx + at + j, s * fma_lanes(-h, every(c), fma_lanes(get(g + at + j, n, 0.f), weight, every(-a))), n);
      })
    }
  }
}

// y [outer] = sum of x [outer, size] / divisor.
EXPORT void bloom_sum_rows(ptrdiff_t outer, ptrdiff_t size, const float *x, float divisor, float *y) {
  for (ptrdiff_t r = 0; r < outer; r++, x += size) {
    running sum = nothing();
    EACH(size, {
      sum.block += get(x + j, n, 0.f);
      set_aside(&sum, j);
    })
    y[r] = total_of(sum) / divisor;
  }
}

// y [outer, size] = sum of x [outer, count, size] over the middle axis, one after the other, / divisor.
EXPORT void bloom_sum_middle(ptrdiff_t outer, ptrdiff_t count, ptrdiff_t size, const float *x, float divisor, float *y) {
  for (ptrdiff_t o = 0; o < outer; o++, y += size) {
    memset(y, 0, size * sizeof(float));
    for (ptrdiff_t k = 0; k < count; k++, x += size) EACH(size, put(y + j, get(y + j, n, 0.f) + get(x + j, n, 0.f), n);)
    if (divisor != 1.f) EACH(size, put(y + j, get(y + j, n, 0.f) / divisor, n);)
  }
}

// Euclidean length of each row: sqrt(sum of x x).
EXPORT void bloom_norm(ptrdiff_t outer, ptrdiff_t size, const float *x, float *y) {
  for (ptrdiff_t r = 0; r < outer; r++, x += size) {
    running sum = nothing();
    EACH(size, {
      sum.block = fma_lanes(get(x + j, n, 0.f), get(x + j, n, 0.f), sum.block);
      set_aside(&sum, j);
    })
    y[r] = __builtin_sqrtf(total_of(sum));
  }
}
