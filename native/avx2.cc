// Kernels for CPUs with AVX2 and FMA: ones are counted by table look-up of four bits at a time.
#include "kernels.h"
#include "target.h"

#if defined(__x86_64__)
#include <immintrin.h>

LARQLITE_TARGET_BEGIN("avx2,fma")

namespace {

inline uint32_t pack_word(const float* v) {
  const __m256 zero = _mm256_setzero_ps();
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    const __m256 below = _mm256_cmp_ps(_mm256_loadu_ps(v + 8 * i), zero, _CMP_LT_OQ);
    bits |= static_cast<uint32_t>(_mm256_movemask_ps(below)) << 8 * i;
  }
  return bits;
}

inline __m256i read(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline uint32_t pack_range(const int32_t* v, const int32_t* low, const int32_t* high) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i += 8) {
    const __m256i x = read(v + i);
    const __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi32(read(low + i), x),
                                            _mm256_cmpgt_epi32(x, read(high + i)));
    bits |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(outside))) << i;
  }
  return bits;
}

inline uint32_t pack_range(const float* v, const float* low, const float* high) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; i += 8) {
    const __m256 x = _mm256_loadu_ps(v + i);
    const __m256 outside = _mm256_or_ps(_mm256_cmp_ps(x, _mm256_loadu_ps(low + i), _CMP_LT_OQ),
                                        _mm256_cmp_ps(x, _mm256_loadu_ps(high + i), _CMP_GT_OQ));
    bits |= static_cast<uint32_t>(_mm256_movemask_ps(outside)) << i;
  }
  return bits;
}

inline int32_t vectors_for(int64_t, int32_t) { return 1; }
constexpr bool kLeavesBordersOut = false;
constexpr bool kPacksInRegisters = false;
constexpr int kFloatPixels = 6;  // of a tile of a float convolution
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

// Ones in each byte.
inline __m256i ones_in_bytes(__m256i x) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i four = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, four));
  const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), four));
  return _mm256_add_epi8(low, high);
}

// The sum of the four bytes of each lane.
inline __m256i sum_of_bytes(__m256i bytes) {
  const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// What follows the values of channels at .. at + 8 of pixel p of a tile, all of which exist.
inline void finish_lanes(const Tile& tile, int32_t p, int32_t at, __m256i v) {
  const Finish& f = *tile.finish;
  const int32_t channel = tile.channel + at;
  if (f.to_float) {
    __m256 x = _mm256_cvtepi32_ps(v);
    if (f.multiply) x = _mm256_mul_ps(x, _mm256_loadu_ps(f.multiply + channel));
    if (f.add) x = _mm256_add_ps(x, _mm256_loadu_ps(f.add + channel));
    if (f.tensor)
      x = _mm256_add_ps(x,
                        _mm256_loadu_ps(f.tensor + (tile.pixel + p) * f.tensor_stride + channel));
    v = _mm256_castps_si256(x);
  }
  if (f.store)
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(f.store + (tile.pixel + p) * f.store_stride + channel), v);
  if (f.keep)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tile.out + p * tile.out_stride + at), v);
}

// The same of sums of bits.
inline void finish_eight(const Tile& tile, int32_t p, int32_t at, __m256i sums) {
  __m256i v = _mm256_sub_epi32(read(tile.base[p] + at), _mm256_add_epi32(sums, sums));
  if (tile.step->shift) v = _mm256_sra_epi32(v, _mm_cvtsi32_si128(tile.step->shift));
  finish_lanes(tile, p, at, v);
}

