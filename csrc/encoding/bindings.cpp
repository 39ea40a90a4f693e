#include "common/binding.h"
#include "encoding/rff.h"

namespace olift {
namespace {

// Fills in the shape; `rows` is the output, or its gradient.
void check_rff(Rff& p, const char* name, const Tensor& rows) {
  require(p.x.axes == 2 && p.freqs.axes == 2, "x and freqs must have 2 axes, got ", p.x.axes, " and ", p.freqs.axes);
  const auto [points, coordinates, frequencies, width] =
      p.shape = {p.x.shape[0], p.x.shape[1], p.freqs.shape[1], p.weight ? p.weight.shape[0] : 2 * p.freqs.shape[1]};
  for (const int64_t size : {points, coordinates, frequencies, width}) {
    require(size > 0, "every size of shape must be > 0, got ", size);
  }
  require_shape("freqs", p.freqs, {coordinates, frequencies});
  if (p.weight) require_shape("weight", p.weight, {width, 2 * frequencies});
  if (p.visible) require_shape("visible", p.visible, {points});
  require_shape(name, rows, {points, width});
  require_threads(p.threads);
}

Kernel<RffForward> prepare_forward(RffForward& p) {
  check_rff(p, "out", p.out);
  require(p.weight || !(p.bias || p.token), "bias and token need a weight");
  if (p.bias) require_shape("bias", p.bias, {p.shape.width});
  if (p.token) require_shape("token", p.token, {p.shape.width});
  return cpu_kernels().rff_forward;
}

Kernel<RffBackward> prepare_backward(RffBackward& p) {
  check_rff(p, "grad_out", p.grad_out);
  require(p.grad_out.shape[1] == 1 || p.grad_out.strides[1] == 1, "grad_out must have a last stride of 1");
  require(p.weight || !(p.grad_weight || p.grad_bias || p.grad_token),
          "grad_weight, grad_bias and grad_token need a weight");
  const auto [points, coordinates, frequencies, width] = p.shape;
  if (p.grad_x) require_shape("grad_x", p.grad_x, {points, coordinates});
  if (p.grad_freqs) require_shape("grad_freqs", p.grad_freqs, {coordinates, frequencies});
  if (p.grad_weight) require_shape("grad_weight", p.grad_weight, {width, 2 * frequencies});
  if (p.grad_bias) require_shape("grad_bias", p.grad_bias, {width});
  if (p.grad_token) require_shape("grad_token", p.grad_token, {width});
  return cpu_kernels().rff_backward;
}

}  // namespace

OLIFT_BINDINGS(encoding) {
  bind<RffForward>(m, "rff_forward", prepare_forward, field("x", &RffForward::x), field("freqs", &RffForward::freqs),
                   optional("weight", &RffForward::weight), optional("bias", &RffForward::bias),
                   optional("visible", &RffForward::visible), optional("token", &RffForward::token),
                   field("out", &RffForward::out), field("threads", &RffForward::threads));
  bind<RffBackward>(m, "rff_backward", prepare_backward, field("grad_out", &RffBackward::grad_out),
                    field("x", &RffBackward::x), field("freqs", &RffBackward::freqs),
                    optional("weight", &RffBackward::weight), optional("visible", &RffBackward::visible),
                    optional("grad_x", &RffBackward::grad_x), optional("grad_freqs", &RffBackward::grad_freqs),
                    optional("grad_weight", &RffBackward::grad_weight), optional("grad_bias", &RffBackward::grad_bias),
                    optional("grad_token", &RffBackward::grad_token), field("threads", &RffBackward::threads));
}

}  // namespace olift
