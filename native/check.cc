// Whether a step touches only what lies in its buffers: every address, before any is used.
#include <initializer_list>

#include "kernels.h"
#include "wide.h"

namespace {

#if defined(LQ_WIDE_OF_128_BITS)  // a test compares the answers
__extension__ typedef __int128 Wide;
#else
using larqlite::Wide;
#endif

constexpr int64_t kMostStride = int64_t{1} << 40;
constexpr int32_t kMostSize = 1 << 28;
constexpr int32_t kMostTaps = 1 << 15;
constexpr int32_t kMostPlanes = 8;
constexpr int32_t kMostMoves = 32;  // that make a word, one for each bit
constexpr int32_t kMostInside = 16;  // taps of an axis, where some may lie outside

// The numbers of the checks, as lq_check returns them.
enum Failed {
  kNone = 0,
  kKind = 1,
  kSizes = 2,
  kOps = 3,
  kView = 4,
  kWindow = 5,
  kWeights = 6,
  kBase = 7,
  kClasses = 8,
  kOpKind = 9,
  kOpValues = 10,
  kOpView = 11,
  kOpPacking = 12,
  kOverflow = 13,
};

struct Checker {
  const lq_step& step;
  const lq_buffer* buffers;
  int32_t buffer_count;
  int32_t batch;
  bool is_one = false;  // whether what a view of an operation has is one pixel, of sums

  bool holds(int32_t buffer, Wide elements, int32_t bytes = 4) const {
    if (buffer < 0 || buffer >= buffer_count || elements < 0) return false;
    const lq_buffer& b = buffers[buffer];
    const int32_t whole = bytes == 1 ? 1 : 4;
    if (b.data == nullptr || reinterpret_cast<uintptr_t>(b.data) % whole != 0) return false;
    if (b.image_bytes < 0 || b.image_bytes % whole != 0) return false;
    if (b.thread_bytes != 0 && (b.thread_bytes < b.bytes || b.thread_bytes % 4 != 0)) return false;
    const Wide of_images = Wide{b.image_bytes} * batch;
    return elements * bytes <= (of_images > 0 && of_images < b.bytes ? of_images : Wide{b.bytes});
  }

  // The same of numbers of 16 bits.
  bool holds_halves(int32_t buffer, Wide elements) const {
    return holds(buffer, elements, 2);
  }

  static bool fits(int64_t stride) { return 0 <= stride && stride <= kMostStride; }
  static bool size(int32_t n, int32_t most = kMostSize) { return 1 <= n && n <= most; }

  static bool strides(const lq_view& v) {
    return fits(v.image) && fits(v.depth) && fits(v.row) && fits(v.pixel) && fits(v.offset);
  }

  // The last element that the view's first pixel reaches over all output positions, plus 1.
  Wide reach(const lq_view& v, int64_t contiguous) const {
    const Wide first = Wide{v.offset} + Wide{batch - 1} * v.image + contiguous;
    return is_one ? first
                  : first + Wide{step.depth - 1} * v.depth + Wide{step.height - 1} * v.row +
                        Wide{step.width - 1} * v.pixel;
  }

  int64_t taps() const {
    return static_cast<int64_t>(step.kernel_d) * step.kernel_h * step.kernel_w;
  }

  bool is_kind() const {
    return (step.kind >= LQ_LOAD && step.kind <= LQ_CONV_FLOAT) || larqlite::takes_halves(step) ||
           larqlite::sums_codes(step) || step.kind == LQ_MOVE_BITS ||
           step.kind == LQ_DEPTHWISE_FLOAT || step.kind == LQ_CONV_BYTES;
  }

  // Whether a number is that of a buffer, or of none; also where the step does not use it, since
  // what is run together asks of every one which memory it is.
  bool is_buffer(int32_t number) const { return -1 <= number && number < buffer_count; }

  bool names_buffers() const {
    for (const int32_t number : {step.input.buffer, step.weights, step.base, step.inside_base,
                                 step.row_class, step.column_class})
      if (!is_buffer(number)) return false;
    for (int32_t i = 0; i < step.op_count; ++i)
      for (const int32_t number : {step.ops[i].a, step.ops[i].b, step.ops[i].view.buffer})
        if (!is_buffer(number)) return false;
    return true;
  }

