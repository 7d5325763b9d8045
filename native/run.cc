// Runs the steps of a program: which kernels, which blocks, on which threads.
#include <initializer_list>
#include <memory>
#include <vector>

#include "cost.h"
#include "cpu.h"
#include "work.h"

namespace larqlite {

Value* scratch(int64_t values) {
  LQ_OF_A_THREAD std::vector<Value> room;
  if (static_cast<int64_t>(room.size()) < values) room.resize(static_cast<size_t>(values));
  return room.data();
}

double* totals(int64_t channels) {
  LQ_OF_A_THREAD std::vector<double> room;
  if (static_cast<int64_t>(room.size()) < channels) room.resize(static_cast<size_t>(channels));
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

const Kernels* kernels_of(int32_t isa) {
  switch (isa) {
#if defined(__wasm_simd128__)
    case 5:
      return &larqlite::kWasm;
#else
    case 0:
      return &larqlite::kPortable;
#endif
#if defined(__x86_64__)
    case 1:
      return larqlite::has_avx2() ? &larqlite::kAvx2 : nullptr;
    case 2:
      return larqlite::has_avx512() ? &larqlite::kAvx512 : nullptr;
    case 4:
      return larqlite::has_avx512() && larqlite::amx_is_there() ? &larqlite::kAmx : nullptr;
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
      s.kind == LQ_POOL_AVERAGE_PADDED || s.kind == LQ_MOVE_BITS || s.kind == LQ_CONV_BYTES)
    return false;
  if (larqlite::gathers_at(s) >= 0) return false;
  if (larqlite::makes_integers(s) && (s.row_class >= 0 || s.column_class >= 0 || s.inside_base >= 0))
    return false;
  for (int32_t i = 0; i < s.op_count; ++i)
    if (s.ops[i].kind == LQ_MULTIPLY_IMAGE) return false;
  return true;
}

// Rows that lie end to end become one row: blocks can then be as long as they like.
bool rows_become_one(const lq_step& s) {
  const bool sums = s.kind == LQ_CONV || s.kind == LQ_CONV_PIXELS || s.kind == LQ_CONV_CODES ||
                    s.kind == LQ_CONV_LOOKUPS;
  const bool has_borders = s.row_class >= 0 || s.column_class >= 0 || s.inside_base >= 0;
  const bool takes = s.kind == LQ_LOAD || s.kind == LQ_CONV_FLOAT || s.kind == LQ_CONV_BF16 ||
                     s.kind == LQ_DEPTHWISE_FLOAT || (sums && !has_borders);
  const int64_t rows = static_cast<int64_t>(s.depth) * s.height;
  const auto end_to_end = [&s](const lq_view& v) {
    return (s.height == 1 || v.row == s.width * v.pixel) &&
           (s.depth == 1 || v.depth == s.height * s.width * v.pixel);
  };
  if (!takes || rows == 1 || rows * s.width > INT32_MAX || !end_to_end(s.input)) return false;
  // Behind a sum over the image, a view is that of one pixel.
  const int32_t gathers = larqlite::gathers_at(s);
  for (int32_t i = 0; i < (gathers < 0 ? s.op_count : gathers); ++i)
    if (s.ops[i].view.buffer >= 0 && !end_to_end(s.ops[i].view)) return false;
  return true;
}

// A step as it is run: of one shape or another, with its taps.
struct Prepared {
  lq_step step;
  std::vector<lq_op> ops;
  std::vector<int64_t> taps;
  std::unique_ptr<larqlite::WindowPositions> positions;
  Work work = {};
  int64_t images;
  int32_t isa;

  Prepared(const lq_step& given, const lq_buffer* buffers, int32_t batch, int32_t set)
      : step(given), images(batch), isa(set) {
    const Kernels* kernels = kernels_of(isa);
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
    find_taps();
    work.step = &step;
    work.buffers = buffers;
    work.kernels = kernels;
    work.taps = taps.data();
    positions = std::make_unique<larqlite::WindowPositions>(step);
    work.positions = positions.get();
    work.row_count = step.height;
    work.expanded = step.kind == LQ_CONV         ? kernels->expanded_conv
                    : step.kind == LQ_CONV_FLOAT ? kernels->expanded_float
                                                 : nullptr;
    if (work.expanded && !work.expanded->takes(step)) work.expanded = nullptr;
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  void run(int32_t threads) {
    if (!larqlite::is_worth_sharing(larqlite::nanoseconds(step, images, isa), threads))
      threads = 1;
    if (!work.expanded || !larqlite::expand_weights(work, threads)) {
      work.expanded = nullptr;
      larqlite::run_blocks(work, images, threads);
      return;
    }
    const larqlite::Expanded* expanded = work.expanded;
    if (!expanded->expand_input) {
      larqlite::run_blocks(work, images, threads);
      return;
    }
    for (int64_t image = 0; image < images; ++image) {
      work.image = image;
      work.expanded = expanded;
      if (!larqlite::expand_image(work, image, threads)) work.expanded = nullptr;
      larqlite::run_blocks(work, 1, threads);
    }
  }

  // Rows [first, last) of a single image.
  void run_rows(int64_t first, int64_t last, int32_t threads) {
    work.first_row = first;
    work.row_count = last - first;
    if (last > first) larqlite::run_blocks(work, 1, threads);
  }

 private:
  void find_taps() {
    const bool is_real = step.kind == LQ_CONV_FLOAT || larqlite::takes_halves(step);
    const bool is_sum = larqlite::makes_integers(step) || step.kind == LQ_DEPTHWISE_FLOAT;
    if ((!is_sum || step.kind == LQ_MOVE_BITS) && !is_real) return;
    // Numbers of taps side by side are read as those of one tap.
    const int64_t columns = is_real ? step.kernel_w / larqlite::runs_of(step).every : step.kernel_w;
    for (int64_t d = 0; d < step.kernel_d; ++d)
      for (int64_t h = 0; h < step.kernel_h; ++h)
        for (int64_t w = 0; w < columns; ++w)
          taps.push_back(d * step.tap_depth + h * step.tap_row + w * step.tap_pixel);
  }
};

bool overlap(const lq_buffer& a, const lq_buffer& b) {
  const char* first = static_cast<const char*>(a.data);
  const char* second = static_cast<const char*>(b.data);
  return first < second + b.bytes && second < first + a.bytes;
}

constexpr int64_t kBandBytes = 512 << 10;  // stay in a second-level cache

// Whether a pooling reads what a large convolution before it stores last, so that both can go
// through the image in bands of rows, and what is pooled is still in the cache.
bool in_bands(const lq_step& conv, const lq_step& pool, const lq_buffer* buffers, int32_t batch) {
  const bool is_real = conv.kind == LQ_CONV_FLOAT || larqlite::takes_halves(conv);
  const bool kinds =
      is_real && pool.kind >= LQ_POOL_MAX && pool.kind <= LQ_POOL_AVERAGE_PADDED;
  if (!kinds || batch != 1 || conv.depth != 1 || pool.depth != 1 || pool.in_d != 1 ||
      conv.op_count < 1 || larqlite::gathers_at(conv) >= 0)
    return false;
  const lq_op& last = conv.ops[conv.op_count - 1];
  const int64_t row = pool.tap_row / pool.dilation_h;
  if (last.kind != LQ_STORE || last.view.buffer != pool.input.buffer || last.view.row != row ||
      last.view.offset != pool.input.offset || pool.in_h != conv.height ||
      conv.height * row * 4 <= kBandBytes)
    return false;
  // What the pooling writes must be nothing that the convolution still reads or writes.
  for (int32_t i = 0; i < pool.op_count; ++i) {
    const int32_t written = pool.ops[i].view.buffer;
    if (written < 0) continue;
    if (overlap(buffers[written], buffers[conv.input.buffer]) ||
        overlap(buffers[written], buffers[conv.weights]))
      return false;
    for (int32_t k = 0; k < conv.op_count; ++k)
      for (const int32_t used : {conv.ops[k].a, conv.ops[k].b, conv.ops[k].view.buffer})
        if (used >= 0 && overlap(buffers[written], buffers[used])) return false;
  }
  return true;
}

// Whether nobody but the pooling of step i + 1 reads what step i stores last: then a band of it
// can take the place of the one before, which the cache still has.
bool is_read_once(const lq_step* steps, int32_t step_count, int32_t i, const lq_buffer* buffers) {
  const lq_step& conv = steps[i];
  const int32_t stored = conv.ops[conv.op_count - 1].view.buffer;
  if (buffers[stored].image_bytes != 0) return false;
  for (int32_t k = 0; k < step_count; ++k) {
    const lq_step& s = steps[k];
    if (k != i + 1 && s.input.buffer == stored) return false;
    for (const int32_t used : {s.weights, s.base, s.inside_base, s.row_class, s.column_class})
      if (used == stored) return false;
    for (int32_t n = 0; n < s.op_count - (k == i); ++n)
      for (const int32_t used : {s.ops[n].a, s.ops[n].b, s.ops[n].view.buffer})
        if (used == stored) return false;
  }
  return true;
}

class Watch {
 public:
  explicit Watch(double* seconds) : seconds_(seconds) {}
  // Adds the time since the last call, or since it was made, to that of a step.
  void lap(int32_t step) {
    if (seconds_ == nullptr) return;
    const auto now = larqlite::Clock::now();
    seconds_[step] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  double* seconds_;
  larqlite::Clock::time_point last_ = larqlite::Clock::now();
};

// Steps i and i + 1, of which in_bands() is true; in_place: and is_read_once().
void run_in_bands(const lq_step* steps, int32_t i, const lq_buffer* buffers, int32_t threads,
                  int32_t isa, bool in_place, Watch& watch) {
  Prepared conv(steps[i], buffers, 1, isa), pool(steps[i + 1], buffers, 1, isa);
  const lq_step& p = pool.step;
  if (conv.work.expanded && !(larqlite::expand_weights(conv.work, threads) &&
                              (!conv.work.expanded->expand_input ||
                               larqlite::expand_image(conv.work, 0, threads))))
    conv.work.expanded = nullptr;
  in_place = in_place && conv.step.height == steps[i].height;
  conv.ops.assign(conv.step.ops, conv.step.ops + conv.step.op_count);
  conv.step.ops = conv.ops.data();
  const int64_t row = p.tap_row / p.dilation_h, start = p.input.offset;
  float* stored = static_cast<float*>(buffers[p.input.buffer].data) + start;
  const int64_t row_bytes = row * 4 * p.stride_h;
  const int64_t band = kBandBytes / row_bytes < 1 ? 1 : kBandBytes / row_bytes;
  int64_t done = 0, top = 0;  // rows stored so far; the one that lies where the first one should
  for (int64_t first = 0; first < p.height; first += band) {
    const int64_t last = first + band < p.height ? first + band : p.height;
    const int64_t reads = (last - 1) * p.stride_h - p.pad_h + (p.kernel_h - 1) * p.dilation_h + 1;
    const int64_t needed = last == p.height || reads > conv.step.height ? conv.step.height : reads;
    const int64_t from = first * p.stride_h - p.pad_h, kept = from < done ? from : done;
    if (in_place && kept > top) {
      // What both bands read goes to where the new one begins.
      const int64_t of_row = (conv.step.width - 1) * conv.ops.back().view.pixel + p.channels;
      const int64_t moved = done > kept ? (done - kept - 1) * row + of_row : 0;
      __builtin_memmove(stored, stored + (kept - top) * row, sizeof(float) * static_cast<size_t>(moved));
      top = kept;
      conv.ops.back().view.offset = pool.step.input.offset = start - top * row;
    }
    if (needed > done) {
      conv.run_rows(done, needed, threads);
      done = needed;
    }
    watch.lap(i);
    pool.run_rows(first, last, threads);
    watch.lap(i + 1);
  }
}

// What lq_run is given.
struct Call {
  const lq_step* steps;
  int32_t step_count;
  const lq_buffer* buffers;
  int32_t buffer_count, batch, piece, isa;
};

// All steps, for the images of one piece.
void run_piece(const Call& call, int64_t number, int32_t threads, double* seconds) {
  const int64_t first = number * call.piece;
  const int32_t images = static_cast<int32_t>(
      first + call.piece < call.batch ? call.piece : call.batch - first);
  std::vector<lq_buffer> buffers(call.buffers, call.buffers + call.buffer_count);
  for (lq_buffer& buffer : buffers) {
    const int64_t moved =
        first * buffer.image_bytes + larqlite::slot_of_thread() * buffer.thread_bytes;
    buffer.data = static_cast<char*>(buffer.data) + moved;
  }
  const lq_step* steps = call.steps;
  Watch watch(seconds);
  for (int32_t i = 0; i < call.step_count; ++i) {
    if (i + 1 < call.step_count && in_bands(steps[i], steps[i + 1], buffers.data(), images)) {
      const bool in_place = is_read_once(steps, call.step_count, i, buffers.data());
      run_in_bands(steps, i++, buffers.data(), threads, call.isa, in_place, watch);
      continue;
    }
    Prepared(steps[i], buffers.data(), images, call.isa).run(threads);
    watch.lap(i);
  }
}

// Pieces that threads run whole, each by one of them.
struct Apart {
  const Call* call;
  std::vector<double> seconds;  // of each step, for each slot; or empty

  static void run(void* context, int64_t number) {
    Apart& self = *static_cast<Apart*>(context);
    double* own = self.seconds.empty()
                      ? nullptr
                      : self.seconds.data() + larqlite::slot_of_thread() * self.call->step_count;
    run_piece(*self.call, number, 1, own);
  }
};

}  // namespace

extern "C" int32_t lq_abi(void) { return LQ_ABI; }

extern "C" int32_t lq_supports(int32_t isa) { return kernels_of(isa) != nullptr; }

extern "C" int32_t lq_processors(void) { return larqlite::processors(); }

extern "C" int32_t lq_halves(int32_t isa) {
  if (kernels_of(isa) == nullptr) return 0;
  switch (isa) {
#if defined(__x86_64__)
    case 1:
      return 2;
    case 2:
    case 4:
      return (larqlite::has_avx512_bf16() ? 1 : 0) + (larqlite::has_avx512_vnni() ? 2 : 0);
#elif defined(__aarch64__)
    case 3:
      return 2;
#endif
    default:
      return 0;
  }
}

extern "C" int32_t lq_run(const lq_step* steps, int32_t step_count, const lq_buffer* buffers,
                          int32_t buffer_count, int32_t batch, int32_t piece, int32_t threads,
                          int32_t isa, double* seconds) {
  if (kernels_of(isa) == nullptr) return 1;
  const Call call = {steps, step_count, buffers, buffer_count, batch, piece, isa};
  const int64_t pieces = (static_cast<int64_t>(batch) + piece - 1) / piece;
  const larqlite::Team team(threads);
  threads = team.threads();
  const int64_t apart = threads > 1 ? pieces - pieces % threads : 0;
  if (apart > 0) {
    Apart all = {&call, {}};
    if (seconds != nullptr) all.seconds.resize(static_cast<size_t>(threads) * step_count);
    larqlite::parallel_for(apart, threads, Apart::run, &all);
    for (size_t i = 0; i < all.seconds.size(); ++i)
      seconds[i % step_count] += all.seconds[i] / threads;
  }
  for (int64_t number = apart; number < pieces; ++number)
    run_piece(call, number, threads, seconds);
#if defined(__x86_64__)
  // What went past the caches is there for all from here on. (That of helpers is since they told
  // that they have left: a locked instruction waits for it too.)
  __builtin_ia32_sfence();
#endif
  return 0;
}

namespace {

// The best rate of a loop of `Kernels` in some time, 10^9 products a second.
double best_rate(double (*loop)(int64_t rounds), double seconds) {
#if defined(LQ_NO_CLOCK)
  (void)loop, (void)seconds;
  return 0.0;
#else
  using larqlite::Clock;
  double best = 0.0;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    const double products = loop(20);
    const double rate =
        products / std::chrono::duration<double>(Clock::now() - begin).count() * 1e-9;
    if (rate > best) best = rate;
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  return best;
#endif
}

}  // namespace

extern "C" double lq_peak(int32_t isa, double seconds) {
  const Kernels* kernels = kernels_of(isa);
  return kernels == nullptr ? 0.0 : best_rate(kernels->peak, seconds);
}

extern "C" double lq_peak_of_codes(int32_t isa, double seconds) {
  const Kernels* kernels = kernels_of(isa);
  return kernels == nullptr ? 0.0 : best_rate(kernels->peak_of_codes, seconds);
}
