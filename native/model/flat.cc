// Reads a flat program file, and believes nothing that it says.
#include "flat.h"

#include <initializer_list>

#include "../include/larqlite.h"
#include "../kernels.h"
#include "../wide.h"

namespace larqlite {

int32_t bytes_of_type(int32_t type) {
  switch (type) {
    case LQ_UINT8:
    case LQ_INT8:
    case LQ_BOOL:
      return 1;
    case LQ_UINT16:  // also bfloat16
    case LQ_INT16:
      return 2;
    case LQ_FLOAT32:
    case LQ_INT32:
    case LQ_UINT32:  // also words of bits, or of codes
      return 4;
    case LQ_INT64:
      return 8;
    default:
      return 0;
  }
}

void* zeros(uint64_t count, size_t bytes) {
  if (count > SIZE_MAX / 2 / bytes) return nullptr;
  return calloc(count == 0 ? 1 : static_cast<size_t>(count), bytes);
}

uint32_t crc32_of(const uint8_t* bytes, size_t size, uint32_t before) {
  // Four bytes at a time: table[k] is what a byte does that k more follow.
  uint32_t table[4][256];
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t left = i;
    for (int bit = 0; bit < 8; ++bit) left = left >> 1 ^ (left & 1 ? 0xedb88320u : 0);
    table[0][i] = left;
  }
  for (uint32_t i = 0; i < 256; ++i)
    for (int k = 1; k < 4; ++k)
      table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
  uint32_t crc = ~before;
  for (; size >= 4; size -= 4, bytes += 4) {
    crc ^= static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
           static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
    crc = table[3][crc & 255] ^ table[2][crc >> 8 & 255] ^ table[1][crc >> 16 & 255] ^
          table[0][crc >> 24];
  }
  for (; size > 0; --size, ++bytes) crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 255];
  return ~crc;
}

namespace {

constexpr uint8_t kMagic[] = {0x89, 'L', 'Q', 'F', 'L', 'A', 'T', '\n'};
constexpr uint32_t kHeaderBytes = 128, kCrcAt = 24;
// What the records of the first version have; those of later ones go on behind that.
constexpr uint32_t kTensorBytes = 128, kBufferBytes = 48, kStepBytes = 228, kOpBytes = 80;
// Fields of steps and operations lie in a record as they do in memory, but for the operations.
static_assert(sizeof(lq_op) == kOpBytes, "one layout");
constexpr size_t kOfKernel = offsetof(lq_step, kernel_w) + sizeof(int32_t);
constexpr size_t kOfStep = offsetof(lq_step, inside_base) + sizeof(int32_t);
static_assert(kOfStep - offsetof(lq_step, input) + kOfKernel - offsetof(lq_step, depth) +
                      4 * sizeof(int32_t) == kStepBytes,
              "one layout");
constexpr uint32_t kMostOfEach = 1 << 20;  // records
constexpr int64_t kMostBytes = int64_t{1} << 40;
// Kinds of steps and operations keep their numbers; LQ_ABI says how many there are.
constexpr int32_t kFirstAbi = 8;
constexpr int64_t kAligned = 64;
// Bytes of the name of an input or output, its zero among them: many may have the same, and callers
// look at each of them.
constexpr int kLongestName = 1024;
// Values of tables that steps may look at beside one look at the whole file: many steps may share a
// table, but no network's have so much of it in common.
constexpr int64_t kMostLooks = 1 << 24;

constexpr char kFix[] = "\n  Fix: lq export MODEL FILE --to flat writes it again; or copy it again.";

// Constants are used where they lie in the file.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "flat files are little endian");

// The fields of a record, one after another, wherever they lie.
class Fields {
 public:
  explicit Fields(const uint8_t* at) : at_(at) {}
  uint32_t u32() { return next<uint32_t>(); }
  uint64_t u64() { return next<uint64_t>(); }
  int32_t i32() { return next<int32_t>(); }
  int64_t i64() { return next<int64_t>(); }
  // Those that lie in the file as they do in a structure, between two places of it.
  template <typename T>
  void part(T& of, size_t from, size_t to) {
    __builtin_memcpy(reinterpret_cast<char*>(&of) + from, at_, to - from);
    at_ += to - from;
  }

