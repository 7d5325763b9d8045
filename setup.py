"""Builds the distributions `larqlite` and `larqlite-runtime` by one rule.

Where `larqlite_runtime/` lies beside this file, it is part of what is built, and so are its
kernels, which Python loads through ctypes: a checkout, or the distribution of the runtime.
Where it does not, `larqlite-runtime` of the same version is a requirement. `tools/release`
makes the trees of both distributions; the rest about them is in their setup.cfg.

Without a C++ compiler the package installs all the same and runs packed models with NumPy;
with LARQLITE_REQUIRE_NATIVE=1 a build that fails is an error.
"""

import configparser
import os
import sys
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("native")
RUNTIME = Path("larqlite_runtime")
SOURCES = sorted(set(NATIVE.glob("*.cc")) - set(NATIVE.glob("test_*.cc")))
FLAGS = (NATIVE / "flags.txt").read_text().split() if SOURCES else []
# Python's own flags ask for debug sections, six times as large as the kernels. Every
# compiler with the flags of GCC takes -g0; Apple's linker has no use for -s.
IS_WINDOWS = sys.platform == "win32"
NO_DEBUG = [] if IS_WINDOWS else ["-g0"]
STRIPPED = ["-Wl,-s"] if sys.platform.startswith("linux") else []
# The runtime by itself: one wheel for every Python, since ctypes asks for no ABI of it.
LIBRARY = RUNTIME / ("_kernels.pyd" if IS_WINDOWS else "_kernels.so")
RUNS_ALONE = RUNTIME.is_dir() and not Path("larqlite").is_dir()


def kernels() -> Extension:
    """The kernels of all instruction sets of a processor family."""
    return Extension(
        "larqlite_runtime._kernels",
        sources=[str(path) for path in SOURCES],
        depends=[str(path) for path in NATIVE.glob("*.h")]
        + [str(path) for path in NATIVE.glob("*.inc")]
        + [str(path) for path in NATIVE.glob("*.txt")],
        # -ffp-contract=off: products and sums are rounded one by one, as NumPy rounds them.
        extra_compile_args=[*FLAGS, *NO_DEBUG],
        extra_link_args=["-pthread", *STRIPPED],
        language="c++",
        optional=os.environ.get("LARQLITE_REQUIRE_NATIVE") != "1",
    )


class BuildForEveryPython(build_ext):
    """Names the library without a version of Python."""

    def get_ext_filename(self, fullname):
        return str(Path(*fullname.split(".")).with_suffix(LIBRARY.suffix))


class OfAPlatform(Distribution):
    """Has a library, though it may have been compiled elsewhere."""

    def has_ext_modules(self):
        return True


def of_the_runtime() -> dict:
    """Its library is compiled here, unless it lies there already."""
    return {
        "cmdclass": {"build_ext": BuildForEveryPython, **wheel_for_every_python()},
        "distclass": OfAPlatform,
        "ext_modules": [] if LIBRARY.exists() else [kernels()],
    }


def wheel_for_every_python() -> dict:
    """The command that builds one; of a setuptools that has it, as pip brings it."""
    try:
        from setuptools.command.bdist_wheel import bdist_wheel
    except ImportError:  # before 70.1: good enough for the kernels and the metadata
        return {}

    class WheelForEveryPython(bdist_wheel):
        def get_tag(self):
            return "py3", "none", super().get_tag()[2]

    return {"bdist_wheel": WheelForEveryPython}


def of_larqlite() -> dict:
    """The runtime is required, and the command `lq` comes with it."""
    config = configparser.ConfigParser()
    config.read("setup.cfg", encoding="utf-8")
    version = config["metadata"]["version"]
    if version.startswith("attr:"):
        sys.exit(
            "setup.py: setup.cfg takes the version from larqlite_runtime, which is not here.\n"
            "  Fix: build in a checkout, or in the tree that `make release` makes."
        )
    required = _lines(config["options"]["install_requires"])
    scripts = _lines(config["options.entry_points"]["console_scripts"])
    return {
        "install_requires": [*required, f"larqlite-runtime=={version}"],
        "entry_points": {
            "console_scripts": [line for line in scripts if line.split()[0] != "lq"]
        },
    }


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def options() -> dict:
    """Of the tree that this file lies in."""
    if RUNS_ALONE:
        return of_the_runtime()
    return {"ext_modules": [kernels()]} if RUNTIME.is_dir() else of_larqlite()


setup(**options())
