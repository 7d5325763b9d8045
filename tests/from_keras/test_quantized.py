"""Layers that Keras 3 quantized come in as `QuantDense` with the same levels."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import larqlite as lq
from tests.from_keras.networks import equal, noise, randomized

K = keras.layers


def one_scale_for_each_channel():
    configs = getattr(keras.quantizers, "Int4QuantizationConfig", None)
    return {} if configs is None else {"config": configs(block_size=-1)}


def quantized(layer, mode, **kwargs):
    theirs = randomized(keras.Sequential([keras.Input((3, 6)), layer]))
    layer.quantize(mode, **kwargs)
    return theirs


@pytest.mark.parametrize(
    ("layer", "mode"),
    [
        (K.Dense(5, "relu", name="d"), "int8"),
        (K.Dense(5, use_bias=False, name="d"), "int4"),
        (K.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", name="d"), "int8"),
    ],
    ids=["Dense int8", "Dense int4", "EinsumDense int8"],
)
def test_a_quantized_layer_has_the_levels_that_keras_3_has(layer, mode, tmp_path):
    theirs = quantized(
        layer, mode, **one_scale_for_each_channel() if mode == "int4" else {}
    )
    ours = lq.models.from_keras(theirs)
    equal(ours, theirs, 3 * noise(4, 3, 6))
    (made,) = ours.layers
    assert isinstance(made, lq.layers.QuantDense)
    bits = {"int8": 8, "int4": 4}[mode]
    assert made.kernel_quantizer.precision == bits
    (weight,) = lq.models.quantized_weights(ours).values()
    kernel, scale = (
        np.asarray(layer.kernel),
        np.asarray(layer.kernel_scale).reshape(1, -1),
    )
    found = weight.quantized
    np.testing.assert_array_equal(np.round(found * scale), kernel)
    ours.save(tmp_path / "m.keras")
    equal(lq.models.load(tmp_path / "m.keras"), theirs, noise(2, 3, 6))


def test_what_nothing_here_computes_is_refused_by_name():
    attention = K.EinsumDense("abc,cde->abde", (None, 2, 3), name="heads")
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match=r'"heads".*abc,cde->abde'
    ):
        lq.models.from_keras(quantized(attention, "int8"))
    words = K.Embedding(7, 3, name="words")
    theirs = keras.Sequential([keras.Input((4,)), words])
    words.quantize("int8")
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match=r'Embedding "words".*int8'
    ):
        lq.models.from_keras(theirs)


def test_blocks_of_int4_are_refused_with_a_way_out_that_works():
    if not hasattr(keras.quantizers, "Int4QuantizationConfig"):
        pytest.skip("this Keras has one scale for each channel only")
    config = keras.quantizers.Int4QuantizationConfig(block_size=2)
    with pytest.raises(lq.errors.UnsupportedLayerError, match="block_size=-1"):
        lq.models.from_keras(quantized(K.Dense(5), "int4", config=config))
