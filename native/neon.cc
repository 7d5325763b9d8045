// Kernels for 64-bit ARM: NEON counts the ones of every byte in one instruction.
#include "kernels.h"
#include "target.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

namespace {

// Lane i of each mask, all ones or none, as bit i.
inline uint32_t bits_of(uint32x4_t mask) {
  const uint32_t kPlaces[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(mask, vld1q_u32(kPlaces)));
}

inline uint32_t pack_word(const float* v) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i += 4) bits |= bits_of(vcltzq_f32(vld1q_f32(v + i))) << i;
  return bits;
}

inline uint32_t pack_range(const int32_t* v, const int32_t* low, const int32_t* high) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i += 4) {
    const int32x4_t x = vld1q_s32(v + i);
    bits |= bits_of(vorrq_u32(vcltq_s32(x, vld1q_s32(low + i)), vcgtq_s32(x, vld1q_s32(high + i))))
            << i;
  }
  return bits;
}

inline uint32_t pack_range(const float* v, const float* low, const float* high) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i += 4) {
    const float32x4_t x = vld1q_f32(v + i);
    bits |= bits_of(vorrq_u32(vcltq_f32(x, vld1q_f32(low + i)), vcgtq_f32(x, vld1q_f32(high + i))))
            << i;
  }
  return bits;
}

inline int32_t vectors_for(int64_t, int32_t) { return 1; }
constexpr bool kLeavesBordersOut = false;
constexpr bool kPacksInRegisters = false;
constexpr int kFloatPixels = 4;  // of a tile of a float convolution
inline int32_t float_vectors_for(int64_t, int32_t) { return 1; }
inline int32_t code_vectors_for(int32_t) { return 1; }
constexpr int32_t kFinishedChannels = larqlite::kLanes;  // whose sums are finished at once

struct Tile;
void conv_tile(const Tile& tile, int32_t pixels, int32_t vectors);
void float_tile(const Tile& tile, int32_t pixels, int32_t vectors);
void code_tile(const Tile& tile, int32_t pixels, int32_t vectors);
void lookup_sums(const larqlite::Block& block, const uint32_t* input, int32_t pixels,
                 larqlite::Value* sums);
void finish_sums(const Tile& tile, int32_t p, const larqlite::Value* sums);
void halves_tile(const Tile& tile, int32_t pixels, int32_t vectors);

}  // namespace

#include "rows.inc"
#include "codes.inc"
#include "codes_plain_lookups.inc"

namespace {

// b1_conv_Px16__neon: P pixels, 16 channels. Bytes take 31 words before they are added up.
template <int P>
void conv_core(const Tile& tile, int32_t first) {
  constexpr int kMost = 31;
  const lq_step& s = *tile.step;
  const int64_t taps = tile.tap_count;
  const int64_t pixel = s.input.pixel;
  const uint32_t* start = tile.input + first * pixel;
  uint32x4_t sums[P][4];
  uint8x16_t bytes[P][4];
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < 4; ++i) {
      sums[p][i] = vdupq_n_u32(0);
      bytes[p][i] = vdupq_n_u8(0);
    }
  const auto flush = [&] {
    for (int p = 0; p < P; ++p)
      for (int i = 0; i < 4; ++i) {
        sums[p][i] = vpadalq_u16(sums[p][i], vpaddlq_u8(bytes[p][i]));
        bytes[p][i] = vdupq_n_u8(0);
      }
  };
  for (int32_t sum = s.input_planes + s.weight_planes - 2; sum >= 0; --sum) {
    for (int p = 0; p < P; ++p)
      for (int i = 0; i < 4; ++i) sums[p][i] = vaddq_u32(sums[p][i], sums[p][i]);
    int held = 0;
    for (int32_t in = 0; in < s.input_planes; ++in) {
      const int32_t of_weights = sum - in;
      if (of_weights < 0 || of_weights >= s.weight_planes) continue;
      const uint32_t* w = tile.weights + of_weights * taps * s.words * larqlite::kLanes;
      const uint32_t* plane = start + static_cast<int64_t>(in) * s.groups * s.words;
      for (int64_t t = 0; t < taps; ++t) {
        const uint32_t* input = plane + tile.taps[t];
        for (int32_t k = 0; k < s.words; ++k, w += larqlite::kLanes) {
          for (int p = 0; p < P; ++p) {
            const uint32x4_t bits = vdupq_n_u32(input[k + p * pixel]);
            for (int i = 0; i < 4; ++i) {
              const uint32x4_t differ = veorq_u32(bits, vld1q_u32(w + 4 * i));
              bytes[p][i] = vaddq_u8(bytes[p][i], vcntq_u8(vreinterpretq_u8_u32(differ)));
            }
          }
          if (++held == kMost) {
            flush();
            held = 0;
          }
        }
      }
    }
    flush();
  }
  for (int p = 0; p < P; ++p) {
    uint32_t lanes[larqlite::kLanes];
    for (int i = 0; i < 4; ++i) vst1q_u32(lanes + 4 * i, sums[p][i]);
    finish(tile, first + p, 0, lanes);
  }
}