 private:
  template <typename T>
  T next() {
    T value;
    __builtin_memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  const uint8_t* at_;
};

// Records of a kind: where they begin, how many, and how long each is.
struct Records {
  const uint8_t* at = nullptr;
  uint32_t count = 0, bytes = 0;
  Fields operator[](uint32_t i) const {
    return Fields(at + static_cast<size_t>(static_cast<uint64_t>(i) * bytes));
  }
};

// Values of tables that lq_check looked at for a sound step.
int64_t looks_of(const lq_step& s) {
  int64_t looks = s.row_class < 0 ? 0 : int64_t{s.depth} * s.height;
  if (s.column_class >= 0) looks += s.width;
  if (s.kind == LQ_MOVE_BITS && s.weights >= 0) looks += int64_t{s.multiplier} * 3 * s.channels;
  return looks;
}

// One file while it is read.
class Reader {
 public:
  Reader(FlatFile& file, const uint8_t* bytes, size_t size, Text& why)
      : file_(file), bytes_(bytes), size_(size), why_(why) {}

  int32_t header() {
    if (size_ < kHeaderBytes || __builtin_memcmp(bytes_, kMagic, sizeof kMagic) != 0) {
      why_.add("this is no flat file of larqlite").add(kFix);
      return LQ_DAMAGED;
    }
    Fields in(bytes_ + sizeof kMagic);
    const uint32_t version = in.u32(), abi = in.u32();
    const uint64_t size = in.u64();
    const uint32_t crc = in.u32(), header = in.u32();
    if (version < 1 || abi < kFirstAbi) return damaged("its version is none");
    if (version > kFlatVersion || abi > LQ_ABI) {
      why_.add("the flat file has version ").add(int64_t{version}).add(" with operations of version ");
      why_.add(int64_t{abi}).add("; this library reads up to ").add(int64_t{kFlatVersion});
      why_.add(" with ").add(int64_t{LQ_ABI});
      why_.add(".\n  Fix: a later library, or write the file with the larqlite of this one.");
      return LQ_TOO_NEW;
    }
    if (size != size_) {
      why_.add("the flat file has ").add(static_cast<int64_t>(size_)).add(" bytes of ");
      why_.add(static_cast<int64_t>(size)).add(kFix);
      return LQ_DAMAGED;
    }
    if (header != kHeaderBytes) return damaged("its head has another length");
    constexpr uint8_t kNoCrc[4] = {};
    uint32_t found = crc32_of(bytes_, kCrcAt, 0);
    found = crc32_of(kNoCrc, sizeof kNoCrc, found);
    found = crc32_of(bytes_ + kCrcAt + 4, size_ - kCrcAt - 4, found);
    if (found != crc) return damaged("its checksum is not that of its bytes");
    const uint32_t inputs = in.u32(), outputs = in.u32();
    buffers_.count = in.u32();
    steps_.count = in.u32();
    ops_.count = in.u32();
    tensors_.bytes = in.u32();
    buffers_.bytes = in.u32();
    steps_.bytes = in.u32();
    ops_.bytes = in.u32();
    in.u32();  // reserved
    file_.arena = in.i64();
    for (const uint32_t count : {inputs, outputs, buffers_.count, steps_.count, ops_.count})
      if (count > kMostOfEach) return damaged("it counts more than any network has");
    if (inputs == 0 || outputs == 0) return damaged("it has no input or no output");
    if (file_.arena < 0 || file_.arena > kMostBytes || file_.arena % kAligned != 0)
      return damaged("its memory has no size");
    tensors_.count = inputs + outputs;
    file_.input_count = static_cast<int32_t>(inputs);
    if (!records(tensors_, in.u64(), kTensorBytes) || !records(buffers_, in.u64(), kBufferBytes) ||
        !records(steps_, in.u64(), kStepBytes) || !records(ops_, in.u64(), kOpBytes))
      return damaged("its tables lie outside of it");
    const uint64_t at = in.u64(), count = in.u64();
    // All names end within it.
    if (count == 0 || !holds(at, count) || bytes_[static_cast<size_t>(at + count) - 1] != 0)
      return damaged("its names lie outside of it");
    names_ = bytes_ + static_cast<size_t>(at);
    names_size_ = count;
    return LQ_OK;
  }

