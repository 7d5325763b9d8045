// How the rows of a step are cut into blocks, and what is done with one.
#ifndef LARQLITE_WORK_H
#define LARQLITE_WORK_H

#include "kernels.h"
#include "positions.h"
#include "threads.h"

namespace larqlite {

constexpr int32_t kMostChannels = 512;
constexpr int64_t kWantedPixels = 5 * kPixels;  // of a block of a convolution of bits
constexpr int32_t kLeastChannels = 64;
// Tables are made for all channels of a block: the more there are, the better.
constexpr int32_t kMostLookupChannels = 2048;

// Room for the values of a block, kept by each thread from one block to the next.
Value* scratch(int64_t values);
// The same for what a step that sums over an image has of each channel: 8 bytes.
double* totals(int64_t channels);

// How the rows of a step are cut into blocks.
struct Work {
  const lq_step* step;
  const lq_buffer* buffers;
  const Kernels* kernels;
  const int64_t* taps;
  const WindowPositions* positions;
  // For `Expanded` convolutions, else null and 0.
  const Expanded* expanded;
  const int8_t* input;
  int64_t input_elements;
  const int8_t* weights;
  int64_t image;      // the first
  int64_t first_row;  // the rows of each image that are worked on
  int64_t row_count;
  int64_t pixels;    // of a block
  int32_t channels;  // of a block
  int64_t along;     // blocks along a row
  int64_t across;    // blocks across the channels
  int64_t count;
  int32_t gathers;  // the operation that sums over an image: a block is then all of its rows

  void plan(int64_t images, int32_t threads) {
    const lq_step& s = *step;
    channels = s.channels;
    gathers = gathers_at(s);
    const bool splits = may_split();
    const bool looks_up = s.kind == LQ_CONV_LOOKUPS;
    const int32_t most = looks_up ? kMostLookupChannels : kMostChannels;
    if (splits && channels > most) channels = most;
    // Weights are read once for all pixels of a block.
    const int64_t wanted = s.width < kWantedPixels ? s.width : kWantedPixels;
    const int32_t at_most = static_cast<int32_t>(kBlockValues / wanted / 32 * 32);
    if (splits && s.kind == LQ_CONV && channels > at_most) channels = at_most;
    const int64_t rows = gathers < 0 ? images * s.depth * row_count : images;
    for (;;) {
      const int64_t together = looks_up                  ? kLookupPixels
                               : s.kind == LQ_CONV_CODES ? kCodePixels
                                                         : kPixels;
      pixels = kBlockValues / channels / together * together;
      if (pixels < together) pixels = together;
      if (pixels > s.width) pixels = s.width;
      along = (s.width + pixels - 1) / pixels;
      across = (s.channels + channels - 1) / channels;
      count = rows * (gathers < 0 ? along : 1) * across;
      // Each thread gets several blocks, so that none waits long for another.
      if (threads <= 1 || count >= 4 * static_cast<int64_t>(threads) || !splits) break;
      const int32_t half = (channels / 2 + 31) / 32 * 32;
      if (half < kLeastChannels || half >= channels) break;
      channels = half;
    }
  }

  // Whether blocks of 32 channels can be worked on apart.
  bool may_split() const {
    const bool has_groups =
        step->kind == LQ_CONV || step->kind == LQ_CONV_CODES || step->kind == LQ_CONV_FLOAT;
    if (has_groups && step->groups != 1) return false;
    for (int32_t i = 0; i < step->op_count; ++i) {
      if (step->ops[i].group > 0 && step->ops[i].group % 32 != 0) return false;
      if (step->ops[i].kind == LQ_SOFTMAX) return false;  // of all channels
    }
    return true;
  }

