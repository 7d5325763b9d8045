"""Operators such as `a + b` with a `QuantizeConfig` of the user's."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from larqlite.errors import ArgumentError

layers = tf_keras.layers


def with_operators():
    """Whole numbers, cast, a dense layer, and operators; one is called with 1 first."""
    inputs = tf_keras.Input((4,), dtype="int32")
    x = layers.Dense(3, name="fc")(tf.cast(inputs, "float32"))
    return tf_keras.Model(inputs, (1 - x)[:, :2] * tf.nn.relu(x)[:, 1:])


ROWS = np.arange(12, dtype="int32").reshape(3, 4)


@pytest.mark.parametrize(
    "quantize",
    [
        lambda model, config: qat.quantize_apply(model, {"*": config}, calibrate=ROWS),
        lambda model, config: qat.quantize_model(model, scheme=config),
        lambda model, config: qat.quantize_apply(
            tf_keras.models.clone_model(
                model,
                clone_function=lambda layer: qat.quantize_annotate_layer(layer, config),
            )
        ),
    ],
    ids=["pattern", "scheme", "annotated"],
)
def test_a_config_that_quantizes_nothing_leaves_operators_as_they_are(quantize):
    model = with_operators()
    quantized = quantize(model, qat.NoOpQuantizeConfig())
    prefixes = {"fc": "quant_fc"}
    assert [layer.name for layer in quantized.layers] == [
        prefixes.get(layer.name, layer.name) for layer in model.layers
    ]
    quantized.set_weights(
        [*model.get_weights(), *quantized.get_weights()[len(model.weights) :]]
    )
    np.testing.assert_array_equal(quantized(ROWS), model(ROWS))


def test_the_outputs_that_a_config_names_are_quantized_after_operators(tmp_path):
    model = with_operators()
    grid = qat.quantizers.FixedQuantizer(4, -8.0, 7.0, narrow_range=False)
    config = qat.LayerQuantizeConfig(outputs=grid)
    scheme = {"tf.math.subtract": config, "*": "float"}
    quantized = qat.quantize_apply(model, scheme)
    assert [layer.name for layer in quantized.layers if layer.weights] == [
        *("fc", "quantize_tf.math.subtract")
    ]
    x = model.get_layer("fc")(ROWS.astype("float32")).numpy()
    left = np.clip(np.round(1 - x), -8, 7)  # steps of 1
    expected = left[:, :2] * np.maximum(x, 0)[:, 1:]
    np.testing.assert_allclose(quantized(ROWS), expected, rtol=1e-5)
    for name in ("model.keras", "model.h5"):
        quantized.save(tmp_path / name)
        again = lq.models.load(tmp_path / name)
        np.testing.assert_array_equal(again(ROWS), quantized(ROWS))


def test_operators_that_cannot_follow_a_config_are_named_with_a_scheme_that_works():
    model = with_operators()
    config = qat.LayerQuantizeConfig({"kernel": "ste_sign"})
    with pytest.raises(ArgumentError) as raised:
        qat.quantize_apply(model, {"*": config})
    for part in (
        '"tf.cast" (weights)',
        '"tf.nn.relu": "float"',
        "LayerQuantizeConfig(",
    ):
        assert part in str(raised.value)
    table = re.search(r"\{(.*), \"\*\"", str(raised.value))[1]
    scheme = dict.fromkeys(re.findall(r'"([^"]+)": "float"', table), "float")
    quantized = qat.quantize_apply(model, {**scheme, "*": config})
    assert quantized.get_layer("quant_fc").layer.kernel.precision == 1
