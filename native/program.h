// The C interface of the kernels: a program of steps over buffers, run in one call.
//
// A step produces rows of `width` pixels with `channels` values each, and passes every
// row through a list of operations (scale, add a residual, threshold, store, pack bits).
// All tensors are channels-last. Bits: 0 is +1, 1 is -1; channel c of a pixel is bit
// (c % 32) of 32-bit word c / 32; unused bits of the last word are 0. Codes: a value is a byte,
// its number counted from the lowest minus 128; channel c is byte c % 4 of word c / 4; unused
// bytes of the last word are 0. Strides and offsets count elements: float or int32 values,
// 32-bit words of bits or of codes, or numbers of 16 bits.
#ifndef LARQLITE_PROGRAM_H
#define LARQLITE_PROGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LQ_ABI 12

// Where a tensor lies in a buffer.
typedef struct {
  int32_t buffer;  // index into the buffers of the run; -1: none
  int32_t reserved;
  int64_t offset;  // of image 0, depth 0, row 0, pixel 0
  int64_t image;   // strides
  int64_t depth;
  int64_t row;
  int64_t pixel;
} lq_view;

// What happens to a row of values. "v" is the row: width x channels values.
enum {
  // Integers, only after a convolution and before LQ_TO_FLOAT:
  LQ_STORE_INT = 1,  // view <- v (int32)
  LQ_THRESHOLD = 2,  // bits of view: +1 where a[c] <= v <= b[c] (int32 buffers a, b)
  LQ_TO_FLOAT = 3,   // v <- float(v)
  LQ_SUM = 4,        // v <- the sum of v over all pixels of the image, modulo 2^32: what follows
                     // sees one pixel, and its views are those of one. One of these two a step.
  // Floats:
  LQ_MULTIPLY = 10,        // v <- v * a[c]                (float buffer a)
  LQ_ADD = 11,             // v <- v + a[c]
  LQ_ADD_TENSOR = 12,      // v <- v + view                (float view, channels contiguous)
  LQ_MULTIPLY_IMAGE = 13,  // v <- v * a[image * channels + c]
  LQ_RELU = 14,            // v <- max(v, 0)
  LQ_PRELU = 15,           // v <- v < 0 ? v * a[c] : v
  LQ_CLIP = 16,            // v <- min(max(v, x), y)
  LQ_STORE = 17,           // view <- v (float)
  LQ_SIGN = 18,            // v <- v < 0 ? -1 : 1
  LQ_ADD_SCALED = 19,      // v <- v + view * a[c]         (float view, one value a pixel)
  LQ_DIVIDE = 20,          // v <- v / a[c]
  LQ_SOFTMAX = 21,         // v <- e^(v - m) / sum of e^(v - m) over the channels, m the largest
  // By products and sums alone, in the order of `functions.cc`, so that every machine makes the
  // same bits of them. E(v) = e^v of v <= 0, at most 2 units in the last place off:
  LQ_SIGMOID = 22,         // v <- (v < 0 ? E(v) : 1) / (1 + E(-|v|))
  LQ_TANH = 23,            // v <- -sign(v) * d / (d + 2), d = E(-2 |v|) - 1 without cancellation
  LQ_ELU = 24,             // v <- v < 0 ? x * (E(v) - 1) : v
  LQ_MULTIPLY_TENSOR = 25, // v <- v * view                (as LQ_ADD_TENSOR)
  LQ_DIVIDE_TENSOR = 27,   // v <- v / view
  LQ_SQUARE_ROOT = 28,     // v <- the float nearest to the square root of v
  LQ_FLOOR = 29,           // v <- the largest whole number that is not above v
  LQ_AVERAGE = 26,         // v <- the mean of v over all pixels of the image, as LQ_MEAN takes it;
                           // one pixel from there on, as behind LQ_SUM
  // Floats to bits, v is kept. `planes` bit planes per pixel, plane p at word
  // p * words of the pixel:
  LQ_PACK_SIGN = 30,       // 1 plane: bit = v < 0
  LQ_PACK_HEAVISIDE = 31,  // 1 plane: bit = !(v > 0), so that v' = (s + 1) / 2
  LQ_PACK_TERNARY = 32,    // 2 planes, v' = (s0 + s1) / 2, threshold x
                           // t = sgn(sgn(v + x) + sgn(v - x)): s0 = t > 0 || t == 0 ? 1 : -1,
                           // s1 = t > 0 ? 1 : -1
  LQ_PACK_STEPS = 33,      // k = planes: code = round_half_even(clip(v, 0, 1) * (2^k - 1));
                           // bit p = !((code >> p) & 1), so that code = sum 2^p (s_p + 1) / 2
  LQ_PACK_INTEGERS = 34,   // the same with code = round_half_even(clip(v, x, y)) - x
  // Floats to codes of `planes` bits, each minus 128 as a byte, v is kept; `group` and `words`
  // as for bits:
  LQ_CODE_SIGN = 35,       // !(v < 0)
  LQ_CODE_HEAVISIDE = 36,  // v > 0
  LQ_CODE_TERNARY = 37,    // t + 1, with t of LQ_PACK_TERNARY
  LQ_CODE_STEPS = 38,      // the code of LQ_PACK_STEPS
  LQ_CODE_INTEGERS = 39,   // that of LQ_PACK_INTEGERS
  LQ_PACK_RANGE = 40,      // 1 plane of bits: bit = v < a[c] || v > b[c] (float buffers a, b)
  LQ_PACK_ABOVE = 41,      // 1 plane of bits: bit = (v > a[c]) != bit c of b (float buffer a, words b);
                           // NaN is above nothing, so that a largest value leaves it out
  // Floats to numbers of 16 bits, which the view counts, v is kept:
  LQ_PACK_BF16 = 45,    // bfloat16: the upper half of v, rounded half to even; NaN stays NaN
  LQ_PACK_PIXELS = 46,  // int16: round_half_even(clip(v, 0, 255)); NaN is 0
};

