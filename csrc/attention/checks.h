// Checks of the bindings of every attention.
#pragma once

#include "attention/attention.h"
#include "common/binding.h"

namespace olift {

// A tensor of rows of numbers that lie next to each other.
inline void require_rows(const char* name, const Tensor& x, const Tensor& like, std::initializer_list<int64_t> shape) {
  require_shape(name, x, shape);
  require_dtype(name, x, like.dtype);
  require(x.shape[x.axes - 1] == 1 || x.strides[x.axes - 1] == 1, name, " must have a last stride of 1");
}

// Fills in the shape, from q.
inline void check_attention(Attention& p) {
  require(p.q.axes == 5, "q must have 5 axes, got ", p.q.axes);
  p.shape = {p.q.shape[kBatch], p.q.shape[kFrame], p.q.shape[kJoint], p.q.shape[kHead], p.q.shape[kWidth]};
  for (int axis = 0; axis < 5; ++axis)
    require(p.q.shape[axis] > 0, "every size of shape must be > 0, got ", p.q.shape[axis]);
  require(p.q.dtype == Dtype::kFloat32 || p.q.dtype == Dtype::kBFloat16, "q must be float32 or bfloat16, got ",
          name_of(p.q.dtype));
  require_threads(p.threads);
}

// Of a whole sequence: one shape for all.
template <class Call>
void check_sequence(Call& p) {
  check_attention(p);
  const auto [batch, frames, joints, heads, width] = p.shape;
  const auto like_q = {batch, frames, joints, heads, width};
  require_rows("q", p.q, p.q, like_q);
  require_rows("k", p.k, p.q, like_q);
  require_rows("v", p.v, p.q, like_q);
  if (p.visible) require_shape("visible", p.visible, {batch, frames, joints});
  constexpr bool kForward = std::is_same_v<decltype(p.lse), Array<float>>;
  if (p.lse || !kForward) require_shape("lse", p.lse, {batch, frames, joints, heads});
  if constexpr (kForward) {
    require_rows("out", p.out, p.q, like_q);
  } else {
    require_rows("dout", p.dout, p.q, like_q);
    require_rows("dq", p.dq, p.q, like_q);
    require_rows("dk", p.dk, p.q, like_q);
    require_rows("dv", p.dv, p.q, like_q);
  }
}

}  // namespace olift
