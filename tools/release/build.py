"""Kernels, source distributions and wheels of both distributions, in one folder.

The kernels of the runtime's wheels are compiled by zig (the package `ziglang`) for an old
glibc, with libc++ inside, of which only what they use is kept (`exports.map`, `names.cc`);
`auditwheel` reads the tag of a wheel out of its symbols.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import trees

# CentOS 7's, the oldest that pip still knows a tag for on both.
GLIBC = "2.17"
ARCHITECTURES = ("x86_64", "aarch64")
MOST_BYTES = 600_000  # of a wheel of the runtime
# What the library shows is what Python calls: of the rest, the linker drops what nothing uses.
EXPORTS = Path(__file__).with_name("exports.map")
NAMES = Path(__file__).with_name("names.cc")


def all_of_both(folder: Path, work: Path) -> list[Path]:
    """Everything that is published.

    Args:
        folder: where the files go.
        work: an empty folder for what is made on the way.
    """
    runtime = trees.lay_runtime(work / "runtime")
    _build("--sdist", runtime, folder)
    for architecture in ARCHITECTURES:
        tree = shutil.copytree(runtime, work / architecture)
        compile_kernels(tree / "native", architecture, tree)
        _platform_wheel(tree, architecture, work / "unnamed", folder)
    # One tree for each: what a build leaves behind would be part of the next.
    _build("--sdist", trees.lay_larqlite(work / "larqlite"), folder)
    _build("--wheel", trees.lay_larqlite(work / "larqlite_wheel"), folder)
    if trees.trained_files():
        _build("--sdist", trees.lay_weights(work / "weights"), folder)
        _build("--wheel", trees.lay_weights(work / "weights_wheel"), folder)
    return published(folder)


def published(folder: Path) -> list[Path]:
    """The files of all distributions in a folder."""
    return sorted([*folder.glob("larqlite*.whl"), *folder.glob("larqlite*.tar.gz")])


def compile_kernels(native: Path, architecture: str, tree: Path) -> Path:
    """Compiles the kernels for Linux into a tree; returns the library."""
    library = tree / "larqlite_runtime" / "_kernels.so"
    sources = sorted(set(native.glob("*.cc")) - set(native.glob("test_*.cc")))
    flags = (native / "flags.txt").read_text("utf-8").split()
    command = [sys.executable, "-m", "ziglang", "c++"]
    command += ["-target", f"{architecture}-linux-gnu.{GLIBC}", *flags, "-g0", "-fPIC"]
    command += ["-shared", "-pthread", "-s", "-Wl,--gc-sections"]
    command += [f"-Wl,--version-script={EXPORTS}", "-o", library, *sources, NAMES]
    subprocess.run(command, check=True)
    return library


def _platform_wheel(tree: Path, architecture: str, work: Path, folder: Path) -> None:
    """Builds a wheel around a compiled library, and gives it the tag that fits."""
    shutil.rmtree(work, ignore_errors=True)
    _build("--wheel", tree, work, f"--plat-name=linux_{architecture}")
    (wheel,) = work.iterdir()
    command = [sys.executable, "-m", "auditwheel", "repair", "--plat", "auto"]
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        [*command, "--wheel-dir", folder, wheel],
        check=True,
        env=os.environ | {"PATH": programs},  # patchelf is one
    )


def _build(what: str, tree: Path, folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "build", what, "--outdir", folder, tree]
    command += [f"--config-setting=--build-option={option}" for option in options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
