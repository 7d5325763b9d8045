// Lays out memory for a batch, checks every step against it, and runs them.
#include "model.h"

#include <new>

#include "../cost.h"
#include "../include/larqlite.h"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace larqlite {

bool Memory::make(int64_t bytes) {
  constexpr int64_t kLine = 64;
  if (bytes > static_cast<int64_t>(SIZE_MAX / 2) - kLine) return false;
  block_ = calloc(1, static_cast<size_t>(bytes + kLine));
  if (block_ == nullptr) return false;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(block_);
  data_ = static_cast<char*>(block_) + (kLine - begin % kLine) % kLine;
  bytes_ = bytes;
  return true;
}

void Memory::swap(Memory& other) {
  void* const block = block_;
  char* const data = data_;
  const int64_t bytes = bytes_;
  block_ = other.block_, data_ = other.data_, bytes_ = other.bytes_;
  other.block_ = block, other.data_ = data, other.bytes_ = bytes;
}

void Memory::clear(int64_t bytes) {
  if (bytes > 0) __builtin_memset(data_, 0, static_cast<size_t>(bytes));
}

namespace {

// By their numbers, as `lq_supports` has them; and those from the fastest to the slowest.
constexpr const char* kSets[] = {"portable", "avx2", "avx512", "neon", "amx", "simd128"};
constexpr int32_t kFastestFirst[] = {4, 2, 1, 3, 5, 0};

int32_t fastest() {
  for (const int32_t set : kFastestFirst)
    if (lq_supports(set) != 0) return set;
  return 0;  // there is always one
}

// The product of numbers that are not below 0; what is more than limits may be stays so.
int64_t times(int64_t a, int64_t b) {
  constexpr int64_t kBeyond = 2 * kMostLimit;
  return b > 0 && a > kBeyond / b ? kBeyond : a * b;
}

constexpr int64_t kMostOfCall = int64_t{1} << 50;  // bytes of an input or output
constexpr double kShareOfCache = 0.75;  // for what a piece touches; weights need the rest

int64_t cache_of_a_core() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const long told = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (told > 0) return told;
#endif
  return 512 << 10;
}

bool equal(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

int32_t over(int32_t a, int32_t b) { return a / b + (a % b != 0); }

// Images of a piece, at most so many, so that each thread gets as many pieces.
int32_t even(int32_t batch, int32_t piece, int32_t threads) {
  int64_t count = over(batch, piece);
  if (batch >= threads) {
    count = (count + threads - 1) / threads * threads;
    if (count > batch) count = batch;
  }
  return over(batch, static_cast<int32_t>(count));
}

void fill(char* to, int64_t bytes, const uint8_t* with, int64_t period) {
  if (with == nullptr) return;
  __builtin_memcpy(to, with, static_cast<size_t>(period));
  for (int64_t done = period; done < bytes; done *= 2)  // what is there already, once more
    __builtin_memcpy(to + done, to, static_cast<size_t>(done < bytes - done ? done : bytes - done));
}

// Nanoseconds that an image takes besides what its steps compute: what memory holds at first is
// filled in; a step is prepared, and the buffers are placed, for each piece; and a pooling behind a
// convolution looks whether any other step reads what that stores.
double overhead(const FlatFile& file) {
  constexpr double kOfStep = 1000, kOfRecord = 5, kOfByte = 0.1;
  double looked_at = 0, total = kOfRecord * static_cast<double>(file.buffers.size());
  for (const FlatBuffer& b : file.buffers)
    if (b.initial != nullptr) total += kOfByte * static_cast<double>(b.bytes);
  for (const lq_step& s : file.steps) looked_at += 1.0 + s.op_count;
  for (const lq_step& s : file.steps) {
    total += kOfStep + kOfRecord * s.kernel_d * s.kernel_h * s.kernel_w;
    if (s.kind >= LQ_POOL_MAX && s.kind <= LQ_POOL_AVERAGE_PADDED) total += kOfRecord * looked_at;
  }
  return total;
}

}  // namespace
}  // namespace larqlite

using larqlite::FlatBuffer;
using larqlite::FlatFile;
using larqlite::FlatTensor;
using larqlite::Role;
using larqlite::times;

