// olift_fast._native: kernels over raw addresses, so that one build serves every version of torch.
//
// Addresses are integers (0: absent), shapes and strides are in elements. The caller answers for memory and types: the
// public functions of olift_fast.ops do. What is checked here is what no caller may get wrong: that sizes are positive.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <string>

#include "attention/banded.h"
#include "common/dispatch.h"
#include "common/parallel.h"
#include "geometry/procrustes.h"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;
using Ints2 = std::array<int64_t, 2>;
using Ints3 = std::array<int64_t, 3>;
using Ints4 = std::array<int64_t, 4>;
using Ints5 = std::array<int64_t, 5>;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

olift::Strides4 strides4(const Ints4& s) { return {s[0], s[1], s[2], s[3]}; }

void require(bool holds, const std::string& what) {
  if (!holds) throw py::value_error(what);
}

void require_attention(const Ints5& shape, int64_t left, int64_t right) {
  for (int64_t size : shape) require(size > 0, "every size of shape must be > 0, got " + std::to_string(size));
  require(left >= 0 && right >= 0,
          "window must be >= 0, got (" + std::to_string(left) + ", " + std::to_string(right) + ")");
}

void banded_attention_forward(Address q, Address k, Address v, Address out, Address lse, Address bias, Address visible,
                              Address lengths, Ints5 shape, Ints4 q_strides, Ints4 k_strides, Ints4 v_strides,
                              Ints4 out_strides, Ints3 visible_strides, int64_t left, int64_t right, float scale,
                              int threads) {
  require_attention(shape, left, right);
  require(q && k && v && out, "q, k, v and out must have an address");
  const olift::BandedForward p{at<const float>(q),
                               at<const float>(k),
                               at<const float>(v),
                               at<float>(out),
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
                               threads};
  py::gil_scoped_release release;
  olift::cpu_kernels().banded_forward(p);
}

void banded_attention_backward(Address q, Address k, Address v, Address lse, Address grad_out, Address grad_q,
                               Address grad_k, Address grad_v, Address bias, Address grad_bias, Address visible,
                               Address lengths, Ints5 shape, Ints4 q_strides, Ints4 k_strides, Ints4 v_strides,
                               Ints4 grad_out_strides, Ints4 grad_q_strides, Ints4 grad_k_strides,
                               Ints4 grad_v_strides, Ints3 visible_strides, int64_t left, int64_t right, float scale,
                               int threads) {
  require_attention(shape, left, right);
  require(q && k && v && lse && grad_out && grad_q && grad_k && grad_v,
          "q, k, v, lse, grad_out, grad_q, grad_k and grad_v must have an address");
  require(bias || !grad_bias, "grad_bias needs a bias");
  const olift::BandedBackward p{at<const float>(q),
                                at<const float>(k),
                                at<const float>(v),
                                at<const float>(lse),
                                at<const float>(grad_out),
                                at<float>(grad_q),
                                at<float>(grad_k),
                                at<float>(grad_v),
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
                                threads};
  py::gil_scoped_release release;
  olift::cpu_kernels().banded_backward(p);
}

olift::ProcrustesForward procrustes_arguments(Address source, Address target, Address weights, Address rotation,
                                              Address scale, Address translation, Address conditioning, int64_t count,
                                              int64_t points, int dtype, const Ints2& source_strides,
                                              const Ints2& target_strides, const Ints2& weights_strides, int kind,
                                              bool reflection, int threads) {
  require(count > 0 && points > 0,
          "count and points must be > 0, got " + std::to_string(count) + " and " + std::to_string(points));
  require(dtype == 4 || dtype == 8, "dtype must be 4 (float32) or 8 (float64), got " + std::to_string(dtype));
  require(kind >= 0 && kind <= 2, "kind must be 0 (rigid), 1 (similarity) or 2 (rotation), got " + std::to_string(kind));
  require(source && target && rotation && scale && translation && conditioning,
          "source, target and the outputs must have an address");
  return {at<const void>(source),
          at<const void>(target),
          at<const void>(weights),
          at<void>(rotation),
          at<void>(scale),
          at<void>(translation),
          at<void>(conditioning),
          count,
          points,
          dtype == 8,
          {source_strides[0], source_strides[1]},
          {target_strides[0], target_strides[1]},
          {weights_strides[0], weights_strides[1]},
          static_cast<olift::Alignment>(kind),
          reflection,
          threads};
}

