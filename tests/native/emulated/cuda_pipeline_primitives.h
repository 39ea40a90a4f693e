// Asynchronous copies of the emulated CUDA: nothing arrives before the thread has waited for it, and what lay there is
// gone at once, so that a wait or a barrier that is missing shows.
#pragma once

#include <cstring>

#include "cuda_runtime.h"

inline void __pipeline_memcpy_async(void* to, const void* from, size_t size) {
  const bool known = size == 4 || size == 8 || size == 16;
  const auto aligned = [&](const void* x) { return reinterpret_cast<std::uintptr_t>(x) % size == 0; };
  if (!known || !aligned(to) || !aligned(from)) std::abort();
  std::memset(to, 0xff, size);
  emulated::Fiber& fiber = emulated::fibers[threadIdx.x];
  fiber.copies.push_back({to, from, size, fiber.groups});
}

inline void __pipeline_commit() { ++emulated::fibers[threadIdx.x].groups; }

inline void __pipeline_wait_prior(unsigned newest) {
  emulated::Fiber& fiber = emulated::fibers[threadIdx.x];
  size_t left = 0;
  for (const emulated::Copy& copy : fiber.copies) {
    if (copy.group + newest < fiber.groups) std::memcpy(copy.to, copy.from, copy.size);
    else fiber.copies[left++] = copy;
  }
  fiber.copies.resize(left);
}