void lq_model::leave() {
  if (network != nullptr && network->users.fetch_sub(1) == 1) {
    network->~Network();
    free(network);
  }
  network = nullptr;
}

int32_t lq_model::load(const void* bytes, size_t size, void* own) {
  void* room = malloc(sizeof(larqlite::Network));
  if (room == nullptr) {
    free(own);
    error.add("there is not enough memory to read the flat file");
    return LQ_NO_MEMORY;
  }
  network = new (room) larqlite::Network;
  network->own = own;
  const int32_t code = network->file.read(static_cast<const uint8_t*>(bytes), size, error);
  if (code != LQ_OK) {
    leave();
    return code;
  }
  isa = larqlite::fastest();
  return LQ_OK;
}

int32_t lq_model::set_isa(const char* name) {
  int32_t found = name == nullptr ? larqlite::fastest() : -1;
  for (const int32_t set : larqlite::kFastestFirst)
    if (name != nullptr && larqlite::equal(name, larqlite::kSets[set])) found = set;
  if (found >= 0 && lq_supports(found) != 0) {
    isa = found;
    forget();
    return LQ_OK;
  }
  error.add(found >= 0 ? "this processor, or this library, has no instruction set "
                       : "there is no instruction set ");
  error.quote(name).add("\n  Fix: null takes the fastest that there is; or");
  for (const int32_t set : larqlite::kFastestFirst)
    if (lq_supports(set) != 0) error.add(" ").quote(larqlite::kSets[set]);
  return found >= 0 ? LQ_NO_ISA : LQ_MISUSE;
}

const char* lq_model::isa_name() const { return larqlite::kSets[isa]; }

// As the runtime cuts batches: what all steps touch for a piece stays in the cache.
lq_model::Cut lq_model::cut(int32_t batch) const {
  const FlatFile& file = network->file;
  double most = 1;
  for (const lq_step& step : file.steps) {
    double touched = 0;
    const auto touch = [&](int32_t buffer) {
      if (buffer < 0) return;
      const FlatBuffer& b = file.buffers[static_cast<size_t>(buffer)];
      if (b.role != Role::kConstant) touched += static_cast<double>(b.bytes);
    };
    touch(step.input.buffer);
    for (int32_t i = 0; i < step.op_count; ++i) touch(step.ops[i].a), touch(step.ops[i].view.buffer);
    if (touched > most) most = touched;
  }
  const double room = larqlite::kShareOfCache * static_cast<double>(larqlite::cache_of_a_core());
  // Nor does it take more memory than there may be, with a copy for each thread.
  const double allowed = static_cast<double>(most_bytes) / threads /
                         static_cast<double>(file.arena > 0 ? file.arena : 1);
  const double whole = room / most < allowed ? room / most : allowed;
  const int32_t fitting = whole < 1 ? 1 : whole > batch ? batch : static_cast<int32_t>(whole);
  const int32_t count = static_cast<int32_t>(file.steps.size());
  const auto worth = [&](int32_t piece) {
    return threads == 1 || count == 0
               ? 1
               : lq_threads(file.steps.data(), count, batch, piece, threads, isa, nullptr);
  };
  const int32_t each = larqlite::over(batch, threads);
  const int32_t shared = fitting < each ? fitting : each;
  const int32_t workers = worth(shared);
  const int32_t piece =
      workers == 1 ? larqlite::even(batch, fitting, 1) : larqlite::even(batch, shared, workers);
  const int32_t used = worth(piece), pieces = larqlite::over(batch, piece);
  // What smaller batches may want: pieces of up to `fitting` images, one for each thread, and never
  // so many that the last one has nothing to do.
  const int64_t each_thread = int64_t{fitting} * threads, all = int64_t{batch} + fitting - 1;
  return {piece, used, pieces < used ? pieces : used, each_thread < all ? each_thread : all};
}

