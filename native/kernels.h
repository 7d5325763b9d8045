// What each instruction set implements: the work on one block of one output row.
#ifndef LARQLITE_KERNELS_H
#define LARQLITE_KERNELS_H

#include <stddef.h>

#include "program.h"

namespace larqlite {

constexpr int kLanes = 16;  // channels of a block of convolution weights
// Values that a block holds at a time: half of a first-level cache.
constexpr int64_t kBlockValues = 6144;
constexpr int kPixels = 7;  // most pixels that a convolution keeps in registers
constexpr int kCodePixels = 6;  // of one of codes
constexpr int kCodeBlocks = 4;  // of 16 channels, whose weights lie side by side for codes
constexpr int kLookupPixels = 4;
constexpr int kLookupLanes = 32;  // channels of a block
constexpr int kLookupBytes = 15;  // of codes, in three tables of five
constexpr int kMoveFields = 9;    // of a move of bits, one word each
constexpr int kMovePixels = 8;    // whose bits are moved at once

// The taps [first, last) of a window at output position `out` that lie in the input.
struct TapRange {
  int64_t first, last;
  bool operator==(const TapRange& other) const {
    return first == other.first && last == other.last;
  }
};

inline TapRange taps_inside(int64_t out, int32_t stride, int32_t pad, int32_t dilation,
                            int32_t taps, int32_t size) {
  const int64_t start = out * stride - pad;
  const int64_t room = size - start;  // taps at start + k * dilation < size
  // Divisions take longer than the taps of most windows.
  const auto over = [=](int64_t n) { return dilation == 1 ? n : (n + dilation - 1) / dilation; };
  const int64_t before = start < 0 ? over(-start) : 0;
  int64_t last = room <= 0 ? 0 : over(room);
  if (last > taps) last = taps;
  return {before, last < before ? before : last};
}

// A word of the window: where it lies from the first tap's first word of the input, and where
// its weights do, in words.
struct Position {
  int64_t input, weights;
};

// The words of a window that one tile of a row sums: those of all its pixels; of all but the
// first; of all but the first and the last; of all but the last. Each list ends at `end`.
struct Positions {
  const Position* at;
  int64_t end[4];
};

// A block of one output row: `pixels` pixels from `pixel`, `count` channels from `channel`.
struct Block {
  const lq_step* step;
  const lq_buffer* buffers;
  const int64_t* taps;  // sums of bits: where each tap of the window lies from the first
  // LQ_CONV: words of the window inside of the image for tiles of this row, by whether they
  // hold its first pixel (1) and its last (2).
  const Positions* positions;
  // For `Expanded` convolutions: this image, of how many elements, and the weights.
  const int8_t* input;
  int64_t input_elements;
  const int8_t* weights;
  int64_t image, depth, row;
  int64_t pixel, pixels;
  int32_t channel, count;
  // Of a step that sums over an image, what each channel has so far: LQ_SUM, or LQ_AVERAGE.
  uint32_t* sums;
  double* totals;
};

// Values [pixels][count], as integers or as floats.
union Value {
  int32_t integer;
  float real;
};

// Convolutions that rewrite weights, and maybe the input, first: for machines that multiply
// matrices of narrow numbers, or for look-ups by bytes. Elements are the step's: words of bits,
// or floats. Where a value cannot be rewritten (infinity, NaN), it returns false, and the plain
// convolution runs.
struct Expanded {
  bool (*takes)(const lq_step& step);
  // Weights are rewritten in parts that do not depend on each other.
  int64_t (*weight_parts)(const lq_step& step);
  int64_t part_bytes;
  bool (*expand_weights)(const lq_step& step, const void* weights, int64_t part, int8_t* out);
  // `count` elements from `first` on, of `total` of an image; null: the input is read as it is.
  int64_t (*input_bytes)(int64_t total);
  bool (*expand_input)(const uint32_t* elements, int64_t first, int64_t count, int64_t total,
                       int8_t* out);
  int32_t (*conv)(const Block& block, Value* values);  // as Kernels::conv
};

struct Kernels {
  // Each computes the block's values from the input of the step. This one may copy them from
  // there to where the first operations want them; it returns how many it did.
  int32_t (*load)(const Block& block, Value* values);
  void (*depthwise)(const Block& block, Value* values);
  void (*pool)(const Block& block, Value* values);
  void (*mean)(const Block& block, Value* values);
  // Has room for `move_room` more values behind those of the block.
  void (*move_bits)(const Block& block, Value* values);
  // These also do the step's first operations, where they can, while values are in
  // registers; they return how many.
  int32_t (*conv)(const Block& block, Value* values);
  int32_t (*conv_float)(const Block& block, Value* values);
  int32_t (*conv_halves)(const Block& block, Value* values);
  int32_t (*conv_codes)(const Block& block, Value* values);
  int32_t (*conv_lookups)(const Block& block, Value* values);
  void (*depthwise_codes)(const Block& block, Value* values);
  // Passes the block's values through the operations of the step from the given one on, up to one
  // that sums over the image, which adds them to what there is.
  void (*apply)(const Block& block, Value* values, int32_t first);
  // Executes about `rounds` x 1000 x 12 xor + popcount + add; returns one-bit products.
  double (*peak)(int64_t rounds);
  // The same with products of bytes, as many of each vector as it has.
  double (*peak_of_codes)(int64_t rounds);
  // In place of conv and conv_float, where they take a step; or null.
  const Expanded* expanded_conv;
  const Expanded* expanded_float;
};

extern const Kernels kPortable;
#if defined(__x86_64__)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
// `Kernels::conv_halves` where the CPU multiplies pairs of 16 bits in registers of 512.
int32_t conv_halves__avx512(const Block& block, Value* values);
extern const Kernels kAmx;
// Of AVX-512, for AMX too; functions, so that the tables are there before anything runs.
int32_t avx512_load(const Block& block, Value* values);
void avx512_depthwise(const Block& block, Value* values);
void avx512_pool(const Block& block, Value* values);
void avx512_mean(const Block& block, Value* values);
void avx512_move_bits(const Block& block, Value* values);
int32_t avx512_conv(const Block& block, Value* values);
int32_t avx512_conv_float(const Block& block, Value* values);
int32_t avx512_conv_codes(const Block& block, Value* values);
int32_t avx512_conv_lookups(const Block& block, Value* values);
void avx512_depthwise_codes(const Block& block, Value* values);
void avx512_apply(const Block& block, Value* values, int32_t first);
double avx512_peak_of_codes(int64_t rounds);
bool amx_is_there();
#elif defined(__aarch64__)
extern const Kernels kNeon;
#elif defined(__wasm_simd128__)
extern const Kernels kWasm;  // in place of the portable ones: a module is made for one machine
#endif

// What is the same code for every set (functions.cc). LQ_SOFTMAX of pixels of `count` channels:
void softmax(float* v, int64_t pixels, int32_t count);
void sigmoid(float* v, int64_t count);
void hyperbolic_tangent(float* v, int64_t count);
void elu(float* v, int64_t count, float factor);
void square_root(float* v, int64_t count);
void depthwise_float(const Block& block, Value* values);

// LQ_CONV_BYTES: the values of a block.
void conv_bytes(const Block& block, Value* values);

inline int64_t address(const lq_view& view, const Block& block) {
  return view.offset + block.image * view.image + block.depth * view.depth + block.row * view.row +
         block.pixel * view.pixel;
}

template <typename T>
T* data(const Block& block, int32_t buffer) {
  return static_cast<T*>(block.buffers[buffer].data);
}

// Whether the operations from `first` on only read floats to pack them.
inline bool only_packs(const lq_step& step, int32_t first) {
  for (int32_t i = first; i < step.op_count; ++i)
    if (step.ops[i].kind < LQ_PACK_SIGN) return false;
  return true;
}

inline int32_t blocks_of(int32_t channels) { return (channels + kLanes - 1) / kLanes; }
inline int32_t words_of(int32_t channels) { return (channels + 31) / 32; }
inline int32_t code_words_of(int32_t channels) { return (channels + 3) / 4; }
// Words of weights of a channel and tap of a convolution of codes.
inline int64_t code_vectors(const lq_step& s) {
  const int32_t together = 8 / s.weight_bits;
  return (s.words + together - 1) / together;
}
// The same of 32 channels, in vectors, where products are looked up.
inline int64_t lookup_vectors(const lq_step& s) {
  return (4 * static_cast<int64_t>(s.words) + kLookupBytes - 1) / kLookupBytes;
}

inline bool sums_codes(const lq_step& s) {
  return s.kind == LQ_CONV_CODES || s.kind == LQ_DEPTHWISE_CODES || s.kind == LQ_CONV_LOOKUPS;
}

// Whether what a step makes are integers.
inline bool makes_integers(const lq_step& s) {
  return s.kind == LQ_CONV || s.kind == LQ_DEPTHWISE || s.kind == LQ_CONV_PIXELS ||
         s.kind == LQ_MOVE_BITS || s.kind == LQ_CONV_BYTES || sums_codes(s);
}

// The number of the operation of a step that sums over an image, or -1.
inline int32_t gathers_at(const lq_step& s) {
  for (int32_t i = 0; i < s.op_count; ++i)
    if (s.ops[i].kind == LQ_SUM || s.ops[i].kind == LQ_AVERAGE) return i;
  return -1;
}

// Whether a step sums products of numbers of 16 bits.
inline bool takes_halves(const lq_step& s) {
  return s.kind == LQ_CONV_BF16 || s.kind == LQ_CONV_PIXELS;
}

// Input values that lie side by side are multiplied with one run of weights.
struct Runs {
  int64_t count, values, every;  // how many, of how many values, every how many taps
};

inline Runs runs_of(const lq_step& s) {
  const int64_t taps = static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w;
  if (s.tap_pixel != s.in_channels) return {taps, s.in_channels, 1};
  return {taps / s.kernel_w, static_cast<int64_t>(s.in_channels) * s.kernel_w, s.kernel_w};
}

// Words that a step which moves bits needs beside what comes out: columns of its input, and few
// pixels in two orders.
inline int64_t move_room(const lq_step& s) {
  return (int64_t{s.in_w} + 2 * kMovePixels) * s.words;
}

inline int64_t pairs_of(const Runs& runs) { return (runs.values + 1) / 2; }

}  // namespace larqlite
#endif
