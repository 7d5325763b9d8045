"""Kernels of signs and of three and four levels: one network of them all, on every target."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.onnx_graph import find_codes, find_table
from tests.deploy.keras_and_file import checked
from tests.devices.compilers import has, shared

Q = lq.quantizers

# Kernel quantizer, input quantizer, packed operation, and its bits.
KERNELS = {
    "xnor_plus": (Q.XnorPlus, "ste_sign", "BConv2D", 1),
    "xnor_scale": (Q.XnorScale, "ste_tern", "BConv2D", 1),
    "ede_sign": (Q.EDESign, "ede_sign", "BConv2D", 1),
    "libra": (Q.Libra, "ede_sign", "BConv2D", 1),
    "recu": (Q.ReCU, "stochastic_sign", "BConv2D", 1),
    "stochastic_sign": (Q.StochasticSign, "stochastic_sign", "BConv2D", 1),
    "seq_1": (lambda: Q.Seq(1), "ste_sign", "BConv2D", 1),
    "seq_3": (lambda: Q.Seq(1.58), "ste_sign", "TConv2D", 2),
    "seq_4": (lambda: Q.Seq(2), lambda: Q.XnorPlus(axis=None), "QConv2D", 2),
    "absmean_ternary": (Q.AbsmeanTernary, "stochastic_ternary", "TConv2D", 2),
    "stochastic_ternary": (Q.StochasticTernary, "stochastic_ternary", "TConv2D", 2),
    "ttq": (Q.TTQ, "ste_sign", "BConv2D", 2),
    "ttq_channels": (lambda: Q.TTQ(0.3, axis=-1), "ste_tern", "BConv2D", 2),
}
# Sums of two planes and the input: the levels are off by roundings of float32.
ROUNDED = ("ttq", "ttq_channels")


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(2)
    image = tf_keras.Input((5, 4, 3))
    branches = []
    for name, (kernel, inputs, *_) in KERNELS.items():
        x = lq.layers.QuantConv2D(
            filters=8,
            kernel_size=2,
            input_quantizer=inputs if isinstance(inputs, str) else inputs(),
            kernel_quantizer=kernel(),
            kernel_constraint="weight_clip",
            use_bias=False,
            name=name,
        )(image)
        branches.append(tf_keras.layers.BatchNormalization()(x))
    made = tf_keras.Model(image, tf_keras.layers.Concatenate()(branches))
    for name in KERNELS:
        layer = made.get_layer(name)
        for quantizer in (layer.kernel_quantizer, layer.input_quantizer):
            for weight in quantizer.trainable_weights:
                weight.assign(weight * rng.uniform(0.5, 1.5, weight.shape))
    return made


def test_each_kernel_is_packed_and_the_file_computes_what_keras_does(model):
    _, report = checked(model, tolerance=2e-6)
    assert not report.in_float
    found = {row.layer: (row.operation, row.weight_bits) for row in report.packed}
    assert found == {name: tuple(rest) for name, (_, _, *rest) in KERNELS.items()}
    rounded = [note.partition(":")[0] for note in report.notes if "rounded" in note]
    assert set(rounded) <= set(ROUNDED)


@pytest.mark.parametrize("name", KERNELS)
def test_codes_times_scales_are_the_values_bit_for_bit(model, name):
    layer = model.get_layer(name)
    values = np.moveaxis(layer.quantized_weight().numpy(), -1, 0)
    bits = layer.kernel_quantizer.precision
    found = find_codes(values, bits) or find_table(values, bits)
    tolerance = 2.0**-23 if name in ROUNDED else 0
    off = np.abs(found.values() - values).max()
    assert off <= tolerance * np.abs(values).max()


def test_three_levels_around_a_zero_take_two_planes():
    values = np.random.default_rng(0).choice(np.float32([-0.7, 0, 0.4]), (4, 9))
    found = find_table(values, 2)
    assert sorted(found.parts) == [(0,), (1,)]
    np.testing.assert_allclose(found.center, -0.15, rtol=1e-6)


@pytest.mark.skipif(not has("gcc"), reason="gcc is not installed")
def test_in_c_it_computes_what_the_runtime_does(model, tmp_path):
    # The self-test has the runtime's outputs of samples.
    lq.deploy.to_c(model, tmp_path, name="net")
    assert shared(tmp_path / "net.c").net_self_test() == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="qonnx asks for an older onnx")
def test_in_qonnx_it_computes_what_keras_does(model, tmp_path):
    from tests.deploy.qonnx_files import assert_same

    assert_same(model, tmp_path / "net.onnx", tolerance=2e-6)
