// Convolutions of bytes and whole numbers of 32 bits, for all sets at once: they are the first
// layer of a network, and the C of small devices has forms of its own.
#include "kernels.h"

namespace larqlite {

typedef uint32_t Four __attribute__((vector_size(16)));
constexpr int kFours = kLanes / 4;

// i32_conv_1x16: one pixel after another, 16 channels; taps outside are left out.
void conv_bytes(const Block& block, Value* values) {
  const lq_step& s = *block.step;
  const lq_view& view = s.input;
  const int64_t depth = s.tap_depth / s.dilation_d, row = s.tap_row / s.dilation_h;
  const int64_t pixel = s.tap_pixel / s.dilation_w, inside = s.in_channels;
  const TapRange d =
      taps_inside(block.depth, s.stride_d, s.pad_d, s.dilation_d, s.kernel_d, s.in_d);
  const TapRange h =
      taps_inside(block.row, s.stride_h, s.pad_h, s.dilation_h, s.kernel_h, s.in_h);
  const int64_t taps = static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w;
  const uint8_t* image = data<uint8_t>(block, view.buffer);
  const int64_t corner = view.offset + block.image * view.image + block.depth * view.depth +
                         block.row * view.row - s.pad_d * depth - s.pad_h * row - s.pad_w * pixel;
  const uint32_t* weights = data<uint32_t>(block, s.weights) + block.channel * taps * inside;
  int64_t line = 0;  // of classes of this row
  if (s.row_class >= 0)
    line = data<int32_t>(block, s.row_class)[block.depth * s.height + block.row] *
           static_cast<int64_t>(s.column_classes);
  const int32_t* column = s.column_class >= 0 ? data<int32_t>(block, s.column_class) : nullptr;
  // Taps side by side are read as those of one.
  const bool is_run = s.tap_pixel == inside;
  int32_t* v = &values->integer;
  for (int64_t p = block.pixel; p < block.pixel + block.pixels; ++p, v += block.count) {
    const TapRange w =
        taps_inside(p, s.stride_w, s.pad_w, s.dilation_w, s.kernel_w, s.in_w);
    const int64_t at = corner + p * view.pixel;
    const int64_t runs = is_run ? (w.last > w.first ? 1 : 0) : w.last - w.first;
    const int64_t length = is_run ? (w.last - w.first) * inside : inside;
    const int32_t* base = data<int32_t>(block, s.base) + block.channel +
                          (line + (column ? column[p] : 0)) * static_cast<int64_t>(s.channels);
    for (int32_t c = 0; c < block.count; c += kLanes) {
      Four found[kFours] = {};
      const uint32_t* of_block = weights + c * taps * inside;
      for (int64_t i = d.first; i < d.last; ++i)
        for (int64_t k = h.first; k < h.last; ++k)
          for (int64_t r = 0; r < runs; ++r) {
            const int64_t tap = w.first + r;
            const uint8_t* x = image + (at + i * s.tap_depth + k * s.tap_row + tap * s.tap_pixel);
            const uint32_t* of_tap =
                of_block + ((i * s.kernel_h + k) * s.kernel_w + tap) * inside * kLanes;
            for (int64_t n = 0; n < length; ++n, of_tap += kLanes) {
              Four w16[kFours];
              __builtin_memcpy(w16, of_tap, sizeof w16);
#pragma GCC unroll 4
              for (int f = 0; f < kFours; ++f) found[f] += w16[f] * x[n];
            }
          }
      uint32_t sums[kLanes];
      __builtin_memcpy(sums, found, sizeof sums);
      const int32_t left = block.count - c < kLanes ? block.count - c : kLanes;
      for (int32_t lane = 0; lane < left; ++lane)
        v[c + lane] = static_cast<int32_t>(sums[lane] + static_cast<uint32_t>(base[c + lane]));
    }
  }
}

}  // namespace larqlite
