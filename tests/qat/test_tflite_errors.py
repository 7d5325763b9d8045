"""What cannot be converted is refused, by name and with the way out."""

from __future__ import annotations

import numpy as np
import pytest

from larqlite import qat
from larqlite.errors import ArgumentError, UnsupportedLayerError, UnsupportedModelError
from tests.common.eager import quantize_apply, quantize_model
from tests.qat.tflite_models import L, data_for, net


def dense():
    return net((4,), L.Dense(3, name="fc"), L.LayerNormalization(name="norm"))


def quantized(**kwargs):
    model = dense()
    return quantize_model(model, calibrate=data_for(model), **kwargs)


def test_a_float_model():
    with pytest.raises(UnsupportedModelError, match=r"not quantization-aware[^$]*fc"):
        qat.to_tflite(dense())


@pytest.mark.parametrize("model", [None, "model.h5"])
def test_what_is_no_model(model):
    with pytest.raises(ArgumentError, match=r"to_tflite: got .*no tf_keras model"):
        qat.to_tflite(model)


def test_ranges_that_are_not_set():
    model = quantize_model(dense())
    with pytest.raises(
        ArgumentError, match=r'"quantize_layer" is not set[^$]*calibrate'
    ):
        qat.to_tflite(model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value):
    model = quantized()
    kernel = model.get_layer("quant_fc").layer.kernel
    kernel.assign(np.full(kernel.shape, value))
    with pytest.raises(ArgumentError, match=r"fc/kernel[^$]*not finite"):
        qat.to_tflite(model)


def test_more_than_8_bits():
    with pytest.raises(ArgumentError, match=r"quantized to 12 bits[^$]*Fix: 8 bits"):
        qat.to_tflite(quantized(scheme="int12"))


class Asymmetric(qat.QuantizeConfig):
    def get_weights_and_quantizers(self, layer):
        return [(layer.kernel, qat.quantizers.LastValueQuantizer(8, symmetric=False))]

    def get_activations_and_quantizers(self, layer):
        return [(layer.activation, qat.quantizers.MovingAverageQuantizer(8))]

    def get_output_quantizers(self, layer):
        return []


def test_an_asymmetric_kernel_of_a_convolution():
    model = net((8, 8, 3), L.Conv2D(4, 3, name="conv"))
    model = quantize_apply(model, {"*": Asymmetric()}, calibrate=data_for(model))
    with pytest.raises(ArgumentError, match=r'"quant_conv"[^$]*symmetric=True'):
        qat.to_tflite(model)


def test_an_unknown_kind_of_inputs():
    with pytest.raises(ArgumentError, match="inputs='uint8'"):
        qat.to_tflite(quantized(), inputs="uint8")


def test_int8_inputs_of_a_model_with_a_float_layer():
    model = quantized()
    assert qat.to_tflite(model).float_layers == ("quant_norm",)
    with pytest.raises(UnsupportedModelError, match='"quant_norm" compute in float32'):
        qat.to_tflite(model, inputs="int8")


def test_a_recurrent_layer_over_any_number_of_steps():
    model = net((None, 3), L.GRU(4, name="loop"))
    data = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
    model = quantize_model(model, calibrate=data)
    with pytest.raises(
        UnsupportedLayerError, match=r'"quant_loop"[^$]*number of steps'
    ):
        qat.to_tflite(model)


def test_a_path_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError, match="taken"):
        qat.to_tflite(quantized(), target)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
