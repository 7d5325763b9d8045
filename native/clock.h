// The clock that steps are timed with; targets that have none (LQ_NO_CLOCK) see no time pass.
#ifndef LARQLITE_CLOCK_H
#define LARQLITE_CLOCK_H

#include <chrono>
#include <cstdint>

namespace larqlite {

#if defined(LQ_NO_CLOCK)
struct Clock {
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<Clock, duration>;
  static time_point now() { return time_point(); }
};
#else
using Clock = std::chrono::steady_clock;
#endif

}  // namespace larqlite
#endif
