// Loads and runs damaged flat files: each is refused with a reason, or runs, and nothing else.
//
//     test_flat FILES COUNT SEED [FIRST]
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

namespace {

using Bytes = std::vector<uint8_t>;

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

 private:
  int64_t number() {
    static constexpr int64_t kNumbers[] = {
        0,  1,   -1,      2,          3,         31,        32,           33,       64,
        -2, 127, 1 << 20, 1ll << 28,  INT32_MAX, INT32_MIN, INT64_MAX,    1ll << 40, 1ll << 41,
        7,  16,  4096,    INT64_MIN,  1ll << 31, 1ll << 32, (1ll << 40) + 1};
    return below(4) == 0 ? static_cast<int64_t>(below(100))
                         : kNumbers[below(sizeof kNumbers / sizeof *kNumbers)];
  }

  void change(Bytes& file) {
    switch (below(10)) {
      case 0:  // any byte
        if (!file.empty()) file[below(file.size())] = static_cast<uint8_t>(random_());
        break;
      case 1:  // a field of the head
        put(file, 8 + 4 * below(30), static_cast<uint32_t>(number()));
        break;
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

// Memory of exactly the size that is asked for, so that a sanitizer sees what lies beyond.
bool memory_of(lq_model* model, bool inputs, int32_t batch, Damage& random, std::vector<Bytes>& all) {
  const int32_t count = inputs ? lq_input_count(model) : lq_output_count(model);
  int64_t total = 0;
  for (int32_t i = 0; i < count; ++i) {
    lq_tensor tensor;
    if ((inputs ? lq_input : lq_output)(model, i, &tensor) != LQ_OK) fail("a tensor is not told");
    if (strlen(tensor.name) > 100000 || tensor.image_bytes < 1) fail("a tensor makes no sense");
    if (tensor.image_bytes > 1 << 24 || (total += tensor.image_bytes * batch) > 1 << 26)
      return false;
    all.emplace_back(static_cast<size_t>(tensor.image_bytes * batch));
    for (uint8_t& byte : all.back()) byte = static_cast<uint8_t>(random.below(256));
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
  if (random.below(2) != 0 && lq_set_isa(made, "portable") != LQ_OK) fail("no kernels");
  if (lq_set_threads(made, 1 + static_cast<int32_t>(random.below(2))) != LQ_OK) fail("no threads");
  for (const int32_t batch : {1, 3}) {
    std::vector<Bytes> inputs, outputs;
    if (!memory_of(made, true, batch, random, inputs) ||
        !memory_of(made, false, batch, random, outputs))
      return LQ_TOO_LARGE;
    std::vector<const void*> from;
    std::vector<void*> to;
    for (const Bytes& bytes : inputs) from.push_back(bytes.data());
    for (Bytes& bytes : outputs) to.push_back(bytes.data());
    code = lq_run_model(made, batch, from.data(), to.data());
    if (code != LQ_OK) {
      require_reason(made);
      return code;
    }
  }
  return LQ_OK;
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
  if (count < 4) fail("usage: test_flat FILES COUNT SEED [FIRST]");
  const std::vector<Bytes> sound = sound_files(words[1]);
  const long many = strtol(words[2], nullptr, 10), seed = strtol(words[3], nullptr, 10);
  const long first = count > 4 ? strtol(words[4], nullptr, 10) : 0;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(say_which);
#endif
  for (const Bytes& file : sound) {
    Damage random(sound, 0);
    const int code = try_file(file, random);
    if (code != LQ_OK) fprintf(stderr, "code %d\n", code), fail("a sound file does not run");
  }
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
