"""Whole networks on real images: trained in float, quantized, tuned, saved."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from tests.common.eager import quantize
from tests.integer import networks

models = lq.integer.models
Params = models.QuantizationParams
TRAIN, TEST = networks.images()


def trained(model, epochs, rate=4e-3, data=TRAIN):
    steps = epochs * len(data[0]) // 64
    networks.compiled(model, rate, steps).fit(*data, 64, epochs, verbose=0)
    return model


def quantized(model, **bits):
    return quantize(
        model, qparams=Params(**bits), samples=TRAIN[0], num_samples=512, batch_size=128
    )


FEW = TRAIN[0][:4000], TRAIN[1][:4000]


@pytest.fixture(scope="module")
def cnn():
    tf_keras.utils.set_random_seed(1)
    return trained(networks.float_cnn(), epochs=2)


@pytest.mark.slow
def test_8_bits_keep_the_accuracy_of_the_float_network(cnn):
    of_float = networks.accuracy(cnn, TEST)
    assert of_float > 0.85
    assert networks.accuracy(quantized(cnn), TEST) == pytest.approx(of_float, abs=0.005)


@pytest.mark.slow
def test_4_bits_are_within_3_points_after_one_epoch_of_tuning(cnn):
    model = quantized(cnn, weight_bits=4, activation_bits=4, output_bits=4)
    before = [weight.numpy() for weight in model.trainable_weights]
    networks.compiled(model).fit(*TRAIN, 64, 1, verbose=0)
    assert any(
        np.any(old != new.numpy())
        for old, new in zip(before, model.trainable_weights, strict=True)
    )
    assert networks.accuracy(model, TEST) >= networks.accuracy(cnn, TEST) - 0.03


@pytest.mark.slow
def test_1_bit_weights_learn_in_one_epoch(cnn):
    model = quantized(cnn, weight_bits=1)
    untuned = networks.accuracy(model, TEST)
    networks.compiled(model).fit(*FEW, 64, 1, verbose=0)
    assert networks.accuracy(model, TEST) > max(untuned, 0.75)
    models.record_quantization_variables(model)
    kernel = model.get_layer("conv2d_1").weight_quantizer.qweights.value
    assert set(np.unique(kernel.fp.values)) == {-1, 1}


@pytest.mark.slow
def test_a_separable_network_works_at_8_bits():
    tf_keras.utils.set_random_seed(1)
    model = trained(networks.float_cnn(separable=True), epochs=2)
    of_float = networks.accuracy(model, TEST)
    assert of_float > 0.75
    assert networks.accuracy(quantized(model), TEST) == pytest.approx(
        of_float, abs=0.005
    )


def test_a_binary_network_keeps_its_signs():
    tf_keras.utils.set_random_seed(2)
    model = trained(networks.binary_cnn(), epochs=1, data=[x[:2000] for x in TRAIN])
    integers = quantized(model)
    config = models.dump_config(integers)
    assert config["quant_conv2d"]["weight_quantizer"] == {"bitwidth": 1}
    signs = [layer for layer in integers.layers if layer.name.endswith("_input")]
    probe = tf_keras.Model(integers.input, [layer.output for layer in signs])
    bits = [x.values.numpy() for x in probe(TEST[0][:500])]
    # From the same bits on, the float network decides as the integers do.
    inputs = x = tf_keras.Input(bits[0].shape[1:])
    seen = []
    for layer in model.layers[3:]:
        if isinstance(layer, lq.layers.QuantLayer):
            seen.append(x)
        x = layer(x)
    of_float = [y.numpy() for y in tf_keras.Model(inputs, [*seen, x])(bits[0])]
    for expected, found in zip(of_float[1:-1], bits[1:], strict=True):
        np.testing.assert_array_equal(np.where(expected < 0, -1, 1), found)
    labels = integers.predict(TEST[0], verbose=0).argmax(-1)
    assert np.mean(labels[:500] == of_float[-1].argmax(-1)) >= 0.99
    accuracy = np.mean(model(TEST[0]).numpy().argmax(-1) == TEST[1])
    assert np.mean(labels == TEST[1]) == pytest.approx(accuracy, abs=0.03)


@pytest.mark.slow
def test_a_vision_transformer_is_quantized_saved_and_read_again(tmp_path):
    tf_keras.utils.set_random_seed(3)
    model = trained(networks.vision_transformer(), epochs=1, rate=2e-3, data=FEW)
    integers = quantized(model)
    assert not models.calibration_required(integers)
    kinds = {type(layer).__name__ for layer in integers.layers}
    assert {"QuantizedAttention", "QuantizedLayerNormalization"} <= kinds
    assert "Dense" not in kinds
    of_float = networks.accuracy(model, TEST)
    assert networks.accuracy(integers, TEST) == pytest.approx(of_float, abs=0.05)
    for name in ("model.keras", "model.h5"):
        integers.save(tmp_path / name)
        loaded = models.load_model(tmp_path / name)
        np.testing.assert_array_equal(
            loaded.predict(TEST[0][:64], verbose=0),
            integers.predict(TEST[0][:64], verbose=0),
        )
        assert models.dump_config(loaded) == models.dump_config(integers)
