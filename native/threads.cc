// A pool of threads that waits for loops, and the loop that is shared out.
#include "threads.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace larqlite {
namespace {

constexpr int kSpins = 2000;  // rounds of waiting before a thread sleeps, some 10 us

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

class Pool {
 public:
  // True if this call holds the pool; release() gives it back.
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

  void run(int64_t count, int32_t threads, void (*work)(void*, int64_t), void* context) {
    const int helpers = grow(threads - 1);
    work_ = work;
    context_ = context;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    running_.store(helpers, std::memory_order_relaxed);
    // Last: a thread that still looks for the previous loop may take part from here on.
    wanted_.store(helpers, std::memory_order_release);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take();
    // Nothing is left to take: who has not come by now is not waited for. A helper that has
    // no processor of its own would only wake to find that out.
    const int left = wanted_.exchange(0, std::memory_order_acq_rel);
    const int withdrawn = left > 0 ? left : 0;
    running_.fetch_sub(withdrawn, std::memory_order_relaxed);
    called_.fetch_add(helpers, std::memory_order_relaxed);
    waited_for_.fetch_add(helpers - withdrawn, std::memory_order_relaxed);
    for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  }

  PoolCounts counts() const {
    return {called_.load(std::memory_order_relaxed), waited_for_.load(std::memory_order_relaxed)};
  }

 private:
  int grow(int helpers) {
    while (static_cast<int>(threads_.size()) < helpers) {
      try {
        const uint64_t seen = generation_.load(std::memory_order_relaxed);
        threads_.emplace_back(&Pool::serve, this, seen);
      } catch (const std::system_error&) {
        break;  // no more threads to be had: fewer do the work
      }
      threads_.back().detach();
    }
    const int there = static_cast<int>(threads_.size());
    return helpers < there ? helpers : there;
  }

  void serve(uint64_t seen) {
    for (;;) {
      int spins = 0;
      while (generation_.load(std::memory_order_acquire) == seen && ++spins < kSpins) pause();
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
      }
      seen = generation_.load(std::memory_order_acquire);
      if (wanted_.fetch_sub(1, std::memory_order_acq_rel) <= 0) continue;
      take();
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  void take() {
    for (;;) {
      const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= count_) return;
      work_(context_, i);
    }
  }

  std::atomic<bool> busy_{false};
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> wanted_{0}, running_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<int64_t> called_{0}, waited_for_{0};
  void (*work_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
};

std::atomic<Pool*> pool{nullptr};

#if defined(__unix__) || defined(__APPLE__)
// The child of a fork has none of the threads: it starts with a pool of its own.
void forget_pool() { pool.store(nullptr, std::memory_order_relaxed); }
#endif

Pool* the_pool() {
  Pool* found = pool.load(std::memory_order_acquire);
  if (found != nullptr) return found;
  static std::mutex making;
  const std::lock_guard<std::mutex> lock(making);
  found = pool.load(std::memory_order_acquire);
  if (found == nullptr) {
#if defined(__unix__) || defined(__APPLE__)
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    (void)registered;
#endif
    found = new Pool;  // lives as long as the process: its threads wait in it
    pool.store(found, std::memory_order_release);
  }
  return found;
}

}  // namespace

PoolCounts pool_counts() {
  const Pool* found = pool.load(std::memory_order_acquire);
  return found == nullptr ? PoolCounts{0, 0} : found->counts();
}

void parallel_for(int64_t count, int32_t threads, void (*work)(void*, int64_t), void* context) {
  if (threads > count) threads = static_cast<int32_t>(count);
  if (threads > 1) {
    Pool* shared = the_pool();
    if (shared->try_acquire()) {
      shared->run(count, threads, work, context);
      shared->release();
      return;
    }
  }
  for (int64_t i = 0; i < count; ++i) work(context, i);
}

}  // namespace larqlite
