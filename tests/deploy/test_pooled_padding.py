"""Zeros around an image stay zeros in front of a pooling, whatever a runtime rewrites."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from onnx import helper, numpy_helper

import larqlite as lq
import larqlite_runtime
from larqlite.onnx_graph import Writer, keep_zeros
from tests.deploy.inside_a_file import folded_as_some_runtimes_do
from tests.deploy.keras_and_file import assert_same, with_random_weights

K, Q = tf_keras.layers, lq.layers
BINARY = {
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}
SIGN = {"input_quantizer": "ste_sign", **BINARY}


def conv(x):
    return K.Conv2D(3, 1)(x)


def nchw(x):
    """A pooling of another order of axes than the padding."""
    x = K.ZeroPadding2D(1)(K.Permute((2, 1, 3))(conv(x)))
    x = K.MaxPool2D(3, 2, data_format="channels_first")(K.Permute((3, 1, 2))(x))
    return K.Permute((2, 3, 1))(x)


def read_twice(x):
    x = K.ZeroPadding2D(1)(conv(x))
    return [K.MaxPool2D(3, 2)(x), K.GlobalAveragePooling2D()(x)]


def given_out(x):
    x = K.ZeroPadding2D(1)(conv(x))
    return [x, K.AveragePooling2D(3, 2)(x)]


def between_packed(x):
    x = Q.QuantConv2D(8, 3, padding="same", **SIGN)(x)
    x = K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(K.BatchNormalization()(x)))
    return Q.QuantConv2D(4, 2, **SIGN)(x)


def residual(x):
    y = K.BatchNormalization()(Q.QuantConv2D(4, 3, padding="same", **SIGN)(x))
    return K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(x + y))


def of_signs(x):
    x = K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(K.Activation("ste_sign")(x)))
    return Q.QuantConv2D(4, 2, **BINARY)(x)


def pad(x, last=0, **more):
    return tf.pad(x, [[0, 0], [1, 1], [0, 1], [0, last]], **more)


IMAGE = (8, 9, 4)
NETWORKS = {
    "of an input": (IMAGE, lambda x: K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(x))),
    "float": (IMAGE, lambda x: K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(conv(x)))),
    "same": (IMAGE, lambda x: K.MaxPool2D(3, 2, "same")(K.ZeroPadding2D(1)(conv(x)))),
    "one side": (
        IMAGE,
        lambda x: K.MaxPool2D((3, 2), (2, 1))(
            K.ZeroPadding2D(((2, 0), (0, 1)))(conv(x))
        ),
    ),
    "as wide as the window": (
        IMAGE,
        lambda x: K.MaxPool2D(2)(K.ZeroPadding2D(2)(conv(x))),
    ),
    "a wide mean": (
        IMAGE,
        lambda x: K.AveragePooling2D(2)(K.ZeroPadding2D(2)(conv(x))),
    ),
    "mean": (IMAGE, lambda x: K.AveragePooling2D(3, 2)(K.ZeroPadding2D(1)(conv(x)))),
    "mean, same": (
        IMAGE,
        lambda x: K.AveragePooling2D(3, 2, "same")(K.ZeroPadding2D(1)(conv(x))),
    ),
    "1D": ((8, 2), lambda x: K.MaxPool1D(3, 2)(K.ZeroPadding1D(1)(K.Conv1D(3, 2)(x)))),
    "1D mean": ((8, 2), lambda x: K.AveragePooling1D(3, 2)(K.ZeroPadding1D(2)(x))),
    "3D": (
        (4, 5, 4, 2),
        lambda x: K.MaxPool3D(3, 2)(K.ZeroPadding3D(1)(K.Conv3D(3, 1)(x))),
    ),
    "functions": (IMAGE, lambda x: tf.nn.max_pool2d(pad(conv(x)), 3, 2, "VALID")),
    "functions, SAME": (IMAGE, lambda x: tf.nn.avg_pool2d(pad(x), 3, 2, "SAME")),
    "channels too": (IMAGE, lambda x: tf.nn.max_pool2d(pad(x, last=2), 3, 2, "VALID")),
    "ones": (IMAGE, lambda x: K.MaxPool2D(3, 2)(pad(conv(x), constant_values=1.0))),
    "cut": (
        IMAGE,
        lambda x: K.MaxPool2D(3, 2)(
            K.Cropping2D(((1, 0), (0, 1)))(K.ZeroPadding2D(2)(conv(x)))
        ),
    ),
    "nothing between": (
        IMAGE,
        lambda x: K.MaxPool2D(3)(K.Dropout(0.5)(K.ZeroPadding2D(1)(x)) * 1.0 + 0.0),
    ),
    "other order": (IMAGE, nchw),
    "read twice": (IMAGE, read_twice),
    "given out": (IMAGE, given_out),
    "packed": (
        IMAGE,
        lambda x: K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(Q.QuantConv2D(8, 3, **SIGN)(x))),
    ),
    "between packed": (IMAGE, between_packed),
    "residual": (IMAGE, residual),
    "of signs": (IMAGE, of_signs),
    "of a comparison": (
        IMAGE,
        lambda x: K.MaxPool2D(3, 2)(
            K.ZeroPadding2D(1)(-tf.cast(conv(x) > 0, "float32"))
        ),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pooling_sees_the_zeros_around_an_image(name):
    """Almost all values are negative: a border that is left out would change every maximum."""
    shape, layers = NETWORKS[name]
    x = tf_keras.Input(shape)
    model = with_random_weights(tf_keras.Model(x, layers(x)))
    for weight in model.weights:
        if "bias" in weight.name:
            weight.assign_sub(tf.fill(weight.shape, 4.0))
    values = np.random.default_rng(0).normal(-1, 1, (2, *shape)).astype(np.float32)
    assert_same(model, [values])


def test_the_file_of_a_border_that_is_all_negative(tmp_path):
    x = tf_keras.Input((8, 8, 1))
    layer = K.Conv2D(1, 1)
    model = tf_keras.Model(x, K.MaxPool2D(3, 2)(K.ZeroPadding2D(1)(layer(x))))
    layer.set_weights([np.ones((1, 1, 1, 1)), np.array([9.0])])
    lq.deploy.export(model, tmp_path / "m.onnx")
    values = np.full((1, 8, 8, 1), -20, np.float32)
    expected = [[0, 0, 0, 0]] + [[0, -11, -11, -11]] * 3
    for runtime in (model, larqlite_runtime.load(tmp_path / "m.onnx")):
        np.testing.assert_array_equal(np.asarray(runtime(values))[0, :, :, 0], expected)


def test_files_written_before_are_run_as_they_say():
    """Sessions of the runtime keep off the rewrite that moves zeros into a pooling."""
    for op in ("MaxPool", "AveragePool"):
        pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
        nodes = [
            helper.make_node("Neg", ["x"], ["negative"]),
            helper.make_node("Pad", ["negative", "pads"], ["padded"]),
            helper.make_node(op, ["padded"], ["y"], kernel_shape=[3, 3], pads=[0] * 4),
        ]
        size = ["batch", 2, 5, 5]
        x, y = (helper.make_tensor_value_info(name, 1, size) for name in "xy")
        graph = helper.make_graph(nodes, "old", [x], [y], [pads])
        file = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
        )
        values = np.ones((1, 2, 5, 5), np.float32)
        found = larqlite_runtime.load(file.SerializeToString())(values)[0, 0]
        corner, inside = (0, -1) if op == "MaxPool" else (-4 / 9, -1)
        np.testing.assert_allclose([found[0, 0], found[2, 2]], [corner, inside])


@pytest.mark.parametrize("more", [{"ceil_mode": 1}, {"dilations": [2, 2]}, {}])
def test_nodes_of_converters_elsewhere_are_kept_too(more):
    """Whose pooling may have attributes that ours never have."""
    graph = Writer()
    graph.shapes["x"] = (None, 2, 8, 8)
    pads = graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    padded = graph.node("Pad", ["x", pads])
    name = graph.node("MaxPool", [padded], kernel_shape=[2, 2], **more)
    keep_zeros(graph, [name])
    ops = [node.op for node in graph.nodes]
    size = [helper.make_tensor_value_info("x", 1, ["batch", 2, 8, 8])]
    nodes = [
        helper.make_node(n.op, n.inputs, n.outputs, **n.attributes) for n in graph.nodes
    ]
    made = helper.make_graph(
        nodes,
        "own",
        size,
        [helper.make_empty_tensor_value_info(name)],
        [numpy_helper.from_array(a, n) for n, a in graph.constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])
    assert ops == ["Pad", "Max", "MaxPool"]
    assert not folded_as_some_runtimes_do(model)
