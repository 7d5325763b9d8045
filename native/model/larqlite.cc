// The functions of the public header: arguments, files, and codes.
#include "../include/larqlite.h"

#include <new>

#include "model.h"

#if !defined(LQ_NO_FILES)
#include <stdio.h>
#endif

// LQ_VERSION: of the release, given by the build.
#if !defined(LQ_VERSION)
#define LQ_VERSION "0"
#endif

static_assert(LQ_MOST_AXES == larqlite::kMostAxes, "one number");

namespace {

lq_model* made() {
  void* room = malloc(sizeof(lq_model));
  return room == nullptr ? nullptr : new (room) lq_model;
}

// A call that is to be: the last error is gone, and the model is one that was loaded.
bool is_ready(lq_model* model) {
  if (model == nullptr) return false;
  if (model->network == nullptr) return false;
  model->error.clear();
  return true;
}

int misuse(lq_model* model, const char* why) {
  model->error.add(why);
  return LQ_MISUSE;
}

int load(const void* bytes, size_t size, bool is_static, lq_model** model) {
  if (model == nullptr) return LQ_MISUSE;
  *model = made();
  if (*model == nullptr) return LQ_NO_MEMORY;
  if (bytes == nullptr) return misuse(*model, "the bytes of the flat file are a null pointer");
  if (is_static) {
    if (reinterpret_cast<uintptr_t>(bytes) % 4 != 0)
      return misuse(*model, "the bytes of a flat file must begin at a multiple of 4");
    return (*model)->load(bytes, size, nullptr);
  }
  constexpr size_t kLine = 64;
  void* own = size > SIZE_MAX / 2 ? nullptr : malloc(size + kLine);
  if (own == nullptr) {
    (*model)->error.add("there is not enough memory to read the flat file");
    return LQ_NO_MEMORY;
  }
  char* aligned = static_cast<char*>(own);
  aligned += (kLine - reinterpret_cast<uintptr_t>(own) % kLine) % kLine;
  if (size > 0) __builtin_memcpy(aligned, bytes, size);
  return (*model)->load(aligned, size, own);
}

#if !defined(LQ_NO_FILES)
int no_file(lq_model* model, const char* path) {
  model->error.add("the file ").quote(path).add(" is not there, or cannot be read");
  return LQ_NO_FILE;
}
#endif

const larqlite::FlatTensor* tensor_of(const lq_model* model, int32_t index, bool is_input) {
  const larqlite::FlatFile& file = model->network->file;
  const int32_t count = is_input ? file.input_count : file.output_count();
  if (index < 0 || index >= count) return nullptr;
  return &file.tensors[static_cast<size_t>(is_input ? index : file.input_count + index)];
}

int tell(lq_model* model, int32_t index, bool is_input, lq_tensor* tensor) {
  if (!is_ready(model)) return LQ_MISUSE;
  if (tensor == nullptr) return misuse(model, "there is a null pointer in place of a lq_tensor");
  const larqlite::FlatTensor* found = tensor_of(model, index, is_input);
  if (found == nullptr) {
    model->error.add(is_input ? "there is no input " : "there is no output ");
    model->error.add(int64_t{index}).add("; they are counted from 0");
    return LQ_MISUSE;
  }
  tensor->name = found->name;
  tensor->type = found->type;
  tensor->axes = found->axes;
  for (int axis = 0; axis < LQ_MOST_AXES; ++axis)
    tensor->shape[axis] = axis < found->axes ? found->shape[axis] : 0;
  tensor->image_values = found->image_values;
  tensor->image_bytes = found->image_values * larqlite::bytes_of_type(found->type);
  return LQ_OK;
}

}  // namespace

