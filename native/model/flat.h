// A flat program file in memory: `larqlite/deploy/targets/flat/` states the format.
#ifndef LARQLITE_FLAT_H
#define LARQLITE_FLAT_H

#include <stddef.h>
#include <stdlib.h>

#include "../program.h"
#include "text.h"

namespace larqlite {

constexpr int32_t kFlatVersion = 1;
constexpr int kMostAxes = 8;

// Memory of so many values of so many bytes, all zero; null: there is none.
void* zeros(uint64_t count, size_t bytes);

// As many values as are asked for, all zero at first; none where there is no memory.
template <typename T>
class Array {
 public:
  Array() = default;
  ~Array() { free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  bool make(uint64_t count) {
    free(data_);
    data_ = static_cast<T*>(zeros(count, sizeof(T)));
    count_ = data_ == nullptr ? 0 : static_cast<size_t>(count);
    return data_ != nullptr;
  }
  void swap(Array& other) {
    T* const data = data_;
    const size_t count = count_;
    data_ = other.data_, count_ = other.count_;
    other.data_ = data, other.count_ = count;
  }
  size_t size() const { return count_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + count_; }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

// An input or an output. The values of an image, in the order of its shape, are `outer` times
// `inner` values of its buffer.
struct FlatTensor {
  const char* name;
  int32_t type, buffer, axes;
  bool has_batch;    // shape[0] stands for the images of a call
  bool is_in_order;  // the buffer holds nothing else, as the caller has it
  bool is_direct;    // of an output: steps write it where the caller wants it
  int64_t offset, image;  // of the first value; from image to image
  int64_t outer, outer_stride, inner, inner_stride;
  int64_t shape[kMostAxes];
  int64_t image_values;
};

enum class Role : int32_t { kMemory = 0, kConstant = 1, kInput = 2 };

struct FlatBuffer {
  const char* name;
  Role role;
  int32_t value_bytes;
  bool is_handed_in;           // memory of callers: an input, or an output that is direct
  int64_t bytes;               // of an image, or of the constant
  int64_t offset;              // of memory: in the arena of an image
  const uint8_t* constant;     // of a constant
  const uint8_t* initial;      // of memory: what it holds before the first run, over and over; or null
  int64_t initial_bytes;
};

// What a file says, once all of it is checked that does not hang on a number of images.
class FlatFile {
 public:
  // Of `size` bytes that stay where they are. LQ_OK, or another code of the public header and
  // why; then nothing else may be asked.
  int32_t read(const uint8_t* bytes, size_t size, Text& why);

  Array<FlatTensor> tensors;  // inputs, then outputs
  int32_t input_count = 0;
  int32_t output_count() const { return static_cast<int32_t>(tensors.size()) - input_count; }
  Array<FlatBuffer> buffers;
  Array<lq_step> steps;
  Array<const char*> step_names;
  int64_t arena = 0;  // bytes of an image

 private:
  Array<lq_op> ops_;
};

// Bytes of a value of a type of the public header; 0: unknown.
int32_t bytes_of_type(int32_t type);

// Of all bytes; `before` is what those in front of them came to, 0 at first. As zlib's.
uint32_t crc32_of(const uint8_t* bytes, size_t size, uint32_t before);

}  // namespace larqlite
#endif
