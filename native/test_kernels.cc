// Random steps on every instruction set of this CPU, against sums written as plainly as
// they can be. Usage: test_kernels [how many] [seed]. Meant to run under sanitizers too.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#if !defined(LQ_NO_THREADS)
#include <thread>
#endif

#include "cost.h"
#include "work.h"

namespace {

const char* kNames[] = {"portable", "AVX2", "AVX-512", "NEON", "AMX", "WebAssembly"};
constexpr int32_t kSets = sizeof kNames / sizeof kNames[0];

struct Random {
  std::mt19937_64 engine;
  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine);
  }
  bool chance(int percent) { return between(1, 100) <= percent; }
  // Halves between -4 and 4, so that ties, zeros and exact sums are common.
  float number() { return static_cast<float>(between(-8, 8)) * 0.5f; }
};

// A step, what it works on, and what must come out.
struct Case {
  lq_step step = {};
  std::vector<lq_op> ops;
  std::vector<std::vector<uint32_t>> memory;  // exactly as long as needed, for sanitizers
  std::vector<int> outputs;                   // buffers that are compared
  int32_t batch = 1;

  int add(size_t words) {
    memory.emplace_back(words, 0);
    return static_cast<int>(memory.size()) - 1;
  }
  float* floats(int b) { return reinterpret_cast<float*>(memory[b].data()); }
  int32_t* integers(int b) { return reinterpret_cast<int32_t*>(memory[b].data()); }
  uint16_t* halves(int b) { return reinterpret_cast<uint16_t*>(memory[b].data()); }
};

int64_t rows_of(const Case& c) {
  return static_cast<int64_t>(c.batch) * c.step.depth * c.step.height * c.step.width;
}

lq_view dense(const Case& c, int buffer, int64_t words) {
  const int64_t row = c.step.width * words, depth = c.step.height * row;
  return {buffer, 0, 0, c.step.depth * depth, depth, row, words};
}

int random_floats(Case& c, Random& random, size_t count) {
  const int b = c.add(count);
  for (size_t i = 0; i < count; ++i) c.floats(b)[i] = random.number();
  return b;
}

void fill_bits(std::vector<uint32_t>& words, Random& random, int64_t channels, int64_t stride) {
  for (size_t i = 0; i < words.size(); ++i) {
    const int64_t first = static_cast<int64_t>(i) % stride * 32;
    const int64_t left = channels - first;
    uint32_t word = static_cast<uint32_t>(random.engine());
    if (left < 32) word &= left <= 0 ? 0u : (1u << left) - 1;
    words[i] = word;
  }
}

void window(Case& c, Random& random, bool three) {
  lq_step& s = c.step;
  s.kernel_d = three ? static_cast<int32_t>(random.between(1, 2)) : 1;
  s.kernel_h = static_cast<int32_t>(random.between(1, 4));
  s.kernel_w = static_cast<int32_t>(random.between(1, 4));
  s.stride_d = s.stride_h = s.stride_w = static_cast<int32_t>(random.between(1, 3));
  s.dilation_d = s.dilation_h = s.dilation_w = static_cast<int32_t>(random.between(1, 2));
}

