"""The program in NumPy: what runs without a compiler, and the reference of the kernels."""
