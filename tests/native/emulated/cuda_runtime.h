// Just enough of CUDA to run this project's kernels on a processor, thread by thread, where there is no device.
//
// Each CUDA thread is a fiber; blocks run one after the other. A thread runs until it meets a barrier or a shuffle, and
// waits there for the others. What is emulated is the meaning, not the memory model: races between barriers don't show.
#pragma once

#include <ucontext.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#define __device__
#define __global__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint4 {
  unsigned x, y, z, w;
};
using cudaStream_t = void*;
enum cudaError_t { cudaSuccess };
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

namespace emulated {

struct Barrier {
  unsigned waiting = 0, generation = 0;
};

struct Warp {
  Barrier barrier;
  std::uint64_t slots[32];
};

struct Copy {
  void* to;
  const void* from;
  size_t size;
  unsigned group;
};

struct Fiber {
  ucontext_t context;
  std::vector<Copy> copies;  // that it has begun and not waited for
  unsigned groups = 0;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

constexpr size_t kStack = 256 * 1024;
inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline Barrier block;
inline ucontext_t scheduler;
inline unsigned running;
inline std::function<void()> body;
inline std::vector<std::uint64_t> shared;  // what a launch has asked for; every block finds NaN in it

inline void yield() {
  Fiber& fiber = fibers[running];
  swapcontext(&fiber.context, &scheduler);
}

inline void enter() {
  body();
  fibers[running].done = true;
  yield();
}

inline void wait(Barrier& barrier, unsigned threads) {
  if (++barrier.waiting == threads) {
    barrier.waiting = 0;
    ++barrier.generation;
    return;
  }
  const unsigned generation = barrier.generation;
  while (barrier.generation == generation) yield();
}

}  // namespace emulated

inline struct {
  unsigned x;
} threadIdx, blockIdx;

namespace emulated {

inline void run_block(unsigned threads) {
  fibers.resize(threads);
  warps.assign(threads / 32, Warp{});
  block = Barrier{};
  shared.assign(shared.size(), ~std::uint64_t{0});
  for (Fiber& fiber : fibers) {
    if (!fiber.stack) fiber.stack.reset(new char[kStack]);
    fiber.done = false;
    fiber.copies.clear();
    fiber.groups = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool left = true; left;) {
    left = false;
    for (running = 0; running < threads; ++running) {
      if (fibers[running].done) continue;
      threadIdx.x = running;
      swapcontext(&scheduler, &fibers[running].context);
      left = left || !fibers[running].done;
    }
  }
}

}  // namespace emulated

#define OLIFT_SHARED_MEMORY emulated::shared.data()

inline void __syncthreads() { emulated::wait(emulated::block, static_cast<unsigned>(emulated::fibers.size())); }
inline void __syncwarp() { emulated::wait(emulated::warps[threadIdx.x / 32].barrier, 32); }

template <class T>
T __shfl_sync(unsigned, T value, int from) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  emulated::Warp& warp = emulated::warps[threadIdx.x / 32];
  __builtin_memcpy(&warp.slots[threadIdx.x % 32], &value, sizeof(value));
  __syncwarp();
  __builtin_memcpy(&value, &warp.slots[from & 31], sizeof(value));
  __syncwarp();
  return value;
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ other);
}

inline unsigned __ballot_sync(unsigned mask, bool holds) {
  unsigned found = 0;
  for (int lane = 0; lane < 32; ++lane) found |= __shfl_sync(mask, holds, lane) ? 1u << lane : 0u;
  return found;
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }

template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
  emulated::body = [&] { kernel(arguments...); };
  emulated::shared.resize(config->dynamicSmemBytes / sizeof(std::uint64_t) + 1);
  for (blockIdx.x = 0; blockIdx.x < config->gridDim.x; ++blockIdx.x) emulated::run_block(config->blockDim.x);
  return cudaSuccess;
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
