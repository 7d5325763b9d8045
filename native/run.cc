// Runs the steps of a program: which kernels, which blocks, on which threads.
#include <chrono>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels.h"
#include "threads.h"

namespace {

using larqlite::Block;
using larqlite::Kernels;
using larqlite::Value;

// Values that a block holds at a time: half of a first-level cache.
constexpr int64_t kBlockValues = 6144;
constexpr int32_t kMostChannels = 512;
constexpr int32_t kLeastChannels = 64;

#if defined(__x86_64__)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

const Kernels* kernels_of(int32_t isa) {
  switch (isa) {
    case 0:
      return &larqlite::kPortable;
#if defined(__x86_64__)
    case 1:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &larqlite::kAvx2
                                                                             : nullptr;
    case 2:
      return has_avx512() ? &larqlite::kAvx512 : nullptr;
    case 4:
      return has_avx512() && larqlite::amx_is_there() ? &larqlite::kAmx : nullptr;
#elif defined(__aarch64__)
    case 3:
      return &larqlite::kNeon;
#endif
    default:
      return nullptr;
  }
}

// Room for the values of a block, kept by each thread from one block to the next.
Value* scratch(int64_t values) {
  thread_local std::vector<Value> room;
  if (static_cast<int64_t>(room.size()) < values) room.resize(static_cast<size_t>(values));
  return room.data();
}

// How the rows of a step are cut into blocks.
struct Work {
  const lq_step* step;
  const lq_buffer* buffers;
  const Kernels* kernels;
  const int64_t* taps;
  const int8_t* input_bytes;  // or null
  const int8_t* weight_bytes;
  int64_t image;     // the first
  int64_t pixels;    // of a block
  int32_t channels;  // of a block
  int64_t along;     // blocks along a row
  int64_t across;    // blocks across the channels
  int64_t count;

  void plan(int64_t images, int32_t threads) {
    const lq_step& s = *step;
    channels = s.channels;
    const bool splits = may_split();
    if (splits && channels > kMostChannels) channels = kMostChannels;
    const int64_t rows = images * s.depth * s.height;
    for (;;) {
      pixels = kBlockValues / channels / larqlite::kPixels * larqlite::kPixels;
      if (pixels < larqlite::kPixels) pixels = larqlite::kPixels;
      if (pixels > s.width) pixels = s.width;
      along = (s.width + pixels - 1) / pixels;
      across = (s.channels + channels - 1) / channels;
      count = rows * along * across;
      // Each thread gets several blocks, so that none waits long for another.
      if (threads <= 1 || count >= 4 * static_cast<int64_t>(threads) || !splits) break;
      const int32_t half = (channels / 2 + 31) / 32 * 32;
      if (half < kLeastChannels || half >= channels) break;
      channels = half;
    }
  }

  // Whether blocks of 32 channels can be worked on apart.
  bool may_split() const {
    if (step->kind == LQ_CONV && step->groups != 1) return false;
    for (int32_t i = 0; i < step->op_count; ++i)
      if (step->ops[i].group > 0 && step->ops[i].group % 32 != 0) return false;
    return true;
  }

  void run(int64_t index) const {
    const lq_step& s = *step;
    Block block;
    block.step = step;
    block.buffers = buffers;
    block.taps = taps;
    block.input_bytes = input_bytes;
    block.weight_bytes = weight_bytes;
    const int64_t part = index % across;
    index /= across;
    const int64_t piece = index % along;
    index /= along;
    block.row = index % s.height;
    index /= s.height;
    block.depth = index % s.depth;
    block.image = image + index / s.depth;
    block.pixel = piece * pixels;
    block.pixels = block.pixel + pixels > s.width ? s.width - block.pixel : pixels;
    block.channel = static_cast<int32_t>(part) * channels;
    block.count = block.channel + channels > s.channels ? s.channels - block.channel : channels;
    Value* values = scratch(block.pixels * block.count);
    int32_t done = 0;  // operations
    switch (s.kind) {
      case LQ_LOAD:
        kernels->load(block, values);
        break;
      case LQ_CONV:
        done = input_bytes ? kernels->bytes->conv(block, values) : kernels->conv(block, values);
        break;
      case LQ_CONV_FLOAT:
        done = kernels->conv_float(block, values);
        break;
      case LQ_DEPTHWISE:
        kernels->depthwise(block, values);
        break;
      case LQ_MEAN:
        kernels->mean(block, values);
        break;
      default:
        kernels->pool(block, values);
    }
    kernels->apply(block, values, done);
  }
};

void run_block(void* work, int64_t index) { static_cast<const Work*>(work)->run(index); }

// Images of one pixel become the pixels of one image, so that weights are read once.
bool images_become_pixels(const lq_step& s) {
  if (static_cast<int64_t>(s.depth) * s.height * s.width != 1) return false;
  if (s.kind == LQ_MEAN || s.kind == LQ_POOL_MAX || s.kind == LQ_POOL_AVERAGE ||
      s.kind == LQ_POOL_AVERAGE_PADDED)
    return false;
  if ((s.kind == LQ_CONV || s.kind == LQ_DEPTHWISE) && (s.row_class >= 0 || s.column_class >= 0))
    return false;
  for (int32_t i = 0; i < s.op_count; ++i)
    if (s.ops[i].kind == LQ_MULTIPLY_IMAGE) return false;
  return true;
}

// Room that the calling thread keeps from one step to the next.
int8_t* bytes(int64_t count, int which) {
  thread_local std::vector<int8_t> rooms[2];
  std::vector<int8_t>& room = rooms[which];
  const size_t needed = static_cast<size_t>(count) + 64;
  if (room.size() < needed) room = std::vector<int8_t>(needed);
  return room.data() + (64 - reinterpret_cast<uintptr_t>(room.data()) % 64) % 64;
}

// Makes bytes of the weights of a step, or of the words of one image, on several threads.
struct Expansion {
  const lq_step* step;
  const larqlite::ByteConvolutions* with;
  const uint32_t* words;
  int64_t count;  // of words; 0: weights
  int8_t* out;

