#include "common/parallel.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#define OLIFT_PTHREADS
#endif

namespace olift {
namespace {

// libgomp's entry to a parallel region; LLVM's and Intel's runtimes export the same function on Linux.
using GompParallel = void (*)(void (*body)(void*), void* data, unsigned num_threads, unsigned flags);

std::atomic<GompParallel> gomp_parallel{nullptr};

// The loop that is run: its slots are handed out to the threads that come.
struct Region {
  void (*run)(void*, int64_t);
  void* context;
  int64_t slots;
  std::atomic<uint64_t> taken{0};  // the first 64 slots, a bit each
  std::atomic<int64_t> next{64};   // the others

  // Any free slot, the wanted one before others; `slots` or more if there is none.
  int64_t take(int64_t wanted) {
    const int64_t few = slots < 64 ? slots : 64;
    uint64_t seen = taken.load(std::memory_order_relaxed);
    for (int64_t tried = 0; tried < few; ++tried) {
      const int64_t slot = (wanted + tried) % few;
      const uint64_t bit = uint64_t{1} << slot;
      if (seen & bit) continue;  // A write would take the cache line from the other threads.
      seen = taken.fetch_or(bit, std::memory_order_relaxed);
      if (!(seen & bit)) return slot;
    }
    return next.fetch_add(1, std::memory_order_relaxed);
  }
};

void work(void* raw) {
  // A thread begins with the slot that it began with in its last loop: its cache holds what that slot wrote.
  thread_local int64_t usual = 0;
  Region& region = *static_cast<Region*>(raw);
  int64_t slot = region.take(usual);
  if (slot < region.slots) usual = slot;
  for (; slot < region.slots; slot = region.take(usual)) region.run(region.context, slot);
}

// Spins for some 50 microseconds, until `holds`: the passes of a lifter follow each other faster than a thread wakes.
template <class Condition>
bool spin_until(const Condition& holds) {
  for (int turn = 0; turn < 1000; ++turn) {
    if (holds()) return true;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }
  return holds();
}

// Threads for a process without OpenMP: started once, asleep between the loops.
class Pool {
 public:
  // Runs the region on at most `threads` threads, the caller's among them. A thread that wakes too late takes no part.
  void run(Region& region, int threads) {
    std::unique_lock<std::mutex> only(callers_, std::try_to_lock);
    if (!only.owns_lock()) {  // Another thread's loop has the others: this one is the caller's alone.
      work(&region);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(state_);
      start(threads - 1);
      region_ = &region;
      wanted_ = threads - 1;
      posted_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work(&region);
    std::unique_lock<std::mutex> lock(state_);
    region_ = nullptr;
    if (active_.load(std::memory_order_relaxed) == 0) return;
    lock.unlock();
    spin_until([this] { return active_.load(std::memory_order_acquire) == 0; });
    lock.lock();
    done_.wait(lock, [this] { return active_.load(std::memory_order_relaxed) == 0; });
  }

 private:
  void start(int threads) {
    for (; started_ < threads; ++started_) {
      try {
        with_signals_blocked([this] { std::thread(&Pool::serve, this).detach(); });
      } catch (const std::system_error&) {
        return;  // The system gives no more threads: those that there are do the work.
      }
    }
  }

  // The handlers of a program's signals are for its own threads.
  template <class Body>
  static void with_signals_blocked(const Body& body) {
#if defined(OLIFT_PTHREADS)
    struct Mask {
      sigset_t before;
      Mask() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
      }
      ~Mask() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    } mask;
#endif
    body();
  }

  void serve() {
    for (uint64_t seen = 0;;) {
      spin_until([&] { return posted_.load(std::memory_order_acquire) != seen; });
      std::unique_lock<std::mutex> lock(state_);
      wake_.wait(lock, [&] { return posted_.load(std::memory_order_relaxed) != seen; });
      seen = posted_.load(std::memory_order_relaxed);
      if (region_ == nullptr || wanted_ == 0) continue;
      Region* region = region_;
      --wanted_;
      active_.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      work(region);
      lock.lock();
      if (active_.fetch_sub(1, std::memory_order_release) == 1) done_.notify_all();
    }
  }

  std::mutex callers_, state_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> posted_{0};
  std::atomic<int> active_{0};
  Region* region_ = nullptr;
  int wanted_ = 0, started_ = 0;
};

// Never destroyed, because its threads run until the process ends; a new one after a fork, which copies no threads.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
  static const bool made = [] {
    pool.store(new Pool);
#if defined(OLIFT_PTHREADS)
    pthread_atfork(nullptr, nullptr, [] { pool.store(new Pool); });
#endif
    return true;
  }();
  static_cast<void>(made);
  return *pool.load();
}

}  // namespace

void run_slots(int64_t slots, int threads, void (*run)(void*, int64_t), void* context) {
  Region region{run, context, slots};
  if (threads <= 1) {
    work(&region);
  } else if (GompParallel parallel = gomp_parallel.load()) {
    parallel(work, &region, static_cast<unsigned>(threads), 0);
  } else {
    the_pool().run(region, threads);
  }
}

void set_openmp(void* address) { gomp_parallel.store(reinterpret_cast<GompParallel>(address)); }

bool has_openmp() { return gomp_parallel.load() != nullptr; }

}  // namespace olift
