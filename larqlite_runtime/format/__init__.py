"""The format of packed files: each operation of `ai.larqlite`, value types, bits.

One operation is one file, with its attributes and what they may hold, what it computes (as a
body of standard operations and in NumPy), on which side a value on a threshold falls, and
what it is in QONNX. Who writes, reads, plans or computes packed values looks here.
"""

from larqlite_runtime.format._absmax_scale import ABSMAX_SCALE
from larqlite_runtime.format._attributes import (
    CONVOLUTION,
    MAX_WINDOW,
    REQUIRED,
    Attribute,
    axis,
    choice,
    flag,
    integer,
    integers,
    number,
    only,
)
from larqlite_runtime.format._bits import (
    BINARY,
    EXACT,
    GRIDS,
    LEVEL_OF_ZERO,
    TERNARY,
    Grid,
    code_words_of,
    float_weights,
    grid_of,
    pack,
    pack_bytes,
    pack_codes,
    unpack,
    unpack_bytes,
    unpack_codes,
    words_of,
)
from larqlite_runtime.format._heaviside import HEAVISIDE
from larqlite_runtime.format._integers import INTEGERS
from larqlite_runtime.format._operation import (
    DOMAIN,
    OPSET,
    VERSIONS,
    BodyNode,
    Operation,
    QonnxNode,
    QuantizerOperation,
    RowOperation,
)
from larqlite_runtime.format._packed_conv import PACKED_CONV, windows_of
from larqlite_runtime.format._packed_conv_transpose import PACKED_CONV_TRANSPOSE
from larqlite_runtime.format._packed_dense import PACKED_DENSE
from larqlite_runtime.format._packed_layer import (
    NAMED_INPUTS,
    LayerOperation,
    input_steps,
    integer_pad_value,
)
from larqlite_runtime.format._sign import SIGN
from larqlite_runtime.format._steps import STEPS
from larqlite_runtime.format._ternary import TERNARY_QUANTIZER
from larqlite_runtime.format._unpack import UNPACK
from larqlite_runtime.format._value_types import (
    MOST_BITS,
    TableType,
    ValueType,
    heaviside,
    named,
    padded_type,
    sign,
    steps,
    sums,
    table,
    ternary,
    type_of_input,
    united_type,
)

QUANTIZERS: dict[str, QuantizerOperation] = {}
ROWS: dict[str, RowOperation] = {}
PACKED_LAYERS: dict[str, LayerOperation] = {
    layer.name: layer
    for kind in ("B", "T", "Q")
    for layer in (*PACKED_DENSE, *PACKED_CONV, *PACKED_CONV_TRANSPOSE)
    if layer.kind == kind
}
# All operations of the domain.
OPERATIONS: dict[str, Operation] = {}


def register(operation: Operation) -> Operation:
    """Makes an operation known to whoever writes, reads, plans or computes packed values.

    Raises:
        ValueError: another has its name.
    """
    if OPERATIONS.setdefault(operation.name, operation) is not operation:
        raise ValueError(f'There is an operation "{operation.name}" already.')
    if isinstance(operation, QuantizerOperation):
        QUANTIZERS[operation.name] = operation
    if isinstance(operation, RowOperation):
        ROWS[operation.name] = operation
    return operation


for _operation in (
    *(SIGN, HEAVISIDE, TERNARY_QUANTIZER, STEPS, INTEGERS, ABSMAX_SCALE),
    UNPACK,
    *PACKED_LAYERS.values(),
):
    register(_operation)

__all__ = [
    "BINARY",
    "CONVOLUTION",
    "DOMAIN",
    "EXACT",
    "GRIDS",
    "LEVEL_OF_ZERO",
    "MAX_WINDOW",
    "MOST_BITS",
    "NAMED_INPUTS",
    "OPERATIONS",
    "OPSET",
    "PACKED_LAYERS",
    "QUANTIZERS",
    "REQUIRED",
    "ROWS",
    "SIGN",
    "TERNARY",
    "VERSIONS",
    "Attribute",
    "BodyNode",
    "Grid",
    "Operation",
    "LayerOperation",
    "QonnxNode",
    "QuantizerOperation",
    "RowOperation",
    "TableType",
    "ValueType",
    "axis",
    "choice",
    "code_words_of",
    "flag",
    "float_weights",
    "grid_of",
    "heaviside",
    "input_steps",
    "integer",
    "integer_pad_value",
    "integers",
    "named",
    "number",
    "only",
    "pack",
    "pack_bytes",
    "pack_codes",
    "padded_type",
    "register",
    "sign",
    "steps",
    "sums",
    "table",
    "ternary",
    "type_of_input",
    "united_type",
    "unpack",
    "unpack_bytes",
    "unpack_codes",
    "windows_of",
    "words_of",
]
