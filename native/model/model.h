// A network that is ready to run: a flat file, and memory for the images of a call.
#ifndef LARQLITE_MODEL_H
#define LARQLITE_MODEL_H

#include <atomic>

#include "flat.h"

namespace larqlite {

// Bytes that a limit may allow: what is asked for is counted in numbers of 64 bits.
constexpr int64_t kMostLimit = int64_t{1} << 60;

// What models of the same network share: the file, which nobody changes.
struct Network {
  FlatFile file;
  std::atomic<int32_t> users{1};
  void* own = nullptr;  // bytes that are freed with it

  ~Network() { free(own); }
};

// Zeros that begin where a cache line does.
class Memory {
 public:
  Memory() = default;
  ~Memory() { free(block_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // So many bytes, where there were none; false: there are none.
  bool make(int64_t bytes);
  void swap(Memory& other);
  // The first ones are zeros again.
  void clear(int64_t bytes);
  char* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void* block_ = nullptr;
  char* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace larqlite

// The type that the public header does not show.
struct lq_model {
  larqlite::Text error;
  larqlite::Network* network = nullptr;  // null: it could not be loaded
  int32_t isa = 0;
  int32_t threads = 1;
  int64_t most_bytes = sizeof(void*) > 4 ? int64_t{2} << 30 : int64_t{1} << 30;
  double most_seconds = 600.0;

  ~lq_model() { leave(); }
  void leave();

  // All of these: LQ_OK, or another code and `error`.
  int32_t load(const void* bytes, size_t size, void* own);
  int32_t reserve(int32_t batch);
  int32_t run(int32_t batch, const void* const* inputs, void* const* outputs);
  int32_t set_isa(const char* name);
  const char* isa_name() const;
  int64_t memory() const { return blocks_[0].bytes() + blocks_[1].bytes(); }

  // How a batch is run: `piece` images at a time, on `workers` threads, with `copies` of memory.
  void forget() { batch_ = 0; }

 private:
  struct Cut {
    int32_t piece, workers, copies;
    int64_t most_images;  // of all copies, for this batch or any smaller one
  };
  // Where buffers lie for a batch: those of an image in the first block, and outputs of all images,
  // which are copied behind the last step, in the second.
  struct Layout {
    larqlite::Array<lq_buffer> places;
    int64_t used[2];             // bytes of each block
    larqlite::Memory blocks[2];  // those that are new
  };
  Cut cut(int32_t batch) const;
  int32_t plan(int32_t batch, const Cut& how, Layout& layout);
  int32_t check(int32_t batch, const Cut& how, const Layout& layout);
  void fill(const Cut& how);
  void copy_out(const larqlite::FlatTensor& tensor, int32_t batch, void* to) const;

  int32_t batch_ = 0;  // that memory is laid out for; 0: none
  Cut how_ = {0, 0, 0, 0};
  larqlite::Memory blocks_[2];
  larqlite::Array<lq_buffer> buffers_;
};
#endif
