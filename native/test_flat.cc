// Loads and runs damaged flat files: each is refused with a reason, or runs, and nothing else. And
// checks damaged steps with numbers of 64 bits and of 128: the answers are the same.
//
//     test_flat FILES COUNT SEED [FIRST [portable]]
//
// FILES holds sound ones, each behind its size as 8 bytes. Damaged file number n is the same for
// the same files and seed; most of them get a right checksum, so that what lies behind it is met.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <random>
#include <vector>

#include "include/larqlite.h"
#include "model/flat.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// Of check.cc, compiled again with LQ_WIDE_OF_128_BITS and these names.
extern "C" int32_t lq_check_of_128_bits(const lq_step* step, const lq_buffer* buffers,
                                        int32_t buffer_count, int32_t batch);

namespace {

using Bytes = std::vector<uint8_t>;

bool is_portable = false;  // whether no other kernels run
long current = -1;  // the number of the file that is tried, for whoever ends the process

void say_which() { fprintf(stderr, "test_flat: this was file number %ld\n", current); }

[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "test_flat: %s\n", what);
  say_which();
  exit(1);
}

uint32_t u32(const Bytes& file, size_t at) {
  uint32_t value;
  memcpy(&value, &file[at], sizeof value);
  return value;
}

template <typename T>
void put(Bytes& file, size_t at, T value) {
  if (at + sizeof value <= file.size()) memcpy(&file[at], &value, sizeof value);
}

// Of the head: how many records there are of a kind, how long they are, and where they begin.
struct Table {
  size_t count_at, size_at, begin_at;
};
constexpr Table kTables[] = {{32, 52, 80}, {40, 56, 88}, {44, 60, 96}, {48, 64, 104}};

class Damage {
 public:
  Damage(const std::vector<Bytes>& sound, uint64_t seed) : sound_(sound), random_(seed) {}

  Bytes file() {
    Bytes file = sound_[below(sound_.size())];
    for (uint64_t left = below(4); left + 1 > 0; --left) {
      change(file);
      if (left == 0) break;
    }
    if (file.size() < 128) return file;
    if (below(20) != 0) put(file, 16, static_cast<uint64_t>(file.size()));
    if (below(20) == 0) return file;
    put(file, 24, uint32_t{0});
    put(file, 24, larqlite::crc32_of(file.data(), file.size(), 0));
    return file;
  }

  uint64_t below(uint64_t limit) { return random_() % limit; }


  // One that is small, at an end of a range, or beyond it.
  int64_t number() {
    static constexpr int64_t kNumbers[] = {
        0,  1,   -1,      2,          3,         31,        32,           33,       64,
        -2, 127, 1 << 20, 1ll << 28,  INT32_MAX, INT32_MIN, INT64_MAX,    1ll << 40, 1ll << 41,
        7,  16,  4096,    INT64_MIN,  1ll << 31, 1ll << 32, (1ll << 40) + 1};
    return below(4) == 0 ? static_cast<int64_t>(below(100))
                         : kNumbers[below(sizeof kNumbers / sizeof *kNumbers)];
  }

 private:
  void change(Bytes& file) {
    switch (below(10)) {
      case 0:  // any byte
        if (!file.empty()) file[below(file.size())] = static_cast<uint8_t>(random_());
        break;
      case 1: {  // a field of the head
        const size_t at = 8 + 4 * static_cast<size_t>(below(30));
        put(file, at, static_cast<uint32_t>(number()));
        break;
      }
      case 2:
        file.resize(below(8) == 0 ? below(file.size() + 1) : file.size() - below(64) % file.size());
        break;
      case 3:  // data
        for (int i = 0; i < 8 && !file.empty(); ++i)
          file[file.size() - 1 - below(file.size() / 2 + 1)] = static_cast<uint8_t>(number());
        break;
      default:
        field(file);
    }
  }

