// A parallel loop on the process's OpenMP runtime, or on its own threads; no runtime is linked.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace olift {

// Calls run(context, slot) once for each slot in [0, slots), at most `threads` at a time.
void run_slots(int64_t slots, int threads, void (*run)(void* context, int64_t slot), void* context);

// Cuts [0, count) into at most `threads` runs of whole grains and calls body(begin, end) on each.
template <class Body>
void parallel_for(int64_t count, int64_t grain, int threads, const Body& body) {
  if (count <= 0) return;
  const int64_t most = (count + grain - 1) / grain;
  const int64_t slots = threads < most ? (threads < 1 ? 1 : threads) : most;
  if (slots == 1) {
    body(int64_t{0}, count);
    return;
  }
  struct Context {
    const Body& body;
    int64_t count, slots;
  } context{body, count, slots};
  run_slots(
      slots, static_cast<int>(slots),
      [](void* raw, int64_t slot) {
        const Context& c = *static_cast<Context*>(raw);
        c.body(c.count * slot / c.slots, c.count * (slot + 1) / c.slots);
      },
      &context);
}

// Calls body(next) on at most `threads` threads. next() returns each of 0 … count - 1 once, and then `count` or more.
// Each thread begins with a run of its own, the one that `parallel_for` gives it, so it finds in its cache what it
// wrote there in the last loop; who is done takes from the others' runs, so a slower thread does less.
template <class Body>
void parallel_pull(int64_t count, int threads, const Body& body) {
  // Whose turn is next in each run; a cache line each.
  struct alignas(64) Run {
    std::atomic<int64_t> next{0};
  };
  struct Context {
    const Body& body;
    int64_t count, slots;
    std::vector<Run> runs;
  };
  const int64_t slots = std::max(std::min<int64_t>(threads, count), int64_t{1});
  Context context{body, count, slots, std::vector<Run>(static_cast<size_t>(slots))};
  run_slots(
      slots, static_cast<int>(slots),
      [](void* raw, int64_t slot) {
        Context& c = *static_cast<Context*>(raw);
        int64_t tried = 0;
        c.body([&c, slot, &tried] {
          for (; tried < c.slots; ++tried) {
            const int64_t run = (slot + tried) % c.slots;
            const int64_t begin = c.count * run / c.slots, end = c.count * (run + 1) / c.slots;
            const int64_t i = begin + c.runs[static_cast<size_t>(run)].next.fetch_add(1, std::memory_order_relaxed);
            if (i < end) return i;
          }
          return c.count;
        });
      },
      &context);
}

// The address of GOMP_parallel in the process's OpenMP runtime; null for our own threads, which are started once.
void set_openmp(void* gomp_parallel);
bool has_openmp();

}  // namespace olift
