#include "common/binding.h"
#include "geometry/orthographic.h"

#include <array>
#include <tuple>

namespace olift {
namespace {

using PointArguments = std::tuple<Argument, Argument, Optional>;          // source, target, weights
using FitArguments = std::tuple<Argument, Argument, Optional, Optional>;  // rotation, scale, translation, conditioning
using UpstreamArguments =
    std::tuple<Optional, Optional, Optional, Optional, Optional>;    // of rotation, scale, translation, error, moved
using GradientArguments = std::tuple<Optional, Optional, Optional>;  // of source, target, weights
using CameraArguments = std::tuple<Argument, Argument, Optional>;    // rotation, scale, translation

template <size_t N>
int position(const char* name, const std::string& found, const std::array<const char*, N>& names) {
  std::string wanted;
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == found) return static_cast<int>(i);
    wanted += text(i ? ", " : "", names[i]);
  }
  throw py::value_error(text(name, " must be one of ", wanted, ", got ", found));
}

// The strides of an argument, which must have the shape, and the dtype and device of `like` (the source or the spread).
Strides2 strides_of(const char* name, const Argument& x, const Argument& like, std::initializer_list<int64_t> shape,
                    const char* name_of_like = "source") {
  require_dtype(name, x, like.dtype);
  require(x.device == like.device, name, " must be on the device of ", name_of_like);
  require_shape(name, x, shape);
  return Strides2{x.strides[0], x.strides[1]};
}

void* data_of(const char* name, const Optional& x, const Argument& like, std::initializer_list<int64_t> shape,
              bool needed) {
  require(x || !needed, name, " must be given");
  if (!x) return nullptr;
  strides_of(name, *x, like, shape);
  require_contiguous(name, *x);
  require_writable(name, *x);
  return x->data;
}

// Checks the points, whose target has `width` coordinates, and their gradients, and puts them into `p`.
void take_points(PointSets& p, const PointArguments& points, const GradientArguments& gradients, int64_t width) {
  const auto& [source, target, weights] = points;
  require(source.axes == 3, "source must have 3 axes, got ", source.axes);
  const int64_t n = p.count = source.shape[0], places = p.points = source.shape[1];
  require(n > 0 && places > 0, "count and points must be > 0, got ", n, " and ", places);
  p.dtype = source.dtype;
  require(p.dtype == Dtype::kFloat32 || p.dtype == Dtype::kFloat64, "source must be float32 or float64, got ",
          name_of(p.dtype));
  const auto rows = [&, &source = source](const char* name, const Argument& x, int64_t columns) {
    const Strides2 strides = strides_of(name, x, source, {n, places, columns});
    require(x.strides[2] == 1, name, " must have a last stride of 1");
    return strides;
  };
  p.source = source.data;
  p.source_strides = rows("source", source, 3);
  p.target = target.data;
  p.target_strides = rows("target", target, width);
  if (weights) {
    p.weights = weights->data;
    p.weights_strides = strides_of("weights", *weights, source, {n, places});
  }
  p.grad_source = data_of("grad_source", std::get<0>(gradients), source, {n, places, 3}, false);
  p.grad_target = data_of("grad_target", std::get<1>(gradients), source, {n, places, width}, false);
  p.grad_weights = data_of("grad_weights", std::get<2>(gradients), source, {n, places}, false);
}

// All arguments of the kernel but the number of threads.
Procrustes arguments(const std::string& step, const PointArguments& points, const FitArguments& fit,
                     const Optional& error, const Optional& moved, const UpstreamArguments& upstream,
                     const GradientArguments& gradients, const std::string& kind, bool reflection) {
  Procrustes p{};
  p.step = static_cast<ProcrustesStep>(
      position<6>("step", step, {"fit", "fit_gradient", "error", "error_gradient", "align", "align_gradient"}));
  p.kind = static_cast<Alignment>(position<3>("kind", kind, {"rigid", "similarity", "rotation"}));
  p.reflection = reflection;
  take_points(p, points, gradients, 3);
  const int64_t n = p.count, places = p.points;
  const auto data = [&](const char* name, const Optional& x, std::initializer_list<int64_t> shape, bool needed) {
    return data_of(name, x, std::get<0>(points), shape, needed);
  };
  const auto is = [&](ProcrustesStep wanted) { return p.step == wanted; };
  const bool of_error = is(ProcrustesStep::kError) || is(ProcrustesStep::kErrorGradient);
  const bool fit_gradient = is(ProcrustesStep::kFitGradient), moved_gradient = is(ProcrustesStep::kAlignGradient);
  p.rotation = data("rotation", std::get<0>(fit), {n, 3, 3}, true);
  p.scale = data("scale", std::get<1>(fit), {n}, true);
  p.translation = data("translation", std::get<2>(fit), {n, 3}, is(ProcrustesStep::kFit));
  p.conditioning = data("conditioning", std::get<3>(fit), {n}, !of_error);
  p.error = data("error", error, {n}, of_error);
  p.moved = data("moved", moved, {n, places, 3}, is(ProcrustesStep::kAlign));
  p.grad_rotation = data("the gradient of rotation", std::get<0>(upstream), {n, 3, 3}, fit_gradient);
  p.grad_scale = data("the gradient of scale", std::get<1>(upstream), {n}, fit_gradient);
  p.grad_translation = data("the gradient of translation", std::get<2>(upstream), {n, 3}, fit_gradient);
  p.grad_error = data("the gradient of error", std::get<3>(upstream), {n}, is(ProcrustesStep::kErrorGradient));
  p.grad_moved = data("the gradient of moved", std::get<4>(upstream), {n, places, 3}, moved_gradient);
  if (!moved_gradient) p.grad_moved = nullptr;
  return p;
}

