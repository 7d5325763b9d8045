// A helper that can't come is not waited for: one is held inside a signal handler, and loops
// must end without it. What is tested is a count; the alarm only ends a test that hangs. Then
// who is asked to help, and that loops follow one another.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

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

// A helper that gains keeps its place; one that costs loses it for twenty times as long.
bool budget() {
  larqlite::Budget::is_unlimited = false;
  larqlite::Budget saved;
  bool good = saved.allows();
  saved.gained(50'000);
  saved.gained(-40'000);
  good &= saved.allows();
  saved.gained(-3'000'000);
  int64_t alone = 0;
  for (; !saved.allows() && alone < 1'000'000'000; alone += 100'000) saved.ran_alone(100'000);
  good &= alone > 50'000'000 && alone < 70'000'000;
  for (int i = 0; i < 100; ++i) saved.gained(1'000'000);  // which excuse no long loss
  saved.gained(-1'000'000);
  good &= !saved.allows();
  larqlite::Budget::is_unlimited = true;
  return good;
}

// Who may run on one processor only has no team, and then it has one again.
bool affinity() {
#if defined(__linux__)
  cpu_set_t all, one;
  if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) return true;
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  sched_setaffinity(0, sizeof one, &one);
  const bool alone = larqlite::Team(2).threads() == 1 && larqlite::processors() == 1;
  sched_setaffinity(0, sizeof all, &all);
  return alone && larqlite::Team(2).threads() == 2 && larqlite::processors() >= 2;
#else
  return true;
#endif
}

// Loops of one team, each of which needs what all threads wrote in the one before.
struct Chain {
  static constexpr int64_t kCount = 64;
  int64_t values[2][kCount] = {};
  int step = 0;

  static void work(void* context, int64_t i) {
    Chain& here = *static_cast<Chain*>(context);
    const int64_t* from = here.values[here.step % 2];
    here.values[(here.step + 1) % 2][i] = from[kCount - 1 - i] + 1;
  }
};

bool chain(int32_t threads, int steps) {
  const larqlite::Team team(threads);
  Chain chain;
  for (; chain.step < steps; ++chain.step)
    larqlite::parallel_for(Chain::kCount, threads, Chain::work, &chain);
  for (const int64_t value : chain.values[steps % 2])
    if (value != steps) return false;
  return true;
}

bool expect(bool good, const char* what) {
  if (!good) std::printf("threads: %s\n", what);
  return good;
}

}  // namespace

int main() {
  sem_init(&inside, 0, 0);
  sem_init(&go_on, 0, 0);
  signal(SIGUSR1, hold);
  alarm(120);
  larqlite::Budget::is_unlimited = true;
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
  good &= expect(budget(), "helpers that cost are asked too often, or never again");
  good &= expect(affinity(), "the processors of the caller are not looked at");
  for (int32_t threads = 1; threads < 6; ++threads)
    good &= expect(chain(threads, 100), "a loop began before the last one had ended");
  std::atomic<int> right{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back([&right] { right += chain(3, 50); });
  for (std::thread& caller : callers) caller.join();
  good &= expect(right == 4, "callers at the same time disturb one another");
  if (good) std::printf("a pool of threads waits for those who work, %d loops\n", int{kLoops + 2});
  return good ? 0 : 1;
}
