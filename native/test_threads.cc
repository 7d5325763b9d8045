// A helper that can't come is not waited for: one is held inside a signal handler, and loops
// must end without it. What is tested is a count; the alarm only ends a test that hangs.
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "threads.h"

namespace {

sem_t inside, go_on;

void hold(int) {
  sem_post(&inside);
  while (sem_wait(&go_on) != 0) {
  }
}

// A loop of two rounds, each of which waits for the other: two threads take part for sure.
struct Meeting {
  std::atomic<int> came{0};
  std::atomic<bool> found{false};
  pthread_t caller = pthread_self(), helper{};

  static void work(void* context, int64_t) {
    Meeting& here = *static_cast<Meeting*>(context);
    if (!pthread_equal(pthread_self(), here.caller)) {
      here.helper = pthread_self();
      here.found.store(true);
    }
    here.came.fetch_add(1);
    while (here.came.load() < 2) std::this_thread::yield();
  }
};

struct Sum {
  std::atomic<int64_t> sum{0}, elsewhere{0};
  pthread_t caller = pthread_self();

  static void work(void* context, int64_t i) {
    Sum& here = *static_cast<Sum*>(context);
    here.sum.fetch_add(i);
    if (!pthread_equal(pthread_self(), here.caller)) here.elsewhere.fetch_add(1);
  }
};

bool expect(bool good, const char* what) {
  if (!good) std::printf("threads: %s\n", what);
  return good;
}

}  // namespace

int main() {
  sem_init(&inside, 0, 0);
  sem_init(&go_on, 0, 0);
  signal(SIGUSR1, hold);
  alarm(60);
  Meeting meeting;
  larqlite::parallel_for(2, 2, Meeting::work, &meeting);
  const larqlite::PoolCounts first = larqlite::pool_counts();
  bool good = expect(meeting.found, "nobody helped");
  good &= expect(first.called == 1 && first.waited_for == 1, "a helper that works is waited for");

  if (good) pthread_kill(meeting.helper, SIGUSR1);
  while (good && sem_wait(&inside) != 0) {
  }
  constexpr int64_t kLoops = 1000, kCount = 40;
  for (int64_t loop = 0; good && loop < kLoops; ++loop) {
    Sum loops;
    larqlite::parallel_for(kCount, 2, Sum::work, &loops);
    good &= expect(loops.sum == kCount * (kCount - 1) / 2, "a loop is not done as a whole");
    good &= expect(loops.elsewhere == 0, "the helper that is held did some work");
  }
  const larqlite::PoolCounts held = larqlite::pool_counts();
  good &= expect(held.called == first.called + kLoops, "helpers are still called");
  good &= expect(held.waited_for == first.waited_for, "a helper that can't come is waited for");

  sem_post(&go_on);
  Meeting again;  // it comes back, and counts are right after all the loops that it missed
  larqlite::parallel_for(2, 2, Meeting::work, &again);
  good &= expect(again.found, "the helper does not come back");
  good &= expect(larqlite::pool_counts().waited_for == held.waited_for + 1, "waited once more");
  if (good) std::printf("a pool of threads waits for those who work, %d loops\n", int{kLoops + 2});
  return good ? 0 : 1;
}
