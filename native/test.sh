#!/usr/bin/env bash
# Builds the tests of the kernels and of the threads with each sanitizer and runs them; then
# those of the kernels for ARM, emulated, and for WebAssembly, in Node.
# Usage: native/test.sh [how many random steps] [seed]
set -euo pipefail
cd "$(dirname "$0")"
steps=${1:-3000}
seed=${2:-0}
shopt -s extglob
sources=(!(test_*).cc)
flags=(-std=c++17 -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Werror -pthread)
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT

run() { # name, compiler, flags...
  local name=$1
  shift
  printf '%s: ' "$name"
  "$@" "${flags[@]}" "${sources[@]}" test_kernels.cc -o "$built/test"
  "$@" "${flags[@]}" threads.cc test_threads.cc -o "$built/threads"
}

run "no sanitizer" "${CXX:-g++}" -O3
"$built/threads"
"$built/test" "$steps" "$seed"
run "address, undefined behaviour" "${CXX:-g++}" -O1 -g -fsanitize=address,undefined \
  -fno-sanitize-recover=all
"$built/threads"
"$built/test" "$steps" "$seed"
run "threads" "${CXX:-g++}" -O1 -g -fsanitize=thread
"$built/threads"
"$built/test" "$((steps / 4))" "$seed"
if command -v clang++ > /dev/null; then
  run "clang" clang++ -O3
  "$built/threads"
  "$built/test" "$steps" "$seed"
fi
if command -v aarch64-linux-gnu-g++ > /dev/null && command -v qemu-aarch64 > /dev/null; then
  run "ARM, emulated" aarch64-linux-gnu-g++ -O2 -static
  qemu-aarch64 "$built/test" "$((steps / 4))" "$seed"
else
  echo "ARM: not tested, needs g++-aarch64-linux-gnu and qemu-user (Debian's names)"
fi
if type clang++ wasm-ld node > /dev/null 2>&1 && [ -d /usr/include/wasm32-wasi ]; then
  read -ra wasm < flags_wasm.txt
  objects=()
  printf 'WebAssembly: '
  for source in !(test_*|portable).cc test_kernels.cc; do
    objects+=("$built/$source.o")
    clang++ "${wasm[@]}" "${flags[@]/-pthread/-O2}" -c "$source" -o "$built/$source.o"
  done
  # Without an optimization: at one, some clang call a wasm-opt that knows no vectors.
  clang++ --target=wasm32-wasi "${objects[@]}" -o "$built/test.wasm"
  node --no-warnings test_wasm.mjs "$built/test.wasm" "$((steps / 4))" "$seed"
else
  echo "WebAssembly: not tested, needs clang, lld, wasi-libc, libc++-N-dev-wasm32," \
    "libclang-rt-N-dev-wasm32 and nodejs (Debian's names; N: the version of clang)"
fi
