// Threads that share the work of one loop; made once, asleep between loops.
#ifndef LARQLITE_THREADS_H
#define LARQLITE_THREADS_H

#include <cstdint>

namespace larqlite {

// Calls work(context, i) once for every 0 <= i < count, on the calling thread and up to
// threads - 1 others. If those are busy with another loop, the calling thread does it all.
void parallel_for(int64_t count, int32_t threads, void (*work)(void*, int64_t), void* context);

// Helpers of all loops of this process so far.
struct PoolCounts {
  int64_t called;      // woken for a loop
  int64_t waited_for;  // of these, began before the work was all taken: the loop ends after them
};
PoolCounts pool_counts();

}  // namespace larqlite
#endif
