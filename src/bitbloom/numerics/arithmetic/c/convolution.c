// Convolutions as products with patches: y[o,p] = chain over (c,a,b) of w[o,c,a,b] x[c, p moved by a and b], from the bias on.
// Pixels outside of the image are zeros, which change no chain.
#include "product.h"

// Sizes: images [N,C,H,W], kernels [O,C/groups,kernel_h,kernel_w], results [N,O,out_h,out_w].
typedef struct {
  ptrdiff_t N, C, H, W, O, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, out_h, out_w;
} sizes;

#define TOGETHER 768 // positions a product has at least, if there are images enough: changes no bit

INLINE ptrdiff_t inputs(const sizes *s) { return s->C / s->groups; }
INLINE ptrdiff_t outputs(const sizes *s) { return s->O / s->groups; }
INLINE ptrdiff_t positions(const sizes *s) { return s->out_h * s->out_w; }
INLINE ptrdiff_t terms(const sizes *s) { return inputs(s) * s->kernel_h * s->kernel_w; }
INLINE ptrdiff_t images_together(const sizes *s) {
  ptrdiff_t most = 1 + (TOGETHER - 1) / positions(s);
  return most < s->N ? most : s->N;
}

// Outputs [first, last) of a row whose input, `offset` + stride j, lies in [0, width).
INLINE void inside(ptrdiff_t offset, ptrdiff_t stride, ptrdiff_t width, ptrdiff_t count, ptrdiff_t *first, ptrdiff_t *last) {
  *first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  *last = width - 1 < offset ? 0 : (width - 1 - offset) / stride + 1;
  if (*first > count) *first = count;
  if (*last > count) *last = count;
  if (*last < *first) *last = *first;
}

#define MIX __builtin_shufflevector
INLINE int part(int n) { return n < LANES ? n : LANES; }

// to[j] = from[step j].
INLINE void gather(float *to, const float *from, ptrdiff_t count, ptrdiff_t step) {
  if (step == 1)
    EACH(count, put(to + j, get(from + j, n, 0.f), n);)
  else if (step == 2)
    EACH(count, {
      const float *pair = from + 2 * j;
      lanes low = get(pair, part(2 * n - 1), 0.f), high = n > LANES / 2 ? get(pair + LANES, 2 * n - 1 - LANES, 0.f) : every(0.f);
      put(to + j, MIX(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), n);
    })
  else
    for (ptrdiff_t j = 0; j < count; j++) to[j] = from[step * j];
}