// A tensor that the windows of the step fit into, of `words` a pixel; returns its size.
size_t input_of(Case& c, int64_t words, int64_t* sizes) {
  lq_step& s = c.step;
  sizes[0] = (s.depth - 1) * s.stride_d + (s.kernel_d - 1) * s.dilation_d + 1;
  sizes[1] = (s.height - 1) * s.stride_h + (s.kernel_h - 1) * s.dilation_h + 1;
  sizes[2] = (s.width - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1;
  const int64_t row = sizes[2] * words, depth = sizes[1] * row, image = sizes[0] * depth;
  s.input = {0, 0, 0, image, depth * s.stride_d, row * s.stride_h, words * s.stride_w};
  s.tap_depth = depth * s.dilation_d;
  s.tap_row = row * s.dilation_h;
  s.tap_pixel = words * s.dilation_w;
  return static_cast<size_t>(image) * c.batch;
}

void classes(Case& c, Random& random) {
  lq_step& s = c.step;
  s.row_class = s.column_class = -1;
  s.column_classes = 1;
  int64_t row_classes = 1;
  if (random.chance(50)) {
    row_classes = 3;
    s.column_classes = 2;
    s.row_class = c.add(static_cast<size_t>(s.depth) * s.height);
    for (uint32_t& v : c.memory[s.row_class]) v = static_cast<uint32_t>(random.between(0, 2));
    s.column_class = c.add(s.width);
    for (uint32_t& v : c.memory[s.column_class]) v = static_cast<uint32_t>(random.between(0, 1));
    c.memory[s.row_class][0] = 2;
    c.memory[s.column_class][0] = 1;
  }
  s.base = c.add(static_cast<size_t>(row_classes * s.column_classes * s.channels));
  for (uint32_t& v : c.memory[s.base]) v = static_cast<uint32_t>(random.between(-300, 900));
  if (random.chance(10))  // a damaged file may have any
    for (uint32_t& v : c.memory[s.base]) v += 0x80000000u;
}

// v of the step before its operations, for one pixel and channel.
struct Place {
  int64_t image, depth, row, pixel, channel;
};

float sign_of(float v) { return v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f; }

lq_op operation(int32_t kind) {
  lq_op op = {};
  op.kind = kind;
  op.a = op.b = -1;
  op.view.buffer = -1;
  return op;
}

#include "test_codes.inc"

#include "test_borders.inc"

#include "test_moves.inc"

void sums_of_bits(Case& c, Random& random) {
  lq_step& s = c.step;
  window(c, random, random.chance(20));
  s.input_planes = random.chance(70) ? 1 : static_cast<int32_t>(random.between(1, 3));
  s.weight_planes = random.chance(70) ? 1 : static_cast<int32_t>(random.between(1, 3));
  s.shift = static_cast<int32_t>(random.between(0, 2));
  int64_t sizes[3], words;
  if (s.kind == LQ_CONV) {
    s.groups = random.chance(70) ? 1 : static_cast<int32_t>(random.between(1, 3));
    s.channels = s.groups * static_cast<int32_t>(random.between(1, random.chance(50) ? 40 : 200));
    int64_t in = random.between(1, random.chance(80) ? 130 : 1400);  // of a group
    if (random.chance(15)) {  // large and regular, as matrices of bytes want it
      s.groups = s.input_planes = s.weight_planes = 1;
      s.channels = 32 * static_cast<int32_t>(random.between(1, 4));
      in = 64 * random.between(1, 3) - random.between(0, 20);
      s.height = static_cast<int32_t>(random.between(6, 9));
      s.width = static_cast<int32_t>(random.between(18, 70));
    }
    // As many ones as sums of 16 bits can hold, and a few more.
    const bool is_full = random.chance(2);
    if (is_full) {
      s.kernel_d = s.kernel_h = s.kernel_w = s.groups = s.input_planes = s.weight_planes = 1;
      s.channels = static_cast<int32_t>(random.between(1, 4));
      s.height = 1;
      s.width = static_cast<int32_t>(random.between(8, 13));
      in = 65504 + 32 * random.between(0, 1);
    }
    s.words = static_cast<int32_t>((in + 31) / 32);
    words = static_cast<int64_t>(s.groups) * s.words * s.input_planes;
    c.memory[0].resize(input_of(c, words, sizes));
    fill_bits(c.memory[0], random, in, s.words);
    s.weights = c.add(static_cast<size_t>(lq_weights_size(&s) / 4));
    const int64_t per_group = s.channels / s.groups, blocks = (per_group + 15) / 16;
    std::vector<uint32_t>& w = c.memory[s.weights];
    for (size_t i = 0; i < w.size(); ++i) {
      const int64_t lane = static_cast<int64_t>(i) % 16;
      const int64_t word = static_cast<int64_t>(i) / 16 % s.words;
      const int64_t block = static_cast<int64_t>(i) /
                            (16 * s.words * s.weight_planes * s.kernel_d * s.kernel_h *
                             static_cast<int64_t>(s.kernel_w)) %
                            blocks;
      const int64_t left = in - word * 32;
      w[i] = static_cast<uint32_t>(random.engine());
      if (left < 32) w[i] &= (1u << left) - 1;
      if (block * 16 + lane >= per_group) w[i] = 0;
    }
    if (is_full) {
      std::fill(c.memory[0].begin(), c.memory[0].end(), 0xffffffffu);
      std::fill(w.begin(), w.end(), 0u);
    }
    if (random.chance(40)) borders(c, random, sizes, words);
    if (s.inside_base >= 0) return;
  } else {
    s.in_channels = static_cast<int32_t>(random.between(1, 100));
    s.multiplier = static_cast<int32_t>(random.between(1, 3));
    s.channels = s.in_channels * s.multiplier;
    const int64_t of_plane = (s.in_channels + 31) / 32;
    words = of_plane * s.input_planes;
    c.memory[0].resize(input_of(c, words, sizes));
    fill_bits(c.memory[0], random, s.in_channels, of_plane);
    s.weights = c.add(static_cast<size_t>(lq_weights_size(&s) / 4));
    fill_bits(c.memory[s.weights], random, s.in_channels, of_plane);
  }
  classes(c, random);
}

// The upper half of a float, rounded to the nearest, to the even one of two.
uint16_t bf16_of(float v) {
  if (std::isnan(v)) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    return static_cast<uint16_t>(bits >> 16 | 0x40);
  }
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  const uint32_t below = bits & 0xffffu;
  uint32_t upper = bits >> 16;
  if (below > 0x8000u || (below == 0x8000u && upper % 2)) ++upper;
  return static_cast<uint16_t>(upper);
}

float of_bf16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

void sums_of_halves(Case& c, Random& random) {
  lq_step& s = c.step;
  window(c, random, random.chance(20));
  s.in_channels = static_cast<int32_t>(random.between(1, 40));
  if (random.chance(15)) {  // large and regular, as tiles want it
    s.channels = 32 * static_cast<int32_t>(random.between(1, 3));
    s.height = static_cast<int32_t>(random.between(6, 9));
    s.width = static_cast<int32_t>(random.between(18, 70));
    s.in_channels = random.chance(50) ? 64 : static_cast<int32_t>(random.between(12, 32));
  }
  if (random.chance(50)) s.dilation_w = 1;
  int64_t sizes[3];
  input_of(c, s.in_channels, sizes);
  const bool is_real = s.kind == LQ_CONV_BF16;
  const larqlite::Runs runs = larqlite::runs_of(s);
  const int64_t pairs = larqlite::pairs_of(runs);
  // Room behind the last of an odd run, and whole words.
  s.input.image += runs.values % 2;
  s.input.image += s.input.image % 2;
  c.memory[0].resize(static_cast<size_t>(s.input.image / 2) * c.batch);
  for (size_t i = 0; i < 2 * c.memory[0].size(); ++i)
    c.halves(0)[i] = is_real ? bf16_of(random.number())
                             : static_cast<uint16_t>(random.chance(30) ? 255 : random.between(0, 255));
  s.weights = c.add(static_cast<size_t>(lq_weights_size(&s) / 4));
  for (size_t i = 0; i < 2 * c.memory[s.weights].size(); ++i) {
    const int64_t value = static_cast<int64_t>(i) / 32 % pairs * 2 + static_cast<int64_t>(i) % 2;
    if (value >= runs.values)
      c.halves(s.weights)[i] = 0;
    else if (is_real)
      c.halves(s.weights)[i] = bf16_of(random.number());
    else
      c.halves(s.weights)[i] = static_cast<uint16_t>(random.between(-32768, 32767));
  }
  if (!is_real) classes(c, random);
}

int32_t expected_sum(Case& c, const Place& at) {
  const lq_step& s = c.step;
  const int64_t sum = ones_of(c, at, false);
  int64_t index = 0;
  if (s.row_class >= 0)
    index = static_cast<int64_t>(c.integers(s.row_class)[at.depth * s.height + at.row]) *
                s.column_classes +
            c.integers(s.column_class)[at.pixel];
  const uint32_t base = c.memory[s.base][static_cast<size_t>(index * s.channels + at.channel)];
  return static_cast<int32_t>(base - static_cast<uint32_t>(2 * sum)) >> s.shift;
}

