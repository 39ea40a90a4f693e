#include "common/parallel.h"

#include <atomic>
#include <thread>
#include <vector>

namespace olift {
namespace {

// libgomp's entry to a parallel region; LLVM's and Intel's runtimes export the same function on Linux.
using GompParallel = void (*)(void (*body)(void*), void* data, unsigned num_threads, unsigned flags);

std::atomic<GompParallel> gomp_parallel{nullptr};

struct Region {
  void (*run)(void*, int64_t);
  void* context;
  int64_t slots;
  std::atomic<int64_t> next{0};
};

void work(void* raw) {
  Region& region = *static_cast<Region*>(raw);
  for (int64_t slot; (slot = region.next.fetch_add(1, std::memory_order_relaxed)) < region.slots;) {
    region.run(region.context, slot);
  }
}

}  // namespace

void run_slots(int64_t slots, int threads, void (*run)(void*, int64_t), void* context) {
  Region region{run, context, slots};
  if (threads <= 1) {
    work(&region);
  } else if (GompParallel parallel = gomp_parallel.load()) {
    parallel(work, &region, static_cast<unsigned>(threads), 0);
  } else {
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work, &region);
    work(&region);
    for (std::thread& other : others) other.join();
  }
}

void set_openmp(void* address) { gomp_parallel.store(reinterpret_cast<GompParallel>(address)); }

bool has_openmp() { return gomp_parallel.load() != nullptr; }

}  // namespace olift
