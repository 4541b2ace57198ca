// Every exported kernel on made-up inputs of many shapes: prints a name and a hash of the results' bits for each kind of call, to compare
// builds of the library for different CPUs.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef ptrdiff_t size;
typedef struct { size N, C, H, W, O, kh, kw, sh, sw, ph, pw, dh, dw, groups, oh, ow; } convolution;
typedef struct { float *at; size batch, head, row; } tensor;
typedef struct { size batch, heads, queries, keys, width, width_v; int causal; float scale; } attention;
void bloom_product(size, size, size, size, const float *, size, size, size, const float *, size, size, size, float *, const float *);
void bloom_linear_backward(size, size, size, const float *, const float *, const float *, float *, float *, float *);
void bloom_convolution(const convolution *, const float *, const float *, const float *, float *);
void bloom_convolution_backward(const convolution *, const float *, const float *, const float *, float *, float *, float *);
void bloom_attention(const attention *, const tensor *, const tensor *, const tensor *, const tensor *, const tensor *);
void bloom_attention_backward(const attention *, const tensor *, const tensor *, const tensor *, const tensor *, const tensor *, const tensor *,
                              const tensor *, const tensor *);
void bloom_softmax(size, size, const float *, float *), bloom_log_softmax(size, size, const float *, float *);
void bloom_softmax_backward(size, size, const float *, const float *, float *);
void bloom_log_softmax_backward(size, size, const float *, const float *, float *);
void bloom_layer_norm(size, size, float, const float *, const float *, const float *, float *, float *, float *);
void bloom_layer_norm_backward(size, size, const float *, const float *, const float *, const float *, const float *, float *, float *, float *);
void bloom_group_norm(size, size, size, size, float, const float *, const float *, const float *, float *, float *, float *);
void bloom_group_norm_backward(size, size, size, size, const float *, const float *, const float *, const float *, const float *, float *, float *,
                               float *);
void bloom_sum_rows(size, size, const float *, float, float *), bloom_sum_middle(size, size, size, const float *, float, float *);
void bloom_norm(size, size, const float *, float *), bloom_lerp(size, float, const float *, float *);
void bloom_adamw(size, float *, const float *, float *, float *, double, double, double, double, double, double);
void bloom_embedding_backward(size, size, size, const float *, const int64_t *, float *);
void bloom_bilinear(size, size, size, size, size, const float *, float *), bloom_bilinear_backward(size, size, size, size, size, const float *, float *);
void bloom_gelu_backward(size, const float *, const float *, float *), bloom_gelu_tanh_backward(size, const float *, const float *, float *);
void bloom_silu_backward(size, const float *, const float *, float *), bloom_tanh_backward(size, const float *, const float *, float *);
void bloom_sigmoid_backward(size, const float *, const float *, float *);

#define MOST 400000
static float x[MOST], y[MOST], z[MOST], u[MOST], v[MOST], r[MOST], s[MOST], t[MOST];

// Numbers in [-2, 2), multiples of 2^-22: equal on every machine.
static void fill(float *to, uint32_t seed) {
  for (size i = 0; i < MOST; i++) {
    seed = seed * 1664525u + 1013904223u;
    to[i] = (float)((int32_t)seed >> 8) * 0x1p-22f;
  }
}
static uint64_t hash;
static void note(const float *from, size count) {
  for (size i = 0; i < count; i++) {
    uint32_t word;
    memcpy(&word, from + i, 4);
    hash = (hash ^ (from[i] != from[i] ? 0x7fc00000 : word)) * 1099511628211u;
  }
}
static void start(void) {
  hash = 1469598103934665603u;
  fill(x, 1), fill(y, 2), fill(z, 3), fill(u, 4), fill(v, 5);
}
static void finish(const char *name) { printf("%s %016llx\n", name, (unsigned long long)hash); }

static const size some[] = {1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 47, 64, 65, 100, 257, 300};
#define COUNT (size)(sizeof some / sizeof *some)

static void products(void) {
  start();
  for (size m = 0; m < COUNT; m++)
    for (size n = 0; n < COUNT; n++)
      for (size k = 0; k < COUNT; k += 2)
        for (int layout = 0; layout < 4; layout++) {
          size M = some[m], N = some[n], K = some[k];
          bloom_product(1, M, N, K, x, 0, layout & 1 ? 1 : K, layout & 1 ? M : 1, y, 0, layout & 2 ? 1 : N, layout & 2 ? K : 1, r, layout ? z : 0);
          note(r, M * N);
        }
  bloom_product(3, 37, 37, 64, x, 37 * 64, 64, 1, y, 37 * 64, 1, 64, r, 0), note(r, 3 * 37 * 37);
  bloom_product(1, 70, 700, 513, x, 0, 513, 1, y, 0, 1, 513, r, z), note(r, 70 * 700);
  bloom_product(1, 5, 7, 0, x, 0, 0, 1, y, 0, 7, 1, r, z), note(r, 35);
  finish("product");
  start();
  for (size rows = 1; rows < 60; rows += 7) {
    bloom_linear_backward(rows, 33, 50, x, y, z, r, s, t);
    note(r, rows * 33), note(s, 33 * 50), note(t, 50);
  }
  finish("linear_backward");
}

