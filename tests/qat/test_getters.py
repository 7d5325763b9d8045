"""Configs whose getters return anything, and registries that are asked for any layer."""

import numpy as np
import pytest
import tf_keras

from larqlite import errors, qat

layers = tf_keras.layers


class NoGetters(qat.QuantizeConfig):
    """Every method a `pass`, as in the tests of TFMOT."""

    def get_weights_and_quantizers(self, layer):
        pass

    def get_activations_and_quantizers(self, layer):
        pass

    def get_output_quantizers(self, layer):
        pass

    def set_quantize_weights(self, layer, quantize_weights):
        pass

    def set_quantize_activations(self, layer, quantize_activations):
        pass


def annotated(config):
    dense = layers.Dense(3, input_shape=(4,))
    return tf_keras.Sequential([qat.quantize_annotate_layer(dense, config)])


def test_getters_that_return_none_name_nothing():
    model = qat.quantize_apply(annotated(NoGetters()), calibrate=np.ones((2, 4)))
    assert model(np.ones((2, 4))).shape == (2, 3)
    report = qat.report(model, verbose=False)
    assert report.with_status("quantized") == ("quantize_layer",)  # the input


@pytest.mark.parametrize(
    "returned", [5, "ste_sign", [1], [(None, None)]], ids=["5", "word", "one", "none"]
)
def test_getters_that_return_something_else_are_refused_by_name(returned):
    class Strange(NoGetters):
        def get_weights_and_quantizers(self, layer):
            return returned

    with pytest.raises(errors.QuantizerError, match=r"Strange\.get_weights"):
        qat.quantize_apply(annotated(Strange()))


REGISTRIES = (
    lambda: qat.default_8bit.Default8BitQuantizeRegistry(),
    lambda: qat.experimental.default_n_bit.DefaultNBitQuantizeRegistry(),
    lambda: qat.BinaryScheme().get_quantize_registry(),
)


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_registry_names_the_class_that_it_does_not_support(registry):
    layer = type("Mine", (layers.Layer,), {})(name="my_layer")
    assert not registry().supports(layer)
    with pytest.raises(ValueError, match='"my_layer" of class Mine'):
        registry().get_quantize_config(layer)