  Failed run() {
    if (!is_kind()) return kKind;
    if (!size(batch) || !size(step.depth) || !size(step.height) || !size(step.width) ||
        !size(step.channels) || !size(step.kernel_d, kMostTaps) ||
        !size(step.kernel_h, kMostTaps) || !size(step.kernel_w, kMostTaps) || taps() > kMostTaps)
      return kSizes;
    if (Wide{step.depth} * step.height * step.width > INT32_MAX ||
        Wide{batch} * step.depth * step.height >= INT64_MAX / 4 || step.op_count < 0 ||
        step.op_count > 1024 || (step.op_count > 0 && !step.ops))
      return kOps;
    if (!names_buffers()) return kView;
    if (!strides(step.input) || !fits(step.tap_depth) || !fits(step.tap_row) ||
        !fits(step.tap_pixel))
      return kView;
    Failed failed = kNone;
    switch (step.kind) {
      case LQ_CONV:
      case LQ_DEPTHWISE:
        failed = sums();
        break;
      case LQ_CONV_FLOAT:
      case LQ_DEPTHWISE_FLOAT:
        failed = float_sums();
        break;
      case LQ_CONV_CODES:
      case LQ_DEPTHWISE_CODES:
      case LQ_CONV_LOOKUPS:
        failed = code_sums();
        break;
      case LQ_CONV_BF16:
      case LQ_CONV_PIXELS:
        failed = half_sums();
        break;
      case LQ_CONV_BYTES:
        failed = byte_sums();
        break;
      case LQ_LOAD:
        failed = load();
        break;
      case LQ_MEAN:
        failed = mean();
        break;
      case LQ_MOVE_BITS:
        failed = moves();
        break;
      default:
        failed = pool(step.channels);
    }
    if (failed != kNone) return failed;
    bool integers = larqlite::makes_integers(step);
    for (int32_t i = 0; i < step.op_count; ++i) {
      failed = operation(step.ops[i], integers);
      if (failed != kNone) return failed;
      is_one = is_one || step.ops[i].kind == LQ_SUM || step.ops[i].kind == LQ_AVERAGE;
    }
    return kNone;
  }

  Failed load() const {
    return holds(step.input.buffer, reach(step.input, step.channels)) ? kNone : kView;
  }

  bool has_input_sizes() const { return size(step.in_d) && size(step.in_h) && size(step.in_w); }

  Failed mean() const {
    if (!has_input_sizes() || step.depth != 1 || step.height != 1 || step.width != 1)
      return kWindow;
    const lq_view& v = step.input;
    const Wide last = Wide{v.offset} + Wide{batch - 1} * v.image + Wide{step.in_d - 1} * v.depth +
                      Wide{step.in_h - 1} * v.row + Wide{step.in_w - 1} * v.pixel + step.channels;
    return holds(v.buffer, last) ? kNone : kView;
  }

  // Strides of the tensor itself follow from those of the taps; both must agree.
  static bool agrees(int64_t position, int64_t tap, int32_t stride, int32_t dilation) {
    return size(stride) && size(dilation) && tap % dilation == 0 &&
           Wide{tap / dilation} * stride == position;
  }

  // A window over a tensor of `last` elements a pixel, of some bytes each.
  Failed pool(int64_t last, int32_t bytes = 4) const {
    const lq_view& v = step.input;
    const bool one_row = step.height == 1, one_depth = step.depth == 1, one = step.width == 1;
    if (!has_input_sizes() || step.pad_d < 0 || step.pad_h < 0 || step.pad_w < 0 ||
        step.pad_d > kMostSize || step.pad_h > kMostSize || step.pad_w > kMostSize ||
        !size(step.stride_d) || !size(step.stride_h) || !size(step.stride_w) ||
        !size(step.dilation_d) || !size(step.dilation_h) || !size(step.dilation_w) ||
        !(one_depth || agrees(v.depth, step.tap_depth, step.stride_d, step.dilation_d)) ||
        !(one_row || agrees(v.row, step.tap_row, step.stride_h, step.dilation_h)) ||
        !(one || agrees(v.pixel, step.tap_pixel, step.stride_w, step.dilation_w)) ||
        step.tap_depth % step.dilation_d || step.tap_row % step.dilation_h ||
        step.tap_pixel % step.dilation_w)
      return kWindow;
    const Wide end = Wide{v.offset} + Wide{batch - 1} * v.image +
                     Wide{step.in_d - 1} * (step.tap_depth / step.dilation_d) +
                     Wide{step.in_h - 1} * (step.tap_row / step.dilation_h) +
                     Wide{step.in_w - 1} * (step.tap_pixel / step.dilation_w) + last;
    return holds(v.buffer, end, bytes) ? kNone : kView;
  }