// The sum of products of 16 bits, of floats or, modulo 2^32, of integers.
template <typename Sum, typename Of>
Sum expected_halves(Case& c, const Place& at, Of of) {
  const lq_step& s = c.step;
  const larqlite::Runs runs = larqlite::runs_of(s);
  const int64_t pairs = larqlite::pairs_of(runs);
  const uint16_t* x = c.halves(0) + at.image * s.input.image + at.depth * s.input.depth +
                      at.row * s.input.row + at.pixel * s.input.pixel;
  const int64_t columns = s.kernel_w / runs.every;
  Sum sum = 0;
  for (int64_t r = 0; r < runs.count; ++r) {
    const int64_t kw = r % columns, kh = r / columns % s.kernel_h, kd = r / columns / s.kernel_h;
    for (int64_t k = 0; k < runs.values; ++k)
      sum += of(x[kd * s.tap_depth + kh * s.tap_row + kw * s.tap_pixel + k]) *
             of(c.halves(s.weights)[(((at.channel / 16 * runs.count + r) * pairs + k / 2) * 16 +
                                     at.channel % 16) *
                                        2 +
                                    k % 2]);
  }
  return sum;
}

int32_t expected_pixels(Case& c, const Place& at) {
  const lq_step& s = c.step;
  const auto of = [](uint16_t half) { return static_cast<int64_t>(static_cast<int16_t>(half)); };
  int64_t index = 0;
  if (s.row_class >= 0)
    index = static_cast<int64_t>(c.integers(s.row_class)[at.depth * s.height + at.row]) *
                s.column_classes +
            c.integers(s.column_class)[at.pixel];
  const int64_t sum = expected_halves<int64_t>(c, at, of);
  return static_cast<int32_t>(sum + c.integers(s.base)[index * s.channels + at.channel]);
}

float expected_pool(Case& c, const Place& at) {
  const lq_step& s = c.step;
  double most = -INFINITY;
  int64_t n = 0;
  const int64_t d0 = s.tap_depth / s.dilation_d, h0 = s.tap_row / s.dilation_h,
                w0 = s.tap_pixel / s.dilation_w;
  float total = 0;
  for (int64_t kd = 0; kd < s.kernel_d; ++kd)
    for (int64_t kh = 0; kh < s.kernel_h; ++kh)
      for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
        const int64_t d = at.depth * s.stride_d - s.pad_d + kd * s.dilation_d;
        const int64_t h = at.row * s.stride_h - s.pad_h + kh * s.dilation_h;
        const int64_t w = at.pixel * s.stride_w - s.pad_w + kw * s.dilation_w;
        if (d < 0 || h < 0 || w < 0 || d >= s.in_d || h >= s.in_h || w >= s.in_w) continue;
        const float v =
            c.floats(0)[at.image * s.input.image + d * d0 + h * h0 + w * w0 + at.channel];
        total += v;
        if (v > most) most = v;
        ++n;
      }
  if (s.kind == LQ_POOL_MAX) return static_cast<float>(most);
  if (s.kind == LQ_POOL_AVERAGE_PADDED)
    n = static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w;
  return total / static_cast<float>(n < 1 ? 1 : n);
}

// Halves times halves: every sum is exact in whatever order.
float expected_conv(Case& c, const Place& at) {
  const lq_step& s = c.step;
  const float* x = c.floats(0) + at.image * s.input.image + at.depth * s.input.depth +
                   at.row * s.input.row + at.pixel * s.input.pixel;
  const float* w = c.floats(s.weights);
  const int64_t taps = static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w;
  const int64_t each = s.channels / s.groups, group = at.channel / each, within = at.channel % each;
  const int64_t block = group * ((each + 15) / 16) + within / 16;
  float sum = 0;
  for (int64_t t = 0; t < taps; ++t) {
    const int64_t kw = t % s.kernel_w, kh = t / s.kernel_w % s.kernel_h,
                  kd = t / s.kernel_w / s.kernel_h;
    const float* of_tap = x + kd * s.tap_depth + kh * s.tap_row + kw * s.tap_pixel;
    if (s.kind == LQ_DEPTHWISE_FLOAT) {
      const int64_t in = at.channel / s.multiplier, filter = at.channel % s.multiplier;
      sum += of_tap[in] * w[(filter * taps + t) * s.in_channels + in];
      continue;
    }
    for (int64_t k = 0; k < s.in_channels; ++k)
      sum += of_tap[group * s.in_channels + k] *
             w[((block * taps + t) * s.in_channels + k) * 16 + within % 16];
  }
  return sum;
}

float expected_float(Case& c, const Place& at) {
  const lq_step& s = c.step;
  if (s.kind == LQ_CONV_FLOAT || s.kind == LQ_DEPTHWISE_FLOAT) return expected_conv(c, at);
  if (s.kind == LQ_CONV_BF16) return expected_halves<float>(c, at, of_bf16);
  if (s.kind == LQ_LOAD)
    return c.floats(0)[at.image * s.input.image + at.depth * s.input.depth + at.row * s.input.row +
                       at.pixel * s.input.pixel + at.channel];
  if (s.kind != LQ_MEAN) return expected_pool(c, at);
  double sum = 0;
  for (int64_t d = 0; d < s.in_d; ++d)
    for (int64_t h = 0; h < s.in_h; ++h)
      for (int64_t w = 0; w < s.in_w; ++w)
        sum += static_cast<double>(c.floats(0)[at.image * s.input.image + d * s.input.depth +
                                               h * s.input.row + w * s.input.pixel + at.channel]);
  return static_cast<float>(sum / (static_cast<double>(s.in_d) * s.in_h * s.in_w));
}

int64_t words_needed(const lq_op& op, int32_t channels) {
  return op.group > 0 ? channels / op.group * ((op.group + 31) / 32) : (channels + 31) / 32;
}

