// Bilinear resizing of planes [H,W] to [h,w], corners not aligned: source positions (j + 1/2) W / w - 1/2, not below 0, in float32.
#include "product.h"

typedef struct {
  ptrdiff_t low, high;
  float weight;
} place;

INLINE place placed(ptrdiff_t j, ptrdiff_t from, ptrdiff_t to) {
  float at = ((float)j + 0.5f) * ((float)from / (float)to) - 0.5f;
  at = at < 0.f ? 0.f : at;
  ptrdiff_t low = (ptrdiff_t)at < from - 1 ? (ptrdiff_t)at : from - 1;
  return (place){low, low + (low < from - 1), at - (float)low};
}
INLINE float between(float a, float b, float weight) { return __builtin_fmaf(weight, b - a, a); }

EXPORT void bloom_bilinear(ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t h, ptrdiff_t w, const float *x, float *y) {
  place *columns = (place *)scratch(POSITIONS, (size_t)w * sizeof(place) / sizeof(float));
  for (ptrdiff_t j = 0; j < w; j++) columns[j] = placed(j, W, w);
  for (ptrdiff_t p = 0; p < planes; p++, x += H * W)
    for (ptrdiff_t i = 0; i < h; i++, y += w) {
      place row = placed(i, H, h);
      const float *above = x + row.low * W, *below = x + row.high * W;
      for (ptrdiff_t j = 0; j < w; j++) {
        place c = columns[j];
        y[j] = between(between(above[c.low], above[c.high], c.weight), between(below[c.low], below[c.high], c.weight), row.weight);
      }
    }
}

// Its transpose: each output's gradient is added to its four sources, outputs in order.
EXPORT void bloom_bilinear_backward(ptrdiff_t planes, ptrdiff_t H, ptrdiff_t W, ptrdiff_t h, ptrdiff_t w, const float *g, float *dx) {
  place *columns = (place *)scratch(POSITIONS, (size_t)w * sizeof(place) / sizeof(float));
  for (ptrdiff_t j = 0; j < w; j++) columns[j] = placed(j, W, w);
  memset(dx, 0, planes * H * W * sizeof(float));
  for (ptrdiff_t p = 0; p < planes; p++, dx += H * W)
    for (ptrdiff_t i = 0; i < h; i++, g += w) {
      place row = placed(i, H, h);
      float *above = dx + row.low * W, *below = dx + row.high * W;
      for (ptrdiff_t j = 0; j < w; j++) {
        place c = columns[j];
        float lower = g[j] * row.weight, upper = g[j] - lower;
        above[c.low] += upper - upper * c.weight, above[c.high] += upper * c.weight;
        below[c.low] += lower - lower * c.weight, below[c.high] += lower * c.weight;
      }
    }
}
