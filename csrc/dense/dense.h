// The linear layers of a transformer layer for training, on the CPU:
//
//   h = first(norm(x))              norm: LayerNorm over the last axis, or none
//   out = h                         where there is one layer
//   out = second(gelu(h))           where there are two
//   out += added                    where it is given: x itself, or another
//
// x is (rows, first.in), out, added and grad (rows, first.out or second.out), hidden (rows, first.out): h of two layers,
// kept for the gradients. All are contiguous. Results do not depend on `threads`.
//
// Elements are bfloat16 for avx512bf16, which rounds weights and what they multiply to it and adds up in float; float for
// the others. x is float where a norm takes it and elements where a layer does; out is elements of one layer after a norm,
// float otherwise; hidden is elements, added float; a gradient is held as what it is the gradient of, those of
// parameters as float.
#pragma once

#include <cstdint>

#include "dense/token_block.h"

namespace olift {

// A linear layer as PyTorch holds it: weight (out, in), bias (out) or none; no weight: no layer.
struct Layer {
  const float *weight, *bias;
  int64_t in, out;
};

struct DenseForward {
  const void* x;
  const float* added;
  Norm norm;
  Layer first, second;
  void *hidden, *out;
  int64_t rows;
  int threads;
};

// Gradients of a layer's parameters, those that are wanted.
struct LayerGradient {
  float *weight, *bias;
};

// With `residual`, out had x added to it.
struct DenseBackward {
  const void *grad, *x, *hidden;
  Norm norm;
  Layer first, second;
  bool residual;
  void* grad_x;
  float *grad_norm_weight, *grad_norm_bias;
  LayerGradient grad_first, grad_second;
  int64_t rows;
  int threads;
};

void dense_forward_baseline(const DenseForward&);
void dense_forward_avx2(const DenseForward&);
void dense_forward_avx512(const DenseForward&);
void dense_forward_avx512bf16(const DenseForward&);

void dense_backward_baseline(const DenseBackward&);
void dense_backward_avx2(const DenseBackward&);
void dense_backward_avx512(const DenseBackward&);
void dense_backward_avx512bf16(const DenseBackward&);

}  // namespace olift
