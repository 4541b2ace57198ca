// Functions of one number over every `stride`-th of the 2^32 float32 inputs: prints, for each function, a hash of the results' bits, the
// largest error in units in the last place against the C library's float64 function, and where it is. NaN counts as one value.
//     every_input STRIDE [errors]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "functions.h"

typedef lanes function(lanes);
typedef double reference(double);

static double exact_rsqrt(double x) { return 1 / sqrt(x); }
static double exact_sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double exact_silu(double x) { return x * exact_sigmoid(x); }
static double exact_gelu(double x) { return 0.5 * x * erfc(-x * 0.70710678118654752440); }
static double exact_gelu_tanh(double x) {
  double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
  return x * exact_sigmoid(2 * u);
}

#define CALL(name) static lanes call_##name(lanes x) { return name##_lanes(x); }
CALL(exp) CALL(log) CALL(erf) CALL(tanh) CALL(sqrt) CALL(rsqrt) CALL(sigmoid) CALL(silu) CALL(gelu) CALL(gelu_tanh)

// The error of gelu, whose distribution function has an absolute error, is in units of half the input where that is larger.
static const struct {
  const char *name;
  function *compute;
  reference *exact;
  double of_input;
} functions[] = {
    {"exp", call_exp, exp, 0},
    {"log", call_log, log, 0},
    {"erf", call_erf, erf, 0},
    {"tanh", call_tanh, tanh, 0},
    {"sqrt", call_sqrt, sqrt, 0},
    {"rsqrt", call_rsqrt, exact_rsqrt, 0},
    {"sigmoid", call_sigmoid, exact_sigmoid, 0},
    {"silu", call_silu, exact_silu, 0},
    {"gelu", call_gelu, exact_gelu, 0.5},
    {"gelu_tanh", call_gelu_tanh, exact_gelu_tanh, 0.5},
};

// Sixteen hashes of 32 bits (FNV-1a), one for each lane, over the bits of results.
typedef uint32_t hashes __attribute__((ext_vector_type(LANES)));
static hashes add(hashes hash, lanes y) {
  integers w = bits(choose(y != y, every(NOT_A_NUMBER), y));
  return (hash ^ (hashes)w) * 16777619u;
}

// Error in units in the last place of the exact result, of results that are far from the smallest and largest numbers.
static double error(float found, double exact, double least) {
  double magnitude = fabs(exact) > least ? fabs(exact) : least;
  if (exact != exact || magnitude < 0x1p-110 || magnitude >= 0x1p128 || isinf(found)) return 0;
  int exponent;
  frexp(magnitude, &exponent);
  return fabs(found - exact) / ldexp(1, exponent - 24);
}

int main(int count, char **arguments) {
  uint64_t stride = count > 1 ? strtoull(arguments[1], 0, 10) : 1;
  int errors = count > 2;
  for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
    hashes hash = (hashes)2166136261u;
    double worst = 0;
    float where = 0;
    for (uint64_t i = 0; i < 1ull << 32; i += stride * LANES) {
      const hashes position = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
      lanes x = (lanes)((hashes)(uint32_t)i + position * (uint32_t)stride), y = functions[f].compute(x);
      hash = add(hash, y);
      for (int j = 0; errors && j < LANES; j++) {
        double e = error(y[j], functions[f].exact(x[j]), fabs(x[j]) * functions[f].of_input);
        if (e > worst) worst = e, where = x[j];
      }
    }
    uint32_t combined = 0;
    for (int j = 0; j < LANES; j++) combined = combined * 31 + hash[j];
    printf("%s %08x %.3f %.9g\n", functions[f].name, combined, worst, where);
    fflush(stdout);
  }
}
