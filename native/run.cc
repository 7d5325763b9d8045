// Runs the steps of a program: which kernels, which blocks, on which threads.
#include <chrono>
#include <vector>

#include "work.h"

namespace larqlite {

Value* scratch(int64_t values) {
  thread_local std::vector<Value> room;
  if (static_cast<int64_t>(room.size()) < values) room.resize(static_cast<size_t>(values));
  return room.data();
}

void run_blocks(Work& work, int64_t images, int32_t threads) {
  work.plan(images, threads);
  parallel_for(
      work.count, threads,
      [](void* context, int64_t index) { static_cast<const Work*>(context)->run(index); }, &work);
}

}  // namespace larqlite

namespace {

using larqlite::Kernels;
using larqlite::Work;

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

// Rows that lie end to end become one row: blocks can then be as long as they like.
bool rows_become_one(const lq_step& s) {
  const bool takes = s.kind == LQ_LOAD || s.kind == LQ_CONV_FLOAT ||
                     (s.kind == LQ_CONV && s.row_class < 0 && s.column_class < 0);
  const int64_t rows = static_cast<int64_t>(s.depth) * s.height;
  const auto end_to_end = [&s](const lq_view& v) {
    return (s.height == 1 || v.row == s.width * v.pixel) &&
           (s.depth == 1 || v.depth == s.height * s.width * v.pixel);
  };
  if (!takes || rows == 1 || rows * s.width > INT32_MAX || !end_to_end(s.input)) return false;
  for (int32_t i = 0; i < s.op_count; ++i)
    if (s.ops[i].view.buffer >= 0 && !end_to_end(s.ops[i].view)) return false;
  return true;
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
  } else if (rows_become_one(step)) {
    step.width *= step.depth * step.height;
    step.depth = step.height = 1;
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
  Work work = {};
  work.step = &step;
  work.buffers = buffers;
  work.kernels = kernels;
  work.taps = taps.data();
  work.expanded = step.kind == LQ_CONV         ? kernels->expanded_conv
                  : step.kind == LQ_CONV_FLOAT ? kernels->expanded_float
                                               : nullptr;
  if (work.expanded && !work.expanded->takes(step)) work.expanded = nullptr;
  if (work.expanded)
    larqlite::run_expanded(work, static_cast<int32_t>(images), threads);
  else
    larqlite::run_blocks(work, images, threads);
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
