// olift_fast._native: kernels over views of tensors, so that one build serves every version of torch.

#include "common/binding.h"
#include "common/dispatch.h"
#include "common/pages.h"
#include "common/parallel.h"

namespace {

namespace py = pybind11;

py::dict info() {
  py::dict d;
  d["version"] = OLIFT_VERSION;
  d["compiler"] = __VERSION__;
  d["simd"] = olift::simd_level();
  d["bfloat16"] = olift::bfloat16_kernels() != nullptr;
  d["int16"] = olift::has_integer_products();
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

void* address(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Kernels of olift_fast over views of tensors; see olift_fast.ops for the functions to call.";
  m.def("info", &info);
  m.def(
      "set_openmp", [](std::uintptr_t gomp_parallel) { olift::set_openmp(address(gomp_parallel)); },
      py::arg("gomp_parallel"));
  m.def(
      "ask_for_huge_pages",
      [](std::uintptr_t memory, int64_t bytes) { olift::ask_for_huge_pages(address(memory), bytes); },
      py::arg("memory"), py::arg("bytes"));
  for (const auto bind : olift::all_bindings()) bind(m);
}
