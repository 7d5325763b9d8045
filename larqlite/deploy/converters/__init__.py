"""Converters of layers, one file for each family; importing this registers them all."""

# isort: off
# The quantizers, and the layers whose kernels are packed.
from larqlite.deploy.converters import (  # noqa: F401
    _packed,
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
    _pool,
    _shape,
    _upsample,
)

# Quantization-aware layers around them.
from larqlite.deploy.converters import _fake_quant  # noqa: F401

# isort: on
# What the exporter, the verifier and the exports of integer models share with them.
from larqlite.deploy.converters._accumulators import PackedOperation
from larqlite.deploy.converters._conv import (
    conv_kernel,
    depthwise_kernel,
    transposed_kernel,
)
from larqlite.deploy.converters._dispatch import converter_of
from larqlite.deploy.converters._inputs import (
    check_model,
    input_values,
    require_count,
    require_share,
)
from larqlite.deploy.converters._kernels import kernel_of
from larqlite.deploy.converters._packed import (
    channels_out_first,
    one_group_a_channel,
    transposed_channels_out_first,
)
from larqlite.deploy.converters._packed_layer import PackedLayer, packed_layer
from larqlite.deploy.converters._walk import ConverterWalk, in_inference
from larqlite.graph import first_override

__all__ = [
    "PackedLayer",
    "PackedOperation",
    "ConverterWalk",
    "channels_out_first",
    "check_model",
    "conv_kernel",
    "converter_of",
    "depthwise_kernel",
    "first_override",
    "in_inference",
    "input_values",
    "kernel_of",
    "one_group_a_channel",
    "packed_layer",
    "require_count",
    "require_share",
    "transposed_channels_out_first",
    "transposed_kernel",
]
