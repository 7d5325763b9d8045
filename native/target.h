// LARQLITE_TARGET_BEGIN / _END: what stands between them is compiled for an instruction set
// that not every CPU of the architecture has. Standard headers come before: code of theirs
// that is compiled for the set could end up in functions that every CPU calls.
#ifndef LARQLITE_TARGET_H
#define LARQLITE_TARGET_H

#define LARQLITE_INLINE inline __attribute__((always_inline))
#define LARQLITE_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define LARQLITE_TARGET_BEGIN(set) \
  LARQLITE_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define LARQLITE_TARGET_END LARQLITE_PRAGMA(clang attribute pop)
#else
#define LARQLITE_TARGET_BEGIN(set) \
  LARQLITE_PRAGMA(GCC push_options) LARQLITE_PRAGMA(GCC target(set))
#define LARQLITE_TARGET_END LARQLITE_PRAGMA(GCC pop_options)
#endif

#endif
