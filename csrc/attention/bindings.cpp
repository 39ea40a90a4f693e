#include "attention/banded.h"
#include "common/binding.h"
#include "common/dispatch.h"

namespace olift {
namespace {

Strides4 strides4(const Ints4& s) { return {s[0], s[1], s[2], s[3]}; }

Element element_of(int element) {
  require(element == 0 || element == 1, "element must be 0 (float32) or 1 (bfloat16), got " + std::to_string(element));
  return element == 0 ? Element::kFloat : Element::kBFloat16;
}

void require_attention(const Ints5& shape, int64_t left, int64_t right) {
  for (int64_t size : shape) require(size > 0, "every size of shape must be > 0, got " + std::to_string(size));
  require(left >= 0 && right >= 0,
          "window must be >= 0, got (" + std::to_string(left) + ", " + std::to_string(right) + ")");
}

void banded_attention_forward(Address q, Address k, Address v, Address out, Address lse, Address bias, Address visible,
                              Address lengths, Ints5 shape, Ints4 q_strides, Ints4 k_strides, Ints4 v_strides,
                              Ints4 out_strides, Ints3 visible_strides, int64_t left, int64_t right, float scale,
                              int element, int threads) {
  require_attention(shape, left, right);
  require(q && k && v && out, "q, k, v and out must have an address");
  const BandedForward p{at<const void>(q),
                               at<const void>(k),
                               at<const void>(v),
                               at<void>(out),
                               at<float>(lse),
                               at<const float>(bias),
                               at<const uint8_t>(visible),
                               at<const int64_t>(lengths),
                               {shape[0], shape[1], shape[2], shape[3], shape[4]},
                               strides4(q_strides),
                               strides4(k_strides),
                               strides4(v_strides),
                               strides4(out_strides),
                               {visible_strides[0], visible_strides[1], visible_strides[2]},
                               left,
                               right,
                               scale,
                               element_of(element),
                               threads};
  py::gil_scoped_release release;
  cpu_kernels().banded_forward(p);
}

void banded_attention_backward(Address q, Address k, Address v, Address lse, Address grad_out, Address grad_q,
                               Address grad_k, Address grad_v, Address bias, Address grad_bias, Address visible,
                               Address lengths, Ints5 shape, Ints4 q_strides, Ints4 k_strides, Ints4 v_strides,
                               Ints4 grad_out_strides, Ints4 grad_q_strides, Ints4 grad_k_strides,
                               Ints4 grad_v_strides, Ints3 visible_strides, int64_t left, int64_t right, float scale,
                               int element, int threads) {
  require_attention(shape, left, right);
  require(q && k && v && lse && grad_out && grad_q && grad_k && grad_v,
          "q, k, v, lse, grad_out, grad_q, grad_k and grad_v must have an address");
  require(bias || !grad_bias, "grad_bias needs a bias");
  const BandedBackward p{at<const void>(q),
                                at<const void>(k),
                                at<const void>(v),
                                at<const float>(lse),
                                at<const void>(grad_out),
                                at<void>(grad_q),
                                at<void>(grad_k),
                                at<void>(grad_v),
                                at<const float>(bias),
                                at<float>(grad_bias),
                                at<const uint8_t>(visible),
                                at<const int64_t>(lengths),
                                {shape[0], shape[1], shape[2], shape[3], shape[4]},
                                strides4(q_strides),
                                strides4(k_strides),
                                strides4(v_strides),
                                strides4(grad_out_strides),
                                strides4(grad_q_strides),
                                strides4(grad_k_strides),
                                strides4(grad_v_strides),
                                {visible_strides[0], visible_strides[1], visible_strides[2]},
                                left,
                                right,
                                scale,
                                element_of(element),
                                threads};
  py::gil_scoped_release release;
  cpu_kernels().banded_backward(p);
}

void banded_attention_step(Address q, Address k, Address v, Address out, Address bias, Address visible, Address frames,
                           Address lengths, Ints4 shape, Ints3 slots, Ints4 q_strides, Ints4 k_strides, Ints4 v_strides,
                           Ints3 visible_strides, int64_t left, int64_t right, float scale, int element,
                           int threads) {
  for (int64_t slot : slots) require(slot > 0, "every ring must have slots, got " + std::to_string(slot));
  require_attention({shape[0], 1, shape[1], shape[2], shape[3]}, left, right);
  require(q && k && v && out && frames && lengths, "q, k, v, out, frames and lengths must have an address");
  const BandedStep p{at<const void>(q),
                     at<const void>(k),
                     at<const void>(v),
                     at<void>(out),
                     at<const float>(bias),
                     at<const uint8_t>(visible),
                     at<const int64_t>(frames),
                     at<const int64_t>(lengths),
                     shape[0],
                     shape[1],
                     shape[2],
                     shape[3],
                     slots[0],
                     slots[1],
                     slots[2],
                     strides4(q_strides),
                     strides4(k_strides),
                     strides4(v_strides),
                     {visible_strides[0], visible_strides[1], visible_strides[2]},
                     left,
                     right,
                     scale,
                     element_of(element),
                     threads};
  py::gil_scoped_release release;
  cpu_kernels().banded_step(p);
}

}  // namespace

void bind_attention(py::module_& m) {
  m.def("banded_attention_forward", &banded_attention_forward, py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("out"), py::arg("lse"), py::arg("bias"), py::arg("visible"), py::arg("lengths"), py::arg("shape"),
        py::arg("q_strides"), py::arg("k_strides"), py::arg("v_strides"), py::arg("out_strides"),
        py::arg("visible_strides"), py::arg("left"), py::arg("right"), py::arg("scale"), py::arg("element"), py::arg("threads"));
  m.def("banded_attention_backward", &banded_attention_backward, py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("lse"), py::arg("grad_out"), py::arg("grad_q"), py::arg("grad_k"), py::arg("grad_v"), py::arg("bias"),
        py::arg("grad_bias"), py::arg("visible"), py::arg("lengths"), py::arg("shape"), py::arg("q_strides"),
        py::arg("k_strides"), py::arg("v_strides"), py::arg("grad_out_strides"), py::arg("grad_q_strides"),
        py::arg("grad_k_strides"), py::arg("grad_v_strides"), py::arg("visible_strides"), py::arg("left"),
        py::arg("right"), py::arg("scale"), py::arg("element"), py::arg("threads"));
  m.def("banded_attention_step", &banded_attention_step, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("out"),
        py::arg("bias"), py::arg("visible"), py::arg("frames"), py::arg("lengths"), py::arg("shape"), py::arg("slots"),
        py::arg("q_strides"), py::arg("k_strides"), py::arg("v_strides"), py::arg("visible_strides"), py::arg("left"),
        py::arg("right"), py::arg("scale"), py::arg("element"), py::arg("threads"));
}

}  // namespace olift
