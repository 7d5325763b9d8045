"""Setters of a user's config that build on the inherited ones."""

import numpy as np
import tf_keras

from larqlite import qat


class Doubled(qat.QuantizeConfig):
    """Puts twice the quantized kernel in the kernel's place, wherever that is kept."""

    def __init__(self, path="kernel"):
        self.path = path

    def get_weights_and_quantizers(self, layer):
        for part in self.path.split(".")[:-1]:
            layer = getattr(layer, part)
        return [(layer.kernel, qat.quantizers.LastValueQuantizer(2, narrow_range=True))]

    def get_activations_and_quantizers(self, layer):
        return []

    def get_output_quantizers(self, layer):
        return []

    def set_quantize_weights(self, layer, quantize_weights):
        super().set_quantize_weights(layer, [2 * w for w in quantize_weights])

    def get_config(self):
        return {"path": self.path}


def test_a_setter_may_hand_changed_values_to_the_inherited_one():
    dense = tf_keras.layers.Dense(1, use_bias=False, input_shape=(2,))
    model = tf_keras.Sequential([qat.quantize_annotate_layer(dense, Doubled())])
    dense.set_weights([np.array([[3.0], [-1.0]])])
    quantized = qat.quantize_apply(model)
    quantized(np.eye(2, dtype="float32"), training=True)  # ranges: [-3, 3], [0, 1]
    np.testing.assert_allclose(quantized(np.eye(2, dtype="float32")), [[6.0], [0.0]])
    np.testing.assert_array_equal(quantized.layers[-1].layer.kernel, [[3.0], [-1.0]])


def test_a_setter_may_do_so_with_a_weight_of_an_inner_layer():
    inner = tf_keras.layers.Dense(1, use_bias=False)
    outer = tf_keras.layers.TimeDistributed(inner, input_shape=(1, 2))
    config = Doubled("layer.kernel")
    model = tf_keras.Sequential([qat.quantize_annotate_layer(outer, config)])
    inner.set_weights([np.array([[3.0], [-1.0]])])
    quantized = qat.quantize_apply(model)
    x = np.eye(2, dtype="float32")[:, None]
    quantized(x, training=True)
    np.testing.assert_allclose(quantized(x)[:, 0], [[6.0], [0.0]])


def test_a_fixed_output_range_keeps_the_kernel_of_a_last_layer_quantized():
    dense = tf_keras.layers.Dense(1, use_bias=False, input_shape=(2,))
    model = tf_keras.Sequential([dense])
    dense.set_weights([np.array([[1.0], [0.004]])])
    x = np.eye(2, dtype="float32")
    quantized = qat.quantize_model(model, calibrate=x)
    fixed = qat.fix_input_output_range(quantized, output_max=255.0)
    assert fixed.layers[-1].layer.kernel.precision == 8
    # Inputs end at 1; outputs are whole numbers, and 0.004 is not even one of them.
    for scale in (1, 100):
        outputs = fixed.predict(scale * x, verbose=0)
        np.testing.assert_allclose(outputs, [[1.0], [0.0]])
