// Kernels for CPUs with AVX-512 and VPOPCNTDQ (Intel since Ice Lake, AMD since Zen 4).
#include "kernels.h"
#include "target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
LARQLITE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")
#else
LARQLITE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,prefer-vector-width=512")
// GCC 12 warns of values that its own headers leave undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace {

inline uint32_t pack_word(const float* v) {
  const __m512 zero = _mm512_setzero_ps();
  const uint32_t low = _mm512_cmp_ps_mask(_mm512_loadu_ps(v), zero, _CMP_LT_OQ);
  const uint32_t high = _mm512_cmp_ps_mask(_mm512_loadu_ps(v + 16), zero, _CMP_LT_OQ);
  return low | high << 16;
}

inline uint32_t outside(const int32_t* v, const int32_t* low, const int32_t* high) {
  const __m512i x = _mm512_loadu_si512(v);
  return _mm512_cmplt_epi32_mask(x, _mm512_loadu_si512(low)) |
         _mm512_cmpgt_epi32_mask(x, _mm512_loadu_si512(high));
}

inline uint32_t pack_range(const int32_t* v, const int32_t* low, const int32_t* high) {
  return outside(v, low, high) | outside(v + 16, low + 16, high + 16) << 16;
}

// Blocks of 16 channels at a time: as many as there are registers for.
inline int32_t vectors_for(int64_t pixels, int32_t channels) {
  const int32_t most = pixels == 1 ? 8 : pixels <= 3 ? 4 : 2;
  const int32_t blocks = larqlite::blocks_of(channels);
  int32_t vectors = most;
  while (vectors > blocks) vectors /= 2;
  return vectors;
}

struct Tile;
void conv_tile(const Tile& tile, int32_t pixels, int32_t vectors);

}  // namespace

#include "rows.inc"

namespace {

template <int P, int V>
void conv_core(const Tile& tile) {
  const lq_step& s = *tile.step;
  const int64_t taps = tile.tap_count;
  const int64_t pixel = s.input.pixel, next = tile.block_stride;
  const int32_t words = s.words;
  __m512i sums[P][V];
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < V; ++i) sums[p][i] = _mm512_setzero_si512();
  for (int32_t sum = s.input_planes + s.weight_planes - 2; sum >= 0; --sum) {
    for (int p = 0; p < P; ++p)
      for (int i = 0; i < V; ++i) sums[p][i] = _mm512_add_epi32(sums[p][i], sums[p][i]);
    for (int32_t in = 0; in < s.input_planes; ++in) {
      const int32_t of_weights = sum - in;
      if (of_weights < 0 || of_weights >= s.weight_planes) continue;
      const uint32_t* w = tile.weights + of_weights * taps * words * larqlite::kLanes;
      const uint32_t* plane = tile.input + static_cast<int64_t>(in) * s.groups * words;
      for (int64_t t = 0; t < taps; ++t) {
        const uint32_t* input = plane + tile.taps[t];
        for (int32_t k = 0; k < words; ++k, w += larqlite::kLanes) {
          __m512i weights[V];
          for (int i = 0; i < V; ++i) weights[i] = _mm512_loadu_si512(w + i * next);
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) {
            const __m512i bits = _mm512_set1_epi32(static_cast<int>(input[k + p * pixel]));
#pragma GCC unroll 8
            for (int i = 0; i < V; ++i)
              sums[p][i] = _mm512_add_epi32(
                  sums[p][i], _mm512_popcnt_epi32(_mm512_xor_si512(bits, weights[i])));
          }
        }
      }
    }
  }
  const Finish& f = *tile.finish;
  const __m128i shift = _mm_cvtsi32_si128(s.shift);
#pragma GCC unroll 8
  for (int i = 0; i < V; ++i) {
    const int32_t at = i * larqlite::kLanes, left = tile.channels - at;
    const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1 << left) - 1);
    __m512 multiply = _mm512_setzero_ps(), add = _mm512_setzero_ps();
    if (f.multiply) multiply = _mm512_maskz_loadu_ps(mask, f.multiply + tile.channel + at);
    if (f.add) add = _mm512_maskz_loadu_ps(mask, f.add + tile.channel + at);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const __m512i base = _mm512_maskz_loadu_epi32(mask, tile.base[p] + at);
      __m512i v = _mm512_sub_epi32(base, _mm512_add_epi32(sums[p][i], sums[p][i]));
      if (s.shift) v = _mm512_sra_epi32(v, shift);
      if (f.to_float) {
        __m512 x = _mm512_cvtepi32_ps(v);
        if (f.multiply) x = _mm512_mul_ps(x, multiply);
        if (f.add) x = _mm512_add_ps(x, add);
        if (f.tensor) {
          const float* tensor = f.tensor + (tile.pixel + p) * f.tensor_stride + tile.channel + at;
          x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, tensor));
        }
        v = _mm512_castps_si512(x);
      }
      if (f.store)
        _mm512_mask_storeu_epi32(f.store + (tile.pixel + p) * f.store_stride + tile.channel + at,
                                 mask, v);
      if (f.keep) _mm512_mask_storeu_epi32(tile.out + p * tile.out_stride + at, mask, v);
    }
  }
}

using Core = void (*)(const Tile&);
// By pixels, then by 1, 2, 4 or 8 blocks of channels; null where registers do not suffice.
const Core kCores[7][4] = {
    {conv_core<1, 1>, conv_core<1, 2>, conv_core<1, 4>, conv_core<1, 8>},
    {conv_core<2, 1>, conv_core<2, 2>, conv_core<2, 4>, nullptr},
    {conv_core<3, 1>, conv_core<3, 2>, conv_core<3, 4>, nullptr},
    {conv_core<4, 1>, conv_core<4, 2>, nullptr, nullptr},
    {conv_core<5, 1>, conv_core<5, 2>, nullptr, nullptr},
    {conv_core<6, 1>, conv_core<6, 2>, nullptr, nullptr},
    {conv_core<7, 1>, conv_core<7, 2>, nullptr, nullptr},
};

void conv_tile(const Tile& tile, int32_t pixels, int32_t vectors) {
  kCores[pixels - 1][vectors >= 8 ? 3 : vectors >= 4 ? 2 : vectors - 1](tile);
}

double peak(int64_t rounds) {
  __m512i sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_epi32(i);
  for (int64_t n = 0; n < rounds * 1000; ++n) {
    const __m512i bits = _mm512_set1_epi32(static_cast<int>(n));
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      __m512i x = _mm512_xor_si512(bits, sums[i]);
      __asm__ volatile("" : "+v"(x));  // each its own xor, popcount and add
      sums[i] = _mm512_add_epi32(sums[i], _mm512_popcnt_epi32(x));
    }
  }
  volatile int kept = 0;
  for (int i = 0; i < 12; ++i) kept = kept + _mm512_reduce_add_epi32(sums[i]);
  return 12000.0 * static_cast<double>(rounds) * 512;
}

}  // namespace

namespace larqlite {
extern const Kernels kAvx512 = {load, depthwise, pool, mean, conv, apply, peak};
}

LARQLITE_TARGET_END
#endif
