// Attention over the joints of a frame: softmax(q_i·k_j·scale) v_j over the joints j that query i may see.
//
//   q, k, v, out  (B, T, J, H, Dh) float, or bfloat16 where `bfloat16`; any strides, unit last stride
//   graph         (B, H, J, J) bytes, any strides, 0 where a query (row) may not see a key (column); null: all may
//   visible       (B, T, J) bytes, 0 hides a key; null: all are visible
//   lse           (B, T, J, H) float, log of the sum of exponentials, -inf where a query has no key; null: not wanted
//
// A key that is hidden, or that the graph shows to no query, is never read into arithmetic, nor is a query without any
// key, which gives 0. Arithmetic is in float. Results do not depend on `threads`.
#pragma once

#include <cstdint>

#include "attention/banded.h"

namespace olift {

struct JointForward {
  const void *q, *k, *v;
  void* out;
  float* lse;
  const uint8_t *graph, *visible;
  Shape5 shape;
  Strides4 q_strides, k_strides, v_strides, out_strides;
  int64_t graph_strides[4], visible_strides[3];
  float scale;
  bool bfloat16;
  int threads;
};

void joint_forward_baseline(const JointForward&);
void joint_forward_avx2(const JointForward&);
void joint_forward_avx512(const JointForward&);

// The gradients of q, k, v from grad_out, with lse as the forward left it. grad_* are written everywhere, 0 where a key is
// not read and where a query has none.
struct JointBackward {
  const void *q, *k, *v, *grad_out;
  const float* lse;
  void *grad_q, *grad_k, *grad_v;
  const uint8_t *graph, *visible;
  Shape5 shape;
  Strides4 q_strides, k_strides, v_strides, grad_out_strides, grad_q_strides, grad_k_strides, grad_v_strides;
  int64_t graph_strides[4], visible_strides[3];
  float scale;
  bool bfloat16;
  int threads;
};

void joint_backward_baseline(const JointBackward&);
void joint_backward_avx2(const JointBackward&);
void joint_backward_avx512(const JointBackward&);

}  // namespace olift
