// Convolutions in the tiles of AMX (Intel since Sapphire Rapids), where an image has pixels
// enough to pay for rewriting it. Bits become bytes, +1 and -1: three times as many products
// a cycle as counting ones, and the same integers. Floats become three numbers of 16 bits.
#include "cpu.h"
#include "kernels.h"
#include "target.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__clang__)
LARQLITE_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,amx-tile,amx-int8,amx-bf16")
#else
LARQLITE_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,amx-tile,amx-int8,amx-bf16,prefer-vector-"
    "width=512")
// GCC 12 warns of values that its own headers leave undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

// Of it the tiles need what ends a step; the rest is that of avx512.cc.
#pragma GCC diagnostic ignored "-Wunused-function"
#include "avx512.inc"

namespace {

constexpr int64_t kPart = 1024;  // bytes of a tile
constexpr int kRows = 16;        // of a tile: pixels, or groups of four input channels
constexpr int kChannels = 64;    // of the input, in a row of a tile
// Below, counting ones is as fast: two tiles of pixels are needed to keep the unit busy.
constexpr int64_t kLeastPixels = 256;
constexpr int32_t kLeastWidth = 18;

bool takes(const lq_step& s) {
  return s.groups == 1 && s.input_planes == 1 && s.weight_planes == 1 && s.words % 2 == 0 &&
         s.channels % 32 == 0 && s.width >= kLeastWidth &&
         static_cast<int64_t>(s.depth) * s.height * s.width >= kLeastPixels;
}

int64_t taps_in(const lq_step& s) {
  return static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w;
}

// Parts in the order [block of 16 channels][tap][64 input channels]; a part holds for each
// four input channels 16 x 4 bytes.
int64_t weight_parts(const lq_step& s) {
  return larqlite::blocks_of(s.channels) * taps_in(s) * (s.words / 2);
}

bool expand_weights(const lq_step&, const void* packed, int64_t part, int8_t* out) {
  const uint32_t* weights = static_cast<const uint32_t*>(packed);
  const __m512i ones = _mm512_set1_epi8(1), low = _mm512_set1_epi32(15);
  const __m512i spread = _mm512_set1_epi32(0x00204081), bit = _mm512_set1_epi32(0x01010101);
  for (int half = 0; half < 2; ++half) {
    __m512i words = _mm512_loadu_si512(weights + (2 * part + half) * larqlite::kLanes);
    for (int row = 0; row < 8; ++row, out += kChannels) {
      // Bits 0..3 of every lane become the lowest bits of its four bytes.
      const __m512i nibble = _mm512_and_si512(words, low);
      const __m512i bits = _mm512_and_si512(_mm512_mullo_epi32(nibble, spread), bit);
      _mm512_storeu_si512(out, _mm512_sub_epi8(ones, _mm512_add_epi8(bits, bits)));
      words = _mm512_srli_epi32(words, 4);
    }
  }
  return true;
}

int64_t bytes_of_words(int64_t words) { return words * 32; }

bool expand_words(const uint32_t* all, int64_t first, int64_t count, int64_t, int8_t* out) {
  const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
  const uint32_t* words = all + first;
  out += first * 32;
  int64_t k = 0;
  for (; k + 2 <= count; k += 2, out += kChannels) {
    const uint64_t bits = words[k] | static_cast<uint64_t>(words[k + 1]) << 32;
    _mm512_storeu_si512(out, _mm512_mask_blend_epi8(bits, plus, minus));
  }
  if (k < count)
    _mm512_mask_storeu_epi8(out, 0xffffffff, _mm512_mask_blend_epi8(words[k], plus, minus));
  return true;
}

struct alignas(64) Config {
  uint8_t palette, start_row;
  uint8_t reserved[14];
  uint16_t column_bytes[16];
  uint8_t rows[16];
};

// Tiles 0-3 sum: first and second pixels by first and second 16 channels; 4 and 5 hold
// pixels, 6 and 7 weights, both of `deep` x 4 bytes of input for a pixel.
void configure(int first, int second, int deep) {
  Config c = {};
  c.palette = 1;
  for (int t = 0; t < 8; ++t) {
    c.column_bytes[t] = kChannels;
    c.rows[t] = kRows;
  }
  c.rows[0] = c.rows[1] = c.rows[4] = static_cast<uint8_t>(first);
  c.rows[2] = c.rows[3] = c.rows[5] = static_cast<uint8_t>(second);
  c.column_bytes[4] = c.column_bytes[5] = static_cast<uint16_t>(4 * deep);
  c.rows[6] = c.rows[7] = static_cast<uint8_t>(deep);
  __asm__ volatile("" : : "r"(&c) : "memory");  // compilers see only its first bytes read
  _tile_loadconfig(&c);
}

// The sums of two tiles of pixels by 32 channels, as the unit has stored them.
struct Sums {
  alignas(64) int32_t values[4][kRows * larqlite::kLanes];
  int64_t pixel;  // of the first, in the block
  int32_t first, second, channel;
};

// Cuts the block into pieces of up to two tiles of pixels and 32 channels. multiply(piece)
// leaves sums in tiles 0-3. Of 16 sums of a pixel, put(tile, p, at, sums) does what follows and
// returns the lanes whose bits are set; real(tile, p, at, sums) returns floats. The sums of one
// piece are taken while the next is multiplied.
template <typename Multiply, typename Put, typename Real>
int32_t over_pieces(const Block& block, Value* values, int deep, Multiply multiply, Put put,
                    Real real) {
  const Finish after = finish_of(block);
  Tile tile = {};
  tile.step = block.step;
  tile.finish = &after;
  tile.out_stride = block.count;
  tile.channels = 2 * larqlite::kLanes;
  const bool plainly = ends_plainly(*block.step, after);
  Sums sums[2];
  const auto take = [&](const Sums& done) {
    tile.channel = done.channel;
    for (int half = 0; half < 2; ++half) {
      tile.pixel = done.pixel + (half ? done.first : 0);
      tile.out = values + tile.pixel * block.count + done.channel;
      const int32_t count = half ? done.second : done.first;
      if (plainly) {
        take_plainly(tile, count, [&](int32_t p, int at) {
          const int32_t* of_pixel = done.values[2 * half + at] + p * larqlite::kLanes;
          return real(tile, p, at * larqlite::kLanes, of_pixel);
        });
        continue;
      }
      for (int32_t p = 0; p < count; ++p) {
        const int32_t* first = done.values[2 * half] + p * larqlite::kLanes;
        const int32_t* second = done.values[2 * half + 1] + p * larqlite::kLanes;
        const __mmask16 bits[2] = {put(tile, p, 0, first), put(tile, p, larqlite::kLanes, second)};
        put_bits<2>(tile, p, bits);
      }
    }
  };
  const int64_t pieces = (block.pixels + 2 * kRows - 1) / (2 * kRows);
  int configured[2] = {-1, -1}, turn = 0;
  bool waits = false;
  for (int32_t channel = 0; channel < block.count; channel += 32) {
    for (int64_t piece = 0; piece < pieces; ++piece) {
      const int64_t begin = piece * block.pixels / pieces;
      const int32_t count = static_cast<int32_t>((piece + 1) * block.pixels / pieces - begin);
      Sums& now = sums[turn];
      now.pixel = begin;
      now.first = count > kRows ? (count + 1) / 2 : count;
      now.second = count - now.first;
      now.channel = channel;
      if (configured[0] != now.first || configured[1] != now.second) {
        configure(now.first, now.second > 0 ? now.second : 1, deep);
        configured[0] = now.first;
        configured[1] = now.second;
      }
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      multiply(now);
      if (waits) take(sums[1 - turn]);
      _tile_stored(0, now.values[0], 64);
      _tile_stored(1, now.values[1], 64);
      if (now.second > 0) {
        _tile_stored(2, now.values[2], 64);
        _tile_stored(3, now.values[3], 64);
      }
      waits = true;
      turn = 1 - turn;
    }
  }
  take(sums[1 - turn]);
  _tile_release();
  return after.count;
}

// i8_conv_32x32__amx: two tiles of 16 pixels by two of 16 channels.
int32_t conv_bytes(const Block& block, Value* values) {
  const lq_step& s = *block.step;
  const Bases bases = bases_of(block);
  const int64_t taps = taps_in(s), chunks = s.words / 2;
  const int64_t pixel = s.input.pixel * 32, of_block = taps * chunks * kPart;
  const int8_t* input = block.input + (address(s.input, block) - block.image * s.input.image) * 32;
  const __m512i all = _mm512_set1_epi32(static_cast<int>(taps * s.words * 32));
  const auto multiply = [&](const Sums& piece) {
    const int64_t next = piece.first * pixel;
    const int8_t* weights =
        block.weights + (block.channel + piece.channel) / larqlite::kLanes * of_block;
    for (int64_t t = 0; t < taps; ++t) {
      const int8_t* at = input + piece.pixel * pixel + block.taps[t] * 32;
      for (int64_t k = 0; k < chunks; ++k, at += kChannels, weights += kPart) {
        _tile_loadd(4, at, pixel);
        if (piece.second > 0) _tile_loadd(5, at + next, pixel);
        _tile_loadd(6, weights, kChannels);
        _tile_dpbssd(0, 4, 6);
        if (piece.second > 0) _tile_dpbssd(2, 5, 6);
        _tile_loadd(7, weights + of_block, kChannels);
        _tile_dpbssd(1, 4, 7);
        if (piece.second > 0) _tile_dpbssd(3, 5, 7);
      }
    }
  };
  const auto integers = [&](const Tile& tile, int32_t p, int32_t at, const int32_t* sums) {
    const int32_t* base =
        bases.of(block.pixel + tile.pixel + p) + block.channel + tile.channel + at;
    return _mm512_add_epi32(_mm512_sub_epi32(_mm512_loadu_si512(base), all),
                            _mm512_load_si512(sums));
  };
  const auto put = [&](const Tile& tile, int32_t p, int32_t at, const int32_t* sums) {
    return finish_lanes(tile, p, at, 0xffff, integers(tile, p, at, sums));
  };
  const auto real = [&](const Tile& tile, int32_t p, int32_t at, const int32_t* sums) {
    return _mm512_cvtepi32_ps(integers(tile, p, at, sums));
  };
  return over_pieces(block, values, kRows, multiply, put, real);
}

const larqlite::Expanded kBytes = {takes,          weight_parts, kPart,     expand_weights,
                                   bytes_of_words, expand_words, conv_bytes};

}  // namespace

