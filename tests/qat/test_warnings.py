"""What quantization-aware training warns of, and what it is silent on."""

import numpy as np
import tf_keras

from larqlite import qat
from tests.qat.error_cases import X, dense, sequential

layers = tf_keras.layers


def test_a_lambda_layer_is_warned_of_and_left_as_it_is(caplog):
    model = sequential(dense(), layers.Lambda(lambda x: 2 * x, name="anything"))
    quantized = qat.quantize_model(model, calibrate=X)
    assert '"anything" may compute anything' in caplog.text
    assert type(quantized.layers[-1]) is layers.Lambda
    step = np.ptp(np.append(model(X), 0)) / 255
    assert np.abs(quantized(X) - model(X)).max() < 6 * step


def test_unset_ranges_are_warned_of_once_and_calibrated_ones_not(caplog):
    qat.quantize_model(sequential(dense()))
    assert caplog.text.count("ranges") == 1
    assert "calibrate=data" in caplog.text
    caplog.clear()
    qat.quantize_model(sequential(dense()), calibrate=X)
    assert caplog.text == ""


def test_a_model_without_ranges_is_not_warned_of_them(caplog):
    dense = [tf_keras.layers.Dense(4, name=name) for name in ("a", "b", "c")]
    model = tf_keras.Sequential([tf_keras.Input((4,)), *dense])
    qat.binarize(model, ends="float")
    assert "ranges" not in caplog.text
