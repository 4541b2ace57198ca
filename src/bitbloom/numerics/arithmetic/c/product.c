// Blocking, packing and the width of vectors below follow the CPU and change no bit: each C[i,j] meets its k in order, one fused
// multiply-add each. The scheme is that of Goto and van de Geijn (2008): a tile of C stays in registers while a panel of A and a
// panel of B, both packed, stream through it.
#include "product.h"
#include <stdlib.h>

#if defined(__AVX512F__)
#define WIDTH 16 // floats in a register
#define ROWS 14  // of a tile
#define ACROSS 2 // registers in a row of a tile
#elif defined(__AVX2__)
#define WIDTH 8
#define ROWS 6
#define ACROSS 2
#elif defined(__aarch64__)
#define WIDTH 4
#define ROWS 8
#define ACROSS 3
#else
#error "needs AVX2 with FMA, AVX-512 or NEON"
#endif
#define COLUMNS (WIDTH * ACROSS)
#define DEPTH 256   // most k in a packed panel: a tile's panels fit the first cache
#define HEIGHT 252  // most rows of packed A: they fit the second cache
#define BREADTH 768 // most columns of packed B

typedef float vector __attribute__((ext_vector_type(WIDTH)));
typedef float unaligned_vector __attribute__((ext_vector_type(WIDTH), aligned(4), may_alias));
INLINE vector load(const float *p) { return *(const unaligned_vector *)p; }
INLINE void store(float *p, vector v) { *(unaligned_vector *)p = v; }

float *scratch(enum purpose purpose, size_t floats) {
  static _Thread_local float *memory[PURPOSES];
  static _Thread_local size_t sizes[PURPOSES];
  if (sizes[purpose] < floats) {
    free(memory[purpose]);
    memory[purpose] = aligned_alloc(64, (floats * sizeof(float) + 4096 + 63) / 64 * 64);
    if (!memory[purpose]) abort();
    sizes[purpose] = floats;
  }
  return memory[purpose];
}

#define UNROLLED _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")

// A tile of C, rows x (across * WIDTH), over K terms. A by its distances, the rows of B `pitch_b` apart.
INLINE void tile(const int rows, const int across, ptrdiff_t K, matrix A, const float *B, ptrdiff_t pitch_b, float *C,
                 ptrdiff_t pitch, const float *bias, enum start start) {
  vector sum[ROWS][ACROSS];
  UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int j = 0; j < across; j++)
      sum[i][j] = start == ZERO ? (vector)0.f : start == BIAS ? load(bias + j * WIDTH) : load(C + i * pitch + j * WIDTH);
  ROLLED for (ptrdiff_t k = 0; k < K; k++, A.at += A.column, B += pitch_b) {
    vector b[ACROSS];
    UNROLLED for (int j = 0; j < across; j++) b[j] = load(B + j * WIDTH);
    UNROLLED for (int i = 0; i < rows; i++) {
      vector a = (vector)A.at[i * A.row];
      UNROLLED for (int j = 0; j < across; j++) sum[i][j] = fma_lanes(a, b[j], sum[i][j]);
    }
  }
  UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int j = 0; j < across; j++) store(C + i * pitch + j * WIDTH, sum[i][j]);
}

// One function for each size of a tile; A with adjacent columns (as packed), and with adjacent rows.
typedef void tile_function(ptrdiff_t, matrix, const float *, ptrdiff_t, float *, ptrdiff_t, const float *, enum start);
#define ARGUMENTS ptrdiff_t K, matrix A, const float *B, ptrdiff_t pitch_b, float *C, ptrdiff_t pitch, const float *bias, enum start start
#define TILE(rows, across)                                                                                        \
  static void columns_##rows##_##across(ARGUMENTS) {                                                              \
    tile(rows, across, K, (matrix){A.at, 1, A.column}, B, pitch_b, C, pitch, bias, start);                        \
  }                                                                                                               \
  static void rows_##rows##_##across(ARGUMENTS) {                                                                 \
    tile(rows, across, K, (matrix){A.at, A.row, 1}, B, pitch_b, C, pitch, bias, start);                           \
  }
