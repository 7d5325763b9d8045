"""A separable convolution becomes its two: the tensor between them is quantized too.

One that its scheme has a config for stays whole.
"""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerEntry, LayerGraph

layers = tf_keras.layers

# Class: (depthwise class, pointwise class).
SEPARABLE = {
    layers.SeparableConv1D: (layers.DepthwiseConv1D, layers.Conv1D),
    layers.SeparableConv2D: (layers.DepthwiseConv2D, layers.Conv2D),
}


def run(graph: LayerGraph) -> None:
    """Splits separable convolutions."""
    entries: dict[int, list[LayerEntry]] = {}
    for use in list(graph.uses):
        if id(use.entry) not in entries:
            entries[id(use.entry)] = _split(use.entry) if _is_split(use.entry) else []
        if entries[id(use.entry)]:
            graph.replace(use, entries[id(use.entry)])


def _is_split(entry: LayerEntry) -> bool:
    return (
        type(entry.layer) in SEPARABLE
        and entry.scheme is not None
        and entry.config is None
        and entry.scheme.config_of(entry.layer) is None
    )


def _split(entry: LayerEntry) -> list[LayerEntry]:
    separable = entry.layer
    depthwise_class, pointwise_class = SEPARABLE[type(separable)]
    config = {**separable.get_config(), **entry.changes}
    padding = ()
    if config["padding"] == "causal":
        # A depthwise convolution knows no causal padding; zeros in front are the same.
        width = (config["kernel_size"][0] - 1) * config["dilation_rate"][0]
        layer = layers.ZeroPadding1D((width, 0), name=f"{separable.name}_padding")
        padding = (LayerEntry(layer, scheme=entry.scheme, is_new=True),)
        config["padding"] = "valid"
    common = {key: config[key] for key in ("data_format", "dtype", "trainable")}
    depthwise = depthwise_class(
        name=f"{separable.name}_depthwise",
        **common,
        **{
            key: config[key]
            for key in (
                *("kernel_size", "strides", "padding", "dilation_rate"),
                *("depth_multiplier", "depthwise_initializer"),
                *("depthwise_regularizer", "depthwise_constraint"),
            )
        },
        use_bias=False,
    )
    pointwise = pointwise_class(
        name=separable.name,
        **common,
        filters=config["filters"],
        kernel_size=1,
        kernel_initializer=config["pointwise_initializer"],
        kernel_regularizer=config["pointwise_regularizer"],
        kernel_constraint=config["pointwise_constraint"],
        **{
            key: config[key]
            for key in (
                *("activation", "use_bias", "bias_initializer", "bias_regularizer"),
                *("activity_regularizer", "bias_constraint"),
            )
        },
    )
    bias = (("bias", separable.bias),) if separable.use_bias else ()
    kernels = (separable.depthwise_kernel, separable.pointwise_kernel)
    return [
        *padding,
        *(
            LayerEntry(part, scheme=entry.scheme, is_new=True, copies=copies)
            for part, copies in (
                (depthwise, (("depthwise_kernel", kernels[0]),)),
                (pointwise, (("kernel", kernels[1]), *bias)),
            )
        ),
    ]