  int32_t buffers() {
    if (!file_.buffers.make(buffers_.count)) return no_memory();
    for (uint32_t i = 0; i < buffers_.count; ++i)
      if (!buffer(buffers_[i], file_.buffers[i])) {
        why_.add("buffer ").add(int64_t{i});
        return damaged(" of it makes no sense");
      }
    return LQ_OK;
  }

  int32_t tensors() {
    if (!file_.tensors.make(tensors_.count)) return no_memory();
    for (uint32_t i = 0; i < tensors_.count; ++i)
      if (!tensor(tensors_[i], file_.tensors[i], i < static_cast<uint32_t>(file_.input_count))) {
        why_.add(i < static_cast<uint32_t>(file_.input_count) ? "input " : "output ");
        if (file_.tensors[i].name != nullptr) why_.quote(file_.tensors[i].name);
        return damaged(" of it makes no sense");
      }
    // Each buffer that callers hand in is one input.
    Array<int32_t> users;
    if (!users.make(buffers_.count)) return no_memory();
    const FlatTensor* const outputs = file_.tensors.begin() + file_.input_count;
    for (const FlatTensor* t = file_.tensors.begin(); t < outputs; ++t)
      ++users[static_cast<size_t>(t->buffer)];
    for (size_t b = 0; b < file_.buffers.size(); ++b) {
      file_.buffers[b].is_handed_in = file_.buffers[b].role == Role::kInput;
      if (users[b] != file_.buffers[b].is_handed_in)
        return damaged("an input of it has no memory, or several share it");
    }
    for (const FlatTensor* t = outputs; t < file_.tensors.end(); ++t)
      ++users[static_cast<size_t>(t->buffer)];
    for (FlatTensor& t : file_.tensors) {
      const size_t number = static_cast<size_t>(t.buffer);
      FlatBuffer& b = file_.buffers[number];
      t.is_direct = b.role == Role::kMemory && b.initial == nullptr && t.is_in_order &&
                    users[number] == 1;
      if (t.is_direct) b.is_handed_in = true;
    }
    return LQ_OK;
  }

  int32_t steps(Array<lq_op>& ops) {
    if (!ops.make(ops_.count) || !file_.steps.make(steps_.count) ||
        !file_.step_names.make(steps_.count))
      return no_memory();
    for (uint32_t i = 0; i < ops_.count; ++i) ops_[i].part(ops[i], 0, sizeof(lq_op));
    uint64_t used = 0;  // operations: no two steps have the same, or looking at all has no bound
    for (uint32_t i = 0; i < steps_.count; ++i)
      if (!step(steps_[i], file_.steps[i], file_.step_names[i], ops) ||
          (used += static_cast<uint64_t>(file_.steps[i].op_count)) > ops.size() ||
          !leaves_constants(file_.steps[i]) || !fits_values(file_.steps[i])) {
        why_.add("step ").add(int64_t{i} + 1);
        return damaged(" of it makes no sense");
      }
    return LQ_OK;
  }

  // Checks each step for one image, in memory that is not there yet: only constants are looked at.
  int32_t check() {
    int64_t looks = kMostLooks + static_cast<int64_t>(size_ / sizeof(int32_t));
    Array<lq_buffer> places;
    if (!places.make(buffers_.count)) return no_memory();
    static int64_t somewhere;
    for (size_t i = 0; i < places.size(); ++i) {
      const FlatBuffer& b = file_.buffers[i];
      places[i].data = b.constant != nullptr
                           ? const_cast<void*>(static_cast<const void*>(b.constant))
                           : static_cast<void*>(&somewhere);
      places[i].bytes = b.bytes;
      if (b.is_handed_in) places[i].image_bytes = b.bytes;
    }
    for (size_t i = 0; i < file_.steps.size(); ++i) {
      const int32_t failed =
          lq_check(&file_.steps[i], places.data(), static_cast<int32_t>(places.size()), 1);
      if (failed == 0 && (looks -= looks_of(file_.steps[i])) >= 0) continue;
      why_.add("the flat file is damaged: its step ").add(static_cast<int64_t>(i) + 1).add(", ");
      why_.quote(file_.step_names[i]);
      if (failed == 0) return damaged(", looks at tables more often than any network's");
      why_.add(", does not fit its memory (check ").add(int64_t{failed});
      return damaged(")");
    }
    return LQ_OK;
  }

