#!/usr/bin/env bash
# Compiles native/ to web/larqlite.wasm, and writes the sums of what it was made of beside it.
# Usage: web/build.sh [another folder]
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")}")
cd "$(dirname "$0")/.."
mkdir -p "$folder"
out=$folder/larqlite.wasm
compiler=${CLANGXX:-clang++}
if ! type "$compiler" wasm-ld > /dev/null 2>&1 || [ ! -d /usr/include/wasm32-wasi ]; then
  echo "make wasm: no compiler for WebAssembly. Fix: make devices-setup, which knows the names of the" \
    "packages for the version N of clang: clang lld wasi-libc libc++-N-dev-wasm32" \
    "libc++abi-N-dev-wasm32 libclang-rt-N-dev-wasm32" >&2
  exit 1
fi
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' larqlite_runtime/_version.py)
read -ra flags < native/flags_wasm.txt
read -rd '' -a exports < web/exports.txt || true
shopt -s extglob
# Those of other instruction sets are empty here; wasm.cc stands in for the portable ones.
sources=(native/!(test_*|portable).cc native/model/*.cc web/memory.cc)
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
for source in "${sources[@]}"; do
  # As small as can be, but for the tiles.
  case $source in native/wasm.cc) size=-Os ;; *) size=-Oz ;; esac
  "$compiler" -std=c++17 -ffp-contract=off -g0 $size -fvisibility=hidden "${flags[@]}" \
    -DLQ_WIDE_OF_128_BITS "-DLQ_VERSION=\"$version\"" \
    -MMD -c "$source" -o "$objects/$(basename "$source").o"
done
# Without an optimization: at one, some clang call a wasm-opt that knows no vectors. The stack lies
# below everything else, so that a call too deep ends the module and writes over nothing.
"$compiler" --target=wasm32-wasi -mexec-model=reactor "$objects"/*.o -o "$out" -Wl,--strip-all \
  -Wl,--gc-sections -Wl,-O2 -Wl,--stack-first -Wl,-z,stack-size=131072 \
  "${exports[@]/#/-Wl,--export=}"
chmod 644 "$out"

# What git shows is a module; that it is made of these files is what the sums say.
made_of=$(cat "$objects"/*.d | tr -s ' \\' '\n' | grep -E '^(native|web)/' | xargs realpath --relative-to=.)
{
  echo "# $("$compiler" --version | head -n 1)"
  sha256sum $(printf '%s\n' $made_of native/flags_wasm.txt web/build.sh web/exports.txt | sort -u)
  sha256sum < "$out" | sed 's|-|web/larqlite.wasm|'
} > "$folder/larqlite.wasm.sums"