  Failed byte_sums() const {
    if (!size(step.in_channels) || step.groups != 1 || step.shift != 0) return kWindow;
    const Failed failed = pool(step.in_channels, 1);
    if (failed != kNone) return failed;
    const int64_t size_of_weights = lq_weights_size(&step);
    if (size_of_weights < 0 || !holds(step.weights, Wide{size_of_weights} / 4)) return kWeights;
    return classes();
  }

  Failed moves() const {
    if (!size(step.words, 1 << 20)) return kWindow;
    for (int32_t i = 0; i < step.op_count; ++i)
      if (step.ops[i].kind != LQ_STORE_INT) return kOpKind;
    const Failed failed = pool(step.words);
    if (failed != kNone) return failed;
    // What is kept of a row (`move_room`) is no more than the row itself.
    if (step.in_w > 1 && step.tap_pixel / step.dilation_w < step.words) return kWindow;
    if (step.base >= 0 && !holds(step.base, step.words)) return kBase;
    if (step.weights < 0) return step.channels == step.words ? kNone : kWindow;
    const int64_t size_of_table = lq_weights_size(&step);
    if (!size(step.multiplier, kMostMoves) || size_of_table < 0 ||
        !holds(step.weights, Wide{size_of_table} / 4))
      return kWeights;
    const uint32_t* row = static_cast<const uint32_t*>(buffers[step.weights].data);
    for (int32_t m = 0; m < step.multiplier; ++m, row += larqlite::kMoveFields * int64_t{step.channels})
      for (int64_t c = 0; c < step.channels; ++c) {
        const uint32_t words = static_cast<uint32_t>(step.words);
        if (row[c] >= words || row[step.channels + c] >= words || row[2 * int64_t{step.channels} + c] > 31)
          return kWeights;
      }
    return kNone;
  }

  Failed sums() const {
    if (!size(step.input_planes, kMostPlanes) || !size(step.weight_planes, kMostPlanes) ||
        step.shift < 0 || step.shift > 30)
      return kWindow;
    int64_t words = 0;  // of one plane of an input pixel
    int64_t bits = 0;   // of one product
    if (step.kind == LQ_CONV) {
      if (!size(step.groups) || step.channels % step.groups || !size(step.words, 1 << 20))
        return kWindow;
      words = static_cast<int64_t>(step.groups) * step.words;
      bits = 32 * static_cast<int64_t>(step.words);
    } else {
      if (!size(step.in_channels) || !size(step.multiplier) ||
          Wide{step.in_channels} * step.multiplier != step.channels)
        return kWindow;
      words = larqlite::words_of(step.in_channels);
      bits = 1;
    }
    if (Wide{taps()} * bits * (int64_t{1} << (step.input_planes + step.weight_planes)) >= (1 << 30))
      return kOverflow;
    const Wide last =
        reach(step.input, words * step.input_planes) + Wide{step.kernel_d - 1} * step.tap_depth +
        Wide{step.kernel_h - 1} * step.tap_row + Wide{step.kernel_w - 1} * step.tap_pixel;
    if (!holds(step.input.buffer, last)) return kView;
    const int64_t size_of_weights = lq_weights_size(&step);
    if (size_of_weights < 0 || !holds(step.weights, Wide{size_of_weights} / 4)) return kWeights;
    return classes();
  }