  static constexpr int64_t kWords = 4096;
  static constexpr int64_t kParts = 64;

  void run(int64_t index) const {
    if (count > 0) {
      const int64_t first = index * kWords, left = count - first;
      with->expand_words(words + first, left < kWords ? left : kWords, out + first * 32);
      return;
    }
    const int64_t end = with->weight_parts(*step);
    for (int64_t part = index * kParts; part < end && part < (index + 1) * kParts; ++part)
      with->expand_weights(*step, words, part, out + part * larqlite::ByteConvolutions::kPart);
  }
};

void run_expansion(void* work, int64_t index) { static_cast<const Expansion*>(work)->run(index); }

// Image by image: its bits as bytes, then its rows.
void run_on_bytes(Work& work, int32_t batch, int32_t threads) {
  const lq_step& s = *work.step;
  const auto* with = work.kernels->bytes;
  const int64_t parts = with->weight_parts(s);
  int8_t* weights = bytes(parts * larqlite::ByteConvolutions::kPart, 0);
  Expansion expansion = {&s, with, static_cast<const uint32_t*>(work.buffers[s.weights].data), 0,
                         weights};
  larqlite::parallel_for((parts + Expansion::kParts - 1) / Expansion::kParts, threads,
                         run_expansion, &expansion);
  // All words from the first that the image's window reads to the last.
  const int64_t words = s.input.offset + (s.depth - 1) * s.input.depth +
                        (s.height - 1) * s.input.row + (s.width - 1) * s.input.pixel +
                        work.taps[static_cast<int64_t>(s.kernel_d) * s.kernel_h * s.kernel_w - 1] +
                        s.words;
  int8_t* input = bytes(words * 32, 1);
  work.input_bytes = input;
  work.weight_bytes = weights;
  for (int32_t image = 0; image < batch; ++image) {
    work.image = image;
    expansion.words =
        static_cast<const uint32_t*>(work.buffers[s.input.buffer].data) + image * s.input.image;
    expansion.count = words;
    expansion.out = input;
    larqlite::parallel_for((words + Expansion::kWords - 1) / Expansion::kWords, threads,
                           run_expansion, &expansion);
    work.plan(1, threads);
    larqlite::parallel_for(work.count, threads, run_block, &work);
  }
}

void run_step(const lq_step& given, const lq_buffer* buffers, int32_t batch, int32_t threads,
              const Kernels* kernels) {
  lq_step step = given;
  std::vector<lq_op> ops;
  int64_t images = batch;
  if (batch > 1 && images_become_pixels(step)) {
    ops.assign(step.ops, step.ops + step.op_count);
    for (lq_op& op : ops) op.view.pixel = op.view.image;
    step.ops = ops.data();
    step.input.pixel = step.input.image;
    step.width = batch;
    images = 1;
  }
  std::vector<int64_t> taps;
  if (step.kind == LQ_CONV || step.kind == LQ_DEPTHWISE || step.kind == LQ_CONV_FLOAT) {
    // Floats of taps side by side are read as those of one tap.
    const bool runs = step.kind == LQ_CONV_FLOAT && step.tap_pixel == step.in_channels;
    const int64_t columns = runs ? 1 : step.kernel_w;
    for (int64_t d = 0; d < step.kernel_d; ++d)
      for (int64_t h = 0; h < step.kernel_h; ++h)
        for (int64_t w = 0; w < columns; ++w)
          taps.push_back(d * step.tap_depth + h * step.tap_row + w * step.tap_pixel);
  }
  Work work = {&step, buffers, kernels, taps.data(), nullptr, nullptr, 0, 0, 0, 0, 0, 0};
  if (step.kind == LQ_CONV && kernels->bytes && kernels->bytes->takes(step)) {
    run_on_bytes(work, batch, threads);
    return;
  }
  work.plan(images, threads);
  larqlite::parallel_for(work.count, threads, run_block, &work);
}

}  // namespace

extern "C" int32_t lq_abi(void) { return LQ_ABI; }

extern "C" int32_t lq_supports(int32_t isa) { return kernels_of(isa) != nullptr; }

extern "C" int32_t lq_run(const lq_step* steps, int32_t step_count, const lq_buffer* buffers,
                          int32_t, int32_t batch, int32_t threads, int32_t isa, double* seconds) {
  const Kernels* kernels = kernels_of(isa);
  if (kernels == nullptr) return 1;
  for (int32_t i = 0; i < step_count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run_step(steps[i], buffers, batch, threads, kernels);
    if (seconds != nullptr)
      seconds[i] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return 0;
}

extern "C" double lq_peak(int32_t isa, double seconds) {
  const Kernels* kernels = kernels_of(isa);
  if (kernels == nullptr) return 0.0;
  using Clock = std::chrono::steady_clock;
  double best = 0.0;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    const double products = kernels->peak(20);
    const double rate =
        products / std::chrono::duration<double>(Clock::now() - begin).count() * 1e-9;
    if (rate > best) best = rate;
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  return best;
}
