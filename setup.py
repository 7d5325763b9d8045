"""The one native extension: the kernels that run packed models, loaded through ctypes.

Everything else about the package is in setup.cfg. Without a C++ compiler the package
installs all the same and runs packed models with NumPy; with LARQLITE_REQUIRE_NATIVE=1
a build that fails is an error.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("native")
SOURCES = sorted(set(NATIVE.glob("*.cc")) - set(NATIVE.glob("test_*.cc")))
# Python's own flags ask for debug sections, six times as large as the kernels. Every
# compiler with the flags of GCC takes -g0; Apple's linker has no use for -s.
IS_WINDOWS = sys.platform == "win32"
NO_DEBUG = [] if IS_WINDOWS else ["-g0"]
STRIPPED = ["-Wl,-s"] if sys.platform.startswith("linux") else []

setup(
    ext_modules=[
        Extension(
            "larqlite_runtime._kernels",
            sources=[str(path) for path in SOURCES],
            depends=[str(path) for path in NATIVE.glob("*.h")]
            + [str(path) for path in NATIVE.glob("*.inc")],
            # Products and sums are rounded one by one, as NumPy rounds them.
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=off", *NO_DEBUG],
            extra_link_args=["-pthread", *STRIPPED],
            language="c++",
            optional=os.environ.get("LARQLITE_REQUIRE_NATIVE") != "1",
        )
    ]
)
