#!/usr/bin/env bash
# Installs what the tests for other machines need (`make devices-setup`): cross compilers, QEMU,
# what compiles for WebAssembly, valgrind, Node and Chromium, all of them packages of Debian.
#
#     tools/devices_setup.sh          # apt-get install, where that may be done
#     tools/devices_setup.sh --list   # the packages that are missing, a line each; nothing else
#
# Where it may not install, it says what to type. `make test` runs without any of them: it skips
# what needs one, and names it.
set -euo pipefail

# What is needed, and what of it is missing, as far as apt's lists of packages say.
look() {
  packages=(
    gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm
    gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc
    clang lld wasi-libc
    valgrind
  )
  # The libraries of C++ for WebAssembly bear the version of clang in their names; where no list
  # has it, that of Debian 12.
  version=$(apt-cache depends clang 2> /dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' || true)
  packages+=("libc++-${version:-14}-dev-wasm32" "libc++abi-${version:-14}-dev-wasm32"
    "libclang-rt-${version:-14}-dev-wasm32")
  # These come from elsewhere too: the program is what counts.
  command -v node > /dev/null || packages+=(nodejs)
  command -v chromium > /dev/null || packages+=(chromium fonts-dejavu-core)

  missing=()
  local package status
  for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
  done
}

warn_of_guess() {
  if [ -z "$version" ] && command -v apt-get > /dev/null; then
    echo "devices-setup: apt's lists of packages do not have clang, so its version is taken to" \
      "be 14. Fix: sudo apt-get update, then again" >&2
  fi
}

look
if [ "${1:-}" = --list ]; then
  warn_of_guess
  [ ${#missing[@]} -eq 0 ] || printf '%s\n' "${missing[@]}"
  exit
fi
if [ ${#missing[@]} -eq 0 ]; then
  echo "devices-setup: all ${#packages[@]} packages are installed"
elif ! command -v apt-get > /dev/null; then
  echo "devices-setup: this is no Debian, so nothing was installed. Fix: install by the means of" \
    "your system what Debian calls ${missing[*]}" >&2
  exit 1
elif [ "$(id -u)" != 0 ]; then
  warn_of_guess
  echo "devices-setup: only root may install packages, so nothing was. Fix: type" >&2
  echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
else
  # The lists come first: a fresh image has none, and which clang there is stands in them.
  apt-get update -qq
  look
  warn_of_guess
  echo "devices-setup: installs ${missing[*]}"
  apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
