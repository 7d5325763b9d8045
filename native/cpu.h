// Which instruction sets this x86-64 processor has and the operating system keeps registers of.
// Asked of the processor itself: the answer of __builtin_cpu_supports comes out of a compiler's
// own library, and that of zig says no to everything.
#ifndef LARQLITE_CPU_H
#define LARQLITE_CPU_H

#include <cstdint>

#if defined(__x86_64__)
namespace larqlite {

struct CpuRegisters {
  uint32_t a, b, c, d;
};

inline CpuRegisters cpuid(uint32_t leaf, uint32_t part = 0) {
  CpuRegisters r = {leaf, 0, part, 0};
  __asm__ volatile("cpuid" : "+a"(r.a), "=b"(r.b), "+c"(r.c), "=d"(r.d));
  return r;
}

// Whether all of some bits are set.
inline bool has_bits(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

// Registers that the operating system saves: XCR0, if it may be read.
inline uint32_t saved_registers() {
  constexpr uint32_t kMayBeRead = 1u << 27;
  if (!has_bits(cpuid(1).c, kMayBeRead)) return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

inline CpuRegisters features() { return cpuid(0).a < 7 ? CpuRegisters{0, 0, 0, 0} : cpuid(7); }

inline bool has_avx2() {
  constexpr uint32_t kAvx2 = 1u << 5, kFma = 1u << 12, kYmm = 0x06;
  static const bool there = has_bits(features().b, kAvx2) && has_bits(cpuid(1).c, kFma) &&
                            has_bits(saved_registers(), kYmm);
  return there;
}

// Foundation, DQ, BW, VL, counting bits, and products of bytes (every CPU that counts has them).
inline bool has_avx512() {
  constexpr uint32_t kSets = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, kCounts = 1u << 11 | 1u << 14;
  constexpr uint32_t kZmm = 0xe6;
  static const bool there = has_bits(features().b, kSets) && has_bits(features().c, kCounts) &&
                            has_bits(saved_registers(), kZmm);
  return there;
}

// Sums of pairs of products of 16 bits, in registers of 512: of integers, of bfloat16.
inline bool has_avx512_vnni() {
  constexpr uint32_t kVnni = 1u << 11;
  static const bool there = has_avx512() && has_bits(features().c, kVnni);
  return there;
}
inline bool has_avx512_bf16() {
  constexpr uint32_t kBf16 = 1u << 5;
  static const bool there =
      has_avx512() && features().a >= 1 && has_bits(cpuid(7, 1).a, kBf16);
  return there;
}

// Tiles of bytes and of bfloat16; the process has yet to ask for them.
inline bool has_amx() {
  constexpr uint32_t kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
  return has_bits(features().d, kBf16 | kTile | kInt8);
}

}  // namespace larqlite
#endif

#endif
