"""Converters of layers, one file for each family; importing this registers them all."""

# isort: off
# The quantizers, and the layers whose kernels are packed.
from larqlite.deploy.converters import (  # noqa: F401
    _packed_conv,
    _packed_dense,
    _quantizers,
)

# Float layers, activations and operators.
from larqlite.deploy.converters import (  # noqa: F401
    _activations,
    _conv,
    _dense,
    _identity,
    _merge,
    _norm,
    _operators,
    _operators_image,
    _operators_shape,
    _operators_sum,
    _padding,
    _pool,
    _rescaling,
    _shape,
    _upsample,
)

# Quantization-aware layers around them.
from larqlite.deploy.converters import _fake_quant  # noqa: F401
