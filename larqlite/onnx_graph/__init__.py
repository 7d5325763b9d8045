"""The graph of an ONNX file: what it is made of, how it is written, checked and laid out.

An `OnnxGraph` knows who gives out and who takes each tensor; `Writer` is one that collects
nodes, constants and weights of converters; a `Value` is a tensor between two layers,
with its shape as in Keras and its layout in the file. `_layout` moves and broadcasts values
in either layout, `_pads` says how layers pad, `_packing` makes bytes of a kernel's
levels, `_functions` holds the bodies of `ai.larqlite`, `_pooled_padding` is a pass over a
finished graph, and `_model` makes the checked file of it. Nothing here follows a Keras model:
`larqlite.deploy` and `larqlite.integer.export` do, and write with this.
"""

from larqlite.onnx_graph._codebook import (
    MOST_BITS_OF_A_TABLE,
    CodebookKernel,
    find_table,
    in_table,
)
from larqlite.onnx_graph._functions import (
    DOMAIN,
    DOMAIN_VERSION,
    OPSET,
    function,
    function_from_nodes,
    function_names,
    functions_used_by,
    version_of,
)
from larqlite.onnx_graph._graph import OnnxGraph
from larqlite.onnx_graph._layout import (
    along,
    as_in_first_use,
    beside,
    broadcast,
    expanded,
    in_one_order,
    output_shape,
    permuted,
    reshaped,
    same_rank,
    spatial_shape,
    squeezed,
    stored_axes,
    without_axes,
)
from larqlite.onnx_graph._model import (
    BATCH,
    IR_VERSION,
    FinishedGraph,
    assembled,
    fault_of,
    node_of,
    node_proto,
    onnx_model,
    read_model,
    tensor_info,
    write,
)
from larqlite.onnx_graph._packing import (
    GRID_TOLERANCE,
    MOST_BITS,
    PackedKernel,
    find_codes,
    on_grid,
    shaped_along,
)
from larqlite.onnx_graph._pads import (
    conv_pads,
    onnx_order,
    same_pads,
    transposed_dilation,
    transposed_pads,
    window_counts,
    window_pads,
)
from larqlite.onnx_graph._parts import (
    Normalization,
    OnnxNode,
    ScaledRows,
    Shape,
    StoredRounding,
    Value,
)
from larqlite.onnx_graph._pooled_padding import drop_unread, keep_zeros
from larqlite.onnx_graph._refusal import WHERE, refuse
from larqlite.onnx_graph._writer import Writer

__all__ = [
    "BATCH",
    "CodebookKernel",
    "DOMAIN",
    "DOMAIN_VERSION",
    "GRID_TOLERANCE",
    "IR_VERSION",
    "MOST_BITS",
    "MOST_BITS_OF_A_TABLE",
    "OPSET",
    "WHERE",
    "OnnxGraph",
    "OnnxNode",
    "Normalization",
    "PackedKernel",
    "FinishedGraph",
    "Shape",
    "ScaledRows",
    "StoredRounding",
    "Value",
    "Writer",
    "along",
    "as_in_first_use",
    "assembled",
    "beside",
    "broadcast",
    "conv_pads",
    "drop_unread",
    "expanded",
    "fault_of",
    "find_codes",
    "on_grid",
    "find_table",
    "in_table",
    "function",
    "function_from_nodes",
    "function_names",
    "functions_used_by",
    "in_one_order",
    "keep_zeros",
    "node_of",
    "node_proto",
    "onnx_model",
    "onnx_order",
    "output_shape",
    "permuted",
    "read_model",
    "refuse",
    "reshaped",
    "same_pads",
    "same_rank",
    "shaped_along",
    "spatial_shape",
    "squeezed",
    "stored_axes",
    "tensor_info",
    "transposed_dilation",
    "transposed_pads",
    "version_of",
    "window_counts",
    "window_pads",
    "without_axes",
    "write",
]