#if ACROSS == 3
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
#define BY_COLUMNS(rows) {columns_##rows##_1, columns_##rows##_2, columns_##rows##_3},
#define BY_ROWS(rows) {rows_##rows##_1, rows_##rows##_2, rows_##rows##_3},
#else
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define BY_COLUMNS(rows) {columns_##rows##_1, columns_##rows##_2},
#define BY_ROWS(rows) {rows_##rows##_1, rows_##rows##_2},
#endif
#if ROWS == 14
#define FOR_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14)
#elif ROWS == 8
#define FOR_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8)
#else
#define FOR_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#endif
FOR_ROWS(TILES)
static tile_function *const by_columns[ROWS][ACROSS] = {FOR_ROWS(BY_COLUMNS)}, *const by_rows[ROWS][ACROSS] = {FOR_ROWS(BY_ROWS)};

typedef float eight __attribute__((ext_vector_type(8)));
typedef float unaligned_eight __attribute__((ext_vector_type(8), aligned(4), may_alias));
#define MIX __builtin_shufflevector

INLINE void transpose(eight r[8]) {
  eight t[8], u[8];
  UNROLLED for (int i = 0; i < 8; i += 2) {
    t[i] = MIX(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = MIX(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  UNROLLED for (int h = 0; h < 8; h += 4) UNROLLED for (int i = 0; i < 2; i++) {
    u[h + 2 * i] = MIX(t[h + i], t[h + i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    u[h + 2 * i + 1] = MIX(t[h + i], t[h + i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  UNROLLED for (int i = 0; i < 4; i++) {
    r[i] = MIX(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = MIX(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// to[k * width + i] = from[i * pitch + k] for i < n <= width: turns rows into a panel, eight by eight numbers at a time. Where width
// is below eight, a row of the panel is written over its end: the next row, or the next panel, is written later.
static void pack_rows(int n, int width, ptrdiff_t K, const float *from, ptrdiff_t pitch, float *to) {
  for (int begin = 0; begin < n; begin += 8) {
    int i0 = n >= 8 && n - begin < 8 ? n - 8 : begin; // the last eight overlap those before and write them again
    const float *row[8];
    for (int i = 0; i < 8; i++) row[i] = from + (i0 + i < n ? i0 + i : n - 1) * pitch;
    ptrdiff_t k = 0;
    for (; k + 8 <= K; k += 8) {
      eight block[8];
      UNROLLED for (int i = 0; i < 8; i++) block[i] = *(const unaligned_eight *)(row[i] + k);
      transpose(block);
      UNROLLED for (int i = 0; i < 8; i++) *(unaligned_eight *)(to + (k + i) * width + i0) = block[i];
    }
    for (; k < K; k++)
      for (int i = 0; i < 8 && i0 + i < width; i++) to[k * width + i0 + i] = row[i][k];
  }
}

INLINE void copy(float *to, const float *from, ptrdiff_t size) { EACH(size, put(to + j, get(from + j, n, 0.f), n);) }

// to[k * width + i] = from[k * pitch + i] for i < n, 0 beyond.
static void pack_columns(int n, int width, ptrdiff_t K, const float *from, ptrdiff_t pitch, float *to) {
  if (n == COLUMNS && width == COLUMNS)
    for (ptrdiff_t k = 0; k < K; k++)
      UNROLLED for (int i = 0; i < ACROSS; i++) store(to + k * COLUMNS + i * WIDTH, load(from + k * pitch + i * WIDTH));
  else if (n == ROWS && width == ROWS)
    for (ptrdiff_t k = 0; k < K; k++) memcpy(to + k * ROWS, from + k * pitch, ROWS * sizeof(float));
  else {
    if (n < width) memset(to, 0, (size_t)width * K * sizeof(float));
    for (ptrdiff_t k = 0; k < K; k++) copy(to + k * width, from + k * pitch, n);
  }
}

INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

// Size of equal parts of n, at most `most`, in multiples of `unit`.
INLINE ptrdiff_t part(ptrdiff_t n, ptrdiff_t most, ptrdiff_t unit) {
  ptrdiff_t parts = (n + most - 1) / most, each = parts ? (n + parts - 1) / parts : 1;
  return (each + unit - 1) / unit * unit;
}

// A panel of B, up to COLUMNS wide, where a tile reads it.
typedef struct {
  const float *at;
  ptrdiff_t pitch;
  int n, width;
} panel;

static panel panel_of(matrix B, ptrdiff_t column, int n, ptrdiff_t k0, ptrdiff_t K, int as_it_is, float *room) {
  int width = (n + WIDTH - 1) / WIDTH * WIDTH;
  const float *from = B.at + k0 * B.row + column * B.column;
  if (as_it_is && n == width) return (panel){from, B.row, n, width};
  if (B.column == 1)
    pack_columns(n, width, K, from, B.row, room);
  else {
    if (n < width) memset(room, 0, (size_t)width * K * sizeof(float));
    pack_rows(n, width, K, from, B.column, room);
  }
  return (panel){room, width, n, width};
}

// A tile whose last columns lie outside of C: computed beside it, then copied.
static void edge(tile_function *compute, int rows, panel b, ptrdiff_t K, matrix A, float *C, ptrdiff_t pitch, const float *bias,
                 enum start start) {
  float room[ROWS * COLUMNS], padded[COLUMNS] = {0};
  if (bias) copy(padded, bias, b.n);
  if (start == RUNNING)
    for (int i = 0; i < rows; i++) copy(room + i * b.width, C + i * pitch, b.n);
  compute(K, A, b.at, b.pitch, room, b.width, padded, start);
  for (int i = 0; i < rows; i++) copy(C + i * pitch, room + i * b.width, b.n);
}

INLINE void whole(tile_function *compute, int rows, panel b, ptrdiff_t K, matrix A, float *C, ptrdiff_t pitch, const float *bias,
                  enum start start) {
  compute(K, A, b.at, b.pitch, C, pitch, bias, start);
}

static void pack_a(matrix A, ptrdiff_t M, int rows, ptrdiff_t K, float *to) {
  for (ptrdiff_t i = 0; i < M; i += rows) {
    int m = (int)least(rows, M - i);
    if (A.column == 1)
      pack_rows(m, m, K, A.at + i * A.row, A.row, to + i * K);
    else
      pack_columns(m, m, K, A.at + i * A.row, A.column, to + i * K);
  }
}

void product(ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, matrix A, matrix B, float *C, ptrdiff_t pitch, const float *bias, enum start start) {
  ptrdiff_t depth = part(K, DEPTH, 1), breadth = part(N, BREADTH, COLUMNS), tiles = (M + ROWS - 1) / ROWS;
  int rows = tiles ? (int)((M + tiles - 1) / tiles) : 1;
  ptrdiff_t height = part(M, HEIGHT, rows);
  int b_as_it_is = B.column == 1 && M <= 4 * ROWS, a_as_it_is = N <= 3 * COLUMNS; // read too seldom to pack
  float *room_b = scratch(PACKED_B, (size_t)(least(N, breadth) + COLUMNS) * depth + 64);
  float *room_a = scratch(PACKED_A, (size_t)(least(M, height) + ROWS) * depth + 64);
  for (ptrdiff_t j0 = 0; j0 < N; j0 += breadth)
    for (ptrdiff_t k0 = 0; k0 == 0 || k0 < K; k0 += depth) {
      ptrdiff_t columns = least(breadth, N - j0), k = least(depth, K - k0);
      enum start begin = k0 ? RUNNING : start;
      panel panels[BREADTH / COLUMNS + 2];
      for (ptrdiff_t j = 0, p = 0; j < columns; j += COLUMNS, p++)
        panels[p] = panel_of(B, j0 + j, (int)least(COLUMNS, columns - j), k0, k, b_as_it_is, room_b + j * k);
      for (ptrdiff_t i0 = 0; i0 < M; i0 += height) {
        ptrdiff_t m = least(height, M - i0);
        matrix a = {A.at + i0 * A.row + k0 * A.column, A.row, A.column};
        if (!a_as_it_is) pack_a(a, m, rows, k, room_a);
        for (ptrdiff_t i = 0; i < m; i += rows) {
          int r = (int)least(rows, m - i);
          matrix each = a_as_it_is ? (matrix){a.at + i * a.row, a.row, a.column} : (matrix){room_a + i * k, 1, r};
          tile_function *const *tiles = (each.row == 1 ? by_columns : by_rows)[r - 1];
          for (ptrdiff_t j = 0, p = 0; j < columns; j += COLUMNS, p++)
            (panels[p].n == panels[p].width ? whole : edge)(tiles[panels[p].width / WIDTH - 1], r, panels[p], k, each,
                                                            C + (i0 + i) * pitch + j0 + j, pitch, bias ? bias + j0 + j : 0, begin);
        }
      }
    }
}

// C [batch,M,N], contiguous, from A [batch,M,K] and B [batch,K,N], whose matrices are `each_a` and `each_b` elements apart.
EXPORT void bloom_product(ptrdiff_t batch, ptrdiff_t M, ptrdiff_t N, ptrdiff_t K, const float *a, ptrdiff_t each_a, ptrdiff_t row_a,
                          ptrdiff_t column_a, const float *b, ptrdiff_t each_b, ptrdiff_t row_b, ptrdiff_t column_b, float *c,
                          const float *bias) {
  for (ptrdiff_t i = 0; i < batch; i++)
    product(M, N, K, (matrix){a + i * each_a, row_a, column_a}, (matrix){b + i * each_b, row_b, column_b}, c + i * M * N, N, bias,
            bias ? BIAS : ZERO);
}

// The gradients of a linear layer y [rows,out] = x [rows,in] w' + b from that of y: dx = g w, dw = g' x, db = the sum of g over the rows, one
// after the other. Each may be missing.
EXPORT void bloom_linear_backward(ptrdiff_t rows, ptrdiff_t in, ptrdiff_t out, const float *g, const float *x, const float *w, float *dx,
                                  float *dw, float *db) {
  if (dx) product(rows, in, out, (matrix){g, out, 1}, (matrix){w, in, 1}, dx, in, 0, ZERO);
  if (dw) product(out, in, rows, (matrix){g, 1, out}, (matrix){x, in, 1}, dw, in, 0, ZERO);
  if (db) {
    memset(db, 0, out * sizeof(float));
    for (ptrdiff_t r = 0; r < rows; r++, g += out) EACH(out, put(db + j, get(db + j, n, 0.f) + get(g + j, n, 0.f), n);)
  }
}
