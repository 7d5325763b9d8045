"""Converters of layers, one file for each family; importing this registers them all."""

# isort: off
# The quantizers, and the layers whose kernels are packed.

# Float layers, activations and operators.
