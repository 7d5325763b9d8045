// In place of libc++abi's, a sixth of all that is linked: it only makes the name of the type
// readable in the last words of a program that ends by an exception.
#include <cstddef>

extern "C" char* __cxa_demangle(const char*, char*, size_t*, int* status) {
  constexpr int kNoName = -2;
  if (status) *status = kNoName;
  return nullptr;
}
