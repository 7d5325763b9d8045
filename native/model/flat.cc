// Reads a flat program file, and believes nothing that it says.
#include "flat.h"

#include <initializer_list>

#include "../include/larqlite.h"
#include "../wide.h"

namespace larqlite {

int32_t bytes_of_type(int32_t type) {
  switch (type) {
    case LQ_UINT8:
    case LQ_INT8:
    case LQ_BOOL:
      return 1;
    case 4:  // numbers of 16 bits without a sign: bfloat16
    case LQ_INT16:
      return 2;
    case LQ_FLOAT32:
    case LQ_INT32:
    case 12:  // words of bits, or of codes
      return 4;
    case LQ_INT64:
      return 8;
    default:
      return 0;
  }
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
constexpr uint32_t kMostOfEach = 1 << 20;  // records
constexpr int64_t kMostBytes = int64_t{1} << 40;
// Kinds of steps and operations keep their numbers; LQ_ABI says how many there are.
constexpr int32_t kFirstAbi = 8;
constexpr int64_t kAligned = 64;

constexpr char kFix[] = "\n  Fix: lq export MODEL FILE --to flat writes it again; or copy it again.";

// The fields of a record, one after another: little endian, wherever they lie.
class Fields {
 public:
  explicit Fields(const uint8_t* at) : at_(at) {}
  uint32_t u32() {
    const uint8_t* a = at_;
    at_ += 4;
    return static_cast<uint32_t>(a[0]) | static_cast<uint32_t>(a[1]) << 8 |
           static_cast<uint32_t>(a[2]) << 16 | static_cast<uint32_t>(a[3]) << 24;
  }
  uint64_t u64() {
    const uint64_t low = u32();
    return low | static_cast<uint64_t>(u32()) << 32;
  }
  int32_t i32() { return of<int32_t>(u32()); }
  int64_t i64() { return of<int64_t>(u64()); }
  float f32() { return of<float>(u32()); }
  lq_view view() {
    lq_view v;
    v.buffer = i32();
    v.reserved = i32();
    v.offset = i64();
    v.image = i64();
    v.depth = i64();
    v.row = i64();
    v.pixel = i64();
    return v;
  }
  void three(int32_t& a, int32_t& b, int32_t& c) { a = i32(), b = i32(), c = i32(); }

 private:
  template <typename T, typename Bits>
  static T of(Bits bits) {
    T value;
    static_assert(sizeof value == sizeof bits, "the same bits");
    __builtin_memcpy(&value, &bits, sizeof value);
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
    Array<int32_t> fed;
    if (!fed.make(buffers_.count)) return no_memory();
    for (size_t i = 0; i < static_cast<size_t>(file_.input_count); ++i)
      ++fed[static_cast<size_t>(file_.tensors[i].buffer)];
    for (size_t b = 0; b < file_.buffers.size(); ++b)
      if (fed[b] != (file_.buffers[b].role == Role::kInput ? 1 : 0))
        return damaged("an input of it has no memory, or several share it");
    return LQ_OK;
  }

  int32_t steps(Array<lq_op>& ops) {
    if (!ops.make(ops_.count) || !file_.steps.make(steps_.count) ||
        !file_.step_names.make(steps_.count))
      return no_memory();
    for (uint32_t i = 0; i < ops_.count; ++i) operation(ops_[i], ops[i]);
    for (uint32_t i = 0; i < steps_.count; ++i)
      if (!step(steps_[i], file_.steps[i], file_.step_names[i], ops) ||
          !leaves_constants(file_.steps[i])) {
        why_.add("step ").add(int64_t{i} + 1);
        return damaged(" of it makes no sense");
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
    t.type = in.i32();
    t.buffer = in.i32();
    t.axes = in.i32();
    t.offset = in.i64();
    t.image = in.i64();
    t.outer = in.i64();
    t.outer_stride = in.i64();
    t.inner = in.i64();
    t.inner_stride = in.i64();
    for (int64_t& size : t.shape) size = in.i64();
    if (!name(named, t.name) || t.axes < 0 || t.axes > kMostAxes || t.buffer < 0 ||
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

  static void operation(Fields in, lq_op& op) {
    op.kind = in.i32();
    op.a = in.i32();
    op.b = in.i32();
    op.planes = in.i32();
    op.group = in.i32();
    op.words = in.i32();
    op.x = in.f32();
    op.y = in.f32();
    op.view = in.view();
  }

  bool step(Fields in, lq_step& s, const char*& named, Array<lq_op>& ops) const {
    const uint32_t name_at = in.u32(), first_op = in.u32();
    s.kind = in.i32();
    s.op_count = in.i32();
    in.three(s.depth, s.height, s.width);
    s.channels = in.i32();
    in.three(s.kernel_d, s.kernel_h, s.kernel_w);
    s.input = in.view();
    s.tap_depth = in.i64();
    s.tap_row = in.i64();
    s.tap_pixel = in.i64();
    in.three(s.in_d, s.in_h, s.in_w);
    in.three(s.stride_d, s.stride_h, s.stride_w);
    in.three(s.pad_d, s.pad_h, s.pad_w);
    in.three(s.dilation_d, s.dilation_h, s.dilation_w);
    s.groups = in.i32();
    s.words = in.i32();
    s.in_channels = in.i32();
    s.multiplier = in.i32();
    s.input_planes = in.i32();
    s.weight_planes = in.i32();
    s.shift = in.i32();
    s.weights = in.i32();
    s.base = in.i32();
    s.row_class = in.i32();
    s.column_class = in.i32();
    s.column_classes = in.i32();
    s.weight_bits = in.i32();
    s.weight_step = in.i32();
    s.weight_offset = in.i32();
    s.inside_base = in.i32();
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

// Checks a step for one image, in memory that is not there yet: only constants are looked at.
int32_t check_all(const FlatFile& file, Text& why) {
  Array<lq_buffer> places;
  if (!places.make(file.buffers.size())) {
    why.add("there is not enough memory to read the flat file");
    return LQ_NO_MEMORY;
  }
  static int64_t somewhere;
  for (size_t i = 0; i < places.size(); ++i) {
    const FlatBuffer& b = file.buffers[i];
    places[i].data = b.constant != nullptr
                         ? const_cast<void*>(static_cast<const void*>(b.constant))
                         : static_cast<void*>(&somewhere);
    places[i].bytes = b.bytes;
  }
  for (size_t i = 0; i < file.steps.size(); ++i) {
    const int32_t failed =
        lq_check(&file.steps[i], places.data(), static_cast<int32_t>(places.size()), 1);
    if (failed == 0) continue;
    why.add("the flat file is damaged: its step ").add(static_cast<int64_t>(i) + 1).add(", ");
    why.quote(file.step_names[i]).add(", does not fit its memory (check ").add(int64_t{failed});
    why.add(")").add(kFix);
    return LQ_DAMAGED;
  }
  return LQ_OK;
}

}  // namespace

int32_t FlatFile::read(const uint8_t* bytes, size_t size, Text& why) {
  Reader reader(*this, bytes, size, why);
  int32_t code = reader.header();
  if (code == LQ_OK) code = reader.buffers();
  if (code == LQ_OK) code = reader.tensors();
  if (code == LQ_OK) code = reader.steps(ops_);
  return code == LQ_OK ? check_all(*this, why) : code;
}

}  // namespace larqlite
