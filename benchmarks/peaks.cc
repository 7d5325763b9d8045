// What one core can do at most: products in registers, and bytes read from a buffer.
//
// `peak_products` returns how many multiply-adds it did, at least as many as asked for, or 0
// where the processor lacks the instruction; `peak_read` reads whole buffers and returns how
// many bytes. The time is taken outside.
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>

namespace {

constexpr int64_t kTurns = 1000;
// A sum for each of so many registers: more than the latency of every instruction here.
constexpr int64_t kSums = 12;
#define SUMS(each) \
  each(s0) each(s1) each(s2) each(s3) each(s4) each(s5) each(s6) each(s7) each(s8) \
      each(s9) each(s10) each(s11)
// The empty assembly keeps the compiler from doing it once for all: it may change the sum.
#define DECLARE(sum) auto sum = start;
#define STEP(sum)       \
  sum = operation(sum); \
  asm volatile("" : "+v"(sum));

// The operation on each of the sums, over and over, until there are as many products.
#define LOOP(products)                                         \
  const int64_t each = kTurns * kSums * (products);            \
  const int64_t rounds = (wanted + each - 1) / each;           \
  SUMS(DECLARE)                                                \
  for (int64_t i = 0; i < rounds * kTurns; ++i) { SUMS(STEP) } \
  return rounds * each;

__attribute__((target("avx512f,avx512vpopcntdq"))) int64_t popcount(int64_t wanted) {
  const __m512i a = _mm512_set1_epi32(0x12345678);
  const auto start = _mm512_setzero_si512();
#define operation(sum) _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(sum, a)))
  LOOP(512)
#undef operation
}

__attribute__((target("avx512f,avx512vnni"))) int64_t dot_bytes(int64_t wanted) {
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
  const auto start = _mm512_setzero_si512();
#define operation(sum) _mm512_dpbusd_epi32(sum, a, b)
  LOOP(64)
#undef operation
}

__attribute__((target("avx2"))) int64_t dot_bytes_avx2(int64_t wanted) {
  __m256i a = _mm256_set1_epi8(3);
  const __m256i b = _mm256_set1_epi8(-2);
  const auto start = _mm256_setzero_si256();
#define operation(sum) \
  _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b)); asm volatile("" : "+x"(a))
  LOOP(32)
#undef operation
}

__attribute__((target("avx512f,avx512bf16"))) int64_t dot_halves(int64_t wanted) {
  const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f80);
  const auto start = _mm512_setzero_ps();
#define operation(sum) _mm512_dpbf16_ps(sum, a, a)
  LOOP(32)
#undef operation
}

__attribute__((target("avx512f"))) int64_t fma(int64_t wanted) {
  const __m512 a = _mm512_set1_ps(0.5f);
  const auto start = a;
#define operation(sum) _mm512_fmadd_ps(sum, a, a)
  LOOP(16)
#undef operation
}

__attribute__((target("avx2,fma"))) int64_t fma_avx2(int64_t wanted) {
  const __m256 a = _mm256_set1_ps(0.5f);
  const auto start = a;
#define operation(sum) _mm256_fmadd_ps(sum, a, a)
  LOOP(8)
#undef operation
}

__attribute__((target("avx512f"))) void read_wide(const char* data, int64_t size) {
  for (int64_t i = 0; i < size; i += 512)
    for (int64_t j = 0; j < 512; j += 64)
      asm volatile("" ::"v"(_mm512_loadu_si512(data + i + j)));
}

__attribute__((target("avx2"))) void read_narrow(const char* data, int64_t size) {
  for (int64_t i = 0; i < size; i += 512)
    for (int64_t j = 0; j < 512; j += 32) {
      const auto* from = reinterpret_cast<const __m256i*>(data + i + j);
      asm volatile("" ::"x"(_mm256_loadu_si256(from)));
    }
}

}  // namespace

#define HAS(name) __builtin_cpu_supports(name)

extern "C" int64_t peak_products(const char* kind, int64_t wanted) {
  const auto is = [kind](const char* name) { return std::strcmp(kind, name) == 0; };
  if (is("popcount") && HAS("avx512vpopcntdq")) return popcount(wanted);
  if (is("vpdpbusd") && HAS("avx512vnni")) return dot_bytes(wanted);
  if (is("vpmaddubsw") && HAS("avx2")) return dot_bytes_avx2(wanted);
  if (is("vdpbf16ps") && HAS("avx512bf16")) return dot_halves(wanted);
  if (is("fma") && HAS("avx512f")) return fma(wanted);
  if (is("fma_avx2") && HAS("fma")) return fma_avx2(wanted);
  return 0;
}

// `size` is a multiple of 512.
extern "C" int64_t peak_read(const char* data, int64_t size, int64_t wanted) {
  if (!HAS("avx2")) return 0;
  int64_t done = 0;
  for (; done < wanted; done += size)
    HAS("avx512f") ? read_wide(data, size) : read_narrow(data, size);
  return done;
}

#else

extern "C" int64_t peak_products(const char*, int64_t) { return 0; }
extern "C" int64_t peak_read(const char*, int64_t, int64_t) { return 0; }

#endif