typedef struct {
  int32_t kind;
  int32_t a, b;    // buffers of per-channel values, -1: none
  int32_t planes;  // of packed bits
  int32_t group;   // packed bits, codes: channels of a group; each group begins at a new
                   // word; 0: one group of all channels
  int32_t words;   // packed bits: words of one plane of a pixel; codes: of a pixel
  float x, y;
  lq_view view;
} lq_op;

enum {
  LQ_LOAD = 1,                 // rows of a float tensor (`input`)
  LQ_CONV = 2,                 // sums of products of bits
  LQ_DEPTHWISE = 3,            // one filter for each channel, or `multiplier` of them
  LQ_POOL_MAX = 4,             // over a float tensor
  LQ_POOL_AVERAGE = 5,         // v * the number of values in the window (borders left out)
  LQ_POOL_AVERAGE_PADDED = 6,  // the same, divided by the whole window
  LQ_MEAN = 7,                 // over all pixels of a float image: one row of one pixel
  LQ_CONV_FLOAT = 8,           // sums of products of floats
  LQ_CONV_CODES = 9,           // sums of products of codes and whole numbers
  LQ_DEPTHWISE_CODES = 10,     // the same, one filter for each channel, or `multiplier`
  LQ_CONV_BF16 = 11,           // LQ_CONV_FLOAT of bfloat16, summed as floats
  LQ_CONV_PIXELS = 12,         // the same of int16, summed as int32: v = sum + base[class][c]
  LQ_CONV_LOOKUPS = 13,        // LQ_CONV_CODES of numbers of one bit and one group, by tables
  LQ_MOVE_BITS = 14,           // words of bits (`channels` counts words): the largest of a window,
                               // and each bit in its place; LQ_STORE_INT alone follows
  LQ_DEPTHWISE_FLOAT = 15,     // one filter of floats for each channel, or `multiplier` of them
  LQ_CONV_BYTES = 16,          // sums of products of bytes from 0 to 255 (pixels) and int32, modulo
                               // 2^32, of a tensor without borders: v = sum over the taps that
                               // there are + base[class][c]
};