  // A field of a record: another number, one beside it, or that of another record.
  void field(Bytes& file) {
    if (file.size() < 128) return;
    const Table& table = kTables[below(4)];
    const uint64_t count = u32(file, table.count_at) + (table.count_at == 32 ? u32(file, 36) : 0);
    const uint64_t size = u32(file, table.size_at), begin = u32(file, table.begin_at);
    if (count == 0 || size == 0) return;
    const size_t within = below(size / 4 + 1) * 4;
    const size_t at = static_cast<size_t>(begin + below(count) * size) + within;
    if (at + 8 > file.size()) return;
    const uint32_t old = u32(file, at);
    switch (below(5)) {
      case 0:
        put(file, at, old + 1);
        break;
      case 1:
        put(file, at, old - 1);
        break;
      case 2:
        put(file, at, static_cast<uint32_t>(number()));
        break;
      case 3:
        put(file, at, number());
        break;
      default: {
        const size_t other = static_cast<size_t>(begin + below(count) * size) + within;
        if (other + 4 <= file.size()) put(file, at, u32(file, other));
      }
    }
  }

  const std::vector<Bytes>& sound_;
  std::mt19937_64 random_;
};

struct Freed {
  void operator()(lq_model* model) const { lq_free(model); }
};

void require_reason(const lq_model* model) {
  if (lq_error(model)[0] == 0) fail("an error without a reason");
}

// Memory of exactly the size that is asked for, at a multiple of what is asked for and of no more, so
// that a sanitizer sees what lies beyond, and what is read as something wider.
struct Memory {
  std::vector<Bytes> all;
  std::vector<void*> begins;
};
bool memory_of(lq_model* model, bool inputs, int32_t batch, Damage& random, Memory& memory) {
  const int32_t count = inputs ? lq_input_count(model) : lq_output_count(model);
  int64_t total = 0;
  for (int32_t i = 0; i < count; ++i) {
    lq_tensor tensor;
    if ((inputs ? lq_input : lq_output)(model, i, &tensor) != LQ_OK) fail("a tensor is not told");
    if (strlen(tensor.name) > 1023 || tensor.image_bytes < 1) fail("a tensor makes no sense");
    if (tensor.image_bytes > 1 << 24 || (total += tensor.image_bytes * batch) > 1 << 26)
      return false;
    const int64_t before = larqlite::bytes_of_type(tensor.type);
    memory.all.emplace_back(static_cast<size_t>(before + tensor.image_bytes * batch));
    for (uint8_t& byte : memory.all.back()) byte = static_cast<uint8_t>(random.below(256));
    memory.begins.push_back(memory.all.back().data() + before);
  }
  return true;
}

// What became of a file: 0 ran, else a code.
int try_file(const Bytes& file, Damage& random) {
  lq_model* made = nullptr;
  int code = lq_load_memory(file.data(), file.size(), &made);
  const std::unique_ptr<lq_model, Freed> model(made);
  if (made == nullptr) fail("no model");
  if (code != LQ_OK) {
    require_reason(made);
    return code;
  }
  if (lq_set_limits(made, 1 << 26, 1e-3) != LQ_OK) fail("no limits");
  if ((random.below(2) != 0 || is_portable) && lq_set_isa(made, "portable") != LQ_OK) fail("no kernels");
  if (lq_set_threads(made, 1 + static_cast<int32_t>(random.below(2))) != LQ_OK) fail("no threads");
  for (const int32_t batch : {1, 3}) {
    Memory inputs, outputs;
    if (!memory_of(made, true, batch, random, inputs) ||
        !memory_of(made, false, batch, random, outputs))
      return LQ_TOO_LARGE;
    code = lq_run_model(made, batch, inputs.begins.data(), outputs.begins.data());
    if (code != LQ_OK) {
      require_reason(made);
      return code;
    }
  }
  return LQ_OK;
}

// Any field of a step or of its operations, but for the kinds that say how many there are.
void change(lq_step& step, std::vector<lq_op>& ops, Damage& random) {
  const auto fields = [&random](void* of, size_t size, int64_t value) {
    const size_t at = random.below(size / 4) * 4;
    const size_t count = random.below(2) != 0 && at + 8 <= size ? 8 : 4;
    memcpy(static_cast<char*>(of) + at, &value, count);
  };
  const lq_step old = step;
  if (ops.empty() || random.below(3) != 0)
    fields(&step, sizeof step, random.number());
  else
    fields(&ops[random.below(ops.size())], sizeof(lq_op), random.number());
  step.ops = old.ops;
  step.op_count = old.op_count;
}

