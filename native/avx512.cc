// Kernels for CPUs with AVX-512 and VPOPCNTDQ (Intel since Ice Lake, AMD since Zen 4).
#include "cpu.h"
#include "kernels.h"
#include "target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
LARQLITE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni")
#else
LARQLITE_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx512vnni,prefer-vector-width=512")
// GCC 12 warns of values that its own headers leave undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "avx512.inc"
#include "codes_avx512.inc"
#include "lookups_avx512.inc"

namespace {

void halves_tile(const Tile& tile, int32_t pixels, int32_t) { plain_halves_tile(tile, pixels); }

// In registers, where the CPU has the instructions.
int32_t conv_halves_if_there(const Block& block, Value* values) {
  const bool there = block.step->kind == LQ_CONV_BF16 ? larqlite::has_avx512_bf16()
                                                      : larqlite::has_avx512_vnni();
  return there ? larqlite::conv_halves__avx512(block, values) : conv_halves(block, values);
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
int32_t avx512_load(const Block& block, Value* values) { return load(block, values); }
void avx512_depthwise(const Block& block, Value* values) { depthwise(block, values); }
void avx512_pool(const Block& block, Value* values) { pool(block, values); }
void avx512_mean(const Block& block, Value* values) { mean(block, values); }
void avx512_move_bits(const Block& block, Value* values) { move_bits(block, values); }
int32_t avx512_conv(const Block& block, Value* values) { return conv(block, values); }
int32_t avx512_conv_float(const Block& block, Value* values) { return conv_float(block, values); }
void avx512_apply(const Block& block, Value* values, int32_t first) { apply(block, values, first); }
int32_t avx512_conv_codes(const Block& block, Value* values) { return conv_codes(block, values); }
int32_t avx512_conv_lookups(const Block& block, Value* values) {
  return conv_lookups(block, values);
}
void avx512_depthwise_codes(const Block& block, Value* values) { depthwise_codes(block, values); }
double avx512_peak_of_codes(int64_t rounds) { return peak_of_codes(rounds); }

extern const Kernels kAvx512 = {load,         depthwise,       pool,
                                mean,         move_bits,       conv,            conv_float,
                                conv_halves_if_there, conv_codes, conv_lookups,
                                depthwise_codes, apply, peak, peak_of_codes, nullptr, nullptr};
}

LARQLITE_TARGET_END
#endif