void conv_tile(const Tile& tile, int32_t pixels, int32_t) {
  int32_t first = 0;
  for (; pixels - first >= 2; first += 2) conv_core<2>(tile, first);
  if (first < pixels) conv_core<1>(tile, first);
}

void float_tile(const Tile& tile, int32_t pixels, int32_t) { plain_float_tile(tile, pixels); }

// i16_conv_1x16__neon: one pixel after another, 16 channels; even and odd values of a run apart.
inline void pixels_core(const Tile& tile, int32_t p) {
  const uint16_t* w = tile.half_weights;
  int32x4_t sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = vdupq_n_s32(0);
  for (int64_t t = 0; t < tile.tap_count; ++t) {
    const uint16_t* x = tile.halves + p * tile.step->input.pixel + tile.taps[t];
    for (int64_t k = 0; k < tile.run; k += 2, w += 2 * larqlite::kLanes) {
      const int16_t even = static_cast<int16_t>(x[k]);
      const int16_t odd = k + 1 < tile.run ? static_cast<int16_t>(x[k + 1]) : int16_t{0};
      for (int i = 0; i < 4; i += 2) {
        const int16x8x2_t pairs = vld2q_s16(reinterpret_cast<const int16_t*>(w) + 8 * i);
        for (int side = 0; side < 2; ++side) {
          const int16_t value = side ? odd : even;
          sums[i] = vmlal_n_s16(sums[i], vget_low_s16(pairs.val[side]), value);
          sums[i + 1] = vmlal_n_s16(sums[i + 1], vget_high_s16(pairs.val[side]), value);
        }
      }
    }
  }
  int32_t totals[larqlite::kLanes];
  for (int i = 0; i < 4; ++i) vst1q_s32(totals + 4 * i, sums[i]);
  Value v[larqlite::kLanes];
  for (int32_t c = 0; c < tile.channels; ++c)
    v[c].integer = static_cast<int32_t>(static_cast<uint32_t>(totals[c]) +
                                        static_cast<uint32_t>(tile.base[p][c]));
  finish_values(tile, p, v);
}

void halves_tile(const Tile& tile, int32_t pixels, int32_t) {
  if (tile.step->kind == LQ_CONV_PIXELS)
    for (int32_t p = 0; p < pixels; ++p) pixels_core(tile, p);
  else
    plain_halves_tile(tile, pixels);
}

}  // namespace

#include "codes_neon.inc"

namespace {

double peak(int64_t rounds) {
  uint8x16_t bytes[12];
  for (int i = 0; i < 12; ++i) bytes[i] = vdupq_n_u8(0);
  for (int64_t n = 0; n < rounds * 1000; ++n) {
    const uint8x16_t bits = vdupq_n_u8(static_cast<uint8_t>(n));
    for (int i = 0; i < 12; ++i) {
      uint8x16_t x = veorq_u8(bits, bytes[i]);
      __asm__ volatile("" : "+w"(x));
      bytes[i] = vaddq_u8(bytes[i], vcntq_u8(x));
    }
  }
  volatile uint8_t kept = 0;
  for (int i = 0; i < 12; ++i) kept = static_cast<uint8_t>(kept + vaddvq_u8(bytes[i]));
  return 12000.0 * static_cast<double>(rounds) * 128;
}

}  // namespace

namespace larqlite {
extern const Kernels kNeon = {
    load,       depthwise,   pool,       mean,         move_bits,       conv,
    conv_float, conv_halves, conv_codes, conv_lookups, depthwise_codes, apply,
    peak,       peak_of_codes, nullptr,    nullptr};
}
#endif