  void run(int64_t index) const {
    const lq_step& s = *step;
    Block block;
    block.step = step;
    block.buffers = buffers;
    block.taps = taps;
    block.input = input;
    block.input_elements = input_elements;
    block.weights = weights;
    const int64_t part = index % across;
    index /= across;
    block.channel = static_cast<int32_t>(part) * channels;
    block.count = block.channel + channels > s.channels ? s.channels - block.channel : channels;
    if (gathers >= 0) {
      block.image = image + index;
      run_image(block);
      return;
    }
    const int64_t piece = index % along;
    index /= along;
    block.row = first_row + index % row_count;
    index /= row_count;
    block.depth = index % s.depth;
    block.image = image + index / s.depth;
    run_pixels(block, piece);
  }

 private:
  // All rows of an image, one pixel of sums, and what follows these.
  void run_image(Block& block) const {
    const lq_step& s = *step;
    block.totals = totals(block.count);
    block.sums = reinterpret_cast<uint32_t*>(block.totals);
    const bool is_real = s.ops[gathers].kind == LQ_AVERAGE;
    for (int32_t c = 0; c < block.count; ++c)
      if (is_real)
        block.totals[c] = 0.0;
      else
        block.sums[c] = 0;
    for (block.depth = 0; block.depth < s.depth; ++block.depth)
      for (block.row = 0; block.row < s.height; ++block.row)
        for (int64_t piece = 0; piece < along; ++piece) run_pixels(block, piece);
    block.depth = block.row = block.pixel = 0;
    block.pixels = 1;
    Value* values = scratch(block.count);
    const double n = static_cast<double>(s.depth) * s.height * s.width;
    for (int32_t c = 0; c < block.count; ++c)
      if (is_real)
        values[c].real = static_cast<float>(block.totals[c] / n);
      else
        values[c].integer = static_cast<int32_t>(block.sums[c]);
    kernels->apply(block, values, gathers + 1);
  }

  // A piece of the row of a block.
  __attribute__((noinline)) void run_pixels(Block& block, int64_t piece) const {
    const lq_step& s = *step;
    block.positions = positions->of(block.depth, block.row);
    block.pixel = piece * pixels;
    block.pixels = block.pixel + pixels > s.width ? s.width - block.pixel : pixels;
    Value* values = scratch(block.pixels * block.count + (s.kind == LQ_MOVE_BITS ? move_room(s) : 0));
    int32_t done = 0;  // operations
    switch (s.kind) {
      case LQ_LOAD:
        if (!only_packs(s, 0)) done = kernels->load(block, values);
        break;
      case LQ_CONV:
        done = expanded ? expanded->conv(block, values) : kernels->conv(block, values);
        break;
      case LQ_CONV_FLOAT:
        done = expanded ? expanded->conv(block, values) : kernels->conv_float(block, values);
        break;
      case LQ_CONV_BF16:
      case LQ_CONV_PIXELS:
        done = kernels->conv_halves(block, values);
        break;
      case LQ_DEPTHWISE:
        kernels->depthwise(block, values);
        break;
      case LQ_CONV_CODES:
        done = kernels->conv_codes(block, values);
        break;
      case LQ_CONV_LOOKUPS:
        done = kernels->conv_lookups(block, values);
        break;
      case LQ_DEPTHWISE_CODES:
        kernels->depthwise_codes(block, values);
        break;
      case LQ_DEPTHWISE_FLOAT:
        depthwise_float(block, values);
        break;
      case LQ_CONV_BYTES:
        conv_bytes(block, values);
        break;
      case LQ_MEAN:
        kernels->mean(block, values);
        break;
      case LQ_MOVE_BITS:
        kernels->move_bits(block, values);
        break;
      default:
        kernels->pool(block, values);
    }
    kernels->apply(block, values, done);
  }
};

// Shares the blocks out to threads.
void run_blocks(Work& work, int64_t images, int32_t threads);

// Rewrites the weights, and then an image, of a step as `work.expanded` wants them; false if
// it cannot.
bool expand_weights(Work& work, int32_t threads);
bool expand_image(Work& work, int64_t image, int32_t threads);

}  // namespace larqlite
#endif
