#!/usr/bin/env bash
# Loads and runs damaged models with kernels built under the address sanitizer.
# Usage: native/fuzz.sh PYTHON [arguments of tests/runtime/fuzz.py]
set -euo pipefail
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/tests"
cp -r larqlite_runtime "$copy"
cp -r tests/__init__.py tests/runtime tests/golden "$copy/tests"
rm -f "$copy"/larqlite_runtime/_kernels*
(cd native && "${CXX:-g++}" -std=c++17 -O1 -g -ffp-contract=off -fPIC -shared -pthread \
  -fsanitize=address,undefined -fno-sanitize-recover=all \
  portable.cc avx2.cc avx512.cc amx.cc neon.cc run.cc expand.cc check.cc threads.cc \
  -o "$copy/larqlite_runtime/_kernels.so")
cd "$copy"
# Python and onnxruntime leave memory to the end of the process: that is not looked for.
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 LARQLITE_REQUIRE_NATIVE=1 \
  LD_PRELOAD="$("${CXX:-g++}" -print-file-name=libasan.so) $("${CXX:-g++}" -print-file-name=libstdc++.so)" \
  "$python" tests/runtime/fuzz.py "$@"
