// The arguments of every attention.
//
//   q, k, v   (B, T, J, H, Dh) float or bfloat16, any strides, unit last stride; the arithmetic is float
//   visible   (B, T, J), false hides a key; absent: all are visible
//
// Hidden keys are never read into arithmetic. A query without any key gives 0. Results do not depend on `threads`.
#pragma once

#include "common/tensor.h"

namespace olift {

enum AttentionAxis { kBatch, kFrame, kJoint, kHead, kWidth };

struct AttentionShape {
  int64_t batch, frames, joints, heads, width;
};

struct Attention {
  Tensor q, k, v;
  Strided<const bool> visible;
  float scale;
  int threads;
  AttentionShape shape;  // of q; found by the binding
};

}  // namespace olift
