// Kernels for WebAssembly: vectors of 128 bits, and one instruction counts the ones of every byte.
#include "kernels.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>

namespace {

// Bit i: whether lane i of 16, in four vectors of which each lane is all ones or none.
inline uint32_t bits_of(const v128_t* masks) {
  const v128_t low = wasm_i16x8_narrow_i32x4(masks[0], masks[1]);
  const v128_t high = wasm_i16x8_narrow_i32x4(masks[2], masks[3]);
  return wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(low, high));
}

// The same of 32 lanes; mask(i) is that of the four from i on.
template <typename Mask>
inline uint32_t word_of(Mask mask) {
  uint32_t bits = 0;
  for (int half = 0; half < 32; half += 16) {
    const v128_t masks[4] = {mask(half), mask(half + 4), mask(half + 8), mask(half + 12)};
    bits |= bits_of(masks) << half;
  }
  return bits;
}

inline uint32_t pack_word(const float* v) {
  const v128_t zero = wasm_f32x4_const_splat(0.0f);
  return word_of([=](int i) { return wasm_f32x4_lt(wasm_v128_load(v + i), zero); });
}

inline uint32_t pack_range(const int32_t* v, const int32_t* low, const int32_t* high) {
  return word_of([=](int i) {
    const v128_t x = wasm_v128_load(v + i);
    return wasm_v128_or(wasm_i32x4_lt(x, wasm_v128_load(low + i)),
                        wasm_i32x4_gt(x, wasm_v128_load(high + i)));
  });
}

inline uint32_t pack_range(const float* v, const float* low, const float* high) {
  return word_of([=](int i) {
    const v128_t x = wasm_v128_load(v + i);
    return wasm_v128_or(wasm_f32x4_lt(x, wasm_v128_load(low + i)),
                        wasm_f32x4_gt(x, wasm_v128_load(high + i)));
  });
}

inline int32_t vectors_for(int64_t, int32_t) { return 1; }
constexpr bool kLeavesBordersOut = false;
constexpr bool kPacksInRegisters = false;  // but for sums of bits (`Tiles`)
constexpr int kFloatPixels = 4;            // of a tile of a float convolution
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

constexpr int kLanes = larqlite::kLanes;

// What follows the values of 16 channels, from `at` on, of pixel p of a tile, as `finish_values`;
// returns the bits that it makes of them, if it makes any.
inline uint32_t finish_vectors(const Tile& tile, int32_t p, int32_t at, v128_t* v) {
  const Finish& f = *tile.finish;
  const int32_t channel = tile.channel + at;
  const int64_t pixel = tile.pixel + p;
  if (f.to_float)
    for (int i = 0; i < 4; ++i) v[i] = wasm_f32x4_convert_i32x4(v[i]);
  if (f.multiply)
    for (int i = 0; i < 4; ++i)
      v[i] = wasm_f32x4_mul(v[i], wasm_v128_load(f.multiply + channel + 4 * i));
  if (f.add)
    for (int i = 0; i < 4; ++i)
      v[i] = wasm_f32x4_add(v[i], wasm_v128_load(f.add + channel + 4 * i));
  if (f.tensor) {
    const float* tensor = f.tensor + pixel * f.tensor_stride + channel;
    for (int i = 0; i < 4; ++i) v[i] = wasm_f32x4_add(v[i], wasm_v128_load(tensor + 4 * i));
  }
  if (f.store) {
    Value* out = f.store + pixel * f.store_stride + channel;
    for (int i = 0; i < 4; ++i) wasm_v128_store(out + 4 * i, v[i]);
  }
  if (f.keep) {
    Value* out = tile.out + p * tile.out_stride + at;
    for (int i = 0; i < 4; ++i) wasm_v128_store(out + 4 * i, v[i]);
  }
  if (!f.bits) return 0;
  v128_t masks[4];
  for (int i = 0; i < 4; ++i)
    masks[i] = f.low ? wasm_v128_or(
                           wasm_i32x4_lt(v[i], wasm_v128_load(f.low + channel + 4 * i)),
                           wasm_i32x4_gt(v[i], wasm_v128_load(f.high + channel + 4 * i)))
                     : wasm_f32x4_lt(v[i], wasm_f32x4_const_splat(0.0f));
  return bits_of(masks);
}