 private:
  bool holds(uint64_t at, uint64_t count) const { return at <= size_ && count <= size_ - at; }

  bool records(Records& of, uint64_t at, uint32_t least) const {
    if (of.bytes < least || of.bytes > 1 << 16) return false;
    if (!holds(at, static_cast<uint64_t>(of.count) * of.bytes)) return false;
    of.at = bytes_ + static_cast<size_t>(at);
    return true;
  }

  bool name(uint32_t at, const char*& found) const {
    if (at >= names_size_) return false;
    found = reinterpret_cast<const char*>(names_) + at;
    return true;
  }

  static bool is_short(const char* name) {
    for (int i = 0; i < kLongestName; ++i)
      if (name[i] == 0) return true;
    return false;
  }

  bool buffer(Fields in, FlatBuffer& b) const {
    const uint32_t named = in.u32();
    b.value_bytes = bytes_of_type(in.i32());
    const uint32_t role = in.u32();
    in.u32();  // reserved
    const int64_t count = in.i64(), at = in.i64(), initial_at = in.i64(), initial = in.i64();
    if (!name(named, b.name) || b.value_bytes == 0 || role > 2 || count < 1 ||
        count > kMostBytes / b.value_bytes || at < 0 || initial_at < 0 || initial < 0)
      return false;
    b.role = static_cast<Role>(role);
    b.bytes = count * b.value_bytes;
    if (b.role == Role::kConstant) {
      if (at % kAligned != 0 || !holds(static_cast<uint64_t>(at), static_cast<uint64_t>(b.bytes)))
        return false;
      b.constant = bytes_ + static_cast<size_t>(at);
    }
    if (b.role == Role::kMemory) {
      b.offset = at;
      if (at % kAligned != 0 || at > file_.arena || b.bytes > file_.arena - at) return false;
    }
    if (initial == 0) return true;
    if (b.role != Role::kMemory || count % initial != 0) return false;
    b.initial_bytes = initial * b.value_bytes;
    if (!holds(static_cast<uint64_t>(initial_at), static_cast<uint64_t>(b.initial_bytes)))
      return false;
    b.initial = bytes_ + static_cast<size_t>(initial_at);
    return true;
  }

  bool tensor(Fields in, FlatTensor& t, bool is_input) const {
    const uint32_t named = in.u32();
    in.part(t, offsetof(FlatTensor, type), offsetof(FlatTensor, has_batch));
    in.part(t, offsetof(FlatTensor, offset), offsetof(FlatTensor, image_values));
    if (!name(named, t.name) || !is_short(t.name) || t.axes < 0 || t.axes > kMostAxes || t.buffer < 0 ||
        static_cast<size_t>(t.buffer) >= file_.buffers.size() || t.offset < 0 || t.outer < 1 ||
        t.inner < 1 || t.outer_stride < 0 || t.inner_stride < 0)
      return false;
    const FlatBuffer& b = file_.buffers[static_cast<size_t>(t.buffer)];
    if (bytes_of_type(t.type) != b.value_bytes) return false;
    t.has_batch = t.axes > 0 && t.shape[0] == -1;
    const int64_t count = b.bytes / b.value_bytes;
    // An image of a batch lies behind another; what is the same for all is a constant.
    if (t.has_batch ? b.role == Role::kConstant || t.image != count : b.role != Role::kConstant)
      return false;
    Wide values = 1;
    for (int axis = t.has_batch ? 1 : 0; axis < t.axes; ++axis) {
      if (t.shape[axis] < 1) return false;
      values *= t.shape[axis];
    }
    const Wide last = Wide(t.offset) + Wide(t.outer - 1) * t.outer_stride +
                      Wide(t.inner - 1) * t.inner_stride;
    if (last + 1 > count || values > kMostBytes || values != Wide(t.outer) * t.inner) return false;
    t.image_values = static_cast<int64_t>(values);
    t.is_in_order = t.offset == 0 && t.outer == 1 && t.inner == count && t.inner_stride == 1;
    return !is_input || (b.role == Role::kInput && t.has_batch && t.is_in_order);
  }