  Failed float_sums() const {
    if (!size(step.in_channels) || !size(step.groups) || step.channels % step.groups)
      return kWindow;
    if (step.kind == LQ_DEPTHWISE_FLOAT &&
        (step.groups != 1 || !size(step.multiplier) ||
         Wide{step.in_channels} * step.multiplier != step.channels))
      return kWindow;
    const Wide last = reach(step.input, int64_t{step.groups} * step.in_channels) +
                      Wide{step.kernel_d - 1} * step.tap_depth +
                      Wide{step.kernel_h - 1} * step.tap_row +
                      Wide{step.kernel_w - 1} * step.tap_pixel;
    if (!holds(step.input.buffer, last)) return kView;
    const int64_t size_of_weights = lq_weights_size(&step);
    return size_of_weights >= 0 && holds(step.weights, Wide{size_of_weights} / 4) ? kNone
                                                                                  : kWeights;
  }

  Failed code_sums() const {
    int64_t words = 0;  // of an input pixel
    if (step.kind == LQ_CONV_CODES) {
      const int32_t bits = step.weight_bits;
      if (!size(step.groups) || step.channels % step.groups || !size(step.words, 1 << 20) ||
          (bits != 1 && bits != 2 && bits != 4 && bits != 8))
        return kWindow;
      words = static_cast<int64_t>(step.groups) * step.words;
      // A byte of weights times -128, four in a lane: what a lane adds up before it is shifted.
      if (Wide{taps()} * larqlite::code_vectors(step) * 4 * 255 * 128 > INT32_MAX)
        return kOverflow;
    } else if (step.kind == LQ_CONV_LOOKUPS) {
      if (step.groups != 1 || !size(step.words, 1 << 20) || step.weight_bits != 1) return kWindow;
      words = step.words;
      if (Wide{taps()} * words * 4 * 128 > INT32_MAX) return kOverflow;
    } else {
      if (!size(step.in_channels) || !size(step.multiplier) ||
          Wide{step.in_channels} * step.multiplier != step.channels)
        return kWindow;
      words = larqlite::code_words_of(step.in_channels);
    }
    const Wide last = reach(step.input, words) + Wide{step.kernel_d - 1} * step.tap_depth +
                      Wide{step.kernel_h - 1} * step.tap_row +
                      Wide{step.kernel_w - 1} * step.tap_pixel;
    if (!holds(step.input.buffer, last)) return kView;
    const int64_t size_of_weights = lq_weights_size(&step);
    if (size_of_weights < 0 || !holds(step.weights, Wide{size_of_weights} / 4)) return kWeights;
    return classes();
  }

  Failed half_sums() const {
    if (!size(step.in_channels) || step.groups != 1) return kWindow;
    const larqlite::Runs runs = larqlite::runs_of(step);
    const Wide last =
        reach(step.input, step.in_channels) + Wide{step.kernel_d - 1} * step.tap_depth +
        Wide{step.kernel_h - 1} * step.tap_row + Wide{step.kernel_w - 1} * step.tap_pixel;
    if (!holds_halves(step.input.buffer, last + runs.values % 2)) return kView;
    const int64_t size_of_weights = lq_weights_size(&step);
    if (size_of_weights < 0 || !holds(step.weights, Wide{size_of_weights} / 4)) return kWeights;
    if (step.kind == LQ_CONV_BF16) return kNone;
    return step.shift == 0 ? classes() : kWindow;
  }

  // The largest class of `count` places, or -1 if one is negative.
  int64_t largest(int32_t buffer, int64_t count) const {
    if (buffer < 0) return 0;
    if (!holds(buffer, count)) return -1;
    const int32_t* values = static_cast<const int32_t*>(buffers[buffer].data);
    int64_t most = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (values[i] < 0) return -1;
      if (values[i] > most) most = values[i];
    }
    return most;
  }

  // Whether the fields that tell taps inside of the image make sense, and leave out taps of no
  // pixel of a row but its first and its last.
  bool has_inside() const {
    const auto axis = [](int32_t stride, int32_t pad, int32_t dilation, int32_t taps, int32_t in) {
      return size(stride) && pad >= 0 && pad <= kMostSize && size(dilation) &&
             size(taps, kMostInside) && size(in);
    };
    if (step.kind != LQ_CONV ||
        !axis(step.stride_d, step.pad_d, step.dilation_d, step.kernel_d, step.in_d) ||
        !axis(step.stride_h, step.pad_h, step.dilation_h, step.kernel_h, step.in_h) ||
        !axis(step.stride_w, step.pad_w, step.dilation_w, step.kernel_w, step.in_w))
      return false;
    for (const int64_t pixel : {int64_t{1}, int64_t{step.width} - 2}) {
      if (pixel < 1 || pixel > step.width - 2) continue;
      const larqlite::TapRange inside = larqlite::taps_inside(
          pixel, step.stride_w, step.pad_w, step.dilation_w, step.kernel_w, step.in_w);
      if (inside.first != 0 || inside.last != step.kernel_w) return false;
    }
    return true;
  }

