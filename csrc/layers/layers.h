// The linear layers of a transformer layer for training, on the CPU:
//
//   h = first(norm(x))              norm: LayerNorm over the last axis, or none
//   out = h                         where there is one layer
//   out = second(gelu(h))           where there are two
//   out += added                    where it is given: x itself, or another
//
// x is (rows, first.in), out, added and grad (rows, first.out or second.out), hidden (rows, first.out): h of two
// layers, kept for the gradients. All are contiguous. Results do not depend on `threads`.
//
// Elements are bfloat16 for avx512bf16, which rounds weights and the rows that they multiply to bfloat16 and sums in
// float; they are float for the other instruction sets. x is float if a norm takes it, elements if a layer does. out is
// elements if it comes from one layer after a norm, else float. hidden is elements, added float. A gradient has the
// type of its value; gradients of parameters are float.
#pragma once

#include "common/tensor.h"
#include "layers/token_block.h"

namespace olift {

// A linear layer in PyTorch's layout: weight (out, in), bias (out) or none. Without a weight there is no layer.
struct Layer {
  const float *weight, *bias;
  int64_t in, out;
};

struct Layers {
  Tensor x;
  Array<const float> norm_weight, norm_bias, weight, bias, second_weight, second_bias;
  float epsilon;
  Tensor hidden;  // of one layer: empty; its dtype tells what elements are
  int threads;
  // The same parameters as norm and layers; found by the binding.
  Norm norm;
  Layer first, second;
  int64_t rows;
};

struct LayersForward : Layers {
  Array<const float> added;
  Tensor out;
};

// Gradients that are absent are not wanted. With `residual`, out had x added to it.
struct LayersBackward : Layers {
  Tensor grad, dx;
  Array<float> dnorm_weight, dnorm_bias, dweight, dbias, dsecond_weight, dsecond_bias;
  bool residual;
};

}  // namespace olift
