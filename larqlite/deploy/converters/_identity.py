"""Layers that do nothing when a network is used, and layers that are never exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tf_keras

from larqlite.deploy._converter_tables import converter, refused
from larqlite.graph import classes_where
from larqlite.onnx_graph import refuse

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers


def without_mask(graph: Writer, layer, mask: Any) -> None:
    """Refuses a call with a mask."""
    if mask is not None:
        raise refuse(
            layer,
            graph.path,
            "it is called with a mask, which the file has no place for",
            "multiply by the mask in the network, or call the layer without it",
        )


@converter(*classes_where(lambda facts: facts.does_nothing_in_inference))
def convert_identity(graph: Writer, layer, value: Value) -> Value:
    """The value itself."""
    return value


refused(
    layers.Lambda,
    "a Lambda layer may compute anything",
    "write it as a layer class of your own and teach that with @lq.deploy.converter; or "
    "use TensorFlow operators directly on the tensors, e.g. `x * 2`",
)
refused(
    layers.Masking,
    "it hides time steps from the layers after it, which the file has no place for",
    "leave it out, and give the model sequences of one length",
)
refused(
    layers.RNN,
    "recurrent layers are not exported",
    "end the exported part of the model before it: "
    "tf_keras.Model(model.input, layer.input)",
)
refused(
    layers.TimeDistributed,
    "a layer for each time step is not exported",
    "use the layer itself, on the time steps reshaped into an axis that it treats "
    "alike: Dense works on every axis but the last, Conv1D along time",
)
for _cls in (
    layers.Discretization,
    layers.Hashing,
    layers.IntegerLookup,
    layers.StringLookup,
):
    refused(
        _cls,
        "it makes integers of its input, and a file holds float32",
        "apply it to the data, and build the exported model from what lies behind it: "
        "layers behind a tf_keras.Input of float32, an Embedding included",
    )