  bool step(Fields in, lq_step& s, const char*& named, Array<lq_op>& ops) const {
    const uint32_t name_at = in.u32(), first_op = in.u32();
    in.part(s, offsetof(lq_step, kind), offsetof(lq_step, ops));
    in.part(s, offsetof(lq_step, depth), kOfKernel);
    in.part(s, offsetof(lq_step, input), kOfStep);
    if (!name(name_at, named) || s.op_count < 0 || first_op > ops.size() ||
        static_cast<size_t>(s.op_count) > ops.size() - first_op)
      return false;
    s.ops = ops.data() + first_op;
    return true;
  }

  Role role_of(int32_t buffer) const { return file_.buffers[static_cast<size_t>(buffer)].role; }

  // What tells where things lie never changes once it is checked, since it is a constant; and
  // nothing is written but memory.
  bool leaves_constants(const lq_step& s) const {
    const int64_t count = static_cast<int64_t>(file_.buffers.size());
    for (const int32_t table : {s.weights, s.base, s.inside_base, s.row_class, s.column_class}) {
      if (table < -1 || table >= count) return false;
      if (table >= 0 && role_of(table) != Role::kConstant) return false;
    }
    for (int32_t i = 0; i < s.op_count; ++i) {
      const lq_op& op = s.ops[i];
      if (op.view.buffer < -1 || op.view.buffer >= count) return false;
      const bool reads = op.kind == LQ_ADD_TENSOR || op.kind == LQ_ADD_SCALED ||
                         op.kind == LQ_MULTIPLY_TENSOR || op.kind == LQ_DIVIDE_TENSOR;
      if (op.view.buffer >= 0 && !reads && role_of(op.view.buffer) != Role::kMemory) return false;
    }
    return true;
  }

  // Callers' memory begins at a multiple of the size of its values and at no other: nothing wider
  // is read or written there.
  bool fits_values(const lq_step& s) const {
    const auto takes = [this](int32_t buffer, int32_t bytes) {
      if (buffer < 0) return true;
      if (static_cast<size_t>(buffer) >= file_.buffers.size()) return false;
      const FlatBuffer& b = file_.buffers[static_cast<size_t>(buffer)];
      return !b.is_handed_in || bytes <= b.value_bytes;
    };
    if (!takes(s.input.buffer, s.kind == LQ_CONV_BYTES ? 1 : takes_halves(s) ? 2 : 4)) return false;
    for (int32_t i = 0; i < s.op_count; ++i) {
      const lq_op& op = s.ops[i];
      const bool is_half = op.kind == LQ_PACK_BF16 || op.kind == LQ_PACK_PIXELS;
      if (!takes(op.a, 4) || !takes(op.b, 4) || !takes(op.view.buffer, is_half ? 2 : 4)) return false;
    }
    return true;
  }

  int32_t damaged(const char* what) {
    why_.add(why_.get()[0] == 0 ? "the flat file is damaged: " : "").add(what).add(kFix);
    return LQ_DAMAGED;
  }
  int32_t no_memory() {
    why_.add("there is not enough memory to read the flat file");
    return LQ_NO_MEMORY;
  }

  FlatFile& file_;
  const uint8_t* bytes_;
  uint64_t size_;
  Text& why_;
  Records tensors_, buffers_, steps_, ops_;
  const uint8_t* names_ = nullptr;
  uint64_t names_size_ = 0;
};

}  // namespace

int32_t FlatFile::read(const uint8_t* bytes, size_t size, Text& why) {
  Reader reader(*this, bytes, size, why);
  int32_t code = reader.header();
  if (code == LQ_OK) code = reader.buffers();
  if (code == LQ_OK) code = reader.tensors();
  if (code == LQ_OK) code = reader.steps(ops_);
  return code == LQ_OK ? reader.check() : code;
}

}  // namespace larqlite