void procrustes(const std::string& step, const PointArguments& points, const FitArguments& fit, const Optional& error,
                const Optional& moved, const UpstreamArguments& upstream, const GradientArguments& gradients,
                const std::string& kind, bool reflection, int threads) {
  Procrustes p = arguments(step, points, fit, error, moved, upstream, gradients, kind, reflection);
  p.threads = threads;
  require(std::get<0>(points).device != dlpack::kCuda, "source must be on the CPU");
  py::gil_scoped_release release;
  cpu_kernels().procrustes(p);
}

void orthographic(const std::string& step, const PointArguments& points, const CameraArguments& fit,
                  const GradientArguments& upstream, const GradientArguments& gradients, int threads) {
  Orthographic p{};
  p.step = static_cast<OrthographicStep>(position<2>("step", step, {"fit", "fit_gradient"}));
  p.threads = threads;
  take_points(p, points, gradients, 2);
  const Argument& source = std::get<0>(points);
  require(source.device != dlpack::kCuda, "source must be on the CPU");
  const bool gradient = p.step == OrthographicStep::kFitGradient;
  p.rotation = data_of("rotation", std::get<0>(fit), source, {p.count, 3, 3}, true);
  p.scale = data_of("scale", std::get<1>(fit), source, {p.count}, true);
  p.translation = data_of("translation", std::get<2>(fit), source, {p.count, 2}, !gradient);
  p.grad_rotation = data_of("the gradient of rotation", std::get<0>(upstream), source, {p.count, 3, 3}, gradient);
  p.grad_scale = data_of("the gradient of scale", std::get<1>(upstream), source, {p.count}, gradient);
  p.grad_translation = data_of("the gradient of translation", std::get<2>(upstream), source, {p.count, 2}, gradient);
  py::gil_scoped_release release;
  cpu_kernels().orthographic(p);
}

void orthographic_moments(const Argument& spread, const Argument& cross, const Argument& rotation,
                          const Argument& scale, int threads) {
  Orthographic p{};
  p.step = OrthographicStep::kMoments;
  p.threads = threads;
  require(spread.axes == 3, "spread must have 3 axes, got ", spread.axes);
  p.count = spread.shape[0];
  require(p.count > 0, "count must be > 0, got ", p.count);
  p.dtype = spread.dtype;
  require(p.dtype == Dtype::kFloat32 || p.dtype == Dtype::kFloat64, "spread must be float32 or float64, got ",
          name_of(p.dtype));
  require(spread.device != dlpack::kCuda, "spread must be on the CPU");
  const auto read = [&](const char* name, const Argument& x, std::initializer_list<int64_t> shape) {
    strides_of(name, x, spread, shape, "spread");
    require_contiguous(name, x);
    return x.data;
  };
  p.spread = read("spread", spread, {p.count, 3, 3});
  p.cross = read("cross", cross, {p.count, 3, 2});
  p.rotation = data_of("rotation", rotation, spread, {p.count, 3, 3}, true);
  p.scale = data_of("scale", scale, spread, {p.count}, true);
  py::gil_scoped_release release;
  cpu_kernels().orthographic(p);
}

#if defined(OLIFT_CUDA)
void procrustes_on_device(const std::string& step, const PointArguments& points, const FitArguments& fit,
                          const Optional& error, const Optional& moved, const UpstreamArguments& upstream,
                          const GradientArguments& gradients, const std::string& kind, bool reflection,
                          const Argument& workspace, std::uintptr_t stream) {
  const Procrustes p = arguments(step, points, fit, error, moved, upstream, gradients, kind, reflection);
  require(!p.moved && !p.grad_moved, "step must be of a fit or an error on a device, got ", step);
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
        py::arg("moved"), py::arg("upstream"), py::arg("gradients"), py::arg("kind"), py::arg("reflection"),
        py::arg("threads"));
  m.def("orthographic", &orthographic, py::arg("step"), py::arg("points"), py::arg("fit"), py::arg("upstream"),
        py::arg("gradients"), py::arg("threads"));
  m.def("orthographic_moments", &orthographic_moments, py::arg("spread"), py::arg("cross"), py::arg("rotation"),
        py::arg("scale"), py::arg("threads"));
#if defined(OLIFT_CUDA)
  m.def("procrustes_workspace", &procrustes_workspace, py::arg("count"), py::arg("points"));
  m.def("procrustes_cuda", &procrustes_on_device, py::arg("step"), py::arg("points"), py::arg("fit"), py::arg("error"),
        py::arg("moved"), py::arg("upstream"), py::arg("gradients"), py::arg("kind"), py::arg("reflection"),
        py::arg("workspace"), py::arg("stream"));
#endif
}

}  // namespace olift
