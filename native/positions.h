// Which words of a window each tile of a convolution of bits sums: those of taps in borders are
// left out where the step says what makes up for them.
#ifndef LARQLITE_POSITIONS_H
#define LARQLITE_POSITIONS_H

#include <vector>

#include "kernels.h"

namespace larqlite {

#if defined(__x86_64__)
// The positions of all rows of a step.
class WindowPositions {
 public:
  explicit WindowPositions(const lq_step& step);
  WindowPositions(const WindowPositions&) = delete;
  WindowPositions& operator=(const WindowPositions&) = delete;

  // Those of tiles of a row, by whether they hold its first pixel (1) and its last (2).
  const Positions* of(int64_t depth, int64_t row) const {
    const size_t at = static_cast<size_t>(depth * height_ + row);
    return tiles_.data() + 4 * (of_row_.empty() ? 0 : of_row_[at]);
  }

 private:
  void add(const lq_step& step, TapRange depths, TapRange rows, int edges);

  int64_t height_;
  std::vector<Position> words_;
  std::vector<Positions> tiles_;
  std::vector<int32_t> of_row_;  // which four of tiles_; empty: always the first
};
#else
// No kernels of these processors leave taps out.
class WindowPositions {
 public:
  explicit WindowPositions(const lq_step&) {}
  WindowPositions(const WindowPositions&) = delete;
  WindowPositions& operator=(const WindowPositions&) = delete;
  const Positions* of(int64_t, int64_t) const { return nullptr; }
};
#endif

}  // namespace larqlite
#endif