#include "amx_float.inc"
#include "amx_halves.inc"

namespace {

double peak(int64_t rounds) {
  configure(kRows, kRows, kRows);
  for (int64_t n = 0; n < rounds * 100; ++n) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return 400.0 * static_cast<double>(rounds) * kRows * larqlite::kLanes * kChannels;
}

}  // namespace

namespace larqlite {
// All but tiles is done as with AVX-512 alone, and not compiled a second time.
extern const Kernels kAmx = {avx512_load,
                             avx512_depthwise,
                             avx512_pool,
                             avx512_mean,
                             avx512_move_bits,
                             avx512_conv,
                             avx512_conv_float,
                             conv_halves_of_amx,
                             avx512_conv_codes,
                             avx512_conv_lookups,
                             avx512_depthwise_codes,
                             avx512_apply,
                             peak,
                             avx512_peak_of_codes,
                             &kBytes,
                             &kSplit};
}

LARQLITE_TARGET_END

namespace larqlite {

// The CPU has the tiles, and the operating system lets this process use them.
bool amx_is_there() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  static const bool there = [] {
    constexpr long kAskForState = 0x1023, kTileData = 18;
    return has_amx() && syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
  }();
  return there;
#else
  return false;
#endif
}

}  // namespace larqlite
#endif
