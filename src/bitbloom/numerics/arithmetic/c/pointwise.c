// Ops on each number alone, and the optimiser.
#include "functions.h"

#define FUNCTION(name, value)                                                  \
  EXPORT void bloom_##name(ptrdiff_t size, const float *from, float *to) {     \
    EACH(size, lanes x = get(from + j, n, 0.f); put(to + j, value, n);)        \
  }
FUNCTION(exp, exp_lanes(x))
FUNCTION(log, log_lanes(x))
FUNCTION(erf, erf_lanes(x))
FUNCTION(tanh, tanh_lanes(x))
FUNCTION(sqrt, sqrt_lanes(x))
FUNCTION(rsqrt, rsqrt_lanes(x))
FUNCTION(sigmoid, sigmoid_lanes(x))
FUNCTION(silu, silu_lanes(x))
FUNCTION(gelu, gelu_lanes(x))
FUNCTION(gelu_tanh, gelu_tanh_lanes(x))

// d = the gradient g times the slope at x; tanh and sigmoid take their result in place of x.
#define BACKWARD(name, slope)                                                                              \
  EXPORT void bloom_##name##_backward(ptrdiff_t size, const float *gradient, const float *from, float *to) { \
    EACH(size, lanes g = get(gradient + j, n, 0.f), x = get(from + j, n, 0.f); put(to + j, g * (slope), n);)  \
  }
BACKWARD(gelu, gelu_slope(x))
BACKWARD(gelu_tanh, gelu_tanh_slope(x))
BACKWARD(silu, silu_slope(x))
BACKWARD(tanh, fma_lanes(-x, x, every(1.f)))
BACKWARD(sigmoid, x * (1.f - x))

// from += w (to - from).
EXPORT void bloom_lerp(ptrdiff_t size, float w, const float *to, float *from) {
  EACH(size, lanes a = get(from + j, n, 0.f); put(from + j, fma_lanes(every(w), get(to + j, n, 0.f) - a, a), n);)
}

// b^step by squaring: pow differs between C libraries.
static double power(double b, long step) {
  double result = 1;
  for (; step; step >>= 1, b *= b)
    if (step & 1) result *= b;
  return result;
}

// A step of AdamW (Loshchilov and Hutter 2019): m += (1 - b1) (g - m), v = b2 v + (1 - b2) g g,
// p = p (1 - rate decay) - rate / (1 - b1^step) (m / (sqrt(v) / sqrt(1 - b2^step) + epsilon)). Numbers of the whole step are float64,
// rounded once.
EXPORT void bloom_adamw(ptrdiff_t size, float *p, const float *gradient, float *m, float *v, double rate, double b1, double b2, double decay,
                        double epsilon, double step) {
  float kept = (float)(1 - rate * decay), new_m = (float)(1 - b1), new_v = (float)(1 - b2), old_v = (float)b2, small = (float)epsilon;
  float stride = (float)(rate / (1 - power(b1, (long)step))), root = (float)__builtin_sqrt(1 - power(b2, (long)step));
  EACH(size, {
    lanes g = get(gradient + j, n, 0.f), first = get(m + j, n, 0.f), second = get(v + j, n, 0.f);
    first = fma_lanes(every(new_m), g - first, first);
    second = fma_lanes(every(old_v), second, new_v * g * g);
    put(p + j, get(p + j, n, 0.f) * kept - stride * (first / (sqrt_lanes(second) / root + small)), n);
    put(m + j, first, n);
    put(v + j, second, n);
  })
}

// rows [count, width] of a table += the gradients [positions, width] of their positions, in order; -1 skips none.
EXPORT void bloom_embedding_backward(ptrdiff_t positions, ptrdiff_t width, ptrdiff_t skipped, const float *g, const int64_t *index, float *table) {
  for (ptrdiff_t i = 0; i < positions; i++, g += width) {
    float *row = table + index[i] * width;
    if (index[i] == skipped) continue;
    EACH(width, put(row + j, get(row + j, n, 0.f) + get(g + j, n, 0.f), n);)
  }
}
