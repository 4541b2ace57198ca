// Matrix products. C[i,j] = fma(A[i,K-1], B[K-1,j], … fma(A[i,0], B[0,j], start)): one chain of fused multiply-adds in the order of k.
#pragma once
#include "lanes.h"

typedef struct {
  const float *at;
  ptrdiff_t row, column; // distances in elements of neighbours in a column and in a row; one of them is 1
} matrix;

enum start { ZERO, BIAS, RUNNING }; // a chain begins with 0, with bias[j], or with what C holds

// C float32 [M,N] with rows `pitch` elements apart, from A [M,K] and B [K,N].
void product(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, matrix A, matrix B, float *C, ptrdiff_t pitch, const float *bias, enum start start);

// Scratch memory of this thread, at least `floats` numbers that survive until the next call with the same `purpose`.
enum purpose { PACKED_A, PACKED_B, PATCHES, POSITIONS, SCORES, PURPOSES };
float *scratch(enum purpose purpose, size_t floats);