void add_pack(Case& c, Random& random, lq_op op) {
  if (random.chance(30)) {
    const int32_t groups = static_cast<int32_t>(random.between(1, 4));
    if (c.step.channels % groups == 0) op.group = c.step.channels / groups;
  }
  op.words = static_cast<int32_t>(words_needed(op, c.step.channels));
  // A border around the image, as a convolution that follows wants it.
  const int64_t pixel = static_cast<int64_t>(op.words) * op.planes;
  const int64_t row = (c.step.width + 2) * pixel, depth = (c.step.height + 2) * row;
  const int64_t image = c.step.depth * depth;
  const int b = c.add(static_cast<size_t>(image * c.batch));
  op.view = {b, 0, row + pixel, image, depth, row, pixel};
  c.outputs.push_back(b);
  c.ops.push_back(op);
}

void add_store(Case& c, Random& random, int32_t kind) {
  const int64_t extra = random.chance(30) ? random.between(1, 5) : 0;  // a wider tensor
  lq_op op = operation(kind);
  const int b = c.add(static_cast<size_t>(rows_of(c) * (c.step.channels + extra)));
  op.view = dense(c, b, c.step.channels + extra);
  op.view.offset = extra;
  c.outputs.push_back(b);
  c.ops.push_back(op);
}

void float_operations(Case& c, Random& random) {
  if (random.chance(20)) {  // what a residual block ends in
    lq_op op = operation(LQ_MULTIPLY);
    op.a = random_floats(c, random, static_cast<size_t>(c.step.channels));
    c.ops.push_back(op);
    op = operation(LQ_ADD);
    op.a = random_floats(c, random, static_cast<size_t>(c.step.channels));
    c.ops.push_back(op);
    if (random.chance(50)) add_store(c, random, LQ_STORE);
    op = operation(LQ_PACK_SIGN);
    op.planes = 1;
    add_pack(c, random, op);
    return;
  }
  const int count = static_cast<int>(random.between(1, 5));
  for (int i = 0; i < count; ++i) {
    static const int32_t kKinds[] = {
        LQ_MULTIPLY,       LQ_ADD,          LQ_ADD_TENSOR, LQ_MULTIPLY_IMAGE, LQ_RELU,
        LQ_PRELU,          LQ_CLIP,         LQ_STORE,      LQ_SIGN,           LQ_PACK_SIGN,
        LQ_PACK_HEAVISIDE, LQ_PACK_TERNARY, LQ_PACK_STEPS, LQ_ADD_SCALED,
        LQ_PACK_INTEGERS,  LQ_DIVIDE,       LQ_CODE_STEPS, LQ_CODE_INTEGERS,  LQ_CODE_TERNARY,
        LQ_CODE_SIGN,      LQ_CODE_HEAVISIDE, LQ_PACK_BF16, LQ_PACK_PIXELS,
        LQ_PACK_RANGE,     LQ_MULTIPLY_TENSOR, LQ_PACK_ABOVE,
        LQ_DIVIDE_TENSOR};
    lq_op op = operation(kKinds[random.between(0, 26)]);
    const size_t channels = static_cast<size_t>(c.step.channels);
    switch (op.kind) {
      case LQ_MULTIPLY:
      case LQ_DIVIDE:
      case LQ_ADD:
      case LQ_PRELU:
        op.a = random_floats(c, random, channels);
        if (op.kind == LQ_DIVIDE)  // of NaN, bits are anybody's
          for (size_t k = 0; k < channels; ++k)
            if (c.floats(op.a)[k] == 0.0f) c.floats(op.a)[k] = 1.0f;
        c.ops.push_back(op);
        break;
      case LQ_MULTIPLY_IMAGE:
        op.a = random_floats(c, random, channels * c.batch);
        c.ops.push_back(op);
        break;
      case LQ_ADD_TENSOR:
      case LQ_MULTIPLY_TENSOR:
      case LQ_DIVIDE_TENSOR:
        op.view = dense(c, random_floats(c, random, static_cast<size_t>(rows_of(c)) * channels),
                        c.step.channels);
        if (op.kind == LQ_DIVIDE_TENSOR)
          for (uint32_t& v : c.memory[op.view.buffer]) v = v << 1 == 0 ? 0x3f800000u : v;
        c.ops.push_back(op);
        break;
      case LQ_ADD_SCALED:
        op.a = random_floats(c, random, channels);
        op.view = dense(c, random_floats(c, random, static_cast<size_t>(rows_of(c))), 1);
        c.ops.push_back(op);
        break;
      case LQ_CLIP:
        op.x = -1.5f;
        op.y = 2.0f;
        c.ops.push_back(op);
        break;
      case LQ_STORE:
        add_store(c, random, LQ_STORE);
        break;
      case LQ_PACK_TERNARY:
        op.planes = 2;
        op.x = 0.5f;
        add_pack(c, random, op);
        break;
      case LQ_PACK_STEPS:
        op.planes = static_cast<int32_t>(random.between(1, 4));
        add_pack(c, random, op);
        break;
      case LQ_PACK_INTEGERS:
        op.planes = static_cast<int32_t>(random.between(1, 4));
        op.x = -static_cast<float>(random.between(0, 3));
        op.y = op.x + static_cast<float>((1 << op.planes) - 1);
        add_pack(c, random, op);
        break;
      case LQ_PACK_BF16:
      case LQ_PACK_PIXELS: {
        op.view = dense(c, 0, c.step.channels);
        op.view.image += op.view.image % 2;  // whole words
        const int b = c.add(static_cast<size_t>(op.view.image / 2) * c.batch);
        op.view.buffer = b;
        c.outputs.push_back(b);
        c.ops.push_back(op);
        break;
      }
      case LQ_PACK_RANGE:
        op.a = random_floats(c, random, channels);
        op.b = random_floats(c, random, channels);
        for (size_t k = 0; k < channels; ++k)  // of most channels, one end alone
          if (random.chance(70)) (random.chance(50) ? c.floats(op.a)[k] : c.floats(op.b)[k]) = random.chance(50) ? INFINITY : -INFINITY;
        op.planes = 1;
        add_pack(c, random, op);
        break;
      case LQ_PACK_ABOVE:
        op.a = random_floats(c, random, channels);
        for (size_t k = 0; k < channels; ++k)
          if (random.chance(20)) c.floats(op.a)[k] = INFINITY;
        op.b = c.add((channels + 31) / 32);
        for (uint32_t& word : c.memory[op.b]) word = static_cast<uint32_t>(random.engine());
        op.planes = 1;
        add_pack(c, random, op);
        break;
      case LQ_PACK_SIGN:
      case LQ_PACK_HEAVISIDE:
        op.planes = 1;
        add_pack(c, random, op);
        break;
      case LQ_CODE_SIGN:
      case LQ_CODE_HEAVISIDE:
      case LQ_CODE_TERNARY:
      case LQ_CODE_STEPS:
      case LQ_CODE_INTEGERS:
        add_codes(c, random, op);
        break;
      default:
        c.ops.push_back(op);
    }
  }
  if (c.outputs.empty() || random.chance(50)) add_store(c, random, LQ_STORE);
}

