// How long steps take, estimated, and how many threads are worth what they cost.
#include "cost.h"

#include "threads.h"

namespace larqlite {

double cost_of_loop = 2.5e3;

namespace {

// What one core does in a nanosecond, by instruction set as `lq_supports` numbers them:
// one-bit products, products of floats, of bytes, values that pass through an operation. Measured on
// Zen 4 (x86); the sets of other processors are guesses, within a factor of two.
struct Rates {
  double bits, floats, codes, values;
};
constexpr Rates kRates[] = {
    {40, 4, 3, 1.5},       // portable
    {350, 28, 100, 8},     // AVX2
    {900, 52, 200, 12},    // AVX-512
    {150, 6, 30, 4},       // NEON
    {1500, 100, 200, 12},  // AMX
    {150, 12, 30, 4},      // WebAssembly
};

const Rates& rates_of(int32_t isa) {
  const bool known = 0 <= isa && isa < static_cast<int32_t>(sizeof kRates / sizeof kRates[0]);
  return kRates[known ? isa : 0];
}

// The time of all steps on so many threads that share each of them.
double shared(const lq_step* steps, int32_t step_count, int64_t images, int32_t threads,
              int32_t isa) {
  double total = 0;
  for (int32_t i = 0; i < step_count; ++i) {
    const double alone = nanoseconds(steps[i], images, isa);
    total += is_worth_sharing(alone, threads) ? alone / threads + cost_of_loop * (threads - 1)
                                              : alone;
  }
  return total;
}

}  // namespace

double nanoseconds(const lq_step& s, int64_t images, int32_t isa) {
  const Rates& rates = rates_of(isa);
  const double values = static_cast<double>(images) * s.depth * s.height * s.width * s.channels;
  const double taps = static_cast<double>(s.kernel_d) * s.kernel_h * s.kernel_w;
  double products = 0, passes = s.op_count;
  for (int32_t i = 0; i < s.op_count; ++i)
    if (s.ops[i].kind >= LQ_SOFTMAX && s.ops[i].kind <= LQ_ELU) passes += 10;
  switch (s.kind) {
    case LQ_CONV:
      products = taps * s.words * 32 * s.input_planes * s.weight_planes / rates.bits;
      break;
    case LQ_CONV_BYTES:
    case LQ_CONV_FLOAT:
      products = taps * s.in_channels / rates.floats;
      break;
    case LQ_CONV_CODES:
    case LQ_CONV_LOOKUPS:
      products = taps * s.words * 4 / rates.codes;
      break;
    case LQ_DEPTHWISE_CODES:
    case LQ_DEPTHWISE_FLOAT:
      passes += 1 + taps;
      break;
    case LQ_CONV_BF16:
    case LQ_CONV_PIXELS:
      products = taps * s.in_channels / (2 * rates.floats);
      break;
    case LQ_DEPTHWISE:
      passes += 1 + taps * s.input_planes * s.weight_planes / 2;
      break;
    case LQ_MEAN:
      passes += static_cast<double>(s.in_d) * s.in_h * s.in_w;
      break;
    case LQ_LOAD:
      passes += 1;
      break;
    case LQ_MOVE_BITS:  // twenty operations a move, and few words at a time
      passes += 4 * taps + (s.weights >= 0 ? 20 * s.multiplier : 0);
      break;
    default:  // poolings
      passes += 1 + taps;
  }
  return values * (products + passes / rates.values);
}

}  // namespace larqlite

extern "C" int32_t lq_threads(const lq_step* steps, int32_t step_count, int32_t batch,
                              int32_t piece, int32_t threads, int32_t isa, double* estimates) {
  using namespace larqlite;
  const int64_t pieces = (int64_t{batch} + piece - 1) / piece;
  double alone = 0;
  for (int32_t i = 0; i < step_count; ++i) {
    const double step = nanoseconds(steps[i], batch, isa);
    if (estimates != nullptr) estimates[i] = step;
    alone += step;
  }
  int32_t best = 1;
  double least = alone;
  for (int32_t count = 2; count <= threads; ++count) {
    // Of the pieces, as many as can be are run whole, each by one thread.
    const double rest = static_cast<double>(pieces % count) / static_cast<double>(pieces);
    // Till the others are awake, one does the work alone.
    double time = (kWaking * (count - 1) + alone * (1 - rest)) / count;
    if (rest > 0) time += shared(steps, step_count, batch, count, isa) * rest;
    if (time < least) {
      least = time;
      best = count;
    }
  }
  return best;
}
