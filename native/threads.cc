// A pool of threads that waits for loops, and the loop that is shared out.
#include "threads.h"

#if defined(LQ_NO_THREADS)

namespace larqlite {

std::atomic<bool> Budget::is_unlimited{false};

int32_t processors() { return 1; }

int32_t slot_of_thread() { return 0; }

PoolCounts pool_counts() { return {0, 0}; }

Team::Team(int32_t) { (void)holds_, (void)pays_back_, (void)begin_; }

Team::~Team() {}

void parallel_for(int64_t count, int32_t, void (*work)(void*, int64_t), void* context) {
  for (int64_t i = 0; i < count; ++i) work(context, i);
}

}  // namespace larqlite

#else

#include <atomic>
#include <climits>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace larqlite {
namespace {

int64_t nanoseconds(Clock::duration time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

// How long a helper looks for the next loop before it sleeps.
constexpr int64_t kAwake = kWaking;
// How long a caller waits actively for helpers, and then sleeps: its processor is free for one
// that has lost its own.
constexpr int64_t kActive = 20'000;
constexpr int kPauses = 16;  // between two looks at the clock
// What it costs to be interrupted by one's own helper: two switches, and cold caches.
constexpr int64_t kInterrupted = 20'000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// The processor that the calling thread runs on, -1 where nobody says.
int current_processor() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// The processors that the calling thread may use.
class Allowed {
 public:
#if defined(__linux__)
  Allowed() { is_known_ = sched_getaffinity(0, sizeof set_, &set_) == 0; }
  int32_t count() const { return is_known_ ? CPU_COUNT(&set_) : INT_MAX; }
  bool operator==(const Allowed& other) const {
    return is_known_ == other.is_known_ && (!is_known_ || CPU_EQUAL(&set_, &other.set_));
  }
  void give_to(pthread_t thread) const {
    if (is_known_) pthread_setaffinity_np(thread, sizeof set_, &set_);
  }
  // All but one, if others are left.
  void give_others_to(pthread_t thread, int processor) const {
    if (!is_known_ || processor < 0 || processor >= CPU_SETSIZE || count() < 2) return;
    cpu_set_t others = set_;
    CPU_CLR(processor, &others);
    pthread_setaffinity_np(thread, sizeof others, &others);
  }

 private:
  cpu_set_t set_;
  bool is_known_;
#else
  int32_t count() const { return INT_MAX; }
#endif
};

// Consecutive indices of a loop. Each thread begins with a share of its own, the same from
// loop to loop, so that what it wrote is in its cache, and then helps with those of others.
struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

thread_local int32_t slot = 0;
thread_local bool holds_pool = false;

class Pool {
 public:
  // True if this call holds the pool; release() gives it back.
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

  // By who holds the pool.
  Budget budget;

  // Helpers follow where the caller may run now.
  void follow(const Allowed& allowed) {
#if defined(__linux__)
    if (allowed == allowed_) return;  // nobody else changes it
    const std::lock_guard<std::mutex> lock(mutex_);
    allowed_ = allowed;
    for (std::thread& thread : threads_) allowed.give_to(thread.native_handle());
#else
    (void)allowed;
#endif
  }

  void run(int64_t count, int32_t threads, void (*work)(void*, int64_t), void* context) {
    const Clock::time_point begin = Clock::now();
    const int helpers = grow(threads - 1);
    work_ = work;
    context_ = context;
    cut(count, helpers + 1);
    left_.store(0, std::memory_order_relaxed);
    helped_.store(0, std::memory_order_relaxed);
    interrupted_.store(0, std::memory_order_relaxed);
    processor_.store(current_processor(), std::memory_order_relaxed);
    // Last: a thread that still looks for the previous loop may take part from here on.
    gate_.store(static_cast<uint32_t>(helpers) << kLimit, std::memory_order_release);
    generation_.fetch_add(1);
    wake(helpers);
    const Clock::time_point working = Clock::now();
    const int64_t own = take(0);
    const Clock::time_point finished = Clock::now();
    // Nothing is left to take: who has not come by now is not waited for. A helper that has
    // no processor of its own would only wake to find that out.
    const int joined = static_cast<int>(gate_.exchange(0, std::memory_order_acq_rel) & kJoined);
    wait_for(joined, finished);
    const Clock::time_point ended = Clock::now();
    const double helped = static_cast<double>(helped_.load(std::memory_order_relaxed));
    const double of_one = static_cast<double>(nanoseconds(finished - working)) /
                          static_cast<double>(own > 0 ? own : 1);
    budget.gained(static_cast<int64_t>(helped * of_one) - nanoseconds(ended - finished) -
                  nanoseconds(working - begin) -
                  interrupted_.load(std::memory_order_relaxed) * kInterrupted);
    called_.fetch_add(helpers, std::memory_order_relaxed);
    waited_for_.fetch_add(joined, std::memory_order_relaxed);
  }

  PoolCounts counts() const {
    return {called_.load(std::memory_order_relaxed), waited_for_.load(std::memory_order_relaxed)};
  }

 private:
  // Of the gate: how many helpers may join the loop, and how many have. 0: nobody may.
  static constexpr int kLimit = 16;
  static constexpr uint32_t kJoined = 0xffff;

  int grow(int helpers) {
    while (static_cast<int>(threads_.size()) < helpers) {
      try {
        const uint64_t seen = generation_.load(std::memory_order_relaxed);
        threads_.emplace_back(&Pool::serve, this, seen);
      } catch (const std::system_error&) {
        break;  // no more threads to be had: fewer do the work
      }
    }
    const int there = static_cast<int>(threads_.size());
    return helpers < there ? helpers : there;
  }

  // Shares of the same number of indices, up to one.
  void cut(int64_t count, int shares) {
    if (shares > room_) {
      shares_.reset(new Share[static_cast<size_t>(shares)]);
      room_ = shares;
    }
    share_count_ = shares;
    int64_t first = 0;
    for (int i = 0; i < shares; ++i) {
      shares_[i].next.store(first, std::memory_order_relaxed);
      first += count / shares + (i < count % shares);
      shares_[i].end = first;
    }
  }

  void wake(int helpers) {
    if (sleeping_.load() == 0) return;
    // Who counts as asleep has the mutex until it waits: then it hears.
    { const std::lock_guard<std::mutex> lock(mutex_); }
    if (helpers == static_cast<int>(threads_.size())) {
      wake_.notify_all();
    } else {
      for (int i = 0; i < helpers; ++i) wake_.notify_one();
    }
  }

  void serve(uint64_t seen) {
    for (;;) {
      if (!finds_loop(seen)) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1);
        wake_.wait(lock, [&] { return generation_.load() != seen; });
        sleeping_.fetch_sub(1);
      }
      seen = generation_.load(std::memory_order_acquire);
      const bool is_here = !is_elsewhere();
      uint32_t gate = gate_.load(std::memory_order_acquire);
      while ((gate & kJoined) < gate >> kLimit &&
             !gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire)) {
      }
      if ((gate & kJoined) >= gate >> kLimit) continue;
      slot = static_cast<int32_t>(gate & kJoined) + 1;
      // On the processor of the caller there is nothing to gain.
      if (is_here && !Budget::is_unlimited) {
        interrupted_.fetch_add(1, std::memory_order_relaxed);
      } else {
        helped_.fetch_add(take(slot), std::memory_order_relaxed);
      }
      left_.fetch_add(1);
      if (caller_sleeps_.load()) {
        { const std::lock_guard<std::mutex> lock(mutex_); }
        all_left_.notify_one();
      }
    }
  }

  // Looks for another loop than the one it has seen; false if it should sleep.
  bool finds_loop(uint64_t seen) {
    const Clock::time_point begin = Clock::now();
    for (;;) {
      for (int i = 0; i < kPauses; ++i) {
        if (generation_.load(std::memory_order_acquire) != seen) return true;
        pause();
      }
      if (!is_elsewhere() || nanoseconds(Clock::now() - begin) > kAwake) return false;
    }
  }

  // Whether this helper has another processor than the caller. If not, it asks for one: the
  // system wakes it where it slept, even where another processor is idle.
  bool is_elsewhere() {
    const int taken = processor_.load(std::memory_order_relaxed);
    if (taken < 0 || current_processor() != taken) return true;
#if defined(__linux__)
    const std::lock_guard<std::mutex> lock(mutex_);
    allowed_.give_others_to(pthread_self(), taken);
#endif
    return current_processor() != taken;
  }

  void wait_for(int joined, Clock::time_point since) {
    for (;;) {
      for (int i = 0; i < kPauses; ++i) {
        if (left_.load(std::memory_order_acquire) == joined) return;
        pause();
      }
      if (nanoseconds(Clock::now() - since) > kActive) break;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    caller_sleeps_.store(true);
    all_left_.wait(lock, [&] { return left_.load() == joined; });
    caller_sleeps_.store(false);
  }

  // How many indices this thread worked on.
  int64_t take(int first) {
    int64_t done = 0;
    for (int k = 0; k < share_count_; ++k) {
      Share& share = shares_[(first + k) % share_count_];
      for (;;) {
        const int64_t i = share.next.fetch_add(1, std::memory_order_relaxed);
        if (i >= share.end) break;
        work_(context_, i);
        ++done;
      }
    }
    return done;
  }

  std::atomic<bool> busy_{false};
  std::vector<std::thread> threads_;
#if defined(__linux__)
  Allowed allowed_;  // what the helpers were made with, or given last
#endif
  std::mutex mutex_;
  std::condition_variable wake_, all_left_;
  std::atomic<int> sleeping_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> called_{0}, waited_for_{0};
  // Of the loop; written before the gate opens, and after all who joined have left.
  alignas(64) std::atomic<uint32_t> gate_{0};
  std::atomic<int> processor_{-1};  // of the caller
  std::atomic<int> left_{0};
  std::atomic<int64_t> helped_{0}, interrupted_{0};
  void (*work_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  std::unique_ptr<Share[]> shares_;
  int room_ = 0, share_count_ = 0;
};

std::atomic<Pool*> pool{nullptr};

#if defined(__unix__) || defined(__APPLE__)
// The child of a fork has none of the threads: it starts with a pool of its own.
void forget_pool() {
  pool.store(nullptr, std::memory_order_relaxed);
  holds_pool = false;
}
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

std::atomic<bool> Budget::is_unlimited{false};

int32_t processors() { return Allowed().count(); }

int32_t slot_of_thread() { return slot; }

PoolCounts pool_counts() {
  const Pool* found = pool.load(std::memory_order_acquire);
  return found == nullptr ? PoolCounts{0, 0} : found->counts();
}

Team::Team(int32_t threads) {
  if (threads <= 1) return;
  const Allowed allowed;
  if (threads > allowed.count()) threads = allowed.count();
  if (threads <= 1) return;
  Pool* shared = the_pool();
  if (!shared->try_acquire()) return;
  if (!shared->budget.allows()) {
    shared->release();
    pays_back_ = true;
    begin_ = Clock::now();
    return;
  }
  shared->follow(allowed);
  threads_ = threads;
  holds_ = holds_pool = true;
}

Team::~Team() {
  if (holds_) {
    holds_pool = false;
    the_pool()->release();
  } else if (pays_back_) {
    const int64_t time = nanoseconds(Clock::now() - begin_);
    Pool* shared = the_pool();
    if (!shared->try_acquire()) return;
    shared->budget.ran_alone(time);
    shared->release();
  }
}

void parallel_for(int64_t count, int32_t threads, void (*work)(void*, int64_t), void* context) {
  if (threads > count) threads = static_cast<int32_t>(count);
  if (threads > 1) {
    Pool* shared = the_pool();
    if (holds_pool) {
      shared->run(count, threads, work, context);
      return;
    }
    if (shared->try_acquire()) {
      shared->run(count, threads, work, context);
      shared->release();
      return;
    }
  }
  for (int64_t i = 0; i < count; ++i) work(context, i);
}

}  // namespace larqlite

#endif  // LQ_NO_THREADS
