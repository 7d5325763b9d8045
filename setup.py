"""The one native extension: the kernels that run packed models, loaded through ctypes.

Everything else about the package is in setup.cfg. Without a C++ compiler the package
installs all the same and runs packed models with NumPy; with LARQLITE_REQUIRE_NATIVE=1
a build that fails is an error.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("native")
SOURCES = sorted(set(NATIVE.glob("*.cc")) - set(NATIVE.glob("test_*.cc")))

setup(
    ext_modules=[
        Extension(
            "larqlite_runtime._kernels",
            sources=[str(path) for path in SOURCES],
            depends=[str(path) for path in NATIVE.glob("*.h")]
            + [str(path) for path in NATIVE.glob("*.inc")],
            # Products and sums are rounded one by one, as NumPy rounds them.
            extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=off"],
            extra_link_args=["-pthread"],
            language="c++",
            optional=os.environ.get("LARQLITE_REQUIRE_NATIVE") != "1",
        )
    ]
)
