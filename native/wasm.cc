// Kernels for WebAssembly: vectors of 128 bits, and one instruction counts the ones of every byte.
#include "kernels.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>

// A function of its own: engines keep in registers what few instructions need, and what is called
// in several places is there once.
#define LQ_APART __attribute__((noinline))
#define LQ_INLINE inline __attribute__((always_inline))
// Registers are counted out before anything else is decided, though code is to be small.
#define LQ_UNROLLED _Pragma("clang loop unroll(full)")
// Nor is a loop cut into vectors. Values of a block and numbers of channels never overlap.
#define LARQLITE_IN_VECTORS _Pragma("clang loop vectorize(assume_safety) interleave(disable)")

namespace {

// Bit i: whether lane i of 16, in four vectors of which each lane is all ones or none.
LQ_INLINE uint32_t bits_of(const v128_t* masks) {
  const v128_t low = wasm_i16x8_narrow_i32x4(masks[0], masks[1]);
  const v128_t high = wasm_i16x8_narrow_i32x4(masks[2], masks[3]);
  return wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(low, high));
}

inline uint32_t pack_word(const float* v) {
  const v128_t zero = wasm_f32x4_const_splat(0.0f);
  uint32_t bits = 0;
  LQ_UNROLLED for (int half = 0; half < 2; ++half) {
    v128_t masks[4];
    LQ_UNROLLED for (int i = 0; i < 4; ++i)
      masks[i] = wasm_f32x4_lt(wasm_v128_load(v + 16 * half + 4 * i), zero);
    bits |= bits_of(masks) << 16 * half;
  }
  return bits;
}

inline uint32_t pack_range(const int32_t* v, const int32_t* low, const int32_t* high) {
  uint32_t bits = 0;
  LQ_UNROLLED for (int half = 0; half < 2; ++half) {
    v128_t masks[4];
    LQ_UNROLLED for (int i = 0; i < 4; ++i) {
      const int at = 16 * half + 4 * i;
      const v128_t x = wasm_v128_load(v + at);
      masks[i] = wasm_v128_or(wasm_i32x4_lt(x, wasm_v128_load(low + at)),
                              wasm_i32x4_gt(x, wasm_v128_load(high + at)));
    }
    bits |= bits_of(masks) << 16 * half;
  }
  return bits;
}