// b1_conv_Px16__avx2: P pixels, 16 channels. Bytes take 31 words before they are added up.
template <int P>
void conv_core(const Tile& tile, int32_t first) {
  constexpr int kMost = 31;
  const lq_step& s = *tile.step;
  const int64_t taps = tile.tap_count;
  const int64_t pixel = s.input.pixel;
  const uint32_t* start = tile.input + first * pixel;
  __m256i sums[P][2], bytes[P][2];
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < 2; ++i) sums[p][i] = bytes[p][i] = _mm256_setzero_si256();
  const auto flush = [&] {
    for (int p = 0; p < P; ++p)
      for (int i = 0; i < 2; ++i) {
        sums[p][i] = _mm256_add_epi32(sums[p][i], sum_of_bytes(bytes[p][i]));
        bytes[p][i] = _mm256_setzero_si256();
      }
  };
  for (int32_t sum = s.input_planes + s.weight_planes - 2; sum >= 0; --sum) {
    for (int p = 0; p < P; ++p)
      for (int i = 0; i < 2; ++i) sums[p][i] = _mm256_add_epi32(sums[p][i], sums[p][i]);
    int held = 0;
    for (int32_t in = 0; in < s.input_planes; ++in) {
      const int32_t of_weights = sum - in;
      if (of_weights < 0 || of_weights >= s.weight_planes) continue;
      const uint32_t* w = tile.weights + of_weights * taps * s.words * larqlite::kLanes;
      const uint32_t* plane = start + static_cast<int64_t>(in) * s.groups * s.words;
      for (int64_t t = 0; t < taps; ++t) {
        const uint32_t* input = plane + tile.taps[t];
        int32_t k = 0;
        while (k < s.words) {
          const int32_t room = kMost - held, left = s.words - k;
          const int32_t end = k + (left < room ? left : room);
          held += end - k;
          for (; k < end; ++k, w += larqlite::kLanes) {
            const __m256i w0 = read(w), w1 = read(w + 8);
#pragma GCC unroll 4
            for (int p = 0; p < P; ++p) {
              const __m256i bits = _mm256_set1_epi32(static_cast<int>(input[k + p * pixel]));
              bytes[p][0] = _mm256_add_epi8(bytes[p][0], ones_in_bytes(_mm256_xor_si256(bits, w0)));
              bytes[p][1] = _mm256_add_epi8(bytes[p][1], ones_in_bytes(_mm256_xor_si256(bits, w1)));
            }
          }
          if (held == kMost) {
            flush();
            held = 0;
          }
        }
      }
    }
    flush();
  }
  for (int p = 0; p < P; ++p) {
    if (tile.channels == larqlite::kLanes) {
      finish_eight(tile, first + p, 0, sums[p][0]);
      finish_eight(tile, first + p, 8, sums[p][1]);
      continue;
    }
    uint32_t lanes[larqlite::kLanes];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sums[p][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes + 8), sums[p][1]);
    finish(tile, first + p, 0, lanes);
  }
}

void conv_tile(const Tile& tile, int32_t pixels, int32_t) {
  int32_t first = 0;
  while (pixels - first > 4 || pixels - first == 3) {
    conv_core<3>(tile, first);
    first += 3;
  }
  switch (pixels - first) {
    case 4:
      conv_core<4>(tile, first);
      break;
    case 2:
      conv_core<2>(tile, first);
      break;
    case 1:
      conv_core<1>(tile, first);
      break;
    default:
      break;
  }
}

}  // namespace

#include "avx2_lookup.inc"