// A window over a tensor of `words` a pixel; some of its reach is padding.
void pooled(Case& c, Random& random, int64_t words) {
  lq_step& s = c.step;
  int64_t sizes[3];
  window(c, random, random.chance(20));
  if (s.kind == LQ_MOVE_BITS && random.chance(40)) s.kernel_d = s.kernel_h = s.kernel_w = 1;
  input_of(c, words, sizes);
  s.pad_d = s.kernel_d > 1 && sizes[0] > 1 ? static_cast<int32_t>(random.between(0, 1)) : 0;
  s.pad_h = s.kernel_h > 1 && sizes[1] > 1 ? static_cast<int32_t>(random.between(0, 1)) : 0;
  s.pad_w = s.kernel_w > 1 && sizes[2] > 1 ? static_cast<int32_t>(random.between(0, 1)) : 0;
  s.in_d = static_cast<int32_t>(sizes[0] - s.pad_d);
  s.in_h = static_cast<int32_t>(sizes[1] - s.pad_h);
  s.in_w = static_cast<int32_t>(sizes[2] - s.pad_w);
  const int64_t row = s.in_w * words, depth = s.in_h * row;
  s.input = {0, 0, 0, s.in_d * depth, depth * s.stride_d, row * s.stride_h, words * s.stride_w};
  s.tap_depth = depth * s.dilation_d;
  s.tap_row = row * s.dilation_h;
  s.tap_pixel = words * s.dilation_w;
  c.memory[0].resize(static_cast<size_t>(s.in_d * depth * c.batch));
}

#include "test_gathers.inc"

Case make_case(Random& random) {
  Case c;
  c.add(0);  // the input
  lq_step& s = c.step;
  static const int32_t kKinds[] = {LQ_CONV, LQ_CONV,      LQ_CONV,         LQ_DEPTHWISE,
                                   LQ_LOAD, LQ_POOL_MAX,  LQ_POOL_AVERAGE, LQ_POOL_AVERAGE_PADDED,
                                   LQ_MEAN, LQ_CONV_FLOAT, LQ_CONV_CODES,  LQ_CONV_CODES,
                                   LQ_DEPTHWISE_CODES, LQ_CONV_LOOKUPS, LQ_CONV_BF16, LQ_CONV_PIXELS,
                                   LQ_MOVE_BITS, LQ_MOVE_BITS, LQ_DEPTHWISE_FLOAT, LQ_CONV_BYTES};
  s.kind = kKinds[random.between(0, 19)];
  c.batch = static_cast<int32_t>(random.between(1, 3));
  const bool is_vector = s.kind == LQ_MEAN || random.chance(15);
  s.depth = is_vector || random.chance(80) ? 1 : 2;
  s.height = is_vector ? 1 : static_cast<int32_t>(random.between(1, 6));
  s.width = is_vector ? 1 : static_cast<int32_t>(random.between(1, 17));
  s.kernel_d = s.kernel_h = s.kernel_w = 1;
  s.stride_d = s.stride_h = s.stride_w = s.dilation_d = s.dilation_h = s.dilation_w = 1;
  s.groups = s.column_classes = 1;
  s.weights = s.base = s.row_class = s.column_class = s.inside_base = -1;
  s.channels = static_cast<int32_t>(random.between(1, 150));
  if (s.kind == LQ_CONV || s.kind == LQ_DEPTHWISE || larqlite::sums_codes(s)) {
    if (s.kind == LQ_CONV || s.kind == LQ_DEPTHWISE)
      sums_of_bits(c, random);
    else
      sums_of_codes(c, random);
    if (random.chance(40)) add_store(c, random, LQ_STORE_INT);
    if (random.chance(40)) {
      lq_op op = operation(LQ_THRESHOLD);
      op.planes = 1;
      op.a = c.add(static_cast<size_t>(s.channels));
      op.b = c.add(static_cast<size_t>(s.channels));
      for (int32_t i = 0; i < s.channels; ++i) {
        const bool negative = random.chance(30);
        const int32_t at = static_cast<int32_t>(random.between(-100, 300));
        c.integers(op.a)[i] = negative ? INT32_MIN : at;
        c.integers(op.b)[i] = negative ? at : random.chance(10) ? INT32_MIN : INT32_MAX;
      }
      add_pack(c, random, op);
      if (random.chance(50)) return c;
    }
    c.ops.push_back(operation(LQ_TO_FLOAT));
  } else if (s.kind == LQ_MOVE_BITS) {
    moves_of_bits(c, random);
    pooled(c, random, s.words);
    for (uint32_t& word : c.memory[0]) word = static_cast<uint32_t>(random.engine());
    add_store(c, random, LQ_STORE_INT);
    return c;
  } else if (s.kind == LQ_CONV_BYTES) {
    sums_of_bytes(c, random);
    if (random.chance(40)) add_store(c, random, LQ_STORE_INT);
    c.ops.push_back(operation(LQ_TO_FLOAT));
  } else if (larqlite::takes_halves(s)) {
    sums_of_halves(c, random);
    if (s.kind == LQ_CONV_PIXELS) c.ops.push_back(operation(LQ_TO_FLOAT));
  } else if (s.kind == LQ_CONV_FLOAT || s.kind == LQ_DEPTHWISE_FLOAT) {
    window(c, random, random.chance(20));
    s.in_channels = static_cast<int32_t>(random.between(1, 40));
    if (s.kind == LQ_DEPTHWISE_FLOAT) {
      s.in_channels = static_cast<int32_t>(random.between(1, 100));
      s.multiplier = random.chance(60) ? 1 : static_cast<int32_t>(random.between(2, 3));
      s.channels = s.in_channels * s.multiplier;
    } else if (random.chance(30)) {
      s.groups = static_cast<int32_t>(random.between(2, 4));
      s.channels = s.groups * static_cast<int32_t>(random.between(1, 70));
    }
    int64_t sizes[3];
    c.memory[0].resize(input_of(c, static_cast<int64_t>(s.groups) * s.in_channels, sizes));
    for (size_t i = 0; i < c.memory[0].size(); ++i) c.floats(0)[i] = random.number();
    s.weights = random_floats(c, random, static_cast<size_t>(lq_weights_size(&s) / 4));
  } else if (s.kind == LQ_LOAD) {
    int64_t sizes[3];
    c.memory[0].resize(input_of(c, s.channels, sizes));
    for (size_t i = 0; i < c.memory[0].size(); ++i) c.floats(0)[i] = random.number();
  } else {
    if (s.kind == LQ_MEAN) {
      s.in_d = 1;
      s.in_h = static_cast<int32_t>(random.between(1, 7));
      s.in_w = static_cast<int32_t>(random.between(1, 7));
      const int64_t row = static_cast<int64_t>(s.in_w) * s.channels;
      s.input = {0, 0, 0, s.in_h * row, s.in_h * row, row, s.channels};
      c.memory[0].resize(static_cast<size_t>(s.in_h * row * c.batch));
    } else {
      pooled(c, random, s.channels);
    }
    for (size_t i = 0; i < c.memory[0].size(); ++i) c.floats(0)[i] = random.number();
  }
  float_operations(c, random);
  return c;
}

