// Convolutions that rewrite their weights and images before they multiply.
#include <atomic>
#include <vector>

#include "work.h"

#if defined(__x86_64__)
namespace larqlite {
namespace {

// Room that the calling thread keeps from one step to the next, on a boundary of 64 bytes.
int8_t* room_for(int64_t count, int which) {
  LQ_OF_A_THREAD std::vector<int8_t> rooms[2];
  std::vector<int8_t>& room = rooms[which];
  const size_t needed = static_cast<size_t>(count) + 64;
  if (room.size() < needed) room = std::vector<int8_t>(needed);
  return room.data() + (64 - reinterpret_cast<uintptr_t>(room.data()) % 64) % 64;
}

constexpr int64_t kElements = 4096;  // that one thread rewrites at a time
constexpr int64_t kParts = 64;

struct Weights {
  const Work* work;
  int64_t parts;
  int8_t* out;
  std::atomic<bool> good{true};

  static void run(void* context, int64_t index) {
    Weights& self = *static_cast<Weights*>(context);
    const lq_step& s = *self.work->step;
    const Expanded& with = *self.work->expanded;
    const void* weights = self.work->buffers[s.weights].data;
    for (int64_t part = index * kParts; part < self.parts && part < (index + 1) * kParts; ++part)
      if (!with.expand_weights(s, weights, part, self.out + part * with.part_bytes))
        self.good = false;
  }
};

struct Image {
  const Expanded* with;
  const uint32_t* elements;
  int64_t total;
  int8_t* out;
  std::atomic<bool> good{true};

  static void run(void* context, int64_t index) {
    Image& self = *static_cast<Image*>(context);
    const int64_t first = index * kElements, left = self.total - first;
    if (!self.with->expand_input(self.elements, first, left < kElements ? left : kElements,
                                 self.total, self.out))
      self.good = false;
  }
};

int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }

}  // namespace

bool expand_weights(Work& work, int32_t threads) {
  const Expanded& with = *work.expanded;
  const int64_t parts = with.weight_parts(*work.step);
  Weights weights = {&work, parts, room_for(parts * with.part_bytes, 0)};
  work.weights = weights.out;
  parallel_for(pieces(parts, kParts), threads, Weights::run, &weights);
  return weights.good;
}

bool expand_image(Work& work, int64_t index, int32_t threads) {
  const lq_step& s = *work.step;
  const lq_view& view = s.input;
  // All elements from the image's first to the last that a window reads.
  const int64_t total = view.offset + (s.depth - 1) * view.depth + (s.height - 1) * view.row +
                        (s.width - 1) * view.pixel + (s.kernel_d - 1) * s.tap_depth +
                        (s.kernel_h - 1) * s.tap_row + (s.kernel_w - 1) * s.tap_pixel +
                        (s.kind == LQ_CONV ? s.words : s.in_channels);
  const uint32_t* elements =
      static_cast<const uint32_t*>(work.buffers[view.buffer].data) + index * view.image;
  Image image = {work.expanded, elements, total, room_for(work.expanded->input_bytes(total), 1)};
  work.image = index;
  work.input = image.out;
  work.input_elements = total;
  parallel_for(pieces(total, kElements), threads, Image::run, &image);
  return image.good;
}

}  // namespace larqlite
#else
// No kernels of these processors ask for it.
bool larqlite::expand_weights(Work&, int32_t) { return false; }
bool larqlite::expand_image(Work&, int64_t, int32_t) { return false; }
#endif