// The same of the first of 16 channels that exist.
inline uint32_t finish_some(const Tile& tile, int32_t p, int32_t at, Value* v) {
  const Finish& f = *tile.finish;
  finish_values(tile, p, at, v);
  uint32_t bits = 0;
  if (!f.bits) return bits;
  for (int32_t c = 0; at + c < tile.channels; ++c) {
    const int32_t channel = tile.channel + at + c;
    const bool one = f.low ? v[c].integer < f.low[channel] || v[c].integer > f.high[channel]
                           : v[c].real < 0.0f;
    bits |= static_cast<uint32_t>(one) << c;
  }
  return bits;
}

// What follows the sums of bits of 16 channels, from `at` on.
inline uint32_t finish_bits(const Tile& tile, int32_t p, int32_t at, const uint32_t* sums) {
  const int32_t* base = tile.base[p] + at;
  const int32_t shift = tile.step->shift;
  if (tile.channels - at < kLanes) {
    Value v[kLanes] = {};
    for (int32_t c = 0; at + c < tile.channels; ++c)
      v[c].integer = (base[c] - 2 * static_cast<int32_t>(sums[c])) >> shift;
    return finish_some(tile, p, at, v);
  }
  v128_t v[4];
  for (int i = 0; i < 4; ++i) {
    const v128_t twice = wasm_i32x4_shl(wasm_v128_load(sums + 4 * i), 1);
    v[i] = wasm_i32x4_shr(wasm_i32x4_sub(wasm_v128_load(base + 4 * i), twice),
                          static_cast<uint32_t>(shift));
  }
  return finish_vectors(tile, p, at, v);
}

// The same of all channels of a tile; `next` from the sums of 16 of them to those of the next.
__attribute__((noinline)) void finish_pixel(const Tile& tile, int32_t p, int32_t vectors,
                                            const uint32_t* sums, int32_t next) {
  const Finish& f = *tile.finish;
  uint32_t* out = f.bits ? f.bits + (tile.pixel + p) * f.bits_stride + tile.channel / 32 : nullptr;
  uint32_t word = 0;
  for (int32_t v = 0; v < vectors; ++v, sums += next) {
    const uint32_t bits = finish_bits(tile, p, v * kLanes, sums);
    word = v % 2 ? word | bits << kLanes : bits;
    if (out && (v % 2 || v + 1 == vectors)) *out++ = word;
  }
}

// Words of a window that are summed at once: each adds up to 8 to a byte, so no more than 31.
constexpr int32_t kMostWords = 24;

// b1_conv_Px8__wasm: P pixels, 8 channels. The words of each pixel lie `kMostWords` behind those of
// the one before, its sums `kLanes`. A function of its own, and a loop of few instructions: engines
// make of that what they can hold in registers.
template <int P>
__attribute__((noinline)) void sum_bits(const uint32_t* input, const uint32_t* weights,
                                        int32_t words, bool is_first, uint32_t* sums) {
  v128_t bytes[P][2];
  for (int p = 0; p < P; ++p) bytes[p][0] = bytes[p][1] = wasm_i32x4_const_splat(0);
  for (; words > 0; --words, ++input, weights += kLanes) {
    const v128_t low = wasm_v128_load(weights), high = wasm_v128_load(weights + 4);
    for (int p = 0; p < P; ++p) {
      const v128_t bits = wasm_v128_load32_splat(input + p * kMostWords);
      bytes[p][0] = wasm_i8x16_add(bytes[p][0], wasm_i8x16_popcnt(wasm_v128_xor(bits, low)));
      bytes[p][1] = wasm_i8x16_add(bytes[p][1], wasm_i8x16_popcnt(wasm_v128_xor(bits, high)));
    }
  }
  for (int p = 0; p < P; ++p, sums += kLanes)
    for (int i = 0; i < 2; ++i) {
      const v128_t pairs = wasm_u16x8_extadd_pairwise_u8x16(bytes[p][i]);
      v128_t sum = wasm_u32x4_extadd_pairwise_u16x8(pairs);
      if (!is_first) sum = wasm_i32x4_add(sum, wasm_v128_load(sums + 4 * i));
      wasm_v128_store(sums + 4 * i, sum);
    }
}