inline uint32_t pack_range(const float* v, const float* low, const float* high) {
  uint32_t bits = 0;
  LQ_UNROLLED for (int half = 0; half < 2; ++half) {
    v128_t masks[4];
    LQ_UNROLLED for (int i = 0; i < 4; ++i) {
      const int at = 16 * half + 4 * i;
      const v128_t x = wasm_v128_load(v + at);
      masks[i] = wasm_v128_or(wasm_f32x4_lt(x, wasm_v128_load(low + at)),
                              wasm_f32x4_gt(x, wasm_v128_load(high + at)));
    }
    bits |= bits_of(masks) << 16 * half;
  }
  return bits;
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

// What is not a tile is compiled to be small, as the rest of a module.
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#include "rows.inc"
#include "codes.inc"
#include "codes_plain_lookups.inc"
#pragma clang attribute pop

namespace {

constexpr int kLanes = larqlite::kLanes;

// What follows the values of 16 channels, from `at` on, of pixel p of a tile, as `finish_values`;
// returns the bits below zero, if it is to make bits.
LQ_APART uint32_t finish_vectors(const Tile& tile, int32_t p, int32_t at, v128_t* v) {
  const Finish& f = *tile.finish;
  const int32_t channel = tile.channel + at;
  const int32_t pixel = static_cast<int32_t>(tile.pixel) + p;
  v128_t x[4] = {v[0], v[1], v[2], v[3]};
  if (f.to_float)
    LQ_UNROLLED for (int i = 0; i < 4; ++i) x[i] = wasm_f32x4_convert_i32x4(x[i]);
  if (f.multiply)
    LQ_UNROLLED for (int i = 0; i < 4; ++i)
      x[i] = wasm_f32x4_mul(x[i], wasm_v128_load(f.multiply + channel + 4 * i));
  if (f.add)
    LQ_UNROLLED for (int i = 0; i < 4; ++i)
      x[i] = wasm_f32x4_add(x[i], wasm_v128_load(f.add + channel + 4 * i));
  if (f.tensor) {
    const float* tensor = f.tensor + pixel * static_cast<int32_t>(f.tensor_stride) + channel;
    LQ_UNROLLED for (int i = 0; i < 4; ++i)
      x[i] = wasm_f32x4_add(x[i], wasm_v128_load(tensor + 4 * i));
  }
  if (f.store) {
    Value* out = f.store + pixel * static_cast<int32_t>(f.store_stride) + channel;
    LQ_UNROLLED for (int i = 0; i < 4; ++i) wasm_v128_store(out + 4 * i, x[i]);
  }
  if (f.keep) {
    Value* out = tile.out + p * static_cast<int32_t>(tile.out_stride) + at;
    LQ_UNROLLED for (int i = 0; i < 4; ++i) wasm_v128_store(out + 4 * i, x[i]);
  }
  if (!f.bits) return 0;
  LQ_UNROLLED for (int i = 0; i < 4; ++i) x[i] = wasm_f32x4_lt(x[i], wasm_f32x4_const_splat(0.0f));
  return bits_of(x);
}

// The same of the first of 16 channels that exist.
LQ_APART uint32_t finish_some(const Tile& tile, int32_t p, int32_t at, Value* v) {
  finish_values(tile, p, at, v);
  uint32_t bits = 0;
  if (tile.finish->bits)
    for (int32_t c = 0; at + c < tile.channels; ++c)
      bits |= static_cast<uint32_t>(v[c].real < 0.0f) << c;
  return bits;
}

LQ_INLINE v128_t value_of_bits(const int32_t* base, const uint32_t* sums) {
  return wasm_i32x4_sub(wasm_v128_load(base), wasm_i32x4_shl(wasm_v128_load(sums), 1));
}

// What follows the sums of bits of 16 channels, from `at` on; returns bits, if it is to make some.
LQ_INLINE uint32_t finish_bits(const Tile& tile, int32_t p, int32_t at, const uint32_t* sums) {
  const Finish& f = *tile.finish;
  const int32_t* base = tile.base[p] + at;
  const uint32_t shift = static_cast<uint32_t>(tile.step->shift);
  if (tile.channels - at < kLanes) {
    Value v[kLanes] = {};
    uint32_t bits = 0;
    for (int32_t c = 0; at + c < tile.channels; ++c) {
      const int32_t x = less_twice(base[c], sums[c]) >> shift;
      v[c].integer = x;
      if (f.low) {
        const int32_t channel = tile.channel + at + c;
        bits |= static_cast<uint32_t>(x < f.low[channel] || x > f.high[channel]) << c;
      }
    }
    return f.low ? bits : finish_some(tile, p, at, v);
  }
  v128_t v[4];
  LQ_UNROLLED for (int i = 0; i < 4; ++i) v[i] = value_of_bits(base + 4 * i, sums + 4 * i);
  if (shift != 0)
    LQ_UNROLLED for (int i = 0; i < 4; ++i) v[i] = wasm_i32x4_shr(v[i], shift);
  if (!f.low) return finish_vectors(tile, p, at, v);
  const int32_t *low = f.low + tile.channel + at, *high = f.high + tile.channel + at;
  LQ_UNROLLED for (int i = 0; i < 4; ++i)
    v[i] = wasm_v128_or(wasm_i32x4_lt(v[i], wasm_v128_load(low + 4 * i)),
                        wasm_i32x4_gt(v[i], wasm_v128_load(high + 4 * i)));
  return bits_of(v);
}

// The same of all channels of a tile; `next` from the sums of 16 of them to those of the next.
LQ_APART void finish_pixel(const Tile& tile, int32_t p, int32_t vectors, const uint32_t* sums,
                           int32_t next) {
  const Finish& f = *tile.finish;
  const int32_t pixel = static_cast<int32_t>(tile.pixel) + p;
  uint32_t* out =
      f.bits ? f.bits + pixel * static_cast<int32_t>(f.bits_stride) + tile.channel / 32 : nullptr;
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
// the one before, its sums `kLanes`.
template <int P>
LQ_APART void sum_bits(const uint32_t* input, const uint32_t* weights, int32_t words, bool is_first,
                       uint32_t* sums) {
  v128_t bytes[P][2];
  LQ_UNROLLED for (int p = 0; p < P; ++p) bytes[p][0] = bytes[p][1] = wasm_i32x4_const_splat(0);
  for (; words > 0; --words, ++input, weights += kLanes) {
    const v128_t low = wasm_v128_load(weights), high = wasm_v128_load(weights + 4);
    LQ_UNROLLED for (int p = 0; p < P; ++p) {
      const v128_t bits = wasm_v128_load32_splat(input + p * kMostWords);
      bytes[p][0] = wasm_i8x16_add(bytes[p][0], wasm_i8x16_popcnt(wasm_v128_xor(bits, low)));
      bytes[p][1] = wasm_i8x16_add(bytes[p][1], wasm_i8x16_popcnt(wasm_v128_xor(bits, high)));
    }
  }
  LQ_UNROLLED for (int p = 0; p < P; ++p)
    LQ_UNROLLED for (int i = 0; i < 2; ++i) {
      uint32_t* at = sums + p * kLanes + 4 * i;
      const v128_t pairs = wasm_u16x8_extadd_pairwise_u8x16(bytes[p][i]);
      v128_t sum = wasm_u32x4_extadd_pairwise_u16x8(pairs);
      if (!is_first) sum = wasm_i32x4_add(sum, wasm_v128_load(at));
      wasm_v128_store(at, sum);
    }
}

constexpr int32_t kVectors = 4;    // of 16 channels, for which the words of a window are gathered once
constexpr int32_t kTilePixels = 4;

// A part of the window of all pixels: `words` words of each of some taps, whose weights lie one
// behind another.
struct Gathered {
  uint32_t at[kTilePixels][kMostWords];
  int32_t held;

  void gather(const uint32_t* input, int32_t pixels, int32_t pixel, const int64_t* taps,
              int32_t tap_count, int32_t words) {
    held = tap_count * words;
    for (int32_t p = 0; p < pixels; ++p, input += pixel) {
      uint32_t* out = at[p];
      for (int32_t t = 0; t < tap_count; ++t) {
        const uint32_t* in = input + static_cast<int32_t>(taps[t]);
        int32_t k = 0;
        for (; k + 2 <= words; k += 2, out += 2) __builtin_memcpy(out, in + k, 8);
        if (k < words) *out++ = in[k];
      }
    }
  }
};

void conv_tile(const Tile& tile, int32_t pixels, int32_t) {
  const lq_step& s = *tile.step;
  const int32_t vectors = larqlite::blocks_of(tile.channels);
  const int32_t taps = static_cast<int32_t>(tile.tap_count), words = s.words;
  const int32_t words_at_once = words < kMostWords ? words : kMostWords;
  const int32_t taps_at_once = kMostWords / words_at_once;
  uint32_t sums[kVectors][kTilePixels][kLanes];
  Gathered window;
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
      for (int32_t t = 0; t < taps; t += taps_at_once)
        for (int32_t k = 0; k < words; k += words_at_once) {
          window.gather(plane + k, pixels, static_cast<int32_t>(s.input.pixel), tile.taps + t,
                        taps - t < taps_at_once ? taps - t : taps_at_once,
                        words - k < words_at_once ? words - k : words_at_once);
          for (int32_t v = 0; v < vectors; ++v)
            for (int half = 0; half < kLanes; half += kLanes / 2) {
              const uint32_t* w = weights + v * tile.block_stride + half;
              uint32_t* out = sums[v][0] + half;
              if (pixels == 4)
                sum_bits<4>(window.at[0], w, window.held, is_first, out);
              else if (pixels == 3)
                sum_bits<3>(window.at[0], w, window.held, is_first, out);
              else if (pixels == 2)
                sum_bits<2>(window.at[0], w, window.held, is_first, out);
              else
                sum_bits<1>(window.at[0], w, window.held, is_first, out);
            }
          weights += window.held * kLanes;
          is_first = false;
        }
    }
  }
  for (int32_t p = 0; p < pixels; ++p)
    finish_pixel(tile, p, vectors, sums[0][p], kTilePixels * kLanes);
}

struct Tiles {
  static constexpr int64_t kPixels = kTilePixels;
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

// The sums of 16 channels of each pixel of a tile, in vectors of 4.
struct Sums {
  v128_t of[kTilePixels][4];
};

// Sums of halves of 16 channels, of up to 4 pixels at once: of the instances of `Sum`, that of so many.
template <template <int> class Sum>
inline void sum_tile(const Tile& tile, int32_t pixels, Sums& sums) {
  for (int half = 0; half < 2; ++half) {
    if (pixels == 4)
      Sum<4>::run(tile, half, sums);
    else if (pixels == 3)
      Sum<3>::run(tile, half, sums);
    else if (pixels == 2)
      Sum<2>::run(tile, half, sums);
    else
      Sum<1>::run(tile, half, sums);
  }
}

inline void finish_sums(const Tile& tile, int32_t pixels, Sums& sums) {
  for (int32_t p = 0; p < pixels; ++p) {
    if (tile.channels >= kLanes) {
      finish_vectors(tile, p, 0, sums.of[p]);
      continue;
    }
    Value values[kLanes];
    __builtin_memcpy(values, sums.of[p], sizeof values);
    finish_some(tile, p, 0, values);
  }
}

// f32_conv_Px8__wasm: P pixels, 8 channels; products are added in the order of the portable kernels.
template <int P>
struct FloatSum {
  static LQ_APART void run(const Tile& tile, int half, Sums& sums) {
    const int32_t pixel = static_cast<int32_t>(tile.step->input.pixel);
    const int32_t taps = static_cast<int32_t>(tile.tap_count), run = static_cast<int32_t>(tile.run);
    v128_t own[P][2];
    LQ_UNROLLED for (int p = 0; p < P; ++p) own[p][0] = own[p][1] = wasm_f32x4_const_splat(0.0f);
    const float* w = tile.number_weights + 8 * half;
    for (int32_t t = 0; t < taps; ++t) {
      const float* x = tile.numbers + static_cast<int32_t>(tile.taps[t]);
      for (int32_t k = run; k > 0; --k, ++x, w += kLanes) {
        const v128_t low = wasm_v128_load(w), high = wasm_v128_load(w + 4);
        LQ_UNROLLED for (int p = 0; p < P; ++p) {
          const v128_t value = wasm_v128_load32_splat(x + p * pixel);
          own[p][0] = wasm_f32x4_add(own[p][0], wasm_f32x4_mul(value, low));
          own[p][1] = wasm_f32x4_add(own[p][1], wasm_f32x4_mul(value, high));
        }
      }
    }
    LQ_UNROLLED for (int p = 0; p < P; ++p)
      LQ_UNROLLED for (int i = 0; i < 2; ++i) sums.of[p][2 * half + i] = own[p][i];
  }
};

void float_tile(const Tile& tile, int32_t pixels, int32_t) {
  Sums sums;
  sum_tile<FloatSum>(tile, pixels, sums);
  finish_sums(tile, pixels, sums);
}

// i16_conv_Px8__wasm: P pixels, 8 channels; two values of a run at once.
template <int P>
struct PixelSum {
  static LQ_APART void run(const Tile& tile, int half, Sums& sums) {
    const int32_t pixel = static_cast<int32_t>(tile.step->input.pixel);
    const int32_t taps = static_cast<int32_t>(tile.tap_count), run = static_cast<int32_t>(tile.run);
    v128_t own[P][2];
    LQ_UNROLLED for (int p = 0; p < P; ++p) own[p][0] = own[p][1] = wasm_i32x4_const_splat(0);
    const uint16_t* w = tile.half_weights + 16 * half;
    for (int32_t t = 0; t < taps; ++t) {
      const uint16_t* x = tile.halves + static_cast<int32_t>(tile.taps[t]);
      for (int32_t k = run; k > 0; k -= 2, x += 2, w += 2 * kLanes) {
        const v128_t low = wasm_v128_load(w), high = wasm_v128_load(w + 8);
        LQ_UNROLLED for (int p = 0; p < P; ++p) {
          const v128_t pair = wasm_v128_load32_splat(x + p * pixel);
          own[p][0] = wasm_i32x4_add(own[p][0], wasm_i32x4_dot_i16x8(pair, low));
          own[p][1] = wasm_i32x4_add(own[p][1], wasm_i32x4_dot_i16x8(pair, high));
        }
      }
    }
    LQ_UNROLLED for (int p = 0; p < P; ++p)
      LQ_UNROLLED for (int i = 0; i < 2; ++i) sums.of[p][2 * half + i] = own[p][i];
  }
};

void halves_tile(const Tile& tile, int32_t pixels, int32_t) {
  if (tile.step->kind != LQ_CONV_PIXELS) return plain_halves_tile(tile, pixels);
  Sums sums;
  sum_tile<PixelSum>(tile, pixels, sums);
  for (int32_t p = 0; p < pixels; ++p) {
    int32_t base[kLanes] = {};
    for (int32_t c = 0; c < tile.channels; ++c) base[c] = tile.base[p][c];
    LQ_UNROLLED for (int i = 0; i < 4; ++i)
      sums.of[p][i] = wasm_i32x4_add(sums.of[p][i], wasm_v128_load(base + 4 * i));
  }
  finish_sums(tile, pixels, sums);
}

// u8_conv_Px8__wasm: P pixels, 8 channels; four products of a channel at once.
template <int P>
LQ_APART void sum_codes(const Tile& tile, int32_t first, const uint32_t* w, uint32_t* lanes) {
  const lq_step& s = *tile.step;
  const int32_t bits = s.weight_bits, together = 8 / bits, words = s.words;
  const v128_t mask = wasm_i8x16_splat(static_cast<int8_t>((1 << bits) - 1));
  const int32_t pixel = static_cast<int32_t>(s.input.pixel);
  const int32_t taps = static_cast<int32_t>(tile.tap_count);
  const int32_t next = static_cast<int32_t>(tile.block_stride);
  v128_t sums[P][4];  // of two channels each: of their first two products, and of their last
  LQ_UNROLLED for (int p = 0; p < P; ++p)
    LQ_UNROLLED for (int i = 0; i < 4; ++i) sums[p][i] = wasm_i32x4_const_splat(0);
  for (int32_t t = 0; t < taps; ++t) {
    const uint32_t* input = tile.input + first * pixel + static_cast<int32_t>(tile.taps[t]);
    for (int32_t k = 0; k < words; k += together, w += next) {
      v128_t low = wasm_v128_load(w), high = wasm_v128_load(w + 4);
      const int32_t end = k + together < words ? k + together : words;
      for (int32_t at = k; at < end; ++at) {
        const v128_t a = wasm_v128_and(low, mask), b = wasm_v128_and(high, mask);
        const v128_t numbers[4] = {wasm_u16x8_extend_low_u8x16(a), wasm_u16x8_extend_high_u8x16(a),
                                   wasm_u16x8_extend_low_u8x16(b), wasm_u16x8_extend_high_u8x16(b)};
        LQ_UNROLLED for (int p = 0; p < P; ++p) {
          const v128_t x =
              wasm_i16x8_extend_low_i8x16(wasm_v128_load32_splat(input + at + p * pixel));
          LQ_UNROLLED for (int i = 0; i < 4; ++i)
            sums[p][i] = wasm_i32x4_add(sums[p][i], wasm_i32x4_dot_i16x8(x, numbers[i]));
        }
        // Bits that come down from the byte above lie above those that count.
        low = wasm_u16x8_shr(low, static_cast<uint32_t>(bits));
        high = wasm_u16x8_shr(high, static_cast<uint32_t>(bits));
      }
    }
  }
  LQ_UNROLLED for (int p = 0; p < P; ++p)
    LQ_UNROLLED for (int i = 0; i < 2; ++i) {
      const v128_t a = sums[p][2 * i], b = sums[p][2 * i + 1];
      wasm_v128_store(lanes + p * kLanes + 4 * i,
                      wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6),
                                     wasm_i32x4_shuffle(a, b, 1, 3, 5, 7)));
    }
}

void code_tile(const Tile& tile, int32_t pixels, int32_t) {
  for (int32_t first = 0; first < pixels; first += 2) {
    const int32_t count = pixels - first < 2 ? 1 : 2;
    uint32_t lanes[2][kLanes];
    for (int half = 0; half < kLanes; half += kLanes / 2) {
      const uint32_t* w = tile.weights + half;
      if (count == 2)
        sum_codes<2>(tile, first, w, lanes[0] + half);
      else
        sum_codes<1>(tile, first, w, lanes[0] + half);
    }
    for (int32_t p = 0; p < count; ++p) finish_codes(tile, first + p, lanes[p]);
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
