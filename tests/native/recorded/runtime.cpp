// A CUDA runtime that runs nothing: it hands each launch on to a function that was registered with it.
//
// The host half of what nvcc makes registers its kernels here, by their names in the PTX, and launches them.
#include <cuda_runtime.h>

#include <string>
#include <unordered_map>

namespace {

using Launched = void (*)(const char* kernel, unsigned blocks, unsigned threads, unsigned shared_bytes,
                          void** arguments);

std::unordered_map<const void*, std::string>& kernels() {
  static std::unordered_map<const void*, std::string> names;
  return names;
}

Launched launched = nullptr;

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void on_launch(Launched function) { launched = function; }

void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  kernels()[host] = name;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  if (!launched) return cudaErrorNotReady;
  const unsigned shared = static_cast<unsigned>(config->dynamicSmemBytes);
  launched(kernels().at(kernel).c_str(), config->gridDim.x, config->blockDim.x, shared, arguments);
  return cudaSuccess;
}

// What `kernel<<<…>>>` would call. Kernels here are started with cudaLaunchKernelEx.
cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) { return cudaErrorNotSupported; }
cudaError_t __cudaLaunchKernel(void*, dim3, dim3, void**, size_t, cudaStream_t) { return cudaErrorNotSupported; }
cudaError_t __cudaGetKernel(void**, const void*) { return cudaErrorNotSupported; }
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, size_t*, void*) { return cudaErrorNotSupported; }

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "no error is known here"; }

}  // extern "C"