constexpr int32_t kVectors = 4;  // of 16 channels, for which the words of a window are gathered once

template <int P, int W>
void conv_pixels(const Tile& tile, int32_t vectors) {
  const lq_step& s = *tile.step;
  const int32_t taps = static_cast<int32_t>(tile.tap_count), words = s.words;
  const int32_t pixel = static_cast<int32_t>(s.input.pixel);
  uint32_t sums[kVectors][P][kLanes], gathered[P][kMostWords];
  bool is_first = true;
  for (int32_t sum = s.input_planes + s.weight_planes - 2; sum >= 0; --sum) {
    if (!is_first)
      for (auto& vector : sums)
        for (auto& of_pixel : vector)
          for (uint32_t& lane : of_pixel) lane *= 2;
    for (int32_t in = 0; in < s.input_planes; ++in) {
      const int32_t of_weights = sum - in;
      if (of_weights < 0 || of_weights >= s.weight_planes) continue;
      const uint32_t* weights = tile.weights + of_weights * taps * words * kLanes;
      const uint32_t* plane = tile.input + in * s.groups * words;
      int32_t held = 0;
      for (int32_t t = 0; t < taps; ++t) {
        const uint32_t* input = plane + static_cast<int32_t>(tile.taps[t]);
        for (int32_t k = 0; k < words; k += W) {
          for (int p = 0; p < P; ++p)
            __builtin_memcpy(gathered[p] + held, input + p * pixel + k, sizeof(uint32_t) * W);
          held += W;
          const bool is_last = t + 1 == taps && k + W == words;
          if (held < kMostWords && !is_last) continue;
          for (int32_t v = 0; v < vectors; ++v)
            for (int half = 0; half < kLanes; half += kLanes / 2)
              sum_bits<P>(gathered[0], weights + v * tile.block_stride + half, held, is_first,
                          sums[v][0] + half);
          weights += held * kLanes;
          held = 0;
          is_first = false;
        }
      }
    }
  }
  for (int p = 0; p < P; ++p) finish_pixel(tile, p, vectors, sums[0][p], P * kLanes);
}

template <int W>
void conv_words(const Tile& tile, int32_t pixels) {
  const int32_t vectors = larqlite::blocks_of(tile.channels);
  switch (pixels) {
    case 4:
      return conv_pixels<4, W>(tile, vectors);
    case 3:
      return conv_pixels<3, W>(tile, vectors);
    case 2:
      return conv_pixels<2, W>(tile, vectors);
    default:
      return conv_pixels<1, W>(tile, vectors);
  }
}

void conv_tile(const Tile& tile, int32_t pixels, int32_t) {
  if (tile.step->words % 2 == 0)
    conv_words<2>(tile, pixels);
  else
    conv_words<1>(tile, pixels);
}

struct Tiles {
  static constexpr int64_t kPixels = 4;
  static constexpr bool kLeavesBordersOut = false;
  static bool packs(const lq_step&) { return true; }
  static int32_t vectors(int64_t, int32_t) { return kVectors; }
  static void run(const Tile& tile, int32_t pixels, int32_t vectors) {
    conv_tile(tile, pixels, vectors);
  }
};

int32_t conv_of_bits(const Block& block, Value* values) {
  return conv_by<Tiles>(block, values, data<uint32_t>(block, block.step->weights));
}

inline void finish_sums_of(const Tile& tile, int32_t p, v128_t* v) {
  if (tile.channels >= kLanes) {
    finish_vectors(tile, p, 0, v);
    return;
  }
  Value values[kLanes];
  for (int i = 0; i < 4; ++i) wasm_v128_store(values + 4 * i, v[i]);
  finish_some(tile, p, 0, values);
}

