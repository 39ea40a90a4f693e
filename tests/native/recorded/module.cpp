// The CUDA half of the native module as a module of its own; tests/native/emulated has its twin without PTX.
#define OLIFT_CUDA
#include "geometry/bindings.cpp"

namespace olift {
const CpuKernels& cpu_kernels() { std::abort(); }
}  // namespace olift

PYBIND11_MODULE(recorded_cuda, m) {
  for (const auto bind : olift::all_bindings()) bind(m);
}