static void convolutions(void) {
  static const convolution shapes[] = {
      {2, 3, 13, 11, 8, 3, 3, 2, 2, 1, 1, 1, 1, 1, 7, 6}, {9, 8, 6, 6, 12, 1, 1, 1, 1, 0, 0, 1, 1, 1, 6, 6},
      {3, 6, 10, 9, 4, 3, 5, 1, 3, 2, 1, 2, 1, 2, 10, 3}, {2, 8, 12, 12, 8, 5, 5, 1, 1, 2, 2, 1, 1, 8, 12, 12},
      {1, 3, 64, 64, 16, 16, 16, 16, 16, 0, 0, 1, 1, 1, 4, 4}, {40, 4, 5, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 5, 5},
  };
  start();
  for (size i = 0; i < (size)(sizeof shapes / sizeof *shapes); i++) {
    const convolution *c = shapes + i;
    size images = c->N * c->C * c->H * c->W, results = c->N * c->O * c->oh * c->ow, kernels = c->O * c->C / c->groups * c->kh * c->kw;
    bloom_convolution(c, x, y, z, r), note(r, results);
    bloom_convolution(c, x, y, 0, r), note(r, results);
    bloom_convolution_backward(c, u, x, y, r, s, t);
    note(r, images), note(s, kernels), note(t, c->O);
  }
  finish("convolution");
}

static void attentions(void) {
  start();
  for (int causal = 0; causal < 2; causal++)
    for (size keys = 5; keys < 200; keys += 61) {
      attention a = {2, 3, keys, keys, 16, 24, causal, 0.25f};
      size row = 3 * 16, row_v = 3 * 24;
      tensor q = {x, keys * row, 16, row}, k = {y, keys * row, 16, row}, w = {z, keys * row_v, 24, row_v}, o = {r, keys * row_v, 24, row_v};
      tensor none = {0, 0, 0, 0}, mask = {v, keys, 0, 0}, g = {u, keys * row_v, 24, row_v};
      tensor dq = {r, keys * row, 16, row}, dk = {s, keys * row, 16, row}, dv = {t, keys * row_v, 24, row_v};
      bloom_attention(&a, &q, &k, &w, causal ? &none : &mask, &o), note(r, 2 * keys * row_v);
      bloom_attention_backward(&a, &g, &q, &k, &w, causal ? &none : &mask, &dq, &dk, &dv);
      note(r, 2 * keys * row), note(s, 2 * keys * row), note(t, 2 * keys * row_v);
    }
  finish("attention");
}

static void rows(void) {
  static const size widths[] = {1, 2, 7, 15, 16, 17, 31, 37, 192, 1000, 1023, 1024, 1025, 5000};
  start();
  for (size i = 0; i < (size)(sizeof widths / sizeof *widths); i++) {
    size n = widths[i], many = 3;
    bloom_softmax(many, n, x, r), note(r, many * n), bloom_softmax_backward(many, n, y, r, s), note(s, many * n);
    bloom_log_softmax(many, n, x, r), note(r, many * n), bloom_log_softmax_backward(many, n, y, r, s), note(s, many * n);
    bloom_layer_norm(many, n, 1e-5f, x, y, z, r, u, v), note(r, many * n), note(u, many), note(v, many);
    bloom_layer_norm_backward(many, n, y, x, u, v, z, r, s, t), note(r, many * n), note(s, n), note(t, n);
    bloom_sum_rows(many, n, x, 3.f, r), note(r, many), bloom_norm(many, n, x, r), note(r, many);
    bloom_sum_middle(2, many, n, x, 3.f, r), note(r, 2 * n);
    fill(u, 4), fill(v, 5);
  }
  bloom_group_norm(2, 12, 35, 4, 1e-5f, x, y, z, r, u, v), note(r, 2 * 12 * 35);
  bloom_group_norm_backward(2, 12, 35, 4, z, x, u, v, y, r, s, t), note(r, 2 * 12 * 35), note(s, 12), note(t, 12);
  finish("rows");
}

static void others(void) {
  start();
  bloom_gelu_backward(999, x, y, r), note(r, 999), bloom_gelu_tanh_backward(999, x, y, r), note(r, 999);
  bloom_silu_backward(999, x, y, r), note(r, 999), bloom_tanh_backward(999, x, y, r), note(r, 999), bloom_sigmoid_backward(999, x, y, r), note(r, 999);
  bloom_lerp(999, 0.3f, x, y), note(y, 999);
  for (size i = 0; i < 999; i++) v[i] *= v[i];
  for (int step = 1; step < 40; step += 13) bloom_adamw(999, x, y, z, v, 1e-3, 0.9, 0.999, 0.05, 1e-8, step), note(x, 999), note(v, 999);
  int64_t index[50];
  for (int i = 0; i < 50; i++) index[i] = i * 7 % 11;
  memset(r, 0, sizeof r), bloom_embedding_backward(50, 19, 3, x, index, r), note(r, 11 * 19);
  bloom_bilinear(3, 20, 17, 9, 31, x, r), note(r, 3 * 9 * 31), bloom_bilinear_backward(3, 20, 17, 9, 31, y, r), note(r, 3 * 20 * 17);
  finish("others");
}

int main(void) {
  products(), convolutions(), attentions(), rows(), others();
  return 0;
}
