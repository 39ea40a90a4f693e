#include "common/binding.h"
#include "common/dispatch.h"
#include "encoding/rff.h"

namespace olift {
namespace {

RffShape rff_shape(const Ints4& shape, bool weighted) {
  for (size_t i = 0; i < 3; ++i) require(shape[i] > 0, "every size of shape must be > 0, got " + std::to_string(shape[i]));
  require(!weighted || shape[3] > 0, "the width must be > 0, got " + std::to_string(shape[3]));
  return {shape[0], shape[1], shape[2], shape[3]};
}

void rff_forward(Address x, Address freqs, Address weight, Address bias, Address token, Address visible, Address out,
                 Ints4 shape, int threads) {
  require(x && freqs && out, "x, freqs and out must have an address");
  const RffForward p{at<const float>(x),
                     at<const float>(freqs),
                     at<const float>(weight),
                     at<const float>(bias),
                     at<const float>(token),
                     at<const uint8_t>(visible),
                     at<float>(out),
                     rff_shape(shape, weight != 0),
                     threads};
  py::gil_scoped_release release;
  cpu_kernels().rff_forward(p);
}

void rff_backward(Address x, Address freqs, Address weight, Address visible, Address grad_out, Address grad_x,
                  Address grad_freqs, Address grad_weight, Address grad_bias, Address grad_token, Ints4 shape,
                  int64_t grad_stride, int threads) {
  require(x && freqs && grad_out, "x, freqs and grad_out must have an address");
  require(weight || !(grad_weight || grad_bias || grad_token), "grad_weight, grad_bias and grad_token need a weight");
  const RffBackward p{at<const float>(x),
                      at<const float>(freqs),
                      at<const float>(weight),
                      at<const float>(grad_out),
                      at<const uint8_t>(visible),
                      at<float>(grad_x),
                      at<float>(grad_freqs),
                      at<float>(grad_weight),
                      at<float>(grad_bias),
                      at<float>(grad_token),
                      rff_shape(shape, weight != 0),
                      grad_stride,
                      threads};
  py::gil_scoped_release release;
  cpu_kernels().rff_backward(p);
}

}  // namespace

void bind_encoding(py::module_& m) {
  m.def("rff_forward", &rff_forward, py::arg("x"), py::arg("freqs"), py::arg("weight"), py::arg("bias"),
        py::arg("token"), py::arg("visible"), py::arg("out"), py::arg("shape"), py::arg("threads"));
  m.def("rff_backward", &rff_backward, py::arg("x"), py::arg("freqs"), py::arg("weight"), py::arg("visible"),
        py::arg("grad_out"), py::arg("grad_x"), py::arg("grad_freqs"), py::arg("grad_weight"), py::arg("grad_bias"),
        py::arg("grad_token"), py::arg("shape"), py::arg("grad_stride"), py::arg("threads"));
}

}  // namespace olift