int32_t lq_model::reserve(int32_t batch) {
  if (batch == batch_) return LQ_OK;
  const FlatFile& file = network->file;
  double nanoseconds = larqlite::overhead(file);
  for (const lq_step& step : file.steps) nanoseconds += larqlite::nanoseconds(step, 1, isa);
  if (!(nanoseconds <= most_seconds * 1e9)) {
    error.add("the network would take longer for an image than the ");
    const double ms = most_seconds * 1e3;
    error.add(ms < 1e18 ? static_cast<int64_t>(ms) : INT64_MAX).add(" ms that are allowed.");
    error.add("\n  Fix: lq_set_limits(), if the file is yours");
    return LQ_TOO_LARGE;
  }
  const Cut how = cut(batch);
  Layout layout;
  int32_t code = plan(batch, how, layout);
  if (code == LQ_OK) code = check(batch, how, layout);
  if (code != LQ_OK) return code;
  // From here on nothing fails.
  for (int block = 0; block < 2; ++block) {
    if (layout.blocks[block].data() != nullptr)
      blocks_[block].swap(layout.blocks[block]);
    else
      blocks_[block].clear(layout.used[block]);
  }
  buffers_.swap(layout.places);
  fill(how);
  how_ = how;
  batch_ = batch;
  return LQ_OK;
}

// Where everything lies for a batch, in the memory that is there if it is enough.
int32_t lq_model::plan(int32_t batch, const Cut& how, Layout& layout) {
  const FlatFile& file = network->file;
  const size_t count = file.buffers.size();
  const auto no_memory = [&] {
    error.add("there is not enough memory for a batch of ").add(int64_t{batch});
    error.add("\n  Fix: a smaller batch");
    return LQ_NO_MEMORY;
  };
  larqlite::Array<int64_t> kept_at;  // -1: not there
  if (!layout.places.make(count) || !kept_at.make(count)) return no_memory();
  for (int64_t& at : kept_at) at = -1;
  const int64_t of_copy = times(file.arena, how.piece);
  layout.used[0] = times(of_copy, how.copies);
  layout.used[1] = 0;
  for (size_t i = static_cast<size_t>(file.input_count); i < file.tensors.size(); ++i) {
    const FlatTensor& t = file.tensors[i];
    const size_t number = static_cast<size_t>(t.buffer);
    const FlatBuffer& b = file.buffers[number];
    if (b.role != Role::kMemory || kept_at[number] >= 0 || t.is_direct) continue;
    kept_at[number] = layout.used[1];
    layout.used[1] += (times(b.bytes, batch) + 63) / 64 * 64;
    if (layout.used[1] > most_bytes) break;
  }
  // What callers hand in is not counted, but must have addresses.
  bool is_too_large = layout.used[0] + layout.used[1] > most_bytes;
  for (const FlatTensor& t : file.tensors)
    is_too_large |= times(file.buffers[static_cast<size_t>(t.buffer)].bytes, batch) >
                    larqlite::kMostOfCall;
  if (is_too_large) {
    error.add("a batch of ").add(int64_t{batch}).add(" needs more than the ").add(most_bytes);
    error.add(" bytes that are allowed.\n  Fix: a smaller batch, or lq_set_limits()");
    return LQ_TOO_LARGE;
  }
  char* begins[2];
  int64_t left = most_bytes - layout.used[0];
  for (int block = 1; block >= 0; --block) {
    int64_t wanted = layout.used[block];
    if (block == 0) {  // as much as any smaller batch may want, within what is allowed
      wanted = times(file.arena, how.most_images);
      if (wanted > left) wanted = left;
    }
    // What there is stays, unless it is too little, or leaves too little of what is allowed.
    const int64_t there = blocks_[block].bytes();
    const bool is_new = there < wanted || (there > wanted && there > left);
    if (is_new && !layout.blocks[block].make(wanted)) return no_memory();
    begins[block] = (is_new ? layout.blocks : blocks_)[block].data();
    left = most_bytes - (is_new ? wanted : there);
  }
  static int64_t elsewhere;  // stands for what callers hand in: the check reads none of it
  for (size_t i = 0; i < count; ++i) {
    const FlatBuffer& b = file.buffers[i];
    lq_buffer& place = layout.places[i];
    if (b.role == Role::kConstant) {
      place.data = const_cast<void*>(static_cast<const void*>(b.constant));
      place.bytes = b.bytes;
    } else if (b.is_handed_in || kept_at[i] >= 0) {
      place.data = b.is_handed_in ? static_cast<void*>(&elsewhere) : begins[1] + kept_at[i];
      place.bytes = b.bytes * batch;
      place.image_bytes = b.bytes;
    } else {
      place.bytes = b.bytes * how.piece;
      place.data = begins[0] + b.offset * how.piece;
      place.thread_bytes = how.copies > 1 ? of_copy : 0;
    }
  }
  return LQ_OK;
}

