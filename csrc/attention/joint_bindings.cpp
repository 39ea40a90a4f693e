#include "attention/joint.h"
#include "attention/checks.h"

namespace olift {
namespace {

template <class Call>
void check_joints(Call& p) {
  check_sequence(p);
  if (p.graph) require_shape("graph", p.graph, {p.shape.batch, p.shape.heads, p.shape.joints, p.shape.joints});
}

Kernel<JointForward> prepare_forward(JointForward& p) {
  check_joints(p);
  return cpu_kernels().joint_forward;
}

Kernel<JointBackward> prepare_backward(JointBackward& p) {
  check_joints(p);
  return cpu_kernels().joint_backward;
}

}  // namespace

OLIFT_BINDINGS(joint) {
  bind<JointForward>(m, "joint_attention_forward", prepare_forward, field("q", &JointForward::q),
                     field("k", &JointForward::k), field("v", &JointForward::v),
                     optional("graph", &JointForward::graph), optional("visible", &JointForward::visible),
                     field("scale", &JointForward::scale), field("out", &JointForward::out),
                     optional("lse", &JointForward::lse), field("threads", &JointForward::threads));
  bind<JointBackward>(m, "joint_attention_backward", prepare_backward, field("dout", &JointBackward::dout),
                      field("q", &JointBackward::q), field("k", &JointBackward::k), field("v", &JointBackward::v),
                      field("lse", &JointBackward::lse), optional("graph", &JointBackward::graph),
                      optional("visible", &JointBackward::visible), field("scale", &JointBackward::scale),
                      field("dq", &JointBackward::dq), field("dk", &JointBackward::dk), field("dv", &JointBackward::dv),
                      field("threads", &JointBackward::threads));
}

}  // namespace olift
