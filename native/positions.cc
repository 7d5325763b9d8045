// The words of a window, by the row and the tile that sum them.
#include "positions.h"

#if defined(__x86_64__)
namespace larqlite {

namespace {

// Which pixels of a tile leave a column of taps out: 0 none, 1 its first, 2 its first and its
// last, 3 its last.
int left_out(const lq_step& s, int64_t column, int edges) {
  if (s.inside_base < 0) return 0;
  const auto outside = [&](int64_t pixel) {
    const TapRange inside =
        taps_inside(pixel, s.stride_w, s.pad_w, s.dilation_w, s.kernel_w, s.in_w);
    return column < inside.first || column >= inside.last;
  };
  const bool first = (edges & 1) && outside(0), last = (edges & 2) && outside(s.width - 1);
  return first ? (last ? 2 : 1) : (last ? 3 : 0);
}

}  // namespace

void WindowPositions::add(const lq_step& s, TapRange depths, TapRange rows, int edges) {
  Positions& tile = tiles_.emplace_back();
  tile.at = nullptr;
  const size_t begin = words_.size();
  for (int kind = 0; kind < 4; ++kind) {
    for (int64_t d = depths.first; d < depths.last; ++d)
      for (int64_t h = rows.first; h < rows.last; ++h)
        for (int64_t w = 0; w < s.kernel_w; ++w) {
          if (left_out(s, w, edges) != kind) continue;
          const int64_t tap = (d * s.kernel_h + h) * s.kernel_w + w;
          const int64_t at = d * s.tap_depth + h * s.tap_row + w * s.tap_pixel;
          for (int64_t k = 0; k < s.words; ++k)
            words_.push_back({at + k, (tap * s.words + k) * kLanes});
        }
    tile.end[kind] = static_cast<int64_t>(words_.size() - begin);
  }
}

WindowPositions::WindowPositions(const lq_step& s) : height_(s.height) {
  if (s.kind != LQ_CONV) return;
  std::vector<TapRange> depths, rows;  // of each group of four tiles
  const auto add_tiles = [&](TapRange of_depth, TapRange of_row) {
    depths.push_back(of_depth);
    rows.push_back(of_row);
    const bool whole = s.width <= kPixels;  // one tile holds all of a row
    for (int edges = 0; edges < 4; ++edges) {
      const bool occurs = s.inside_base < 0 ? edges == 0 : whole || edges != 3;
      if (occurs)
        add(s, of_depth, of_row, edges);
      else
        tiles_.push_back(tiles_[tiles_.size() - 1]);
    }
  };
  const TapRange all_d = {0, s.kernel_d}, all_h = {0, s.kernel_h};
  if (s.inside_base < 0) {
    add_tiles(all_d, all_h);
  } else {
    for (int64_t d = 0; d < s.depth; ++d)
      for (int64_t h = 0; h < s.height; ++h) {
        const TapRange of_depth =
            taps_inside(d, s.stride_d, s.pad_d, s.dilation_d, s.kernel_d, s.in_d);
        const TapRange of_row =
            taps_inside(h, s.stride_h, s.pad_h, s.dilation_h, s.kernel_h, s.in_h);
        size_t known = 0;
        while (known < rows.size() && !(depths[known] == of_depth && rows[known] == of_row))
          ++known;
        if (known == rows.size()) add_tiles(of_depth, of_row);
        of_row_.push_back(static_cast<int32_t>(known));
      }
  }
  // Where they lie is known once there are no more.
  size_t at = 0;
  for (size_t tile = 0; tile < tiles_.size(); ++tile) {
    const bool own = s.inside_base < 0 ? tile % 4 == 0 : s.width <= kPixels || tile % 4 != 3;
    if (own) {
      tiles_[tile].at = words_.data() + at;
      at += static_cast<size_t>(tiles_[tile].end[3]);
    } else {
      tiles_[tile].at = tiles_[tile - 1].at;
    }
  }
}

}  // namespace larqlite
#endif
