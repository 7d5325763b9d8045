"""Sums of signs by integers in training steps: the numbers of float convolutions, or none."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.layers import _sign_sums

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
    "padding": "same",
}
by_integers = pytest.mark.skipif(
    not _sign_sums._sums_are_right(), reason="TensorFlow has no 8-bit products here"
)


def signs(*shape, seed=0):
    values = np.random.default_rng(seed).choice([-1.0, 1.0], shape)
    return values.astype("float32")


def operations(function, *args):
    """The types of all operations of a function, with those that it calls."""
    graph = function.get_concrete_function(*args).graph.as_graph_def()
    return graph_operations(graph)


def graph_operations(graph):
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {node.op for node in nodes}


def uses_integers(layer, shape=(8, 8, 8, 32), training=True, **options):
    function = tf.function(lambda x: layer(x, training=training), **options)
    spec = tf.TensorSpec(shape, layer.compute_dtype)
    return "QuantizedMatMulWithBias" in operations(function, spec)


def by_hand(x, kernel, strides, padding):
    """The convolution's sums in integers."""
    (n, *lengths, _), (*size, _, filters) = x.shape, kernel.shape
    x, kernel = x.astype(int), kernel.astype(int)
    if padding == "SAME":
        totals = [
            max((-(-length // s) - 1) * s + k - length, 0)
            for length, k, s in zip(lengths, size, strides, strict=True)
        ]
        x = np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in totals), (0, 0)])
    outputs = [(x.shape[1 + i] - size[i]) // strides[i] + 1 for i in range(2)]
    sums = np.zeros((n, *outputs, filters), int)
    for i, j in np.ndindex(*outputs):
        top, left = i * strides[0], j * strides[1]
        window = x[:, top : top + size[0], left : left + size[1]]
        sums[:, i, j] = np.tensordot(window, kernel, 3)
    return sums


@by_integers
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("length", "size", "strides"),
    [
        ((9, 12), (3, 3), (1, 1)),
        ((8, 9), (3, 3), (2, 2)),
        ((7, 10), (1, 1), (2, 3)),
        ((8, 7), (2, 3), (3, 1)),
        ((7, 7), (5, 4), (1, 2)),
    ],
)
def test_sums_equal_those_by_hand_and_gradients_those_of_a_convolution(
    length, size, strides, padding
):
    x, kernel = tf.constant(signs(2, *length, 5)), tf.constant(signs(*size, 5, 7))
    geometry = ([1, *strides, 1], padding)
    results = []
    for convolved in (
        lambda x, k: _sign_sums.conv_of_signs(x, k, strides, padding),
        lambda x, k: tf.nn.conv2d(x, k, *geometry),
    ):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolved(x, kernel)
        upstream = np.random.default_rng(1).normal(size=y.shape).astype("float32")
        results.append([y, *tape.gradient(y, [x, kernel], tf.constant(upstream))])
    np.testing.assert_array_equal(
        results[0][0], by_hand(x.numpy(), kernel.numpy(), strides, padding)
    )
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@by_integers
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_largest_sums_are_exact(sign):
    x, kernel = tf.ones((1, 3, 3, 8192)), tf.fill((3, 3, 8192, 64), sign)
    y = _sign_sums.conv_of_signs(x, kernel, (1, 1), "VALID")
    np.testing.assert_array_equal(y, np.full((1, 1, 1, 64), sign * 9 * 8192))


@by_integers
def test_a_scale_is_multiplied_with_the_exact_sum():
    rng = np.random.default_rng(0)
    x, levels = signs(4, 8, 8, 64), signs(3, 3, 64, 96, seed=1)
    scale = rng.uniform(0.01, 1, 96).astype("float32")
    y = _sign_sums.conv_of_signs(
        tf.constant(x), tf.constant(levels * scale), (1, 1), "SAME", scaled=True
    )
    exact = by_hand(x, levels, (1, 1), "SAME") * scale.astype("float64")
    assert (np.abs(y - exact) <= 2.0**-24 * np.abs(exact)).all()


@by_integers
@pytest.mark.parametrize("where", ["image", "kernel"])
def test_a_nan_stays_one(where):
    layer = lq.layers.QuantConv2D(128, 3, **BINARY)
    x = signs(8, 8, 8, 32)
    layer(x)
    if where == "image":
        x[3, 4, 5, 6] = np.nan
    else:
        kernel = layer.get_weights()[0]
        kernel[1, 1, 2, 3] = np.nan
        layer.set_weights([kernel])
    assert uses_integers(layer)
    y = tf.function(lambda x: layer(x, training=True))(tf.constant(x)).numpy()
    assert np.isnan(y[3, 4, 5, 3]).all()
    assert np.isfinite(y).any() == (where == "kernel")


# Training.


@tf.custom_gradient
def plain_sign(x):
    """The sign and its straight-through estimator, as one would write them down."""

    def pull_back(dy):
        return tf.where(tf.abs(x) <= 1, dy, tf.zeros_like(dy))

    return tf.where(x < 0, -tf.ones_like(x), tf.ones_like(x)), pull_back


class PlainConv(tf_keras.layers.Conv2D):
    """A binary convolution of TensorFlow's own operations."""

    def call(self, x):
        return tf.nn.conv2d(plain_sign(x), plain_sign(self.kernel), 1, "SAME")