  Failed classes() const {
    const int64_t row = largest(step.row_class, static_cast<int64_t>(step.depth) * step.height);
    const int64_t column = largest(step.column_class, step.width);
    if (row < 0 || column < 0 || !size(step.column_classes) || column >= step.column_classes)
      return kClasses;
    const Wide rows = (Wide{row} + 1) * step.column_classes * step.channels;
    if (!holds(step.base, rows)) return kBase;
    if (step.inside_base < 0) return kNone;
    if (!has_inside()) return kWindow;
    return holds(step.inside_base, rows) ? kNone : kBase;
  }

  Failed operation(const lq_op& op, bool& integers) const {
    const bool wants_integers = op.kind >= LQ_STORE_INT && op.kind <= LQ_SUM;
    const bool is_pack =
        op.kind == LQ_THRESHOLD || (op.kind >= LQ_PACK_SIGN && op.kind <= LQ_PACK_ABOVE) ||
        op.kind == LQ_PACK_BF16 || op.kind == LQ_PACK_PIXELS;
    const bool is_float = op.kind >= LQ_MULTIPLY && op.kind <= LQ_FLOOR;
    if (!(wants_integers || is_float || is_pack) || wants_integers != integers) return kOpKind;
    switch (op.kind) {
      case LQ_TO_FLOAT:
        integers = false;
        return kNone;
      case LQ_SUM:
      case LQ_AVERAGE:
        return is_one ? kOpKind : kNone;
      case LQ_MULTIPLY:
      case LQ_DIVIDE:
      case LQ_ADD:
      case LQ_PRELU:
        return holds(op.a, step.channels) ? kNone : kOpValues;
      case LQ_MULTIPLY_IMAGE:
        return holds(op.a, Wide{batch} * step.channels) ? kNone : kOpValues;
      case LQ_STORE_INT:
      case LQ_STORE:
      case LQ_ADD_TENSOR:
      case LQ_MULTIPLY_TENSOR:
      case LQ_DIVIDE_TENSOR:
        if (!strides(op.view) || !holds(op.view.buffer, reach(op.view, step.channels)))
          return kOpView;
        return kNone;
      case LQ_ADD_SCALED:
        if (!holds(op.a, step.channels)) return kOpValues;
        return strides(op.view) && holds(op.view.buffer, reach(op.view, 1)) ? kNone : kOpView;
      case LQ_THRESHOLD:
        if (!holds(op.a, step.channels) || !holds(op.b, step.channels)) return kOpValues;
        return packing(op, 1, 1);
      case LQ_PACK_ABOVE:
        if (!holds(op.a, step.channels) || !holds(op.b, larqlite::words_of(step.channels)))
          return kOpValues;
        return packing(op, 1, 1);
      case LQ_PACK_RANGE:
        if (!holds(op.a, step.channels) || !holds(op.b, step.channels)) return kOpValues;
        return packing(op, 1, 1);
      case LQ_PACK_SIGN:
      case LQ_PACK_HEAVISIDE:
        return packing(op, 1, 1);
      case LQ_PACK_TERNARY:
        return packing(op, 2, 2);
      case LQ_PACK_BF16:
      case LQ_PACK_PIXELS:
        return strides(op.view) && holds_halves(op.view.buffer, reach(op.view, step.channels))
                   ? kNone
                   : kOpView;
      case LQ_PACK_STEPS:
        return packing(op, 1, kMostPlanes);
      case LQ_PACK_INTEGERS:
        return clips_to_codes(op) ? packing(op, 1, kMostPlanes) : kOpPacking;
      case LQ_CODE_SIGN:
      case LQ_CODE_HEAVISIDE:
      case LQ_CODE_TERNARY:
      case LQ_CODE_STEPS:
        return coding(op);
      case LQ_CODE_INTEGERS:
        return clips_to_codes(op) ? coding(op) : kOpPacking;
      default:
        return kNone;
    }
  }

