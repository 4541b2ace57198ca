// Attention softmax(scale Q K' + mask) V, fused; every number equals that of the three ops one after the other. Scores are computed for
// a few queries at a time and again in the backward pass, so memory grows with the number of keys, not with its square.
#include "product.h"
#include "softmax.h"

// Q and results [batch, heads, queries, width], K and V [batch, heads, keys, width], each with its own distances, elements of a row
// adjacent; the mask [batch, heads, queries, keys] is added to the scores, may be missing, and may have distances of 0.
typedef struct {
  float *at;
  ptrdiff_t batch, head, row;
} tensor;
typedef struct {
  ptrdiff_t batch, heads, queries, keys, width, width_v;
  int causal; // query i sees the keys up to i
  float scale;
} attention;

#define QUERIES 64 // whose scores are in memory at a time

INLINE matrix rows_of(tensor t, ptrdiff_t b, ptrdiff_t h, ptrdiff_t row) {
  return (matrix){t.at + b * t.batch + h * t.head + row * t.row, t.row, 1};
}
INLINE float *at(tensor t, ptrdiff_t b, ptrdiff_t h, ptrdiff_t row) { return t.at + b * t.batch + h * t.head + row * t.row; }
INLINE matrix transposed(matrix m) { return (matrix){m.at, m.column, m.row}; }
INLINE matrix dense(const float *at, ptrdiff_t columns) { return (matrix){at, columns, 1}; }

// probabilities [count, keys] of the queries from i on.
static void probabilities(const attention *s, tensor q, tensor k, tensor mask, ptrdiff_t b, ptrdiff_t h, ptrdiff_t i, ptrdiff_t count,
                          float *to) {
  product(count, s->keys, s->width, rows_of(q, b, h, i), transposed(rows_of(k, b, h, 0)), to, s->keys, 0, ZERO);
  for (ptrdiff_t r = 0; r < count; r++) {
    float *row = to + r * s->keys;
    if (mask.at) {
      const float *added = at(mask, b, h, i + r);
      EACH(s->keys, put(row + j, get(row + j, n, 0.f) * s->scale + get(added + j, n, 0.f), n);)
    } else
      EACH(s->keys, put(row + j, get(row + j, n, 0.f) * s->scale, n);)
    for (ptrdiff_t j = i + r + 1; s->causal && j < s->keys; j++) row[j] = -INFINITE;
    softmax_row(s->keys, row, row);
  }
}

EXPORT void bloom_attention(const attention *s, const tensor *q, const tensor *k, const tensor *v, const tensor *mask, const tensor *result) {
  float *p = scratch(SCORES, (size_t)QUERIES * s->keys);
  for (ptrdiff_t b = 0; b < s->batch; b++)
    for (ptrdiff_t h = 0; h < s->heads; h++)
      for (ptrdiff_t i = 0; i < s->queries; i += QUERIES) {
        ptrdiff_t count = s->queries - i < QUERIES ? s->queries - i : QUERIES;
        probabilities(s, *q, *k, *mask, b, h, i, count, p);
        product(count, s->width_v, s->keys, dense(p, s->keys), rows_of(*v, b, h, 0), at(*result, b, h, i), result->row, 0, ZERO);
      }
}

// Gradients of Q, K and V from that of the result, g.
EXPORT void bloom_attention_backward(const attention *s, const tensor *g, const tensor *q, const tensor *k, const tensor *v,
                                     const tensor *mask, const tensor *dq, const tensor *dk, const tensor *dv) {
  float *p = scratch(SCORES, (size_t)2 * QUERIES * s->keys), *d = p + QUERIES * s->keys;
  for (ptrdiff_t b = 0; b < s->batch; b++)
    for (ptrdiff_t h = 0; h < s->heads; h++)
      for (ptrdiff_t i = 0; i < s->queries; i += QUERIES) {
        ptrdiff_t count = s->queries - i < QUERIES ? s->queries - i : QUERIES, keys = s->keys;
        enum start start = i ? RUNNING : ZERO; // chains over the queries go on
        matrix gradient = rows_of(*g, b, h, i);
        probabilities(s, *q, *k, *mask, b, h, i, count, p);
        product(keys, s->width_v, count, transposed(dense(p, keys)), gradient, at(*dv, b, h, 0), dv->row, 0, start);
        product(count, keys, s->width_v, gradient, transposed(rows_of(*v, b, h, 0)), d, keys, 0, ZERO);
        for (ptrdiff_t r = 0; r < count; r++) {
          float *row = d + r * keys;
          softmax_backward_row(keys, row, p + r * keys, row);
          EACH(keys, put(row + j, get(row + j, n, 0.f) * s->scale, n);)
        }
        product(count, s->width, keys, dense(d, keys), rows_of(*k, b, h, 0), at(*dq, b, h, i), dq->row, 0, ZERO);
        product(keys, s->width, count, transposed(dense(d, keys)), rows_of(*q, b, h, i), at(*dk, b, h, 0), dk->row, 0, start);
      }
}