void procrustes_forward(Address source, Address target, Address weights, Address rotation, Address scale,
                        Address translation, Address conditioning, int64_t count, int64_t points, int dtype,
                        Ints2 source_strides, Ints2 target_strides, Ints2 weights_strides, int kind, bool reflection,
                        int threads) {
  const olift::ProcrustesForward p =
      procrustes_arguments(source, target, weights, rotation, scale, translation, conditioning, count, points, dtype,
                           source_strides, target_strides, weights_strides, kind, reflection, threads);
  py::gil_scoped_release release;
  olift::cpu_kernels().procrustes_forward(p);
}

#if defined(OLIFT_CUDA)
void procrustes_forward_cuda(Address source, Address target, Address weights, Address rotation, Address scale,
                             Address translation, Address conditioning, int64_t count, int64_t points, int dtype,
                             Ints2 source_strides, Ints2 target_strides, Ints2 weights_strides, int kind,
                             bool reflection, Address stream) {
  const olift::ProcrustesForward p =
      procrustes_arguments(source, target, weights, rotation, scale, translation, conditioning, count, points, dtype,
                           source_strides, target_strides, weights_strides, kind, reflection, 1);
  const char* error = nullptr;
  {
    py::gil_scoped_release release;
    error = olift::procrustes_forward_cuda(p, at<void>(stream));
  }
  if (error) throw std::runtime_error(std::string("procrustes_forward_cuda: ") + error);
}
#endif

py::dict info() {
  py::dict d;
  d["version"] = OLIFT_VERSION;
  d["compiler"] = __VERSION__;
  d["simd"] = olift::simd_level();
  d["openmp"] = olift::has_openmp();
#if defined(OLIFT_CUDA)
  d["cuda"] = true;
  d["cuda_arch"] = OLIFT_CUDA_ARCH;
#else
  d["cuda"] = false;
  d["cuda_arch"] = "";
#endif
  return d;
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Kernels of olift_fast over raw addresses; see olift_fast.ops for the functions to call.";
  m.def("info", &info);
  m.def("set_openmp", [](Address gomp_parallel) { olift::set_openmp(at<void>(gomp_parallel)); },
        py::arg("gomp_parallel"));
  m.def("banded_attention_forward", &banded_attention_forward, py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("out"), py::arg("lse"), py::arg("bias"), py::arg("visible"), py::arg("lengths"), py::arg("shape"),
        py::arg("q_strides"), py::arg("k_strides"), py::arg("v_strides"), py::arg("out_strides"),
        py::arg("visible_strides"), py::arg("left"), py::arg("right"), py::arg("scale"), py::arg("threads"));
  m.def("banded_attention_backward", &banded_attention_backward, py::arg("q"), py::arg("k"), py::arg("v"),
        py::arg("lse"), py::arg("grad_out"), py::arg("grad_q"), py::arg("grad_k"), py::arg("grad_v"), py::arg("bias"),
        py::arg("grad_bias"), py::arg("visible"), py::arg("lengths"), py::arg("shape"), py::arg("q_strides"),
        py::arg("k_strides"), py::arg("v_strides"), py::arg("grad_out_strides"), py::arg("grad_q_strides"),
        py::arg("grad_k_strides"), py::arg("grad_v_strides"), py::arg("visible_strides"), py::arg("left"),
        py::arg("right"), py::arg("scale"), py::arg("threads"));
  m.def("procrustes_forward", &procrustes_forward, py::arg("source"), py::arg("target"), py::arg("weights"),
        py::arg("rotation"), py::arg("scale"), py::arg("translation"), py::arg("conditioning"), py::arg("count"),
        py::arg("points"), py::arg("dtype"), py::arg("source_strides"), py::arg("target_strides"),
        py::arg("weights_strides"), py::arg("kind"), py::arg("reflection"), py::arg("threads"));
#if defined(OLIFT_CUDA)
  m.def("procrustes_forward_cuda", &procrustes_forward_cuda, py::arg("source"), py::arg("target"), py::arg("weights"),
        py::arg("rotation"), py::arg("scale"), py::arg("translation"), py::arg("conditioning"), py::arg("count"),
        py::arg("points"), py::arg("dtype"), py::arg("source_strides"), py::arg("target_strides"),
        py::arg("weights_strides"), py::arg("kind"), py::arg("reflection"), py::arg("stream"));
#endif
}