// f32_conv_Px8__wasm: P pixels, 8 channels; products are added in the order of the portable kernels.
template <int P>
inline void float_pixels(const Tile& tile) {
  const int32_t pixel = static_cast<int32_t>(tile.step->input.pixel);
  const int32_t taps = static_cast<int32_t>(tile.tap_count), run = static_cast<int32_t>(tile.run);
  v128_t sums[P][4];
  for (int half = 0; half < 4; half += 2) {
    v128_t own[P][2];
    for (int p = 0; p < P; ++p) own[p][0] = own[p][1] = wasm_f32x4_const_splat(0.0f);
    const float* w = tile.number_weights + 4 * half;
    for (int32_t t = 0; t < taps; ++t) {
      const float* x = tile.numbers + static_cast<int32_t>(tile.taps[t]);
      for (int32_t k = run; k > 0; --k, ++x, w += kLanes) {
        const v128_t low = wasm_v128_load(w), high = wasm_v128_load(w + 4);
        for (int p = 0; p < P; ++p) {
          const v128_t value = wasm_v128_load32_splat(x + p * pixel);
          own[p][0] = wasm_f32x4_add(own[p][0], wasm_f32x4_mul(value, low));
          own[p][1] = wasm_f32x4_add(own[p][1], wasm_f32x4_mul(value, high));
        }
      }
    }
    for (int p = 0; p < P; ++p) {
      sums[p][half] = own[p][0];
      sums[p][half + 1] = own[p][1];
    }
  }
  for (int p = 0; p < P; ++p) finish_sums_of(tile, p, sums[p]);
}

void float_tile(const Tile& tile, int32_t pixels, int32_t) {
  switch (pixels) {
    case 4:
      return float_pixels<4>(tile);
    case 3:
      return float_pixels<3>(tile);
    case 2:
      return float_pixels<2>(tile);
    default:
      return float_pixels<1>(tile);
  }
}

// i16_conv_Px8__wasm: P pixels, 8 channels; two values of a run at once.
template <int P>
inline void integer_pixels(const Tile& tile) {
  const int32_t pixel = static_cast<int32_t>(tile.step->input.pixel);
  const int32_t taps = static_cast<int32_t>(tile.tap_count), run = static_cast<int32_t>(tile.run);
  v128_t sums[P][4];
  for (int half = 0; half < 4; half += 2) {
    v128_t own[P][2];
    for (int p = 0; p < P; ++p) own[p][0] = own[p][1] = wasm_i32x4_const_splat(0);
    const uint16_t* w = tile.half_weights + 8 * half;
    for (int32_t t = 0; t < taps; ++t) {
      const uint16_t* x = tile.halves + static_cast<int32_t>(tile.taps[t]);
      for (int32_t k = run; k > 0; k -= 2, x += 2, w += 2 * kLanes) {
        const v128_t low = wasm_v128_load(w), high = wasm_v128_load(w + 8);
        for (int p = 0; p < P; ++p) {
          const v128_t pair = wasm_v128_load32_splat(x + p * pixel);
          own[p][0] = wasm_i32x4_add(own[p][0], wasm_i32x4_dot_i16x8(pair, low));
          own[p][1] = wasm_i32x4_add(own[p][1], wasm_i32x4_dot_i16x8(pair, high));
        }
      }
    }
    for (int p = 0; p < P; ++p) {
      sums[p][half] = own[p][0];
      sums[p][half + 1] = own[p][1];
    }
  }
  for (int p = 0; p < P; ++p) {
    int32_t base[kLanes] = {};
    for (int32_t c = 0; c < tile.channels; ++c) base[c] = tile.base[p][c];
    for (int i = 0; i < 4; ++i)
      sums[p][i] = wasm_i32x4_add(sums[p][i], wasm_v128_load(base + 4 * i));
    finish_sums_of(tile, p, sums[p]);
  }
}

void halves_tile(const Tile& tile, int32_t pixels, int32_t) {
  if (tile.step->kind != LQ_CONV_PIXELS) return plain_halves_tile(tile, pixels);
  switch (pixels) {
    case 4:
      return integer_pixels<4>(tile);
    case 3:
      return integer_pixels<3>(tile);
    case 2:
      return integer_pixels<2>(tile);
    default:
      return integer_pixels<1>(tile);
  }
}

