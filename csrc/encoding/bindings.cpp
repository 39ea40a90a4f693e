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
  check_rff(p, "dout", p.dout);
  require(p.dout.shape[1] == 1 || p.dout.strides[1] == 1, "dout must have a last stride of 1");
  require(p.weight || !(p.dweight || p.dbias || p.dtoken), "dweight, dbias and dtoken need a weight");
  const auto [points, coordinates, frequencies, width] = p.shape;
  if (p.dx) require_shape("dx", p.dx, {points, coordinates});
  if (p.dfreqs) require_shape("dfreqs", p.dfreqs, {coordinates, frequencies});
  if (p.dweight) require_shape("dweight", p.dweight, {width, 2 * frequencies});
  if (p.dbias) require_shape("dbias", p.dbias, {width});
  if (p.dtoken) require_shape("dtoken", p.dtoken, {width});
  return cpu_kernels().rff_backward;
}

}  // namespace

OLIFT_BINDINGS(encoding) {
  bind<RffForward>(m, "rff_forward", prepare_forward, field("x", &RffForward::x), field("freqs", &RffForward::freqs),
                   optional("weight", &RffForward::weight), optional("bias", &RffForward::bias),
                   optional("visible", &RffForward::visible), optional("token", &RffForward::token),
                   field("out", &RffForward::out), field("threads", &RffForward::threads));
  bind<RffBackward>(m, "rff_backward", prepare_backward, field("dout", &RffBackward::dout), field("x", &RffBackward::x),
                    field("freqs", &RffBackward::freqs), optional("weight", &RffBackward::weight),
                    optional("visible", &RffBackward::visible), optional("dx", &RffBackward::dx),
                    optional("dfreqs", &RffBackward::dfreqs), optional("dweight", &RffBackward::dweight),
                    optional("dbias", &RffBackward::dbias), optional("dtoken", &RffBackward::dtoken),
                    field("threads", &RffBackward::threads));
}

}  // namespace olift
