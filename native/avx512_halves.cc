// Convolutions of numbers of 16 bits with 512-bit registers: vdpbf16ps (Intel since Cooper Lake,
// AMD since Zen 4) and vpdpwssd (VNNI), which add two products to each lane.
#include "kernels.h"
#include "target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
LARQLITE_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512bf16,avx512vnni")
#else
LARQLITE_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512bf16,avx512vnni,prefer-vector-"
    "width=512")
// GCC 12 warns of values that its own headers leave undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
// Of what all sets share, only the convolution here is used.
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

#include "avx512.inc"

namespace {

// Adds the products of a pair of values with 16 pairs of weights.
template <bool kReal>
LARQLITE_INLINE __m512i add_products(__m512i sums, __m512i values, __m512i weights) {
  if (!kReal) return _mm512_dpwssd_epi32(sums, values, weights);
  const __m512 added = _mm512_dpbf16_ps(_mm512_castsi512_ps(sums), (__m512bh)values,
                                        (__m512bh)weights);
  return _mm512_castps_si512(added);
}

// The sums of P pixels and 16 V channels.
template <int P, int V, bool kReal>
LARQLITE_INLINE void sum_pairs(const Tile& tile, __m512i (&sums)[P][V]) {
  const int64_t pixel = tile.step->input.pixel, next = tile.block_stride, run = tile.run;
  for (int p = 0; p < P; ++p)
    for (int i = 0; i < V; ++i) sums[p][i] = _mm512_setzero_si512();
  const uint16_t* w = tile.half_weights;
  for (int64_t t = 0; t < tile.tap_count; ++t) {
    const uint16_t* x = tile.halves + tile.taps[t];
    int64_t k = 0;
    for (; k + 2 <= run; k += 2, w += 2 * larqlite::kLanes) {
      __m512i weights[V];
      for (int i = 0; i < V; ++i) weights[i] = _mm512_loadu_si512(w + i * next);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        int pair;
        __builtin_memcpy(&pair, x + k + p * pixel, sizeof pair);
        const __m512i v = _mm512_set1_epi32(pair);
#pragma GCC unroll 8
        for (int i = 0; i < V; ++i) sums[p][i] = add_products<kReal>(sums[p][i], v, weights[i]);
      }
    }
    if (k == run) continue;
    // The last of an odd run, alone: what lies behind it may be infinite.
    __m512i weights[V];
    for (int i = 0; i < V; ++i) weights[i] = _mm512_loadu_si512(w + i * next);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const __m512i v = _mm512_set1_epi32(x[k + p * pixel]);
#pragma GCC unroll 8
      for (int i = 0; i < V; ++i) sums[p][i] = add_products<kReal>(sums[p][i], v, weights[i]);
    }
    w += 2 * larqlite::kLanes;
  }
}

// What follows the sums of a tile; not part of each core, of which there are many.
template <bool kReal>
__attribute__((noinline)) void finish_pairs(const Tile& tile, int32_t pixels, int32_t vectors,
                                            const __m512i* sums) {
  for (int32_t p = 0; p < pixels; ++p) {
    __mmask16 bits[8];
    for (int32_t i = 0; i < vectors; ++i, ++sums) {
      const int32_t at = i * larqlite::kLanes;
      const __mmask16 mask = lanes(tile.channels - at);
      if (kReal) {
        bits[i] = finish_reals(tile, p, at, mask, _mm512_castsi512_ps(*sums));
        continue;
      }
      const __m512i base = _mm512_maskz_loadu_epi32(mask, tile.base[p] + at);
      bits[i] = finish_lanes(tile, p, at, mask, _mm512_add_epi32(*sums, base));
    }
    put_bits(tile, p, vectors, bits);
  }
}

// bf16_conv_PxC__avx512, i16_conv_PxC__avx512: P pixels, C = 16 V channels.
template <int P, int V, bool kReal>
void halves_core(const Tile& tile) {
  constexpr int kLanes = larqlite::kLanes;
  __m512i sums[P][V];
  sum_pairs<P, V, kReal>(tile, sums);
  if constexpr (P == larqlite::kPixels && V == 2) {  // most tiles
    if (tile.channels == V * kLanes && ends_plainly(*tile.step, *tile.finish)) {
      take_plainly(tile, P, [&](int p, int i) __attribute__((always_inline)) {
        if (kReal) return _mm512_castsi512_ps(sums[p][i]);
        const __m512i base = _mm512_loadu_si512(tile.base[p] + i * kLanes);
        return _mm512_cvtepi32_ps(_mm512_add_epi32(sums[p][i], base));
      });
      return;
    }
  }
  __m512i kept[P * V];  // so that `sums` stay in registers up to here
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) kept[p * V + i] = sums[p][i];
  finish_pairs<kReal>(tile, P, V, kept);
}

template <bool kReal>
Core core_of(int32_t pixels, int32_t vectors) {
  static const Core kPairCores[7][4] = {
      {halves_core<1, 1, kReal>, halves_core<1, 2, kReal>, halves_core<1, 4, kReal>,
       halves_core<1, 8, kReal>},
      {halves_core<2, 1, kReal>, halves_core<2, 2, kReal>, halves_core<2, 4, kReal>, nullptr},
      {halves_core<3, 1, kReal>, halves_core<3, 2, kReal>, halves_core<3, 4, kReal>, nullptr},
      {halves_core<4, 1, kReal>, halves_core<4, 2, kReal>, nullptr, nullptr},
      {halves_core<5, 1, kReal>, halves_core<5, 2, kReal>, nullptr, nullptr},
      {halves_core<6, 1, kReal>, halves_core<6, 2, kReal>, nullptr, nullptr},
      {halves_core<7, 1, kReal>, halves_core<7, 2, kReal>, nullptr, nullptr},
  };
  return kPairCores[pixels - 1][vectors >= 8 ? 3 : vectors >= 4 ? 2 : vectors - 1];
}

void halves_tile(const Tile& tile, int32_t pixels, int32_t vectors) {
  const bool is_real = tile.step->kind == LQ_CONV_BF16;
  (is_real ? core_of<true> : core_of<false>)(pixels, vectors)(tile);
}

}  // namespace

namespace larqlite {
int32_t conv_halves__avx512(const Block& block, Value* values) {
  return ::conv_halves(block, values);
}
}  // namespace larqlite

LARQLITE_TARGET_END
#endif