typedef struct {
  int32_t kind;
  int32_t op_count;
  const lq_op* ops;
  // What comes out: for each image depth * height rows.
  int32_t depth, height, width, channels;
  // The window; 1 where there is none.
  int32_t kernel_d, kernel_h, kernel_w;
  // LQ_LOAD, LQ_POOL_*, LQ_MEAN: `input` is a float tensor; `input.offset` is where its own
  // first pixel lies. The strides of the view are those from one output position to the next
  // (for pooling: stride of the window x stride of the tensor; for LQ_MEAN of the tensor).
  // LQ_CONV, LQ_DEPTHWISE: a tensor of bits with its borders; `input.offset` is where the
  // first tap of output position 0 lies. LQ_MOVE_BITS: the same as LQ_POOL_*, of a tensor of bits.
  // LQ_CONV_FLOAT, LQ_DEPTHWISE_FLOAT, and those of codes: the same of a
  // float tensor or of codes. LQ_CONV_BF16, LQ_CONV_PIXELS: of numbers of 16 bits. Where the
  // values of a run (see lq_weights_size) are odd in number, one more must lie behind the last
  // that is read.
  lq_view input;
  // From one tap of the window to the next (dilation x stride of the tensor).
  int64_t tap_depth, tap_row, tap_pixel;
  // LQ_POOL_*, LQ_MOVE_BITS, LQ_CONV_BYTES: sizes of the input, stride, and padding before: tap k of output position y
  // reads row y * stride_h - pad_h + k * dilation_h, and is left out where there is none.
  // LQ_MEAN: the sizes of the input. LQ_CONV_BYTES: as LQ_POOL_*, of a tensor of bytes, which
  // its view counts.
  int32_t in_d, in_h, in_w;
  int32_t stride_d, stride_h, stride_w;
  int32_t pad_d, pad_h, pad_w;
  int32_t dilation_d, dilation_h, dilation_w;
  // LQ_CONV, LQ_DEPTHWISE, those of codes and of numbers:
  int32_t groups;        // LQ_CONV, LQ_CONV_CODES, LQ_CONV_FLOAT: channels / groups come out of each;
                         // of LQ_CONV_FLOAT, group g reads the channels of the input from
                         // g * in_channels on
  int32_t words;         // the same, LQ_CONV_LOOKUPS: words of one plane, or of the codes, of one
                         // group of an input pixel; LQ_MOVE_BITS: words of an input pixel
  int32_t in_channels;   // LQ_DEPTHWISE*: channels of the input; convolutions of numbers: of a group
                         // of them
  int32_t multiplier;    // LQ_DEPTHWISE*: channels = in_channels * multiplier; LQ_MOVE_BITS: moves
                         // that make a word
  int32_t input_planes;  // plane p of an input pixel begins at word p * groups * words
  int32_t weight_planes;
  // p = popcount of input xor weights, plane by plane, times 2^(input + weight plane):
  //   v = (base[class][c] - 2 * p) >> shift
  // class = row_class[depth * height + row] * column_classes + column_class[pixel].
  // base is int32 [row classes * column_classes][channels].
  int32_t shift;
  int32_t weights;                        // buffer, laid out as lq_weights_size says
  int32_t base, row_class, column_class;  // buffers of int32; the classes may be -1: all 0
  int32_t column_classes;
  // LQ_CONV_CODES, LQ_CONV_LOOKUPS: with P = sum of u * x over codes x of the input and numbers u
  // of the weights, of `weight_bits` = 1, 2, 4 or 8 bits, and S = sum of x over the window (groups
  // apart),
  //   v = weight_step * P + weight_offset * S + base[class][c]
  // LQ_DEPTHWISE_CODES: v = sum of w * x + base[class][c]
  int32_t weight_bits;
  int32_t weight_step, weight_offset;
  // LQ_MOVE_BITS: with x[j] = base[j] ^ AND over the window of (base[j] ^ word j), so that the
  // largest value comes out where `base` (-1: all 0) has 0, and the least where it has 1,
  //   v[c] = x[c], if `weights` is -1; else the OR over the moves m that make word c of
  //   the bits of x from bit `shift` of word `word` on (and on from the lowest bit of word
  //   `next`), one after another in the places that `mask` has; see lq_weights_size.
  // LQ_CONV: -1, or `base` for sums that leave out the taps in borders:
  //   v = (inside_base[class][c] - 2 * p of the taps inside) >> shift
  // which is the same v. Tap k of row y is inside if y * stride_h - pad_h + k * dilation_h is a
  // row of in_h; depth and columns likewise. Of a row, only the first and the last pixel have
  // taps outside.
  int32_t inside_base;
} lq_step;

// Memory of a run. Where it holds every image of a batch, `image_bytes` lead from one to the
// next; where only those that are worked on at once, 0: after the run nobody reads it, and parts
// of it may not have been written. Each thread has a copy of the latter
// that steps write: `thread_bytes` lead from one copy, of `bytes`, to the next; else 0.
typedef struct {
  void* data;
  int64_t bytes;
  int64_t image_bytes;
  int64_t thread_bytes;
  int64_t streamed;  // not 0: no step of the run reads it, and caches have no room for it
} lq_buffer;

