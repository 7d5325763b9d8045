"""A Keras network as plain arrays, for engines whose environment has no TensorFlow.

`write` stores a list of nodes as JSON and their arrays, in one file of NumPy. A node is
`{"op", "inputs", "output", ...}`, with settings of its own and names of arrays:

- `input`: `shape`, without the batch.
- `binary_conv`: `sign(x)` with 0 to +1, convolved with kernels of -1 and +1: array `kernel`
  (height, width, input, output) as bytes, 1 for +1; `strides`, `pads`, `pad_value`.
- `conv`: array `kernel`; `strides`, `pads`. `pads` is `[[top, left], [bottom, right]]`.
- `affine`: arrays `scale` and `shift` of the last axis.
- `max_pool`, `mean_pool`: `size`, `strides`, `pads`; what is outside does not count.
- `add`, `relu`, `softmax`, `global_mean`; `flatten`, of one pixel.
- `dense`: arrays `kernel` and `bias`.
"""

import json
import pathlib

import numpy as np

Node = dict


def write(model, path: pathlib.Path, network: str) -> None:
    """Write a functional Keras model whose layers have one node each."""
    nodes, arrays, scales = [], {}, {}
    for layer in model.layers:
        node, values = _WRITERS[type(layer).__name__](layer)
        node["inputs"] = _names_of(layer.input) if node["op"] != "input" else []
        node["output"] = layer.output.name
        if (per_channel := values.pop("per_channel", None)) is not None:
            scales[layer.output.name] = per_channel
        elif node["op"] == "affine":
            # A kernel's factor for each channel goes into the normalization behind it.
            values["scale"] = values["scale"] * scales.pop(node["inputs"][0], 1.0)
        for name, array in values.items():
            node[name] = f"{len(nodes)}.{name}"
            arrays[node[name]] = array
        nodes.append(node)
    if scales:
        raise ValueError(f"no normalization behind {', '.join(scales)}")
    text = np.frombuffer(json.dumps(nodes).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, nodes=text, **arrays)


def read(path: pathlib.Path) -> list[Node]:
    """The nodes of a file, with their arrays in place of the names."""
    with np.load(path) as file:
        nodes = json.loads(file["nodes"].tobytes())
        return [
            {
                key: file[value] if isinstance(value, str) and value in file else value
                for key, value in node.items()
            }
            for node in nodes
        ]


def _names_of(tensors) -> list[str]:
    return [t.name for t in (tensors if isinstance(tensors, list) else [tensors])]


def _pads(layer, size) -> list[list[int]]:
    """What TensorFlow adds before and behind each axis for "same"."""
    if layer.padding == "valid":
        return [[0, 0], [0, 0]]
    lengths = layer.input.shape[1:3]
    totals = [
        max((-(-length // stride) - 1) * stride + window - length, 0)
        for length, stride, window in zip(lengths, layer.strides, size, strict=True)
    ]
    return [[total // 2 for total in totals], [total - total // 2 for total in totals]]


def _windowed(layer, op: str, size) -> Node:
    return {"op": op, "strides": list(layer.strides), "pads": _pads(layer, size)}


def _conv(layer):
    kernel = layer.kernel.numpy()
    return _windowed(layer, "conv", layer.kernel_size), {"kernel": kernel}


def _binary_conv(layer):
    kernel = layer.kernel_quantizer(layer.kernel).numpy()
    factors = np.abs(kernel).max((0, 1, 2))
    np.testing.assert_allclose(np.abs(kernel), np.broadcast_to(factors, kernel.shape))
    node = _windowed(layer, "binary_conv", layer.kernel_size)
    node["pad_value"] = float(layer.pad_values)
    values = {"kernel": (kernel > 0).astype(np.uint8)}
    return node, values if np.all(factors == 1) else {**values, "per_channel": factors}


def _affine(layer):
    gamma = layer.gamma.numpy() if layer.scale else 1.0
    scale = gamma / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
    beta = layer.beta.numpy() if layer.center else 0.0
    return {"op": "affine"}, {
        "scale": scale.astype("float32"),
        "shift": (beta - scale * layer.moving_mean.numpy()).astype("float32"),
    }


def _pool(op: str):
    def write_pool(layer):
        size = list(layer.pool_size)
        return {**_windowed(layer, op, size), "size": size}, {}

    return write_pool


def _flatten(layer):
    if layer.input.shape[1:3] != (1, 1):
        raise ValueError(f"{layer.name}: only one pixel is the same in every layout")
    return {"op": "flatten"}, {}


def _dense(layer):
    return {"op": "dense"}, {
        "kernel": layer.kernel.numpy(),
        "bias": layer.bias.numpy(),
    }


_WRITERS = {
    "InputLayer": lambda layer: (
        {"op": "input", "shape": list(layer.output.shape[1:])},
        {},
    ),
    "QuantConv2D": _binary_conv,
    "Conv2D": _conv,
    "BatchNormalization": _affine,
    "MaxPooling2D": _pool("max_pool"),
    "AveragePooling2D": _pool("mean_pool"),
    "GlobalAveragePooling2D": lambda layer: ({"op": "global_mean"}, {}),
    "Flatten": _flatten,
    "Add": lambda layer: ({"op": "add"}, {}),
    "ReLU": lambda layer: ({"op": "relu"}, {}),
    "Activation": lambda layer: ({"op": layer.activation.__name__}, {}),
    "Dense": _dense,
}
