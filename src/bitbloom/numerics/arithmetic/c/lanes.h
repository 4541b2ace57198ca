// Sixteen float32 lanes, whatever the width of the CPU's registers: one AVX-512 register, two of AVX2, four of NEON.
// Every operation on lanes acts on each lane alone and is correctly rounded, so the width changes no bit.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))
#define LANES 16
#define BLOCK (64 * LANES) // elements after which a lane's running sum is set aside: bounds the error of long sums

typedef float lanes __attribute__((ext_vector_type(LANES)));
typedef float unaligned_lanes __attribute__((ext_vector_type(LANES), aligned(4), may_alias));
typedef int32_t integers __attribute__((ext_vector_type(LANES)));
typedef _Bool mask __attribute__((ext_vector_type(LANES)));

#define fma_lanes __builtin_elementwise_fma
#define INFINITE __builtin_inff()
#define NOT_A_NUMBER __builtin_nanf("")

INLINE lanes every(float value) { return (lanes)value; }
INLINE integers bits(lanes v) { return (integers)v; }
INLINE lanes choose(integers condition, lanes yes, lanes no) { return (lanes)((condition & bits(yes)) | (~condition & bits(no))); }
INLINE mask first(int n) {
  const integers position = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return __builtin_convertvector(position < n, mask);
}

// The first n lanes from memory, 1 <= n <= 16; the others hold `fill`.
INLINE lanes get(const float *from, int n, float fill) {
  return n == LANES ? (lanes) * (const unaligned_lanes *)from : __builtin_masked_load(first(n), from, every(fill));
}
INLINE void put(float *to, lanes v, int n) {
  if (n == LANES)
    *(unaligned_lanes *)to = v;
  else
    __builtin_masked_store(first(n), v, to);
}

// Runs a block for every 16 elements of a row of `size`, with j, the first one, and n, their number: 16, and fewer at the end.
#define EACH(size, ...)                    \
  {                                        \
    ptrdiff_t j = 0;                       \
    for (; j + LANES <= (size); j += LANES) { \
      const int n = LANES;                 \
      __VA_ARGS__                          \
    }                                      \
    if (j < (size)) {                      \
      const int n = (int)((size) - j);     \
      __VA_ARGS__                          \
    }                                      \
  }

// Sum of the lanes: lane i + lane i + 8, of those i + i + 4, i + i + 2, i + i + 1.
INLINE float total(lanes v) {
  float f[LANES];
  put(f, v, LANES);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) f[i] += f[i + half];
  return f[0];
}

// A running sum: lane j mod 16 adds element j, in order; after each block of 64 elements a lane adds its sum to that of the blocks.
typedef struct {
  lanes block, blocks;
} running;
INLINE running nothing(void) { return (running){every(0.f), every(0.f)}; }
INLINE void set_aside(running *sum, ptrdiff_t j) {
  if (j % BLOCK == BLOCK - LANES) sum->blocks += sum->block, sum->block = every(0.f);
}
INLINE float total_of(running sum) { return total(sum.blocks + sum.block); }

// Largest of the lanes; NaN if one is NaN.
INLINE lanes larger(lanes a, lanes b) { return choose(a > b | a != a, a, b); }
INLINE float largest(lanes v) {
  float f[LANES];
  put(f, v, LANES);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) f[i] = f[i] > f[i + half] || f[i] != f[i] ? f[i] : f[i + half];
  return f[0];
}
