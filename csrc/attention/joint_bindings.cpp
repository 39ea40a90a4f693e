#include "attention/joint.h"
#include "common/binding.h"
#include "common/dispatch.h"

namespace olift {
namespace {

Strides4 strides4(const Ints4& s) { return {s[0], s[1], s[2], s[3]}; }

void require_sizes(const Ints5& shape) {
  for (int64_t size : shape) require(size > 0, "every size of shape must be > 0, got " + std::to_string(size));
}

void joint_attention_forward(Address q, Address k, Address v, Address out, Address lse, Address graph, Address visible,
                             Ints5 shape, Ints4 q_strides, Ints4 k_strides, Ints4 v_strides, Ints4 out_strides,
                             Ints4 graph_strides, Ints3 visible_strides, float scale, bool bfloat16, int threads) {
  require_sizes(shape);
  require(q && k && v && out, "q, k, v and out must have an address");
  const JointForward p{at<const void>(q),
                       at<const void>(k),
                       at<const void>(v),
                       at<void>(out),
                       at<float>(lse),
                       at<const uint8_t>(graph),
                       at<const uint8_t>(visible),
                       {shape[0], shape[1], shape[2], shape[3], shape[4]},
                       strides4(q_strides),
                       strides4(k_strides),
                       strides4(v_strides),
                       strides4(out_strides),
                       {graph_strides[0], graph_strides[1], graph_strides[2], graph_strides[3]},
                       {visible_strides[0], visible_strides[1], visible_strides[2]},
                       scale,
                       bfloat16,
                       threads};
  py::gil_scoped_release release;
  cpu_kernels().joint_forward(p);
}

void joint_attention_backward(Address q, Address k, Address v, Address lse, Address grad_out, Address grad_q,
                              Address grad_k, Address grad_v, Address graph, Address visible, Ints5 shape,
                              Ints4 q_strides, Ints4 k_strides, Ints4 v_strides, Ints4 grad_out_strides,
                              Ints4 grad_q_strides, Ints4 grad_k_strides, Ints4 grad_v_strides, Ints4 graph_strides,
                              Ints3 visible_strides, float scale, bool bfloat16, int threads) {
  require_sizes(shape);
  require(q && k && v && lse && grad_out && grad_q && grad_k && grad_v,
          "q, k, v, lse, grad_out, grad_q, grad_k and grad_v must have an address");
  const JointBackward p{at<const void>(q),
                        at<const void>(k),
                        at<const void>(v),
                        at<const void>(grad_out),
                        at<const float>(lse),
                        at<void>(grad_q),
                        at<void>(grad_k),
                        at<void>(grad_v),
                        at<const uint8_t>(graph),
                        at<const uint8_t>(visible),
                        {shape[0], shape[1], shape[2], shape[3], shape[4]},
                        strides4(q_strides),
                        strides4(k_strides),
                        strides4(v_strides),
                        strides4(grad_out_strides),
                        strides4(grad_q_strides),
                        strides4(grad_k_strides),
                        strides4(grad_v_strides),
                        {graph_strides[0], graph_strides[1], graph_strides[2], graph_strides[3]},
                        {visible_strides[0], visible_strides[1], visible_strides[2]},
                        scale,
                        bfloat16,
                        threads};
  py::gil_scoped_release release;
  cpu_kernels().joint_backward(p);
}

}  // namespace

void bind_joint(py::module_& m) {
  m.def("joint_attention_forward", &joint_attention_forward, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("out"),
        py::arg("lse"), py::arg("graph"), py::arg("visible"), py::arg("shape"), py::arg("q_strides"),
        py::arg("k_strides"), py::arg("v_strides"), py::arg("out_strides"), py::arg("graph_strides"),
        py::arg("visible_strides"), py::arg("scale"), py::arg("bfloat16"), py::arg("threads"));
  m.def("joint_attention_backward", &joint_attention_backward, py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("lse"), py::arg("grad_out"), py::arg("grad_q"), py::arg("grad_k"), py::arg("grad_v"),
        py::arg("graph"), py::arg("visible"), py::arg("shape"), py::arg("q_strides"), py::arg("k_strides"),
        py::arg("v_strides"), py::arg("grad_out_strides"), py::arg("grad_q_strides"), py::arg("grad_k_strides"),
        py::arg("grad_v_strides"), py::arg("graph_strides"), py::arg("visible_strides"), py::arg("scale"),
        py::arg("bfloat16"), py::arg("threads"));
}

}  // namespace olift
