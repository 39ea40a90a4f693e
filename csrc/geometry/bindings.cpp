#include "common/binding.h"
#include "geometry/procrustes.h"

#include <array>
#include <tuple>

namespace olift {
namespace {

using PointArguments = std::tuple<Argument, Argument, Optional>;          // source, target, weights
using FitArguments = std::tuple<Argument, Argument, Optional, Optional>;  // rotation, scale, translation, conditioning
using UpstreamArguments =
    std::tuple<Optional, Optional, Optional, Optional>;              // gradients of rotation, scale, translation, error
using GradientArguments = std::tuple<Optional, Optional, Optional>;  // of source, target, weights

template <size_t N>
int position(const char* name, const std::string& found, const std::array<const char*, N>& names) {
  std::string wanted;
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == found) return static_cast<int>(i);
    wanted += text(i ? ", " : "", names[i]);
  }
  throw py::value_error(text(name, " must be one of ", wanted, ", got ", found));
}

// Everything but the number of threads.
Procrustes arguments(const std::string& step, const PointArguments& points, const FitArguments& fit,
                     const Optional& error, const UpstreamArguments& upstream, const GradientArguments& gradients,
                     const std::string& kind, bool reflection) {
  Procrustes p{};
  p.step = static_cast<ProcrustesStep>(position<4>("step", step, {"fit", "fit_gradient", "error", "error_gradient"}));
  p.kind = static_cast<Alignment>(position<3>("kind", kind, {"rigid", "similarity", "rotation"}));
  p.reflection = reflection;
  const auto& [source, target, weights] = points;
  require(source.axes == 3, "source must have 3 axes, got ", source.axes);
  const int64_t n = p.count = source.shape[0], places = p.points = source.shape[1];
  require(n > 0 && places > 0, "count and points must be > 0, got ", n, " and ", places);
  p.dtype = source.dtype;
  require(p.dtype == Dtype::kFloat32 || p.dtype == Dtype::kFloat64, "source must be float32 or float64, got ",
          name_of(p.dtype));

  const auto strided = [&](const char* name, const Argument& x, std::initializer_list<int64_t> shape) {
    require_dtype(name, x, p.dtype);
    require(x.device == source.device, name, " must be on the device of source");
    require_shape(name, x, shape);
    return Strides2{x.strides[0], x.strides[1]};
  };
  const auto row = [&](const char* name, const Argument& x, std::initializer_list<int64_t> shape) {
    const Strides2 strides = strided(name, x, shape);
    require(x.strides[2] == 1, name, " must have a last stride of 1");
    return strides;
  };
  const auto data = [&](const char* name, const Optional& x, std::initializer_list<int64_t> shape,
                        bool needed) -> void* {
    require(x || !needed, name, " must be given");
    if (!x) return nullptr;
    strided(name, *x, shape);
    require_contiguous(name, *x);
    require_writable(name, *x);
    return x->data;
  };
  p.source = source.data;
  p.source_strides = row("source", source, {n, places, 3});
  p.target = target.data;
  p.target_strides = row("target", target, {n, places, 3});
  if (weights) {
    p.weights = weights->data;
    p.weights_strides = strided("weights", *weights, {n, places});
  }
  const auto is = [&](ProcrustesStep wanted) { return p.step == wanted; };
  const bool of_error = is(ProcrustesStep::kError) || is(ProcrustesStep::kErrorGradient);
  const bool fit_gradient = is(ProcrustesStep::kFitGradient);
  p.rotation = data("rotation", std::get<0>(fit), {n, 3, 3}, true);
  p.scale = data("scale", std::get<1>(fit), {n}, true);
  p.translation = data("translation", std::get<2>(fit), {n, 3}, is(ProcrustesStep::kFit));
  p.conditioning = data("conditioning", std::get<3>(fit), {n}, !of_error);
  p.error = data("error", error, {n}, of_error);
  p.grad_rotation = data("the gradient of rotation", std::get<0>(upstream), {n, 3, 3}, fit_gradient);
  p.grad_scale = data("the gradient of scale", std::get<1>(upstream), {n}, fit_gradient);
  p.grad_translation = data("the gradient of translation", std::get<2>(upstream), {n, 3}, fit_gradient);
  p.grad_error = data("the gradient of error", std::get<3>(upstream), {n}, is(ProcrustesStep::kErrorGradient));
  p.grad_source = data("grad_source", std::get<0>(gradients), {n, places, 3}, false);
  p.grad_target = data("grad_target", std::get<1>(gradients), {n, places, 3}, false);
  p.grad_weights = data("grad_weights", std::get<2>(gradients), {n, places}, false);
  return p;
}

void procrustes(const std::string& step, const PointArguments& points, const FitArguments& fit, const Optional& error,
                const UpstreamArguments& upstream, const GradientArguments& gradients, const std::string& kind,
                bool reflection, int threads) {
  Procrustes p = arguments(step, points, fit, error, upstream, gradients, kind, reflection);
  p.threads = threads;
  require(std::get<0>(points).device != dlpack::kCuda, "source must be on the CPU");
  py::gil_scoped_release release;
  cpu_kernels().procrustes(p);
}

#if defined(OLIFT_CUDA)
void procrustes_on_device(const std::string& step, const PointArguments& points, const FitArguments& fit,
                          const Optional& error, const UpstreamArguments& upstream, const GradientArguments& gradients,
                          const std::string& kind, bool reflection, const Argument& workspace, std::uintptr_t stream) {
  const Procrustes p = arguments(step, points, fit, error, upstream, gradients, kind, reflection);
  require(workspace.device == std::get<0>(points).device, "workspace must be where source is");
  require_dtype("workspace", workspace, Dtype::kFloat64);
  require_contiguous("workspace", workspace);
  require_shape("workspace", workspace, {procrustes_workspace(p.count, p.points)});
  const char* failure = nullptr;
  {
    py::gil_scoped_release release;
    failure = olift::procrustes_cuda(p, static_cast<double*>(workspace.data), reinterpret_cast<void*>(stream));
  }
  if (failure) throw std::runtime_error(text("procrustes_cuda: ", failure));
}
#endif

}  // namespace

OLIFT_BINDINGS(geometry) {
  m.def("procrustes", &procrustes, py::arg("step"), py::arg("points"), py::arg("fit"), py::arg("error"),
        py::arg("upstream"), py::arg("gradients"), py::arg("kind"), py::arg("reflection"), py::arg("threads"));
#if defined(OLIFT_CUDA)
  m.def("procrustes_workspace", &procrustes_workspace, py::arg("count"), py::arg("points"));
  m.def("procrustes_cuda", &procrustes_on_device, py::arg("step"), py::arg("points"), py::arg("fit"), py::arg("error"),
        py::arg("upstream"), py::arg("gradients"), py::arg("kind"), py::arg("reflection"), py::arg("workspace"),
        py::arg("stream"));
#endif
}

}  // namespace olift
