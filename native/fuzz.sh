#!/usr/bin/env bash
# Loads and runs damaged models with kernels built under the address sanitizer.
# Usage: native/fuzz.sh PYTHON [arguments of tests/runtime/fuzz.py]
set -euo pipefail
shopt -s extglob
python=$1
shift
cd "$(dirname "$0")/.."
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
cxx=${CXX:-g++}
(cd native && "$cxx" -std=c++17 -O1 -g -ffp-contract=off -fPIC -shared -pthread \
  -fsanitize=address,undefined -fno-sanitize-recover=all \
  !(test_*).cc \
  -o "$built/_kernels.so")
# Python and onnxruntime leave memory to the end of the process: that is not looked for.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 LARQLITE_REQUIRE_NATIVE=1
LD_PRELOAD="$("$cxx" -print-file-name=libasan.so) $("$cxx" -print-file-name=libstdc++.so)" \
  "$python" tests/runtime/fuzz.py --kernels "$built" "$@"
