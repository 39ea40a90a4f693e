#include "attention/banded.h"
#include "attention/checks.h"

namespace olift {
namespace {

void check_band(const Banded& p) {
  require(p.left >= 0 && p.right >= 0, "window must be >= 0, got (", p.left, ", ", p.right, ")");
  if (p.bias) require_shape("bias", p.bias, {p.shape.heads, p.left + p.right + 1});
  if (p.lengths) require_shape("lengths", p.lengths, {p.shape.batch});
}

Kernel<BandedForward> prepare_forward(BandedForward& p) {
  check_sequence(p);
  check_band(p);
  return cpu_kernels().banded_forward;
}

Kernel<BandedBackward> prepare_backward(BandedBackward& p) {
  check_sequence(p);
  check_band(p);
  require(p.bias || !p.dbias, "dbias needs a bias");
  if (p.dbias) require_shape("dbias", p.dbias, {p.shape.heads, p.left + p.right + 1});
  return cpu_kernels().banded_backward;
}

Kernel<BandedStep> prepare_step(BandedStep& p) {
  check_attention(p);
  const auto [batch, q_slots, joints, heads, width] = p.shape;
  const int64_t slots = p.k.shape[kFrame];
  require_rows("q", p.q, p.q, {batch, q_slots, joints, heads, width});
  require_rows("k", p.k, p.q, {batch, slots, joints, heads, width});
  require_rows("v", p.v, p.q, {batch, slots, joints, heads, width});
  require(slots > 0, "every ring must have slots, got ", slots);
  if (p.visible) require_shape("visible", p.visible, {batch, p.visible.shape[kFrame], joints});
  require(!p.visible || p.visible.shape[kFrame] > 0, "every ring must have slots, got ", p.visible.shape[kFrame]);
  require_shape("frames", p.frames, {batch});
  require_shape("lengths", p.lengths, {batch});
  require_rows("out", p.out, p.q, {batch, joints, heads, width});
  require_contiguous("out", p.out);
  check_band(p);
  return cpu_kernels().banded_step;
}

}  // namespace

OLIFT_BINDINGS(banded) {
  bind<BandedForward>(m, "banded_attention_forward", prepare_forward, field("q", &BandedForward::q),
                      field("k", &BandedForward::k), field("v", &BandedForward::v), field("left", &BandedForward::left),
                      field("right", &BandedForward::right), optional("bias", &BandedForward::bias),
                      optional("visible", &BandedForward::visible), optional("lengths", &BandedForward::lengths),
                      field("scale", &BandedForward::scale), field("out", &BandedForward::out),
                      optional("lse", &BandedForward::lse), field("threads", &BandedForward::threads));
  bind<BandedBackward>(m, "banded_attention_backward", prepare_backward, field("dout", &BandedBackward::dout),
                       field("q", &BandedBackward::q), field("k", &BandedBackward::k), field("v", &BandedBackward::v),
                       field("lse", &BandedBackward::lse), field("left", &BandedBackward::left),
                       field("right", &BandedBackward::right), optional("bias", &BandedBackward::bias),
                       optional("visible", &BandedBackward::visible), optional("lengths", &BandedBackward::lengths),
                       field("scale", &BandedBackward::scale), field("dq", &BandedBackward::dq),
                       field("dk", &BandedBackward::dk), field("dv", &BandedBackward::dv),
                       optional("dbias", &BandedBackward::dbias), field("threads", &BandedBackward::threads));
  bind<BandedStep>(m, "banded_attention_step", prepare_step, field("q", &BandedStep::q), field("k", &BandedStep::k),
                   field("v", &BandedStep::v), field("frames", &BandedStep::frames),
                   field("lengths", &BandedStep::lengths), field("left", &BandedStep::left),
                   field("right", &BandedStep::right), optional("bias", &BandedStep::bias),
                   optional("visible", &BandedStep::visible), field("scale", &BandedStep::scale),
                   field("out", &BandedStep::out), field("threads", &BandedStep::threads));
}

}  // namespace olift