void put_bit(Case& c, const lq_op& op, const Place& at, int plane, bool is_minus) {
  int64_t word = at.channel / 32, bit = at.channel % 32;
  if (op.group > 0) {
    const int64_t within = at.channel % op.group;
    word = at.channel / op.group * ((op.group + 31) / 32) + within / 32;
    bit = within % 32;
  }
  const lq_view& v = op.view;
  uint32_t& target =
      c.memory[v.buffer]
              [static_cast<size_t>(v.offset + at.image * v.image + at.depth * v.depth +
                                   at.row * v.row + at.pixel * v.pixel + plane * op.words + word)];
  target = (target & ~(1u << bit)) | static_cast<uint32_t>(is_minus) << bit;
}

void expect(Case& c, const Place& at) {
  int32_t integer = 0;
  float v = 0;
  if (larqlite::sums_codes(c.step))
    integer = expected_code_sum(c, at);
  else if (c.step.kind == LQ_CONV || c.step.kind == LQ_DEPTHWISE)
    integer = expected_sum(c, at);
  else if (c.step.kind == LQ_CONV_PIXELS)
    integer = expected_pixels(c, at);
  else if (c.step.kind == LQ_CONV_BYTES)
    integer = expected_bytes(c, at);
  else if (c.step.kind == LQ_MOVE_BITS)
    integer = expected_move(c, at);
  else
    v = expected_float(c, at);
  for (const lq_op& op : c.ops) {
    const float a = op.a >= 0 && op.kind != LQ_THRESHOLD && op.kind != LQ_MULTIPLY_IMAGE
                        ? c.floats(op.a)[at.channel]
                        : 0.0f;
    const size_t place =
        static_cast<size_t>(op.view.offset + at.image * op.view.image + at.depth * op.view.depth +
                            at.row * op.view.row + at.pixel * op.view.pixel + at.channel);
    switch (op.kind) {
      case LQ_STORE_INT:
        c.integers(op.view.buffer)[place] = integer;
        break;
      case LQ_THRESHOLD:
        put_bit(c, op, at, 0,
                integer < c.integers(op.a)[at.channel] || integer > c.integers(op.b)[at.channel]);
        break;
      case LQ_TO_FLOAT:
        v = static_cast<float>(integer);
        break;
      case LQ_MULTIPLY:
        v = v * a;
        break;
      case LQ_DIVIDE:
        v = v / a;
        break;
      case LQ_ADD:
        v = v + a;
        break;
      case LQ_ADD_TENSOR:
        v = v + c.floats(op.view.buffer)[place];
        break;
      case LQ_DIVIDE_TENSOR:
        v = v / c.floats(op.view.buffer)[place];
        break;
      case LQ_MULTIPLY_TENSOR:
        v = v * c.floats(op.view.buffer)[place];
        break;
      case LQ_ADD_SCALED:
        v = v + c.floats(op.view.buffer)[place - static_cast<size_t>(at.channel)] * a;
        break;
      case LQ_MULTIPLY_IMAGE:
        v = v * c.floats(op.a)[at.image * c.step.channels + at.channel];
        break;
      case LQ_RELU: {  // of a zero that compilers know, some make a maximum, which turns -0 to 0
        const volatile float zero = 0.0f;
        v = v < 0 ? zero : v;
        break;
      }
      case LQ_PRELU:
        v = v < 0 ? v * a : v;
        break;
      case LQ_CLIP:
        v = std::fmin(std::fmax(v, op.x), op.y);
        break;
      case LQ_STORE:
        c.floats(op.view.buffer)[place] = v;
        break;
      case LQ_SIGN:
        v = v < 0 ? -1.0f : 1.0f;
        break;
      case LQ_PACK_BF16:
        c.halves(op.view.buffer)[place] = bf16_of(v);
        break;
      case LQ_PACK_PIXELS: {
        const float inside = v > 0 ? std::fmin(v, 255.0f) : 0.0f;
        c.halves(op.view.buffer)[place] = static_cast<uint16_t>(std::nearbyint(inside));
        break;
      }
      case LQ_PACK_SIGN:
        put_bit(c, op, at, 0, v < 0);
        break;
      case LQ_PACK_RANGE:
        put_bit(c, op, at, 0, v < a || v > c.floats(op.b)[at.channel]);
        break;
      case LQ_PACK_ABOVE:
        put_bit(c, op, at, 0,
                (v > a) != (c.memory[op.b][static_cast<size_t>(at.channel / 32)] >> at.channel % 32 & 1u));
        break;
      case LQ_PACK_HEAVISIDE:
        put_bit(c, op, at, 0, !(v > 0));
        break;
      case LQ_PACK_TERNARY: {
        const float t = sign_of(sign_of(v + op.x) + sign_of(v - op.x));
        put_bit(c, op, at, 0, t < 0);
        put_bit(c, op, at, 1, t <= 0);
        break;
      }
      case LQ_PACK_INTEGERS: {
        const int code = static_cast<int>(std::nearbyint(std::fmin(std::fmax(v, op.x), op.y)) - op.x);
        for (int p = 0; p < op.planes; ++p) put_bit(c, op, at, p, !(code >> p & 1));
        break;
      }
      case LQ_PACK_STEPS: {
        const float n = static_cast<float>((1 << op.planes) - 1);
        const int code = static_cast<int>(std::nearbyint(std::fmin(std::fmax(v, 0.0f), 1.0f) * n));
        for (int p = 0; p < op.planes; ++p) put_bit(c, op, at, p, !(code >> p & 1));
        break;
      }
      case LQ_CODE_SIGN:
      case LQ_CODE_HEAVISIDE:
      case LQ_CODE_TERNARY:
      case LQ_CODE_STEPS:
      case LQ_CODE_INTEGERS:
        put_code(c, op, at, v);
        break;
      default:
        std::abort();
    }
  }
}