namespace {

// f32_conv_Px16__avx2: P pixels, 16 channels.
template <int P>
void float_core(const Tile& tile) {
  const int64_t pixel = tile.step->input.pixel;
  __m256 sums[P][2];
  for (int p = 0; p < P; ++p) sums[p][0] = sums[p][1] = _mm256_setzero_ps();
  const float* w = tile.number_weights;
  for (int64_t t = 0; t < tile.tap_count; ++t) {
    const float* x = tile.numbers + tile.taps[t];
    for (int64_t k = 0; k < tile.run; ++k, w += larqlite::kLanes) {
      const __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8);
#pragma GCC unroll 6
      for (int p = 0; p < P; ++p) {
        const __m256 v = _mm256_set1_ps(x[k + p * pixel]);
        sums[p][0] = _mm256_fmadd_ps(v, w0, sums[p][0]);
        sums[p][1] = _mm256_fmadd_ps(v, w1, sums[p][1]);
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    Value v[larqlite::kLanes];
    _mm256_storeu_ps(&v[0].real, sums[p][0]);
    _mm256_storeu_ps(&v[8].real, sums[p][1]);
    finish_values(tile, p, v);
  }
}

void float_tile(const Tile& tile, int32_t pixels, int32_t) {
  using Core = void (*)(const Tile&);
  static const Core kCores[6] = {float_core<1>, float_core<2>, float_core<3>,
                                 float_core<4>, float_core<5>, float_core<6>};
  kCores[pixels - 1](tile);
}

// What follows the sums of products of 16 channels of pixel p of a tile: 8 and 8 more.
__attribute__((noinline)) void finish_pixel(const Tile& tile, int32_t p, __m256i low,
                                            __m256i high) {
  const int32_t* base = tile.base[p];
  if (tile.channels == larqlite::kLanes) {
    finish_lanes(tile, p, 0, _mm256_add_epi32(low, read(base)));
    finish_lanes(tile, p, 8, _mm256_add_epi32(high, read(base + 8)));
    return;
  }
  int32_t totals[larqlite::kLanes];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(totals), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(totals + 8), high);
  Value v[larqlite::kLanes];
  for (int32_t c = 0; c < tile.channels; ++c)
    v[c].integer = static_cast<int32_t>(static_cast<uint32_t>(totals[c]) +
                                        static_cast<uint32_t>(base[c]));
  finish_values(tile, p, v);
}

// i16_conv_Px16__avx2: P pixels, 16 channels; two products of 16 bits a lane at a time.
template <int P>
void pixels_core(const Tile& tile) {
  const int64_t pixel = tile.step->input.pixel, run = tile.run;
  __m256i sums[P][2];
  for (int p = 0; p < P; ++p) sums[p][0] = sums[p][1] = _mm256_setzero_si256();
  const uint16_t* w = tile.half_weights;
  for (int64_t t = 0; t < tile.tap_count; ++t) {
    const uint16_t* x = tile.halves + tile.taps[t];
    for (int64_t k = 0; k < run; k += 2, w += 2 * larqlite::kLanes) {
      const __m256i w0 = read(w), w1 = read(w + larqlite::kLanes);
#pragma GCC unroll 6
      for (int p = 0; p < P; ++p) {
        uint32_t pair = x[k + p * pixel];  // an odd run ends with one value
        if (k + 1 < run) __builtin_memcpy(&pair, x + k + p * pixel, sizeof pair);
        const __m256i v = _mm256_set1_epi32(static_cast<int>(pair));
        sums[p][0] = _mm256_add_epi32(sums[p][0], _mm256_madd_epi16(v, w0));
        sums[p][1] = _mm256_add_epi32(sums[p][1], _mm256_madd_epi16(v, w1));
      }
    }
  }
  for (int p = 0; p < P; ++p) finish_pixel(tile, p, sums[p][0], sums[p][1]);
}

void halves_tile(const Tile& tile, int32_t pixels, int32_t) {
  using Core = void (*)(const Tile&);
  static const Core kCores[6] = {pixels_core<1>, pixels_core<2>, pixels_core<3>,
                                 pixels_core<4>, pixels_core<5>, pixels_core<6>};
  if (tile.step->kind == LQ_CONV_PIXELS)
    kCores[pixels - 1](tile);
  else
    plain_halves_tile(tile, pixels);
}

}  // namespace

#include "codes_avx2.inc"

namespace {

double peak(int64_t rounds) {
  __m256i bytes[12], sums = _mm256_setzero_si256();
  for (int i = 0; i < 12; ++i) bytes[i] = _mm256_setzero_si256();
  for (int64_t n = 0; n < rounds * 1000; ++n) {
    const __m256i bits = _mm256_set1_epi32(static_cast<int>(n));
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      __m256i x = _mm256_xor_si256(bits, bytes[i]);
      __asm__ volatile("" : "+x"(x));
      bytes[i] = _mm256_add_epi8(bytes[i], ones_in_bytes(x));
    }
  }
  for (int i = 0; i < 12; ++i) sums = _mm256_add_epi32(sums, sum_of_bytes(bytes[i]));
  volatile int kept = _mm256_extract_epi32(sums, 0);
  (void)kept;
  return 12000.0 * static_cast<double>(rounds) * 256;
}

}  // namespace

namespace larqlite {
extern const Kernels kAvx2 = {
    load,       depthwise,   pool,       mean,         move_bits,       conv,
    conv_float, conv_halves, conv_codes, conv_lookups, depthwise_codes, apply,
    peak,       peak_of_codes, &kLookups,  nullptr};
}

LARQLITE_TARGET_END
#endif