def plain_clip(kernel):
    return tf.minimum(tf.maximum(kernel, -1.0), 1.0)


def network(conv):
    return tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 3), 32),
            tf_keras.layers.Conv2D(32, 3, padding="same", use_bias=False),
            tf_keras.layers.BatchNormalization(),
            conv(96, 3),
            tf_keras.layers.MaxPool2D(),
            tf_keras.layers.BatchNormalization(),
            conv(128, 3),
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.GlobalAvgPool2D(),
            tf_keras.layers.Dense(5),
        ]
    )


def trained(model, weights, **compiled):
    """The weights after five steps of Adam, large enough for the clip to matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 8, 8, 3)).astype("float32")
    y = rng.integers(0, 5, 160)
    model.set_weights(weights)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.3), loss, **compiled)
    model.fit(x, y, batch_size=32, epochs=1, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.fixture(scope="module")
def plain():
    """Weights to begin with, and those that plain operations make of them."""
    model = network(
        lambda *args: PlainConv(
            *args, padding="same", use_bias=False, kernel_constraint=plain_clip
        )
    )
    rng = np.random.default_rng(1)
    weights = [
        rng.uniform(-0.5, 0.5, w.shape).astype("float32") if w.ndim > 1 else w
        for w in model.get_weights()
    ]
    return weights, trained(model, weights)


def test_five_steps_end_at_the_weights_of_plain_operations_bit_for_bit(plain):
    weights, expected = plain
    model = network(lambda *args: lq.layers.QuantConv2D(*args, **BINARY))
    ours = trained(model, weights)
    assert np.abs(ours[5]).max() == 1  # clipped
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    if _sign_sums._sums_are_right():
        assert uses_integers(model.layers[2], (32, 8, 8, 32))


@pytest.mark.slow
def test_a_tensorflow_without_onednn_trains_to_the_same_kernels(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        "import numpy as np\n"
        "from larqlite.layers import _sign_sums\n"
        "from tests.layers import test_sign_sums as tests\n"
        "layer = tests.lq.layers.QuantConv2D(128, 3, **tests.BINARY)\n"
        "layer(tests.signs(8, 8, 8, 32))\n"
        "print(_sign_sums._sums_are_right(), tests.uses_integers(layer))\n"
    )
    done = subprocess.run(
        [sys.executable, path],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


@by_integers
def test_where_the_batch_is_not_known_either():
    assert uses_integers(layer_with())
    assert uses_integers(layer_with(pad_values=1.0), (None, 8, 8, 32))


# Where convolutions stay as they are.


class Own(lq.layers.QuantConv2D):
    """A layer of a user."""


class OwnSign(lq.quantizers.SteSign):
    """A quantizer of a user."""


def layer_with(**changed):
    return lq.layers.QuantConv2D(128, 3, **{**BINARY, **changed})


@by_integers
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (lambda: layer_with(input_quantizer=None), {}),
        (lambda: layer_with(kernel_quantizer=None), {}),
        (lambda: layer_with(input_quantizer=OwnSign()), {}),
        (lambda: layer_with(kernel_quantizer=OwnSign()), {}),
        (lambda: layer_with(input_quantizer="dorefa_quantizer"), {}),
        (lambda: layer_with(pad_values=0.5), {}),
        (lambda: layer_with(dilation_rate=2), {}),
        (lambda: layer_with(groups=2), {}),
        (lambda: layer_with(dtype="mixed_bfloat16"), {}),
        (lambda: layer_with(dtype="float64"), {}),
        (lambda: Own(128, 3, **BINARY), {}),
        (layer_with, {"training": False}),
        (layer_with, {"training": None}),
        (layer_with, {"jit_compile": True}),
        (layer_with, {"shape": (8, None, 8, 32)}),
        (layer_with, {"shape": (1, 8, 8, 32)}),
        (layer_with, {"shape": (8, 8, 8, 16)}),
    ],
)
def test_what_is_no_plain_sum_of_signs_or_not_faster_stays_a_float_convolution(
    layer, options
):
    assert not uses_integers(layer(), **options)


@by_integers
def test_replicas_keep_their_convolutions():
    layer = layer_with()
    layer.build((None, 8, 8, 32))
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        assert not uses_integers(layer)


@by_integers
def test_a_saved_model_runs_on_machines_without_them(tmp_path):
    inputs = tf_keras.Input((8, 8, 32), 8)
    model = tf_keras.Model(inputs, layer_with()(inputs))
    model.save(tmp_path / "saved", save_format="tf")
    proto = tf.__internal__.saved_model.parse_saved_model(str(tmp_path / "saved"))
    found = graph_operations(proto.meta_graphs[0].graph_def)
    assert "Conv2D" in found
    assert not any(name.startswith("Quantized") for name in found)


@by_integers
@pytest.mark.slow
def test_a_step_compiled_by_xla_trains(plain):
    weights, _ = plain
    model = network(lambda *args: lq.layers.QuantConv2D(*args, **BINARY))
    changed = trained(model, weights, jit_compile=True)
    assert all(np.isfinite(values).all() for values in changed)
