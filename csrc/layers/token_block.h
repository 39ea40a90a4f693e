// All layers of a transformer between two attentions, in one pass over the tokens:
//
//   t = tokens + attended · projection                 where there is a projection
//   t = t + mlp(norm(t))                               where there is an mlp
//   head_out = head(head_norm(t))                      where there is a head: one linear layer, or two with GELU
//   between
//
//   tokens    (N, D) float, contiguous; t is written back in place where it changed
//   attended  (N, D) elements, contiguous
//   head_out  (N, head.out) contiguous; elements from a head of one layer, float from one of two
//
// Elements are bfloat16 for avx512bf16, which rounds weights and what they multiply to it and adds up in float; float
// for the others. `token_block_int16` rounds weights and what they multiply to integers. Weights are packed
// (pack_weight, pack_weight_int16) in the form of the instruction set. Results do not depend on `threads`.
#pragma once

#include <cstdint>

namespace olift {

// A linear layer: packed weight, bias of `out` floats; no weight: no layer.
struct Linear {
  const void* weight;
  const float* bias;
  int64_t in, out;
};

struct Norm {
  const float *weight, *bias;
  float epsilon;
};

struct TokenBlock {
  float* tokens;
  const void* attended;
  void* head_out;
  int64_t rows, width;
  Linear projection;
  Norm mlp_norm;
  Linear mlp_in, mlp_out;
  Norm head_norm;
  Linear head_in, head_out_layer;
  int threads;
};

// A weight (out, in) to be packed. With a null `packed` nothing is written. Returns the number of elements needed.
struct Packing {
  const float* weight;
  int64_t in, out;
  void* packed;
};

}  // namespace olift
