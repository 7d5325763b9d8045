// Memory of a module: malloc and its like, new and delete, memcpy and its like; small, and of one
// thread. Where there is no more, `new` ends the module, as nothing could catch an exception.
#include <stddef.h>
#include <stdint.h>

#include <new>

extern "C" unsigned char __heap_base;  // of the linker: behind the stack and all variables

namespace {

// A piece of memory: `size` bytes, these 16 among them. `next` is the free one above it.
struct alignas(16) Piece {
  size_t size;
  Piece* next;
};

constexpr size_t kLine = sizeof(Piece), kPage = 65536;
constexpr size_t kMost = SIZE_MAX / 2;
Piece* first_free = nullptr;  // by address
size_t end = 0;               // of the memory that pieces lie in

Piece* behind(Piece* piece) {
  return reinterpret_cast<Piece*>(reinterpret_cast<char*>(piece) + piece->size);
}

// Back among the free pieces, joined with those that it touches.
void give(Piece* piece) {
  Piece* before = nullptr;
  Piece* next = first_free;
  while (next != nullptr && next < piece) before = next, next = next->next;
  piece->next = next;
  if (next != nullptr && behind(piece) == next) {
    piece->size += next->size;
    piece->next = next->next;
  }
  if (before == nullptr) {
    first_free = piece;
  } else if (behind(before) == piece) {
    before->size += piece->size;
    before->next = piece->next;
  } else {
    before->next = piece;
  }
}

// A free piece of at least so many bytes, of memory that the engine adds.
bool grow(size_t bytes) {
  if (end == 0) end = (reinterpret_cast<size_t>(&__heap_base) + kLine - 1) / kLine * kLine;
  const size_t there = __builtin_wasm_memory_size(0) * kPage;
  // What is left of the last page is joined with what comes; but for that, a page too many.
  const size_t pages = bytes / kPage + 1;
  if (there - end < bytes && __builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return false;
  const size_t now = __builtin_wasm_memory_size(0) * kPage;
  // The last page of four gigabytes ends where no address leads, and is left out.
  const size_t size = (now == 0 ? 0 - kPage : now) - end;
  if (size < bytes) return false;
  Piece* piece = reinterpret_cast<Piece*>(end);
  piece->size = size;
  end += size;
  give(piece);
  return true;
}

void* take(size_t bytes) {
  if (bytes > kMost) return nullptr;
  const size_t needed = (bytes + 2 * kLine - 1) / kLine * kLine;
  for (int tries = 0; tries < 2; ++tries) {
    for (Piece **from = &first_free, *piece; (piece = *from) != nullptr; from = &piece->next) {
      if (piece->size < needed) continue;
      if (piece->size - needed > kLine) {  // what is left is a piece
        Piece* rest = reinterpret_cast<Piece*>(reinterpret_cast<char*>(piece) + needed);
        rest->size = piece->size - needed;
        rest->next = piece->next;
        piece->size = needed;
        *from = rest;
      } else {
        *from = piece->next;
      }
      return piece + 1;
    }
    if (tries == 0 && !grow(needed)) return nullptr;
  }
  return nullptr;
}

void* take_or_end(size_t bytes) {
  void* taken = take(bytes);
  if (taken == nullptr) __builtin_trap();
  return taken;
}

}  // namespace

extern "C" {

void* malloc(size_t bytes) { return take(bytes); }

void free(void* taken) {
  if (taken != nullptr) give(static_cast<Piece*>(taken) - 1);
}

void* memset(void* to, int value, size_t count) {
  __builtin_memset(to, value, count);
  return to;
}

void* memcpy(void* to, const void* from, size_t count) {
  __builtin_memcpy(to, from, count);
  return to;
}

void* memmove(void* to, const void* from, size_t count) {
  __builtin_memmove(to, from, count);
  return to;
}

void* calloc(size_t count, size_t size) {
  if (size != 0 && count > kMost / size) return nullptr;
  void* taken = take(count * size);
  if (taken != nullptr) __builtin_memset(taken, 0, count * size);
  return taken;
}

void* realloc(void* taken, size_t bytes) {
  if (taken == nullptr) return take(bytes);
  const size_t held = (static_cast<Piece*>(taken) - 1)->size - kLine;
  if (bytes <= held) return taken;
  void* larger = take(bytes);
  if (larger == nullptr) return nullptr;
  __builtin_memcpy(larger, taken, held);
  free(taken);
  return larger;
}

}  // extern "C"

void* operator new(size_t bytes) { return take_or_end(bytes); }
void* operator new[](size_t bytes) { return take_or_end(bytes); }
void operator delete(void* taken) noexcept { free(taken); }
void operator delete[](void* taken) noexcept { free(taken); }
void operator delete(void* taken, size_t) noexcept { free(taken); }
void operator delete[](void* taken, size_t) noexcept { free(taken); }