extern "C" {

const char* lq_version(void) { return LQ_VERSION; }

int32_t lq_flat_version(void) { return larqlite::kFlatVersion; }

int lq_load_memory(const void* bytes, size_t size, lq_model** model) {
  return load(bytes, size, false, model);
}

int lq_load_static(const void* bytes, size_t size, lq_model** model) {
  return load(bytes, size, true, model);
}

#if !defined(LQ_NO_FILES)
int lq_load_file(const char* path, lq_model** model) {
  if (model == nullptr) return LQ_MISUSE;
  *model = made();
  if (*model == nullptr) return LQ_NO_MEMORY;
  if (path == nullptr) return misuse(*model, "the path of the flat file is a null pointer");
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return no_file(*model, path);
  constexpr size_t kLine = 64;
  size_t room = 1 << 16, size = 0;
  char* own = static_cast<char*>(malloc(room));
  // What cannot be asked for its size is read as well.
  while (own != nullptr) {
    size += fread(own + size, 1, room - size - kLine, file);
    if (size + kLine < room) break;
    char* larger = room > SIZE_MAX / 4 ? nullptr : static_cast<char*>(realloc(own, 2 * room));
    if (larger == nullptr) free(own);
    own = larger;
    room *= 2;
  }
  const bool is_read = ferror(file) == 0;
  fclose(file);
  if (own == nullptr) {
    (*model)->error.add("there is not enough memory to read the flat file");
    return LQ_NO_MEMORY;
  }
  if (!is_read) {
    free(own);
    return no_file(*model, path);
  }
  const size_t moved = (kLine - reinterpret_cast<uintptr_t>(own) % kLine) % kLine;
  __builtin_memmove(own + moved, own, size);
  return (*model)->load(own + moved, size, own);
}
#endif

int lq_copy(const lq_model* model, lq_model** copy) {
  if (copy == nullptr) return LQ_MISUSE;
  *copy = made();
  if (*copy == nullptr) return LQ_NO_MEMORY;
  if (model == nullptr || model->network == nullptr)
    return misuse(*copy, "there is no model to copy");
  model->network->users.fetch_add(1);
  (*copy)->network = model->network;
  (*copy)->isa = model->isa;
  (*copy)->threads = model->threads;
  (*copy)->most_bytes = model->most_bytes;
  (*copy)->most_seconds = model->most_seconds;
  return LQ_OK;
}

void lq_free(lq_model* model) {
  if (model == nullptr) return;
  model->~lq_model();
  free(model);
}

const char* lq_error(const lq_model* model) {
  return model == nullptr ? "there is not enough memory for a model" : model->error.get();
}

int32_t lq_input_count(const lq_model* model) {
  return model == nullptr || model->network == nullptr ? 0 : model->network->file.input_count;
}

int32_t lq_output_count(const lq_model* model) {
  return model == nullptr || model->network == nullptr ? 0 : model->network->file.output_count();
}

int lq_input(lq_model* model, int32_t index, lq_tensor* tensor) {
  return tell(model, index, true, tensor);
}

int lq_output(lq_model* model, int32_t index, lq_tensor* tensor) {
  return tell(model, index, false, tensor);
}

int lq_run_model(lq_model* model, int32_t batch, const void* const* inputs, void* const* outputs) {
  if (!is_ready(model)) return LQ_MISUSE;
  if (inputs == nullptr || outputs == nullptr)
    return misuse(model, "the pointers to inputs, or to outputs, are a null pointer");
  if (batch < 1) return misuse(model, "a batch has at least one image");
  return model->run(batch, inputs, outputs);
}

int lq_reserve(lq_model* model, int32_t batch) {
  if (!is_ready(model)) return LQ_MISUSE;
  if (batch < 1) return misuse(model, "a batch has at least one image");
  return model->reserve(batch);
}

int lq_set_threads(lq_model* model, int32_t threads) {
  if (!is_ready(model)) return LQ_MISUSE;
  if (threads < 1 || threads > 1024) return misuse(model, "threads are from 1 to 1024");
  model->threads = threads;
  model->forget();
  return LQ_OK;
}

int lq_set_isa(lq_model* model, const char* name) {
  return is_ready(model) ? model->set_isa(name) : LQ_MISUSE;
}

const char* lq_isa(const lq_model* model) {
  return model == nullptr || model->network == nullptr ? "" : model->isa_name();
}

int lq_set_limits(lq_model* model, int64_t bytes, double seconds) {
  if (!is_ready(model)) return LQ_MISUSE;
  if (bytes <= 0 || !(seconds > 0)) return misuse(model, "limits are above 0");
  model->most_bytes = bytes < larqlite::kMostLimit ? bytes : larqlite::kMostLimit;
  model->most_seconds = seconds;
  model->forget();
  return LQ_OK;
}

int64_t lq_memory(const lq_model* model) { return model == nullptr ? 0 : model->memory(); }

}  // extern "C"