// Bytes of what views count.
int64_t size_of_input(const Case& c) {
  return c.step.kind == LQ_CONV_BYTES ? 1 : larqlite::takes_halves(c.step) ? 2 : 4;
}
int64_t size_of_elements(const lq_op& op) {
  return op.kind == LQ_PACK_BF16 || op.kind == LQ_PACK_PIXELS ? 2 : 4;
}

// Whether images begin at whole words, as memory of images apart has to, and end with what is
// read of them.
bool has_images_of_words(const Case& c) {
  if (c.step.input.image * size_of_input(c) % 4 != 0) return false;
  for (const lq_op& op : c.ops)
    if (op.view.image * size_of_elements(op) % 4 != 0) return false;
  return true;
}

// The memory of a case; `whole_batch`: that of each image is told apart, so that pieces of the
// batch can be run by themselves.
std::vector<lq_buffer> buffers_of(Case& c, bool whole_batch) {
  std::vector<lq_buffer> buffers;
  for (auto& m : c.memory)
    buffers.push_back({m.data(), static_cast<int64_t>(m.size()) * 4, 0, 0, 0});
  for (const int b : c.outputs) buffers[b].streamed = b % 2;
  if (!whole_batch) return buffers;
  buffers[c.step.input.buffer].image_bytes = c.step.input.image * size_of_input(c);
  for (const lq_op& op : c.ops) {
    if (op.view.buffer >= 0)
      buffers[op.view.buffer].image_bytes = op.view.image * size_of_elements(op);
    if (op.kind == LQ_MULTIPLY_IMAGE) buffers[op.a].image_bytes = int64_t{c.step.channels} * 4;
  }
  return buffers;
}

bool run_case(Case& c, int32_t threads, int32_t piece, long number) {
  c.step.ops = c.ops.data();
  c.step.op_count = static_cast<int32_t>(c.ops.size());
  if (!has_images_of_words(c)) piece = c.batch;
  Case wanted = c;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t d = 0; d < c.step.depth; ++d)
      for (int64_t y = 0; y < c.step.height; ++y)
        for (int64_t x = 0; x < c.step.width; ++x)
          for (int64_t k = 0; k < c.step.channels; ++k) expect(wanted, {n, d, y, x, k});
  for (int32_t isa = 0; isa < kSets; ++isa) {
    if (!lq_supports(isa)) continue;
    Case run = c;
    run.step.ops = run.ops.data();
    std::vector<lq_buffer> buffers = buffers_of(run, piece < c.batch);
    const int32_t count = static_cast<int32_t>(buffers.size());
    const int32_t failed = lq_check(&run.step, buffers.data(), count, piece);
    if (failed != 0) {
      std::printf("case %ld: a good step (kind %d) fails check %d\n", number, c.step.kind, failed);
      return false;
    }
    lq_run(&run.step, 1, buffers.data(), count, c.batch, piece, threads, isa, nullptr);
    for (const int b : c.outputs)
      if (std::memcmp(run.memory[b].data(), wanted.memory[b].data(), run.memory[b].size() * 4)) {
        std::printf("case %ld: kind %d, %s, %d threads, %d of %d images: buffer %d differs\n",
                    number, c.step.kind, kNames[isa], threads, piece, c.batch, b);
        for (const lq_op& op : c.ops) std::printf("  op %d buffer %d\n", op.kind, op.view.buffer);
        return false;
      }
    // One word less in any buffer that is used to its end must be noticed.
    for (const int b : c.outputs) {
      lq_buffer& shorter = buffers[b];
      const int64_t whole = shorter.bytes;
      shorter.bytes -= (c.batch - piece) * shorter.image_bytes;  // no more than a piece needs
      shorter.bytes -= 4 * static_cast<int64_t>(c.step.channels) * 1024;
      if (lq_check(&run.step, buffers.data(), count, piece) == 0) {
        std::printf("case %ld: buffer %d is too short, unnoticed\n", number, b);
        return false;
      }
      shorter.bytes = whole;
    }
  }
  return true;
}