// to[step j] += from[j]. The zeros added to the numbers between change none: a sum that began at 0 is never -0.
INLINE void scatter(float *to, const float *from, ptrdiff_t count, ptrdiff_t step) {
  if (step == 1)
    EACH(count, put(to + j, get(to + j, n, 0.f) + get(from + j, n, 0.f), n);)
  else if (step == 2)
    EACH(count, {
      float *pair = to + 2 * j;
      const lanes v = get(from + j, n, 0.f), zero = every(0.f);
      put(pair, get(pair, part(2 * n - 1), 0.f) + MIX(v, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), part(2 * n - 1));
      if (n > LANES / 2) {
        const int rest = 2 * n - 1 - LANES;
        lanes sum = get(pair + LANES, rest, 0.f) + MIX(v, zero, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        put(pair + LANES, sum, rest);
      }
    })
  else
    for (ptrdiff_t j = 0; j < count; j++) to[step * j] += from[j];
}

// Runs a block for every kernel position (c, a, b), whose patches are `patches`, and row i of the result: its positions
// [begin, end) see pixels of row y of the image, from column left + step j on; the others see none.
#define EACH_LINE(s, patches, pitch, ...)                                                            \
  for (ptrdiff_t c = 0; c < inputs(s); c++)                                                          \
    for (ptrdiff_t a = 0; a < s->kernel_h; a++)                                                      \
      for (ptrdiff_t b = 0; b < s->kernel_w; b++, patches += pitch) {                                \
        ptrdiff_t first, last, left = b * s->dilation_w - s->pad_w, step = s->stride_w;              \
        inside(left, step, s->W, s->out_w, &first, &last);                                           \
        for (ptrdiff_t i = 0; i < s->out_h; i++) {                                                   \
          ptrdiff_t y = i * s->stride_h - s->pad_h + a * s->dilation_h, seen = y >= 0 && y < s->H;    \
          ptrdiff_t begin = seen ? first : s->out_w, end = seen ? last : s->out_w;                   \
          __VA_ARGS__                                                                                \
        }                                                                                            \
      }

// patches [terms, pitch]: column p holds the pixels that position p of one image sees.
static void unfold(const sizes *s, const float *image, float *patches, ptrdiff_t pitch) {
  EACH_LINE(s, patches, pitch, {
    float *to = patches + i * s->out_w;
    const float *from = image + (c * s->H + y) * s->W + left;
    for (ptrdiff_t j = 0; j < begin; j++) to[j] = 0.f;
    gather(to + begin, from + step * begin, end - begin, step);
    for (ptrdiff_t j = end; j < s->out_w; j++) to[j] = 0.f;
  })
}

// Adds patches back to the pixels they came from, in the order of (a, b).
static void fold(const sizes *s, const float *patches, ptrdiff_t pitch, float *image) {
  memset(image, 0, inputs(s) * s->H * s->W * sizeof(float));
  EACH_LINE(s, patches, pitch, {
    float *to = image + (c * s->H + y) * s->W + left;
    const float *from = patches + i * s->out_w;
    scatter(to + step * begin, from + begin, end - begin, step);
  })
}

INLINE matrix wide(const float *at, ptrdiff_t pitch) { return (matrix){at, pitch, 1}; }
INLINE matrix turned(const float *at, ptrdiff_t pitch) { return (matrix){at, 1, pitch}; }
INLINE const float *part_of_image(const sizes *s, const float *x, ptrdiff_t image, ptrdiff_t group) {
  return x + (image * s->C + group * inputs(s)) * s->H * s->W;
}
INLINE float *part_of_result(const sizes *s, float *y, ptrdiff_t image, ptrdiff_t group) {
  return y + (image * s->O + group * outputs(s)) * positions(s);
}

// y [N,O,out_h,out_w] from x, w and the bias b [O], which may be missing.
EXPORT void bloom_convolution(const sizes *s, const float *x, const float *w, const float *b, float *y) {
  ptrdiff_t K = terms(s), P = positions(s), O = outputs(s), most = images_together(s);
  float *patches = scratch(PATCHES, (size_t)K * P * most), *results = scratch(POSITIONS, (size_t)O * P * most);
  for (ptrdiff_t n = 0; n < s->N; n += most)
    for (ptrdiff_t g = 0; g < s->groups; g++) {
      ptrdiff_t images = s->N - n < most ? s->N - n : most, pitch = images * P;
      for (ptrdiff_t i = 0; i < images; i++) unfold(s, part_of_image(s, x, n + i, g), patches + i * P, pitch);
      float *to = images == 1 ? part_of_result(s, y, n, g) : results;
      if (b)
        for (ptrdiff_t o = 0; o < O; o++)
          for (ptrdiff_t p = 0; p < pitch; p++) to[o * pitch + p] = b[g * O + o];
      product(O, pitch, K, wide(w + g * O * K, K), wide(patches, pitch), to, pitch, 0, b ? RUNNING : ZERO);
      for (ptrdiff_t i = 0; images > 1 && i < images; i++)
        for (ptrdiff_t o = 0; o < O; o++) memcpy(part_of_result(s, y, n + i, g) + o * P, to + o * pitch + i * P, P * sizeof(float));
    }
}

// db[o]: a sum over the positions of each image, images one after the other.
static void bias_gradient(const sizes *s, const float *gy, float *db) {
  ptrdiff_t P = positions(s);
  memset(db, 0, s->O * sizeof(float));
  for (ptrdiff_t n = 0; n < s->N; n++)
    for (ptrdiff_t o = 0; o < s->O; o++, gy += P) {
      running sum = nothing();
      EACH(P, {
        sum.block += get(gy + j, n, 0.f);
        set_aside(&sum, j);
      })
      db[o] += total_of(sum);
    }
}

// Gradients of the images, one chain over o a patch; of the kernels, one chain over (image, position); of the bias. Each may be missing.
EXPORT void bloom_convolution_backward(const sizes *s, const float *gy, const float *x, const float *w, float *dx, float *dw, float *db) {
  ptrdiff_t K = terms(s), P = positions(s), O = outputs(s), most = images_together(s);
  float *patches = scratch(PATCHES, (size_t)K * P * most), *results = scratch(POSITIONS, (size_t)O * P * most);
  if (db) bias_gradient(s, gy, db);
  for (ptrdiff_t n = 0; n < s->N; n += most)
    for (ptrdiff_t g = 0; g < s->groups; g++) {
      ptrdiff_t images = s->N - n < most ? s->N - n : most, pitch = images * P;
      const float *q = part_of_result(s, (float *)gy, n, g);
      for (ptrdiff_t i = 0; images > 1 && i < images; i++)
        for (ptrdiff_t o = 0; o < O; o++)
          memcpy(results + o * pitch + i * P, part_of_result(s, (float *)gy, n + i, g) + o * P, P * sizeof(float));
      if (images > 1) q = results;
      if (dw) {
        for (ptrdiff_t i = 0; i < images; i++) unfold(s, part_of_image(s, x, n + i, g), patches + i * P, pitch);
        product(O, K, pitch, wide(q, pitch), turned(patches, pitch), dw + g * O * K, K, 0, n ? RUNNING : ZERO);
      }
      if (dx) {
        product(K, pitch, O, turned(w + g * O * K, K), wide(q, pitch), patches, pitch, 0, ZERO);
        for (ptrdiff_t i = 0; i < images; i++) fold(s, patches + i * P, pitch, (float *)part_of_image(s, dx, n + i, g));
      }
    }
}
