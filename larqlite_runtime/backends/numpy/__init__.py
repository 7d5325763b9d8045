"""The program in NumPy: what runs without a compiler, and the reference of the kernels."""

from larqlite_runtime.backends.numpy._kernels import run

__all__ = ["run"]