// Damaged steps are judged the same by both forms of the check.
void compare_checks(const std::vector<Bytes>& sound, long many, uint64_t seed) {
  long verdicts[32] = {0};
  Damage random(sound, ~seed);
  for (long n = 0; n < many; ++n) {
    const Bytes& bytes = sound[random.below(sound.size())];
    larqlite::FlatFile file;
    larqlite::Text why;
    if (file.read(bytes.data(), bytes.size(), why) != LQ_OK) fail("a sound file is not read");
    const lq_step& whole = file.steps[random.below(file.steps.size())];
    for (int k = 0; k < 20; ++k) {
      lq_step step = whole;
      std::vector<lq_op> ops(step.ops, step.ops + step.op_count);
      step.ops = ops.data();
      for (uint64_t left = random.below(3) + 1; left > 0; --left) change(step, ops, random);
      // What the check reads is there: a file with other tables is not loaded.
      bool has_tables = true;
      for (const int32_t table : {step.weights, step.row_class, step.column_class})
        has_tables &= table < 0 || static_cast<size_t>(table) >= file.buffers.size() ||
                      file.buffers[static_cast<size_t>(table)].constant != nullptr;
      if (!has_tables) continue;
      std::vector<lq_buffer> buffers(file.buffers.size());
      static int64_t elsewhere[2];
      const bool is_large = random.below(2) != 0;  // places that nobody has are checked too
      for (size_t i = 0; i < buffers.size(); ++i) {
        const larqlite::FlatBuffer& b = file.buffers[i];
        const bool holds = b.constant != nullptr;
        buffers[i].data = holds ? const_cast<uint8_t*>(b.constant) : static_cast<void*>(elsewhere);
        buffers[i].bytes = is_large && !holds ? int64_t{1} << (40 + random.below(23)) : b.bytes;
        if (random.below(8) == 0) buffers[i].image_bytes = random.number() & ~int64_t{3};
      }
      const int32_t batch = random.below(3) == 0 ? static_cast<int32_t>(random.number()) : 1;
      const int32_t count = static_cast<int32_t>(buffers.size());
      const int32_t found = lq_check(&step, buffers.data(), count, batch);
      if (found != lq_check_of_128_bits(&step, buffers.data(), count, batch))
        fail("two forms of the check differ");
      ++verdicts[found & 31];
    }
  }
  printf("checks of %ld steps agree:", 20 * many);
  for (int i = 0; i < 32; ++i)
    if (verdicts[i] > 0) printf(" %ld of verdict %d", verdicts[i], i);
  printf("\n");
}

std::vector<Bytes> sound_files(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == nullptr) fail("the files are not there");
  std::vector<Bytes> found;
  uint64_t size = 0;
  while (fread(&size, sizeof size, 1, file) == 1) {
    found.emplace_back(static_cast<size_t>(size));
    if (fread(found.back().data(), 1, found.back().size(), file) != size) fail("half a file");
  }
  fclose(file);
  if (found.empty()) fail("there are no files");
  return found;
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) fail("usage: test_flat FILES COUNT SEED [FIRST [portable]]");
  const std::vector<Bytes> sound = sound_files(words[1]);
  const long many = strtol(words[2], nullptr, 10), seed = strtol(words[3], nullptr, 10);
  const long first = count > 4 ? strtol(words[4], nullptr, 10) : 0;
  is_portable = count > 5;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(say_which);
#endif
  for (const Bytes& file : sound) {
    Damage random(sound, 0);
    const int code = try_file(file, random);
    if (code != LQ_OK) fprintf(stderr, "code %d\n", code), fail("a sound file does not run");
  }
  compare_checks(sound, many / 4, static_cast<uint64_t>(seed));
  long became[8] = {0};
  for (current = first; current < first + many; ++current) {
    Damage damage(sound, static_cast<uint64_t>(seed) << 32 | static_cast<uint64_t>(current));
    const Bytes file = damage.file();
    const int code = try_file(file, damage);
    if (code < 0 || code >= 8) fail("a code that the header does not have");
    ++became[code];
  }
  printf("%ld damaged files: %ld ran, %ld damaged, %ld too new, %ld too large, %ld other\n", many,
         became[LQ_OK], became[LQ_DAMAGED], became[LQ_TOO_NEW], became[LQ_TOO_LARGE],
         many - became[LQ_OK] - became[LQ_DAMAGED] - became[LQ_TOO_NEW] - became[LQ_TOO_LARGE]);
  return 0;
}
