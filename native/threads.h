// Threads that share the work of loops; made once, asleep between runs.
#ifndef LARQLITE_THREADS_H
#define LARQLITE_THREADS_H

#include <atomic>
#include <cstdint>

#include "clock.h"

// A variable that each thread has for itself, and keeps; one for all on targets that have no
// threads (LQ_NO_THREADS), where every loop is run by its caller.
#if defined(LQ_NO_THREADS)
#define LQ_OF_A_THREAD static
#else
#define LQ_OF_A_THREAD thread_local
#endif

namespace larqlite {

// Nanoseconds from a call until a helper that slept takes part in it.
constexpr int64_t kWaking = 50'000;

// Calls work(context, i) once for every 0 <= i < count, on the calling thread and up to
// threads - 1 others. If those are busy with another loop, the calling thread does it all.
void parallel_for(int64_t count, int32_t threads, void (*work)(void*, int64_t), void* context);

// Of the thread that works on a loop: 0 for the one that called it, from 1 up for its helpers.
int32_t slot_of_thread();

// The loops of one run: it keeps the helpers from the first to the last, so that they stay
// awake in between.
class Team {
 public:
  // Of at most so many threads. It is the caller alone where the pool is taken, where the
  // caller may use one processor only, or where helpers cost more than they gave of late.
  explicit Team(int32_t threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  int32_t threads() const { return threads_; }

 private:
  int32_t threads_ = 1;
  bool holds_ = false;
  bool pays_back_ = false;
  Clock::time_point begin_;
};

// What helpers gained and cost, in nanoseconds. Who works alone saves up for the next trial,
// so that no more than one part in kShare of all time is lost to helpers that only cost: those
// whose processor another process keeps.
class Budget {
 public:
  static constexpr int64_t kShare = 20;
  static constexpr int64_t kMost = 200'000;  // saved: earlier gains excuse no long loss

  static std::atomic<bool> is_unlimited;  // for tests that want helpers, whatever they cost

  bool allows() const { return saved_ >= 0 || is_unlimited; }
  // A loop was so much faster (or slower, if negative) than without helpers.
  void gained(int64_t nanoseconds) { save(nanoseconds); }
  void ran_alone(int64_t nanoseconds) { save(nanoseconds / kShare); }

 private:
  void save(int64_t nanoseconds) {
    saved_ += nanoseconds;
    if (saved_ > kMost) saved_ = kMost;
  }

  int64_t saved_ = 0;
};

// Processors that the calling thread may run on, at least 1.
int32_t processors();

// Helpers of all loops of this process so far.
struct PoolCounts {
  int64_t called;      // for a loop
  int64_t waited_for;  // of these, began before the work was all taken: the loop ends after them
};
PoolCounts pool_counts();

}  // namespace larqlite
#endif