int32_t lq_model::check(int32_t batch, const Cut& how, const Layout& layout) {
  const FlatFile& file = network->file;
  for (size_t i = 0; i < file.steps.size(); ++i) {
    const int32_t failed = lq_check(&file.steps[i], layout.places.data(),
                                    static_cast<int32_t>(layout.places.size()), how.piece);
    if (failed == 0) continue;
    error.add("step ").add(static_cast<int64_t>(i) + 1).add(", ").quote(file.step_names[i]);
    error.add(", does not fit its memory for a batch of ").add(int64_t{batch});
    error.add(" (check ").add(int64_t{failed}).add(").\n  Fix: write the flat file again");
    return LQ_DAMAGED;
  }
  return LQ_OK;
}

// What memory holds before the first run.
void lq_model::fill(const Cut& how) {
  const FlatFile& file = network->file;
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const FlatBuffer& b = file.buffers[i];
    const lq_buffer& place = buffers_[i];
    for (int32_t copy = 0; copy < (place.thread_bytes > 0 ? how.copies : 1); ++copy)
      larqlite::fill(static_cast<char*>(place.data) + copy * place.thread_bytes, place.bytes,
                     b.initial, b.initial_bytes);
  }
}

int32_t lq_model::run(int32_t batch, const void* const* inputs, void* const* outputs) {
  const FlatFile& file = network->file;
  const size_t fed = static_cast<size_t>(file.input_count);
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const FlatTensor& t = file.tensors[i];
    const void* given = i < fed ? inputs[i] : outputs[i - fed];
    const auto size = static_cast<uintptr_t>(larqlite::bytes_of_type(t.type));
    if (given != nullptr && reinterpret_cast<uintptr_t>(given) % size == 0) continue;
    error.add(i < fed ? "the memory of the input " : "the memory of the output ").quote(t.name);
    error.add(given == nullptr ? " is a null pointer" : " does not begin at a multiple of the size of its values");
    return LQ_MISUSE;
  }
  const int32_t code = reserve(batch);
  if (code != LQ_OK) return code;
  for (size_t i = 0; i < file.tensors.size(); ++i) {
    const FlatTensor& t = file.tensors[i];
    if (i < fed)
      buffers_[static_cast<size_t>(t.buffer)].data = const_cast<void*>(inputs[i]);
    else if (t.is_direct)
      buffers_[static_cast<size_t>(t.buffer)].data = outputs[i - fed];
  }
  if (file.steps.size() > 0 &&
      lq_run(file.steps.data(), static_cast<int32_t>(file.steps.size()), buffers_.data(),
             static_cast<int32_t>(buffers_.size()), batch, how_.piece, how_.workers, isa,
             nullptr) != 0) {
    error.add("the instruction set is gone.\n  Fix: lq_set_isa() with null takes another");
    return LQ_NO_ISA;
  }
  for (size_t i = fed; i < file.tensors.size(); ++i)
    if (!file.tensors[i].is_direct) copy_out(file.tensors[i], batch, outputs[i - fed]);
  return LQ_OK;
}

// Values of an output, in the order of its shape, from where steps left them.
void lq_model::copy_out(const FlatTensor& t, int32_t batch, void* to) const {
  const int64_t size = network->file.buffers[static_cast<size_t>(t.buffer)].value_bytes;
  const char* from = static_cast<const char*>(buffers_[static_cast<size_t>(t.buffer)].data);
  char* next = static_cast<char*>(to);
  const bool is_run = t.inner_stride == 1;
  for (int64_t image = 0; image < (t.has_batch ? batch : 1); ++image)
    for (int64_t outer = 0; outer < t.outer; ++outer) {
      const char* first = from + (t.offset + image * t.image + outer * t.outer_stride) * size;
      if (is_run) {
        __builtin_memcpy(next, first, static_cast<size_t>(t.inner * size));
        next += t.inner * size;
        continue;
      }
      for (int64_t inner = 0; inner < t.inner; ++inner, next += size)
        __builtin_memcpy(next, first + inner * t.inner_stride * size, static_cast<size_t>(size));
    }
}
