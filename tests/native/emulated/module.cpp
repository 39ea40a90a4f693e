// The CUDA kernels of the native module as a module of their own, run by cuda_runtime.h of this folder.
#define OLIFT_CUDA
#include "geometry/bindings.cpp"
#include "geometry/procrustes_cuda.cu"

namespace olift {
const CpuKernels& cpu_kernels() { std::abort(); }
}  // namespace olift

PYBIND11_MODULE(emulated_cuda, m) {
  for (const auto bind : olift::all_bindings()) bind(m);
}
