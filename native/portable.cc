// Kernels in plain C++, for every machine.
#include "kernels.h"

namespace {

inline uint32_t pack_word(const float* v) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(v[i] < 0.0f) << i;
  return bits;
}

template <typename T>
inline uint32_t pack_range(const T* v, const T* low, const T* high) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(v[i] < low[i] || v[i] > high[i]) << i;
  return bits;
}

inline uint32_t popcount(uint32_t x) {
  x -= x >> 1 & 0x55555555u;
  x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  return x * 0x01010101u >> 24;
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

// b1_conv_1x16__portable: one pixel after another, 16 channels.
void conv_tile(const Tile& tile, int32_t pixels, int32_t) {
  const lq_step& s = *tile.step;
  const int64_t taps = tile.tap_count;
  for (int32_t p = 0; p < pixels; ++p) {
    uint32_t sums[larqlite::kLanes] = {};
    for (int32_t sum = s.input_planes + s.weight_planes - 2; sum >= 0; --sum) {
      for (uint32_t& lane : sums) lane *= 2;
      for (int32_t in = 0; in < s.input_planes; ++in) {
        const int32_t of_weights = sum - in;
        if (of_weights < 0 || of_weights >= s.weight_planes) continue;
        const uint32_t* w = tile.weights + of_weights * taps * s.words * larqlite::kLanes;
        const uint32_t* plane =
            tile.input + p * s.input.pixel + static_cast<int64_t>(in) * s.groups * s.words;
        for (int64_t t = 0; t < taps; ++t) {
          const uint32_t* input = plane + tile.taps[t];
          for (int32_t k = 0; k < s.words; ++k, w += larqlite::kLanes)
            for (int lane = 0; lane < larqlite::kLanes; ++lane)
              sums[lane] += popcount(input[k] ^ w[lane]);
        }
      }
    }
    finish(tile, p, 0, sums);
  }
}

void halves_tile(const Tile& tile, int32_t pixels, int32_t) { plain_halves_tile(tile, pixels); }

void float_tile(const Tile& tile, int32_t pixels, int32_t) { plain_float_tile(tile, pixels); }

void code_tile(const Tile& tile, int32_t pixels, int32_t) { plain_code_tile(tile, pixels); }

// As Kernels::peak, of products of bytes.
double peak_of_codes(int64_t rounds) {
  uint32_t sums[larqlite::kLanes] = {};
  int8_t x[larqlite::kLanes];
  for (int lane = 0; lane < larqlite::kLanes; ++lane) x[lane] = static_cast<int8_t>(7 * lane);
  for (int64_t i = 0; i < rounds * 1000; ++i)
    for (int k = 0; k < 12; ++k)
      for (int lane = 0; lane < larqlite::kLanes; ++lane)
        sums[lane] += (static_cast<uint32_t>(i + k) & 15u) * static_cast<uint32_t>(x[lane]);
  volatile uint32_t kept = sums[0] + sums[larqlite::kLanes - 1];
  (void)kept;
  return 12000.0 * static_cast<double>(rounds) * larqlite::kLanes;
}

double peak(int64_t rounds) {
  uint32_t sums[larqlite::kLanes] = {}, words[larqlite::kLanes];
  for (int lane = 0; lane < larqlite::kLanes; ++lane) words[lane] = 77u * lane;
  for (int64_t i = 0; i < rounds * 1000; ++i)
    for (int k = 0; k < 12; ++k)
      for (int lane = 0; lane < larqlite::kLanes; ++lane)
        sums[lane] += popcount(words[lane] ^ static_cast<uint32_t>(i + k));
  volatile uint32_t kept = sums[0] + sums[larqlite::kLanes - 1];
  (void)kept;
  return 12000.0 * static_cast<double>(rounds) * 32 * larqlite::kLanes;
}

}  // namespace

namespace larqlite {
const Kernels kPortable = {
    load,       depthwise,   pool,       mean,         move_bits,       conv,
    conv_float, conv_halves, conv_codes, conv_lookups, depthwise_codes, apply,
    peak,       peak_of_codes, nullptr,    nullptr};
}