// LQ_ABI of the library.
int32_t lq_abi(void);

// Instruction sets: 0 portable, 1 AVX2, 2 AVX-512 (VPOPCNTDQ), 3 NEON, 4 AMX (INT8),
// 5 WebAssembly (SIMD128; a module has no other).
// 1 if the library holds it and this CPU can run it.
int32_t lq_supports(int32_t isa);

// Bytes of the weights of an LQ_CONV step in the layout of the kernels, the same for every
// instruction set: uint32 [group][block of 16 channels][plane][tap][word][16], taps in the
// order depth, row, column, channels beyond the last 0. LQ_DEPTHWISE: uint32
// [multiplier][plane][tap][ceil(in_channels / 32)]; channel c * multiplier + m of the output
// reads channel c. LQ_CONV_FLOAT: float [group][block of 16 channels][tap][in_channels][16].
// LQ_CONV_BYTES: int32 [block of 16 channels][tap][in_channels][16].
// LQ_DEPTHWISE_FLOAT: float [multiplier][tap][in_channels]; a sum begins with 0 and takes the taps
// in their order, v = v + w * x, each rounded.
// LQ_CONV_CODES: uint32 [group][up to 4 blocks of 16 channels][tap][word][block][16], the word
// for 8 / weight_bits words of codes: number u of byte b of the j-th of these is in the bits from
// 8 * b + weight_bits * j on. LQ_DEPTHWISE_CODES: int32 [multiplier][tap][in_channels].
// LQ_CONV_LOOKUPS: uint16 [up to 4 blocks of 32 channels][tap][15 bytes of codes][block][32], bit
// k the number of byte k of the 15; those beyond the words of a tap are 0.
// LQ_MOVE_BITS: uint32 [move][9][channels]: word, next, shift, then by how many places 16, 8, 4, 2, 1
// which bits are moved up, one after another, and the mask.
// LQ_CONV_BF16, LQ_CONV_PIXELS: bfloat16 or int16 [block of 16 channels][run][pair][16][2]. A run
// is what lies side by side in the input: the channels of one tap, or, if tap_pixel is
// in_channels, those of all taps along a row. It is cut into pairs, the last one filled with 0.
int64_t lq_weights_size(const lq_step* step);

// 0 if every address that the step touches for `batch` images lies in its buffers (in those of
// a whole batch: in `batch` times `image_bytes`) and all fields make sense; else the number of
// the check that failed.
int32_t lq_check(const lq_step* step, const lq_buffer* buffers, int32_t buffer_count,
                 int32_t batch);

// Which numbers of 16 bits an instruction set multiplies faster than floats on this CPU:
// 1 bfloat16, 2 int16, or their sum.
int32_t lq_halves(int32_t isa);

// Runs steps in order for `batch` images, `piece` at a time, on up to `threads` threads with an
// instruction set. Threads run pieces of their own while there is one for each, and share the
// steps of those that are left; so `thread_bytes` count for as many copies as there are threads
// or pieces, whichever is less. seconds: null, or one double a step that wall time is added to
// (of pieces that run at the same time, their mean). Steps must have passed lq_check for
// `piece` images. 0, or the 1-based number of the step that could not run.
int32_t lq_run(const lq_step* steps, int32_t step_count, const lq_buffer* buffers,
               int32_t buffer_count, int32_t batch, int32_t piece, int32_t threads, int32_t isa,
               double* seconds);

// Of up to `threads` threads, how many are estimated to be done first with the steps.
// estimates: null, or one double a step: nanoseconds that one thread takes.
int32_t lq_threads(const lq_step* steps, int32_t step_count, int32_t batch, int32_t piece,
                   int32_t threads, int32_t isa, double* estimates);

// Processors that the calling thread may run on.
int32_t lq_processors(void);

// Adds up what an otherwise idle core can do: 512-bit (or the widest) xor + popcount + add on
// registers, for about the given time. Returns 10^9 one-bit products per second.
double lq_peak(int32_t isa, double seconds);

// The same of products of bytes, four of which make a number of 32 bits.
double lq_peak_of_codes(int32_t isa, double seconds);

#ifdef __cplusplus
}
#endif
#endif