// A large convolution and the pooling of what it stores, in one call and in two; in one call
// for each image, and in one for all of them, where each thread keeps what lies between.
bool run_pair(Random& random, int32_t threads) {
  Case c;
  c.batch = static_cast<int32_t>(random.between(1, 4));
  c.add(0);
  lq_step& s = c.step;
  s.kind = LQ_CONV_FLOAT;
  s.depth = s.stride_d = s.stride_h = s.stride_w = s.dilation_d = s.dilation_h = s.dilation_w = 1;
  s.kernel_d = s.groups = s.column_classes = 1;
  s.base = s.row_class = s.column_class = s.inside_base = -1;
  s.kernel_h = s.kernel_w = static_cast<int32_t>(random.between(1, 3));
  s.channels = 32 * static_cast<int32_t>(random.between(1, 4));
  s.height = static_cast<int32_t>(random.between(40, 90));
  s.width = static_cast<int32_t>(random.between(60, 90));
  s.in_channels = static_cast<int32_t>(random.between(1, 6));
  int64_t sizes[3];
  c.memory[0].resize(input_of(c, s.in_channels, sizes));
  for (size_t i = 0; i < c.memory[0].size(); ++i) c.floats(0)[i] = random.number();
  s.weights = random_floats(c, random, static_cast<size_t>(lq_weights_size(&s) / 4));
  // A value that is not finite must reach its own windows only, on every instruction set.
  if (random.chance(50)) c.floats(0)[random.between(0, 500)] = INFINITY;
  add_store(c, random, LQ_STORE);
  const lq_op store = c.ops.back();
  lq_step pool = s;
  pool.kind = random.chance(50) ? LQ_POOL_MAX : LQ_POOL_AVERAGE;
  pool.in_d = 1;
  pool.in_h = s.height;
  pool.in_w = s.width;
  pool.kernel_h = pool.kernel_w = static_cast<int32_t>(random.between(1, 4));
  pool.stride_h = pool.stride_w = static_cast<int32_t>(random.between(1, 3));
  pool.pad_h = pool.pad_w = static_cast<int32_t>(random.between(0, pool.kernel_h / 2));
  pool.height = (s.height + 2 * pool.pad_h - pool.kernel_h) / pool.stride_h + 1;
  pool.width = (s.width + 2 * pool.pad_w - pool.kernel_w) / pool.stride_w + 1;
  pool.input = store.view;
  pool.tap_row = store.view.row;
  pool.tap_pixel = store.view.pixel;
  pool.input.row = store.view.row * pool.stride_h;
  pool.input.pixel = store.view.pixel * pool.stride_w;
  lq_op pooled = operation(LQ_STORE);
  const int64_t row = static_cast<int64_t>(pool.width) * pool.channels, image = pool.height * row;
  const int out = c.add(static_cast<size_t>(image * c.batch));
  pooled.view = {out, 0, 0, image, 0, row, pool.channels};
  s.ops = &store;
  pool.ops = &pooled;
  s.op_count = pool.op_count = 1;
  const lq_step steps[2] = {s, pool};
  std::vector<uint32_t> results[2], of_portable;
  for (int32_t isa = 0; isa < kSets; ++isa) {
    if (!lq_supports(isa)) continue;
    for (int together = 0; together < 2; ++together) {
      Case run = c;
      std::vector<lq_buffer> buffers = buffers_of(run, true);
      const int32_t count = static_cast<int32_t>(buffers.size());
      lq_buffer& between = buffers[store.view.buffer];  // has room for an image of each thread
      between.bytes = between.thread_bytes = between.image_bytes;
      between.image_bytes = 0;
      buffers[out].image_bytes = image * 4;
      for (const lq_step& step : steps)
        if (lq_check(&step, buffers.data(), count, 1) != 0) return false;
      double seconds[2] = {};
      if (together) {
        lq_run(steps, 2, buffers.data(), count, c.batch, 1, threads, isa, seconds);
      } else {
        for (int32_t n = 0; n < c.batch; ++n)
          for (int32_t i = 0; i < 2; ++i) {
            std::vector<lq_buffer> moved = buffers;
            for (lq_buffer& b : moved)
              b.data = static_cast<char*>(b.data) + n * b.image_bytes;
            lq_run(steps + i, 1, moved.data(), count, 1, 1, threads, isa, seconds + i);
          }
      }
#if !defined(LQ_NO_CLOCK)
      if (!(seconds[0] > 0 && seconds[1] > 0)) return false;
#endif
      results[together] = run.memory[out];
    }
    if (of_portable.empty()) of_portable = results[0];
    if (results[0] != results[1] || results[0] != of_portable) {  // or of the first there is
      std::printf("%s: pooling in bands differs\n", kNames[isa]);
      return false;
    }
  }
  return true;
}

#include "test_code_extremes.inc"

#include "test_functions.inc"

}  // namespace

int main(int argc, char** argv) {
  larqlite::cost_of_loop = 0;  // threads, however small the steps are
  larqlite::Budget::is_unlimited = true;
  const long count = argc > 1 ? std::atol(argv[1]) : 2000;
  Random random{std::mt19937_64(argc > 2 ? static_cast<uint64_t>(std::atoll(argv[2])) : 0)};
  for (long i = 0; i < count; ++i) {
    Case c = make_case(random);
    const int32_t threads = static_cast<int32_t>(random.between(1, 3));
    if (!run_case(c, threads, static_cast<int32_t>(random.between(1, c.batch)), i)) return 1;
  }
  for (long i = 0; i < count / 10 + 1; ++i)
    if (!run_gathered(random, static_cast<int32_t>(random.between(1, 3)))) return 1;
  for (long i = 0; i < count / 100 + 1; ++i)
    if (!run_pair(random, static_cast<int32_t>(random.between(1, 3)))) return 1;
  for (long i = 0; i < count / 20 + 1; ++i)
    if (!run_softmax(random, static_cast<int32_t>(random.between(1, 3)))) return 1;
  for (long i = 0; i < count / 20 + 1; ++i)
    if (!run_functions(random)) return 1;
#if !defined(LQ_NO_THREADS)
  // Several callers at once share the pool of threads.
  std::vector<std::thread> callers;
  std::vector<int> good(4, 0);
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&good, t, count] {
      Random own{std::mt19937_64(1000 + static_cast<uint64_t>(t))};
      for (long i = 0; i < count / 20 + 1; ++i) {
        Case c = make_case(own);
        if (!run_case(c, 3, static_cast<int32_t>(own.between(1, c.batch)), i)) return;
      }
      good[t] = 1;
    });
  for (std::thread& caller : callers) caller.join();
  for (const int g : good)
    if (!g) return 1;
#endif
  if (!extremes_of_codes()) return 1;
  std::printf("%ld random steps agree:", count);
  for (int32_t isa = 0; isa < kSets; ++isa)
    if (lq_supports(isa)) std::printf(" %s", kNames[isa]);
  std::printf("\n");
  return 0;
}
