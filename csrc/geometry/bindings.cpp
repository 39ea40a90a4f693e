#include "common/binding.h"
#include "common/dispatch.h"
#include "geometry/procrustes.h"

namespace olift {
namespace {

using Addresses3 = std::array<Address, 3>;
using Addresses4 = std::array<Address, 4>;

int64_t position(const std::string& name, const std::string& found, const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == found) return static_cast<int64_t>(i);
  }
  std::string wanted;
  for (const std::string& each : names) wanted += (wanted.empty() ? "" : ", ") + each;
  throw py::value_error(name + " must be one of " + wanted + ", got " + found);
}

Procrustes arguments(const std::string& step, const Addresses3& points, const Addresses4& fit, Address error,
                          const Addresses4& upstream, const Addresses3& gradients, const Ints2& shape, int dtype,
                     const std::array<Ints2, 3>& strides, const std::string& kind, bool reflection) {
  require(shape[0] > 0 && shape[1] > 0,
          "count and points must be > 0, got " + std::to_string(shape[0]) + " and " + std::to_string(shape[1]));
  require(dtype == 4 || dtype == 8, "dtype must be 4 (float32) or 8 (float64), got " + std::to_string(dtype));
  Procrustes p{};
  p.step = static_cast<ProcrustesStep>(position("step", step, {"fit", "fit_gradient", "error", "error_gradient"}));
  p.kind = static_cast<Alignment>(position("kind", kind, {"rigid", "similarity", "rotation"}));
  const bool of_error = p.step == ProcrustesStep::kError || p.step == ProcrustesStep::kErrorGradient;
  require(points[0] && points[1] && fit[0] && fit[1], "source, target, rotation and scale must have an address");
  require(of_error || fit[3], "conditioning must have an address");
  require(!of_error || error, "error must have an address");
  require(p.step != ProcrustesStep::kFit || fit[2], "translation must have an address");
  require(p.step != ProcrustesStep::kFitGradient || (upstream[0] && upstream[1] && upstream[2]),
          "the gradients of rotation, scale and translation must have an address");
  require(p.step != ProcrustesStep::kErrorGradient || upstream[3], "the gradient of the error must have an address");
  p.source = at<const void>(points[0]);
  p.target = at<const void>(points[1]);
  p.weights = at<const void>(points[2]);
  p.rotation = at<void>(fit[0]);
  p.scale = at<void>(fit[1]);
  p.translation = at<void>(fit[2]);
  p.conditioning = at<void>(fit[3]);
  p.error = at<void>(error);
  p.grad_rotation = at<const void>(upstream[0]);
  p.grad_scale = at<const void>(upstream[1]);
  p.grad_translation = at<const void>(upstream[2]);
  p.grad_error = at<const void>(upstream[3]);
  p.grad_source = at<void>(gradients[0]);
  p.grad_target = at<void>(gradients[1]);
  p.grad_weights = at<void>(gradients[2]);
  p.count = shape[0];
  p.points = shape[1];
  p.wide = dtype == 8;
  p.source_strides = {strides[0][0], strides[0][1]};
  p.target_strides = {strides[1][0], strides[1][1]};
  p.weights_strides = {strides[2][0], strides[2][1]};
  p.reflection = reflection;
  return p;
}

void procrustes(const std::string& step, const Addresses3& points, const Addresses4& fit, Address error,
                const Addresses4& upstream, const Addresses3& gradients, const Ints2& shape, int dtype,
                const std::array<Ints2, 3>& strides, const std::string& kind, bool reflection, int threads) {
  const Procrustes p =
      arguments(step, points, fit, error, upstream, gradients, shape, dtype, strides, kind, reflection);
  py::gil_scoped_release release;
  cpu_kernels().procrustes(p, threads);
}

#if defined(OLIFT_CUDA)
void procrustes_on_device(const std::string& step, const Addresses3& points, const Addresses4& fit, Address error,
                          const Addresses4& upstream, const Addresses3& gradients, const Ints2& shape, int dtype,
                     const std::array<Ints2, 3>& strides, const std::string& kind, bool reflection, Address workspace,
                     Address stream) {
  const Procrustes p =
      arguments(step, points, fit, error, upstream, gradients, shape, dtype, strides, kind, reflection);
  require(workspace || !procrustes_workspace(p.count, p.points), "workspace must have an address");
  const char* failure = nullptr;
  {
    py::gil_scoped_release release;
    failure = olift::procrustes_cuda(p, at<double>(workspace), at<void>(stream));
  }
  if (failure) throw std::runtime_error(std::string("procrustes_cuda: ") + failure);
}
#endif

}  // namespace

void bind_geometry(py::module_& m) {
  m.def("procrustes", &procrustes, py::arg("step"), py::arg("points"), py::arg("fit"), py::arg("error"),
        py::arg("upstream"), py::arg("gradients"), py::arg("shape"), py::arg("dtype"), py::arg("strides"),
        py::arg("kind"), py::arg("reflection"), py::arg("threads"));
#if defined(OLIFT_CUDA)
  m.def("procrustes_workspace", &procrustes_workspace, py::arg("count"), py::arg("points"));
  m.def("procrustes_cuda", &procrustes_on_device, py::arg("step"), py::arg("points"), py::arg("fit"), py::arg("error"),
        py::arg("upstream"), py::arg("gradients"), py::arg("shape"), py::arg("dtype"), py::arg("strides"),
        py::arg("kind"), py::arg("reflection"), py::arg("workspace"), py::arg("stream"));
#endif
}

}  // namespace olift