  // Codes of the bounds, and of all between, are below 2^planes.
  static bool clips_to_codes(const lq_op& op) {
    return op.x >= -256.0f && op.y <= 256.0f && op.x <= op.y && size(op.planes, kMostPlanes) &&
           op.y - op.x < static_cast<float>(1 << op.planes);
  }

  Failed coding(const lq_op& op) const {
    if (!size(op.planes, kMostPlanes) || op.group < 0 ||
        (op.group > 0 && step.channels % op.group))
      return kOpPacking;
    const int64_t needed = op.group > 0 ? static_cast<int64_t>(step.channels / op.group) *
                                              larqlite::code_words_of(op.group)
                                        : larqlite::code_words_of(step.channels);
    if (op.words < needed || op.words > kMostSize) return kOpPacking;
    return strides(op.view) && holds(op.view.buffer, reach(op.view, needed)) ? kNone : kOpView;
  }

  Failed packing(const lq_op& op, int32_t least, int32_t most) const {
    if (op.planes < least || op.planes > most) return kOpPacking;
    if (op.group < 0 || (op.group > 0 && step.channels % op.group)) return kOpPacking;
    const int64_t needed =
        op.group > 0 ? static_cast<int64_t>(step.channels / op.group) * larqlite::words_of(op.group)
                     : larqlite::words_of(step.channels);
    if (op.words < needed || op.words > kMostSize) return kOpPacking;
    const int64_t words = static_cast<int64_t>(op.planes - 1) * op.words + needed;
    if (!strides(op.view) || !holds(op.view.buffer, reach(op.view, words))) return kOpView;
    return kNone;
  }
};

}  // namespace

extern "C" int64_t lq_weights_size(const lq_step* step) {
  const Wide taps = Wide{step->kernel_d} * step->kernel_h * step->kernel_w;
  Wide words = 0;
  if (step->kind == LQ_CONV && step->groups > 0)
    words = Wide{step->groups} * larqlite::blocks_of(step->channels / step->groups) *
            step->weight_planes * taps * step->words * larqlite::kLanes;
  else if (step->kind == LQ_DEPTHWISE)
    words =
        Wide{step->multiplier} * step->weight_planes * taps * larqlite::words_of(step->in_channels);
  else if (step->kind == LQ_CONV_CODES && step->groups > 0 && step->weight_bits > 0 &&
           step->weight_bits <= 8)
    words = Wide{step->groups} * larqlite::blocks_of(step->channels / step->groups) * taps *
            larqlite::code_vectors(*step) * larqlite::kLanes;
  else if (step->kind == LQ_CONV_LOOKUPS)
    words = (Wide{step->channels} + larqlite::kLookupLanes - 1) / larqlite::kLookupLanes * taps *
            larqlite::lookup_vectors(*step) * (larqlite::kLookupLanes / 2);
  else if (step->kind == LQ_DEPTHWISE_CODES || step->kind == LQ_DEPTHWISE_FLOAT)
    words = Wide{step->multiplier} * taps * step->in_channels;
  else if (step->kind == LQ_MOVE_BITS)
    words = Wide{step->multiplier} * larqlite::kMoveFields * step->channels;
  else if ((step->kind == LQ_CONV_FLOAT || step->kind == LQ_CONV_BYTES) && step->groups > 0)
    words = Wide{step->groups} * larqlite::blocks_of(step->channels / step->groups) * taps *
            step->in_channels * larqlite::kLanes;
  else if (larqlite::takes_halves(*step)) {
    const larqlite::Runs runs = larqlite::runs_of(*step);
    words = Wide{larqlite::blocks_of(step->channels)} * runs.count * larqlite::pairs_of(runs) *
            larqlite::kLanes;
  }
  if (words <= 0 || words > (int64_t{1} << 40)) return -1;
  return static_cast<int64_t>(words) * 4;
}

extern "C" int32_t lq_check(const lq_step* step, const lq_buffer* buffers, int32_t buffer_count,
                            int32_t batch) {
  if (step == nullptr || (buffers == nullptr && buffer_count > 0) || buffer_count < 0) return kKind;
  return Checker{*step, buffers, buffer_count, batch}.run();
}
