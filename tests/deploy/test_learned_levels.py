"""Learned levels in files: packed with their scales, integers as in Keras to the last one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.deploy.inside_a_file import metadata, tensors
from tests.deploy.keras_and_file import checked, sequential

L, Q = lq.layers, lq.quantizers

# Of kernels and of inputs, with what they learned.
KERNELS = {
    "lsq 2": (lambda: Q.LSQ(2), [0.31]),
    "lsq 4": (lambda: Q.LSQ(4), [0.17]),
    "lsq 8": (lambda: Q.LSQ(8), [0.013]),
    "lsq of channels": (lambda: Q.LSQ(3, axis=-1), [np.linspace(0.1, 0.4, 6)]),
    "lsq_plus 3": (lambda: Q.LSQPlus(3, axis=-1), [np.linspace(0.2, 0.3, 6)]),
    "uniform 4": (lambda: Q.Uniform(4), [0.11]),
    "pact 4": (lambda: Q.PACT(4), [0.9]),
    "int_symmetric 4 of channels out": (lambda: Q.IntSymmetric(4, axis=-2), []),
    "int_symmetric 8": (lambda: Q.IntSymmetric(8, axis=None), []),
}
INPUTS = {
    "lsq 1": (lambda: Q.LSQ(1), [0.7]),
    "lsq 2": (lambda: Q.LSQ(2), [0.41]),
    "lsq 4 signed": (lambda: Q.LSQ(4, signed=True), [0.23]),
    "lsq 8": (lambda: Q.LSQ(8), [0.021]),
    "lsq_plus 2": (lambda: Q.LSQPlus(2), [0.9, -0.6]),
    "lsq_plus 4": (lambda: Q.LSQPlus(4), [0.2, -0.35]),
    "uniform 3 signed": (lambda: Q.Uniform(3, signed=True), [0.4]),
    "pact 2": (lambda: Q.PACT(2), [2.3]),
    "pact 4 signed": (lambda: Q.PACT(4, signed=True), [1.7]),
}
LAYERS = {
    "same": lambda **more: L.QuantConv2D(6, 3, padding="same", **more),
    "strides": lambda **more: L.QuantConv2D(6, 3, strides=2, use_bias=False, **more),
    "transposed": lambda **more: L.QuantConv2DTranspose(
        6, 3, strides=2, padding="same", **more
    ),
    "dense": lambda **more: L.QuantDense(6, **more),
    "groups": lambda **more: L.QuantConv2D(6, 3, groups=2, padding="same", **more),
}


def with_weights(model, kernel, inputs):
    """The model, whose first layer has learned this."""
    layer = model.layers[0]
    for quantizer, (_, learned) in (
        (layer.kernel_quantizer, kernel),
        (layer.input_quantizer, inputs),
    ):
        if quantizer.weights:
            quantizer.set_weights([np.float32(value) for value in learned])
    return model


@pytest.mark.parametrize(
    ("kernel", "inputs", "layer"),
    [
        (kernel, inputs, [*LAYERS][number % len(LAYERS)])
        for number, (kernel, inputs) in enumerate(zip(KERNELS, INPUTS, strict=True))
    ],
)
def test_kernels_and_inputs_are_packed_and_summed_as_integers(
    kernel, inputs, layer, tmp_path
):
    """Each kernel meets one kind of inputs, and layers in turn."""
    kernel, inputs = KERNELS[kernel], INPUTS[inputs]
    made = LAYERS[layer](kernel_quantizer=kernel[0](), input_quantizer=inputs[0]())
    model = with_weights(sequential((6, 7, 4), made), kernel, inputs)
    path = tmp_path / "model.onnx"
    operations, report = checked(model, tolerance=3e-6, path=path)
    assert not report.float_layers
    assert not [note for note in report.notes if "rounded" in note]
    assert any(op[0] in "BTQ" and op[1:2].isupper() for op in operations)
    # On ties and beside them, the file has the very integers of Keras.
    quantizer = made.input_quantizer
    (entry,) = metadata(path)["larqlite.layers"]
    x = around_thresholds(quantizer, (8, 6, 7, 4))
    found = tensors(path, x, [entry["quantized"]])[entry["quantized"]]
    expected = quantizer(tf.constant(x)).numpy()
    if found.shape != expected.shape:
        found = np.moveaxis(found, 1, -1)
    np.testing.assert_array_equal(found, quantizer.codes(expected))


def around_thresholds(quantizer, shape):
    """Values on and beside the thresholds of a quantizer, in float32."""
    step = float(quantizer.step_between(tf.zeros((1, 1))))
    middles = (np.arange(quantizer.low - 1, quantizer.high + 1) + 0.5) * step
    middles = (middles + offset_of(quantizer)).astype(np.float32)
    near = [middles]
    for towards in (np.float32(-np.inf), np.float32(np.inf)):
        near += [np.nextafter(middles, towards)]
        near += [np.nextafter(near[-1], towards)]
    return np.resize(np.concatenate(near), shape).astype(np.float32)


def offset_of(quantizer):
    return float(quantizer.offset) if hasattr(quantizer, "offset") else 0.0


def test_what_has_not_begun_is_refused_with_a_fix_that_works(tmp_path):
    model = tf_keras.Sequential(
        [
            L.QuantDense(
                3, input_quantizer="lsq", kernel_quantizer="lsq", input_shape=(4,)
            )
        ]
    )
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match=r"its step is 0.*\n.*Fix: "
    ):
        lq.deploy.export(model, tmp_path / "model.onnx")
    model(np.abs(np.random.default_rng(0).normal(size=(8, 4))), training=True)
    lq.deploy.export(model, tmp_path / "model.onnx")


def test_more_bits_than_a_file_has_are_refused(tmp_path):
    for place in ("input_quantizer", "kernel_quantizer"):
        layer = L.QuantDense(3, input_shape=(4,), **{place: Q.LSQ(9)})
        with pytest.raises(lq.errors.UnsupportedLayerError, match=r"(?s)9.*Fix: "):
            lq.deploy.export(tf_keras.Sequential([layer]), tmp_path / "model.onnx")


def test_the_codes_of_a_kernel_are_those_of_keras(tmp_path):
    model = with_weights(
        sequential(
            (5,),
            L.QuantDense(
                6, input_quantizer=Q.LSQ(2), kernel_quantizer=Q.LSQ(4, axis=-1)
            ),
        ),
        (None, [np.linspace(0.05, 0.3, 6)]),
        (None, [0.5]),
    )
    layer, path = model.layers[0], tmp_path / "model.onnx"
    lq.deploy.export(model, path)
    file = onnx.load(path)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    node = next(node for node in file.graph.node if node.op_type == "QDense")
    codes = stored[node.input[1]]
    whole = np.stack([codes & 15, codes >> 4], 1).ravel()[:30].reshape(6, 5) - 8.0
    latent = layer.latent_weight().numpy()
    steps = np.linspace(0.05, 0.3, 6, dtype="float32")
    np.testing.assert_array_equal(whole.T, np.rint(np.clip(latent / steps, -8, 7)))