// Numbers of B bits, the j-th of each byte, of two channels of 4 as 16 bits.
template <int B>
inline v128_t numbers_of(v128_t w, int j) {
  if (B == 8) return w;
  return wasm_v128_and(wasm_u8x16_shr(w, static_cast<uint32_t>(B * j)),
                       wasm_i8x16_splat(static_cast<int8_t>((1 << B) - 1)));
}

// u8_conv_Px8__wasm: P pixels, 8 channels, numbers of B bits; four products of a channel at once.
template <int B, int P>
inline void sum_codes(const Tile& tile, int32_t first, const uint32_t* weights,
                      uint32_t (*lanes)[kLanes]) {
  constexpr int32_t kTogether = 8 / B;
  const lq_step& s = *tile.step;
  const int32_t pixel = static_cast<int32_t>(s.input.pixel), words = s.words;
  const int32_t taps = static_cast<int32_t>(tile.tap_count);
  const int32_t next = static_cast<int32_t>(tile.block_stride);
  v128_t sums[P][4];  // each of two channels: of its first two products, and of its last
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < 4; ++i) sums[p][i] = wasm_i32x4_const_splat(0);
  const uint32_t* w = weights;
  for (int32_t t = 0; t < taps; ++t) {
    const uint32_t* input =
        tile.input + first * pixel + static_cast<int32_t>(tile.taps[t]);
    for (int32_t k = 0; k < words; k += kTogether, w += next) {
      const v128_t vectors[2] = {wasm_v128_load(w), wasm_v128_load(w + 4)};
      const int32_t left = words - k < kTogether ? words - k : kTogether;
      for (int32_t j = 0; j < left; ++j) {
        v128_t numbers[4];
        for (int i = 0; i < 2; ++i) {
          const v128_t bytes = numbers_of<B>(vectors[i], j);
          numbers[2 * i] = wasm_u16x8_extend_low_u8x16(bytes);
          numbers[2 * i + 1] = wasm_u16x8_extend_high_u8x16(bytes);
        }
        for (int p = 0; p < P; ++p) {
          const v128_t x =
              wasm_i16x8_extend_low_i8x16(wasm_v128_load32_splat(input + k + j + p * pixel));
          for (int i = 0; i < 4; ++i)
            sums[p][i] = wasm_i32x4_add(sums[p][i], wasm_i32x4_dot_i16x8(x, numbers[i]));
        }
      }
    }
  }
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < 2; ++i) {
      const v128_t a = sums[p][2 * i], b = sums[p][2 * i + 1];
      wasm_v128_store(lanes[p] + 4 * i, wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6),
                                                       wasm_i32x4_shuffle(a, b, 1, 3, 5, 7)));
    }
}

template <int B, int P>
void code_pixels(const Tile& tile, int32_t first) {
  uint32_t lanes[P][kLanes];
  for (int half = 0; half < kLanes; half += kLanes / 2)
    sum_codes<B, P>(tile, first, tile.weights + half,
                    reinterpret_cast<uint32_t(*)[kLanes]>(lanes[0] + half));
  for (int p = 0; p < P; ++p) finish_codes(tile, first + p, lanes[p]);
}

template <int B>
void code_tile_of(const Tile& tile, int32_t pixels) {
  int32_t first = 0;
  for (; pixels - first >= 2; first += 2) code_pixels<B, 2>(tile, first);
  if (first < pixels) code_pixels<B, 1>(tile, first);
}

void code_tile(const Tile& tile, int32_t pixels, int32_t) {
  switch (tile.step->weight_bits) {
    case 1:
      return code_tile_of<1>(tile, pixels);
    case 2:
      return code_tile_of<2>(tile, pixels);
    case 4:
      return code_tile_of<4>(tile, pixels);
    default:
      return code_tile_of<8>(tile, pixels);
  }
}

}  // namespace

namespace larqlite {
extern const Kernels kWasm = {
    load,       depthwise,   pool,       mean,         move_bits,       conv_of_bits,
    conv_float, conv_halves, conv_codes, conv_lookups, depthwise_codes, apply,
    nullptr,    nullptr,     nullptr,    nullptr};
}
#endif
