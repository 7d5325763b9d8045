// How long steps take, estimated, and how many threads are worth what they cost.
#ifndef LARQLITE_COST_H
#define LARQLITE_COST_H

#include "program.h"

namespace larqlite {

// Nanoseconds until threads have begun a loop and the last has ended it, for each of them. A
// test that wants threads however small its steps are sets it to 0 before any run.
extern double cost_of_loop;

// Nanoseconds that one thread takes for a step of some images with an instruction set.
double nanoseconds(const lq_step& step, int64_t images, int32_t isa);

// Whether threads do a step of so many nanoseconds earlier than one.
inline bool is_worth_sharing(double nanoseconds, int32_t threads) {
  return threads > 1 && nanoseconds - nanoseconds / threads >= cost_of_loop * (threads - 1);
}

}  // namespace larqlite
#endif
